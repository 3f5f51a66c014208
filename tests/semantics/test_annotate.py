"""RSMM-Attributes: values from pictures, from descriptions, and the mark that exemplars leave."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError, SplitError, UnknownNameError
from zeroscene.semantics.annotate import Pictures, Words, annotate_pictures, annotate_texts, blend, class_means
from zeroscene.semantics.vocabulary import Vocabulary

TEXT = EncoderIdentity("pair", "weights", "tokenizer", "text-projection")
IMAGE = EncoderIdentity("pair", "weights", "pixels", "projection")
VOCABULARY = Vocabulary(("blue", "tall", "round"), ("colour", "shape", "shape"), (("blue",), ("tall",), ("round",)))
CLASSES = ("sea", "tower", "tank", "lake")
TEXTS = {"sea": "blue", "tower": "tall", "tank": "round tall", "lake": "blue round"}


class WordEncoder:
    """A text encoder whose vector is the set of words it knows: similarities can be worked out by hand."""

    identity = TEXT
    width = 4

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        words = ("blue", "tall", "round")
        rows = np.array([[*(float(word in text.split()) for word in words), 0.1] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pictures(values: dict[str, list[float]], each: int = 3, seed: int = 0) -> Pictures:
    """Pictures that show blue, tall and round to the given degrees, with a little noise."""
    rng = np.random.default_rng(seed)
    rows = [np.array([*own, 0.1]) + rng.normal(0, 0.01, 4) for own in values.values() for _ in range(each)]
    labels = tuple(name for name in values for _ in range(each))
    return Pictures(np.array(rows, np.float32), labels, IMAGE)


SHOWN = pictures({"sea": [1, 0, 0], "tower": [0, 1, 0.1], "tank": [0, 0.6, 1]})


def test_values_from_descriptions_follow_the_words() -> None:
    table = annotate_texts(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS)
    assert table.kind == "attributes"
    assert table.groups == VOCABULARY.groups
    assert table.row("sea")[0] == 1
    assert table.row("tower").argmax() == 1
    assert (table.row("tank")[1:] > table.row("sea")[1:]).all()
    assert table.matrix.min() == 0
    assert table.matrix.max() == 1


def test_values_from_pictures_follow_the_pictures_not_the_words() -> None:
    wrong = {**TEXTS, "sea": "tall", "tower": "blue"}
    table = annotate_pictures(("sea", "tower", "tank"), VOCABULARY, WordEncoder(), SHOWN, texts=wrong)
    assert table.row("sea").argmax() == 0
    assert table.row("tower").argmax() == 1
    assert table.provenance["from_description"] == []


def test_a_class_without_pictures_comes_from_its_description() -> None:
    table = annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts=TEXTS)
    assert table.classes == CLASSES
    assert table.provenance["from_description"] == ["lake"]
    assert table.provenance["exemplars"] == []
    lake = table.row("lake")
    assert lake[0] > lake[1]
    assert lake[2] > lake[1]


def test_an_attribute_that_descriptions_get_wrong_says_nothing_of_unseen_classes() -> None:
    """Over the seen classes blue is said of all but the blue one: the line is flat, whatever is said of the lake."""
    texts = {"sea": "tall", "tower": "blue tall", "tank": "blue round"}
    told = [
        annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts={**texts, "lake": lake})
        for lake in ("blue", "round")
    ]
    assert told[0].provenance["description_trust"][0] == 0
    assert told[0].row("lake")[0] == told[1].row("lake")[0]
    assert 0 < told[0].row("lake")[0] < 1
    assert told[0].row("lake")[2] < told[1].row("lake")[2]


def test_exemplars_are_used_and_never_forgotten() -> None:
    shown = pictures({"sea": [1, 0, 0], "tower": [0, 1, 0], "tank": [0, 0.6, 1], "lake": [0, 0, 1]})
    table = annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), shown, exemplars=("lake",), texts=TEXTS)
    assert table.row("lake")[2] > 0.9
    assert table.row("lake")[0] < 0.1
    assert table.provenance["exemplars"] == ["lake"]
    mixed = blend([table, table], [1, 1])
    assert mixed.provenance["exemplars"] == ["lake"]


def test_an_exemplar_without_a_picture_is_refused() -> None:
    with pytest.raises(SplitError, match="lake"):
        annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, exemplars=("lake",), texts=TEXTS)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (EncoderIdentity("other", "elsewhere", "pixels", "projection"), "two towers"),
        (EncoderIdentity("pair", "weights", "pixels", "cls"), "projection"),
    ],
)
def test_pictures_of_another_model_or_output_are_refused(identity: EncoderIdentity, said: str) -> None:
    shown = Pictures(SHOWN.x, SHOWN.labels, identity)
    with pytest.raises(EncoderMismatchError, match=said):
        annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), shown, texts=TEXTS)


def test_a_constant_attribute_is_named_and_zero() -> None:
    texts = {name: f"{text} round" for name, text in TEXTS.items()} | {"sea": "blue round", "lake": "tall round"}
    quiet = Vocabulary(("blue", "round"), ("colour", "shape"), (("blue",), ("round",)))
    table = annotate_texts(("sea", "lake"), quiet, WordEncoder(), texts=texts)
    assert table.provenance["constant"] == ["round"]
    assert not table.matrix[:, 1].any()
    assert table.matrix[:, 0].any()


@pytest.mark.parametrize("said", ["blue", "tall"])
def test_attributes_that_are_all_constant_are_refused_in_one_line(said: str) -> None:
    vocabulary = Vocabulary(("blue", "loud"), ("colour", "sound"), (("blue",), ("loud",)))
    with pytest.raises(OptionError, match=r"every one of the 2 attributes is the same for all 4 classes") as refused:
        annotate_texts(CLASSES, vocabulary, WordEncoder(), texts=dict.fromkeys(CLASSES, said))
    assert "\n" not in str(refused.value)


def test_words_said_once_annotate_any_pictures_without_the_text_tower() -> None:
    words = Words.of(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS)
    similarity = words.similarities(SHOWN.x, SHOWN.encoder)
    shown = ("sea", "tower", "tank")
    table = words.annotate(CLASSES, shown, class_means(similarity, SHOWN.labels, shown))
    assert table.fingerprint == annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts=TEXTS).fingerprint
    other = Words.of(CLASSES, VOCABULARY, WordEncoder(), texts={**TEXTS, "lake": "blue"})
    assert words.fingerprint == Words.of(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS).fingerprint
    assert words.fingerprint != other.fingerprint
    with pytest.raises(UnknownNameError, match="forest"):
        words.annotate(("forest", *shown), shown, class_means(similarity, SHOWN.labels, shown))


def test_one_class_cannot_be_normalised() -> None:
    with pytest.raises(OptionError, match="two classes"):
        annotate_texts(("sea",), VOCABULARY, WordEncoder(), texts=TEXTS)


def test_the_same_call_gives_the_same_table_and_space() -> None:
    first, second = (annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts=TEXTS) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert first.space != annotate_texts(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS).space


def test_a_table_keeps_where_the_model_has_its_attributes() -> None:
    vectors = VOCABULARY.vectors(WordEncoder(), ("{}",))
    told = annotate_texts(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS)
    shown = annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts=TEXTS)
    silent = replace(told, prompts=None)
    for table in (told, shown, shown.select(["lake"]), blend([silent, shown], [1, 1])):
        assert table.prompts is not None
        assert table.prompts.encoder == TEXT
        np.testing.assert_array_equal(table.prompts.vectors, vectors)
    assert blend([silent], [1]).prompts is None


def test_a_blend_is_the_weighted_mean() -> None:
    one = annotate_texts(CLASSES, VOCABULARY, WordEncoder(), texts=TEXTS)
    other = annotate_pictures(CLASSES, VOCABULARY, WordEncoder(), SHOWN, texts=TEXTS)
    np.testing.assert_allclose(blend([one, other], [3, 1]).matrix, 0.75 * one.matrix + 0.25 * other.matrix, atol=1e-6)
    with pytest.raises(OptionError, match="weight"):
        blend([one, other], [1, -1])
    few = Vocabulary(("blue",), ("colour",), (("blue",),))
    with pytest.raises(DataFormatError, match="attributes"):
        blend([one, annotate_texts(CLASSES, few, WordEncoder(), texts=TEXTS)], [1, 1])
