"""`zeroscene annotate` on the small world: from descriptions, from pictures, with exemplars, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import CLASSES, ENCODER, SEEN, UNSEEN
from zeroscene.cli.main import app
from zeroscene.scenes.split_files import read_splits, write_splits
from zeroscene.scenes.splits import Split
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable

ASKED = ("--encoder", ENCODER, "--vocabulary", "synthetic", "--texts", "attributes")


def invoke(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def world(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world with one split whose unseen classes are known."""
    place = shutil.copytree(prepared, tmp_path_factory.mktemp("annotate") / "world")
    write_splits(place / "one.json", [Split("small", "1", SEEN, UNSEEN)])
    return place


def test_descriptions_alone_make_a_table_that_a_method_takes(world: Path, tmp_path: Path) -> None:
    told = json.loads(invoke("annotate", *CLASSES, *ASKED, "-o", tmp_path / "a.csv", "--json"))
    table = ClassTable.read(tmp_path / "a.csv")
    assert told["source"] == table.provenance["source"] == "text"
    assert set(table.groups) == {"objects", "materials", "surface", "layout"}
    assert told["quality"]["agreement_mean"] > 0.3
    assert table.row("sea")[table.columns.index("clear_water")] > 0.5
    invoke("fit", "eszsl", "-e", world / "store", "-c", tmp_path / "a.csv", "-o", tmp_path / "m", "--no-select")
    assert len(json.loads(invoke("predict", tmp_path / "m", world / "store", "--classes", "sea, lake", "--json")))
    new = json.loads(invoke("predict", tmp_path / "m", world / "store", "--classes", "harbor, sea", "--json"))
    assert new["classes"] == ["harbor", "sea"]  # a new class is annotated in the way of the table, by the same model
    refused = invoke("predict", tmp_path / "m", world / "store", "--classes", "zeppelin", code=2)
    assert "'zeppelin'" in refused
    assert "give its attributes (--attributes" in refused


def test_pictures_of_seen_classes_and_descriptions_of_unseen_ones(world: Path, tmp_path: Path) -> None:
    words = ("--embeddings", world / "store", "--split", world / "one.json", "-o", tmp_path / "a.csv")
    said = invoke("annotate", *CLASSES, *ASKED, *words)
    assert f"from their descriptions: {', '.join(UNSEEN)}" in said
    assert "MARKED" not in said
    table = ClassTable.read(tmp_path / "a.csv")
    assert table.provenance["from_description"] == list(UNSEEN)
    for name, attribute in (("desert", "sand"), ("storage_tank", "tanks"), ("parking_lot", "cars")):
        assert table.row(name)[table.columns.index(attribute)] == 1, name


def test_held_out_pictures_are_not_looked_at(world: Path, tmp_path: Path) -> None:
    """A table made with a hold-out is that of a store from which those pictures are gone."""
    from zeroscene.cli.annotate import pictures
    from zeroscene.embeddings.store import EmbeddingStore

    whole = EmbeddingStore.open(world / "store").read()
    split = read_splits(world / "one.json")[0].with_holdout(whole.ids, whole.labels or (), 0.25, 0)
    assert split.held_out
    write_splits(tmp_path / "held.json", [split])
    shown = pictures(world / "store", str(tmp_path / "held.json"), ())
    kept = [one for one, label in zip(whole.ids, whole.labels or (), strict=True) if label in SEEN]
    assert len(shown.x) == len(kept) - len(split.held_out)


def test_an_exemplar_marks_the_table(world: Path, tmp_path: Path) -> None:
    words = ("--embeddings", world / "store", "--split", world / "one.json", "--exemplar", "sea")
    said = invoke("annotate", *CLASSES, *ASKED, *words, "-o", tmp_path / "a.csv")
    assert "MARKED: pictures of these unseen classes were used: sea" in said
    assert ClassTable.read(tmp_path / "a.csv").provenance["exemplars"] == ["sea"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*ASKED, "--exemplar", "sea"), "--embeddings STORE"),
        (("--encoder", ENCODER), "does not know the words"),
        (("--encoder", ENCODER, "--vocabulary", "none.csv"), "no such attribute vocabulary"),
        (("--encoder", "nowhere/to-be-found", "--vocabulary", "synthetic"), "nowhere/to-be-found"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    told = invoke("annotate", *CLASSES, *words, "-o", tmp_path / "a.csv", code=2)
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "a.csv").exists()


def test_values_of_the_knowledge_base_get_the_words_of_the_model(tmp_path: Path) -> None:
    invoke("annotate", *CLASSES, *ASKED, "--values", "knowledge", "-o", tmp_path / "a.csv")
    table, known = ClassTable.read(tmp_path / "a.csv"), knowledge_table(CLASSES)
    assert (table.matrix == known.matrix).all()
    assert table.space == known.space
    assert table.prompts is not None
    assert 90 < table.prompts.known.sum() < len(table.columns)
    invoke("annotate", *CLASSES, *ASKED, "--values", tmp_path / "a.csv", "-o", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    own, twice = (ClassTable.read(tmp_path / f"{name}.csv").prompts for name in "ab")
    assert own is not None
    assert twice is not None
    assert (own.vectors == twice.vectors).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("knowledge,knowledge", "name each source once"),
        ("model:much", "'much' of 'model' is not a number"),
        ("model,knowledge", "different attributes"),
        ("nowhere.csv", "no such class table"),
    ],
)
def test_values_that_cannot_be_had_are_said_in_one_line(tmp_path: Path, values: str, message: str) -> None:
    told = invoke("annotate", *CLASSES, *ASKED, "--values", values, "-o", tmp_path / "a.csv", code=2)
    assert message in told
    assert not (tmp_path / "a.csv").exists()
