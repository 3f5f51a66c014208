"""A bank where it lies: how new classes are said, and how its text encoder is found again."""

from pathlib import Path

import numpy as np
import pytest

from tiny_models import save_sentence_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import OptionError
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.text import text_table
from zeroscene.serving.bank import Bank
from zeroscene.serving.words import words_for

CLASSES = ("lake", "river", "dense_residential", "parking_lot")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sentence_encoder(tmp_path_factory.mktemp("models") / "sentences")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSCENE_CACHE", str(tmp_path / "cache"))


def spoken(encoder: Path | str, texts: str, place: Path) -> tuple[Bank, ClassBank]:
    reader = load_text_encoder(encoder)
    words = words_for(CLASSES, reader, texts=texts, templates=["{}", "a photo of {}"] if texts == "names" else None)
    kept = Bank.at(place / "words.bank")
    held = ClassBank.of(text_table(CLASSES, reader, texts=words.texts, templates=words.templates))
    kept.file.write(held, "made", "test")
    return kept, held


@pytest.mark.parametrize("texts", ["names", "synonyms", "attributes"])
def test_a_new_class_is_said_as_the_others_were(sentences: Path, texts: str, tmp_path: Path) -> None:
    encoder = "tiny" if texts == "attributes" else str(sentences)
    kept, held = spoken(encoder, texts, tmp_path)
    (made,) = kept.make(held, ["harbor"], encoder=encoder)
    reader = load_text_encoder(encoder)
    said = words_for(["harbor"], reader, texts=texts, templates=held.recipe.templates)
    expected = text_table(["harbor"], reader, texts=said.texts, templates=said.templates)
    assert list(made.texts) == expected.provenance["texts"]["harbor"]
    np.testing.assert_allclose(made.vector, expected.matrix[0], atol=1e-6)


def test_the_place_of_the_encoder_is_said_once(sentences: Path, tmp_path: Path) -> None:
    kept, held = spoken(sentences, "names", tmp_path)
    with pytest.raises(
        OptionError, match=r"'sentences' .* does not know where that is; give --encoder FOLDER_OR_ID, once"
    ):
        kept.make(held, ["harbor"])
    first = kept.make(held, ["harbor"], encoder=str(sentences))
    assert kept.make(held, ["harbor"]) == first
    assert kept.file.read() == held


def test_the_encoder_that_ships_is_always_found(tmp_path: Path) -> None:
    kept, held = spoken("tiny", "attributes", tmp_path)
    assert [one.name for one in kept.make(held, ["harbor", "sea"])] == ["harbor", "sea"]
