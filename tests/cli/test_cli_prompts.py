"""`classes text` and `classes sensitivity` with an image-text model: what is said, what is noted, what is refused."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import CLASSES, UNSEEN
from zeroscene.cli.main import app
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.semantics.prompts import TEMPLATE_SETS, default_templates
from zeroscene.semantics.table import ClassTable

runner = CliRunner()


def run(*words: object, code: int = 0):
    done = runner.invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done


@pytest.fixture(scope="module")
def store(prepared: Path) -> Path:
    return prepared / "store"


def test_a_table_for_the_tiny_encoder_is_of_attributes_and_says_so_on_stderr(tmp_path: Path) -> None:
    done = run("classes", "text", *UNSEEN, "--encoder", "tiny", "-o", tmp_path / "t.safetensors", "--json")
    assert json.loads(done.stdout)["classes"] == list(UNSEEN)
    assert done.stderr.startswith("note: tiny does not know what 'river'")
    table = ClassTable.read(tmp_path / "t.safetensors")
    assert table.provenance["encoder"]["output"] == "text-projection"
    assert set(table.provenance["templates"]) < set(TEMPLATE_SETS["large"])


def test_classes_with_one_text_are_told_and_the_table_is_written_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("class,text\nlake,clear water\npond,clear water\n", encoding="utf-8")
    done = run(
        "classes", "text", "lake", "pond", "--encoder", "tiny", "--texts", tmp_path / "texts.csv",
        "-o", tmp_path / "t.safetensors",
    )  # fmt: skip
    assert done.stderr.splitlines() == [
        "note: 'lake' and 'pond' have the same text 'clear water': it counts for both, and tells neither from the other"
    ]
    assert (tmp_path / "t.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lake", "--texts", "names"], "tiny does not know the word 'lake'"),
        (["lake", "Lake"], "'lake' and 'Lake' are the same name; keep one of them"),
        (["lake", "--template", "no place"], "must hold {} exactly once, or be one of plain, aerial, satellite, large"),
        (["lake", "--withhold", "yes"], "--withhold 'yes' is not one of mask, refuse"),
        (["lake", "--texts", "names", "--withhold", "mask"], "the names that are to be withheld"),
        (["sea", "--texts", "descriptions", "--withhold", "refuse"], "texts say what their class is called: 'sea'"),
        ([], "no classes: name them"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, words: list[str], told: str) -> None:
    done = run("classes", "text", *words, "--encoder", "tiny", "-o", tmp_path / "t.safetensors", code=2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert not (tmp_path / "t.safetensors").exists()


def test_text_vectors_are_kept_between_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROSCENE_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        run("classes", "text", "meadow", "--encoder", "tiny", "--template", "plain", "-o", tmp_path / "t.safetensors")
        with sqlite3.connect(tmp_path / "cache" / "texts-1.sqlite") as file:
            assert file.execute("SELECT count(*) FROM vectors").fetchone() == (1,)


def test_the_spread_over_prompts_has_best_and_worst_with_their_texts(store: Path) -> None:
    told = run("classes", "sensitivity", "--embeddings", store, "--encoder", "tiny").stdout.splitlines()
    templates = len(default_templates_of_tiny())
    assert told[0] == f"{templates} templates, {len(CLASSES)} classes, 60 pictures"
    assert [line.split("  ")[0] for line in told[4:9]] == [
        "ensemble", "mean of templates", "deviation", "best template", "worst template",
    ]  # fmt: skip
    assert told[2].split() == ["T1", "accuracy", "as", "the", "ensemble"]
    assert told[10].startswith("best T1: ")
    value = json.loads(run("classes", "sensitivity", "--embeddings", store, "--encoder", "tiny", "--json").stdout)
    assert len(value["t1"]["values"]) == templates
    assert value["t1"]["worst"] in told[10]
    assert value["classes"] == sorted(CLASSES)


def test_without_labels_the_agreement_is_told(store: Path, prepared: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for picture in (prepared / "new-pictures").rglob("*.png"):
        shutil.copy(picture, plain / f"{picture.parent.name}-{picture.name}")
    run("embed", plain, "--encoder", "tiny", "-o", tmp_path / "store")
    assert EmbeddingStore.open(tmp_path / "store").read().labels is None
    nameless = ("classes", "sensitivity", "--embeddings", tmp_path / "store", "--encoder", "tiny")
    assert "has no labels: name the classes" in run(*nameless, code=2).stderr
    words = (*nameless, *UNSEEN)
    told = run(*words).stdout.splitlines()
    assert told[0].endswith("8 pictures without labels")
    assert told[2].strip() == "as the ensemble"
    assert told[10].startswith("best as the ensemble: ")
    assert json.loads(run(*words, "--json").stdout)["t1"] is None


def test_a_store_of_another_model_is_refused(prepared: Path, tmp_path: Path) -> None:
    from tiny_models import save_vision

    folder = save_vision("clip", tmp_path / "clip")
    (tmp_path / "texts.csv").write_text("lake,sea\nriver,beach\n", encoding="utf-8")
    done = run(
        "classes", "sensitivity", "lake", "river", "--texts", tmp_path / "texts.csv",
        "--embeddings", prepared / "store", "--encoder", folder, code=2,
    )  # fmt: skip
    assert "need the two towers of one image-text model" in done.stderr


def default_templates_of_tiny() -> tuple[str, ...]:
    from zeroscene.encoders.text import load_text_encoder

    return default_templates(load_text_encoder("tiny"))
