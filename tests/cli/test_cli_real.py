"""The commands on real pictures with real encoders: noted places, texts of new classes, an encoder that is another."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zeroscene.cli.main import app
from zeroscene.semantics.table import ClassTable

pytestmark = pytest.mark.real

CLASSES = ("agricultural", "beach", "forest", "harbor", "runway")
runner = CliRunner()


def run(*words: object, code: int = 0) -> str:
    done = runner.invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def world(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    for name in CLASSES:
        for number in range(4):
            target = folder / "pictures" / name / f"{name}{number:02d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shared / "real" / "ucmerced" / name / target.name, target)
    shutil.copytree(shared / "real" / "encoders" / "resnet50-imagenet", folder / "eye")
    sentences = shared / "real" / "encoders" / "all-minilm-l6-v2"
    run("embed", folder / "pictures", "--encoder", folder / "eye", "-o", folder / "store")
    names = ("--folder", folder / "pictures")
    run("classes", "text", *names, "--encoder", sentences, "-o", folder / "text.safetensors")
    run("fit", "kernel", "-e", folder / "store", "-c", folder / "text.safetensors", "-o", folder / "model")
    return folder


def test_new_words_go_through_the_sentence_encoder_of_the_fit(world: Path, shared: Path) -> None:
    sentences = shared / "real" / "encoders" / "all-minilm-l6-v2"
    words = ("predict", world / "model", world / "store", "--classes", "harbor, volcano", "--json")
    assert "give --text-encoder" in run(*words, code=2)
    told = json.loads(run(*words, "--text-encoder", sentences))
    assert told["classes"] == ["harbor", "volcano"]


def test_classes_of_the_fit_need_no_sentence_encoder(world: Path) -> None:
    told = json.loads(run("predict", world / "model", world / "store", "--classes", "harbor, beach", "--json"))
    assert len(told["predictions"]) == 20


def test_pictures_are_embedded_by_the_noted_encoder_with_the_same_outcome(world: Path) -> None:
    words = ("--classes", ", ".join(CLASSES), "--json")
    of_store = json.loads(run("predict", world / "model", world / "store", *words))["predictions"]
    of_folder = json.loads(run("predict", world / "model", world / "pictures", *words))["predictions"]
    assert [(one["id"], one["class"]) for one in of_store] == [(one["id"], one["class"]) for one in of_folder]


def test_another_encoder_is_refused(world: Path) -> None:
    words = ("predict", world / "model", world / "pictures", "--classes", "beach, harbor", "--encoder", "tiny")
    assert "the model needs encoder 'eye'" in run(*words, code=2)


def test_texts_of_a_file(world: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text('class,text\nbeach,"sand, and waves"\nbeach,a strip of sand\nforest,trees\n')
    words = ("--encoder", shared / "real" / "encoders" / "all-minilm-l6-v2", "--texts", tmp_path / "texts.csv")
    run("classes", "text", "beach", "forest", *words, "-o", tmp_path / "t.safetensors")
    made = ClassTable.read(tmp_path / "t.safetensors").provenance["texts"]
    assert made == {"beach": ["sand, and waves", "a strip of sand"], "forest": ["trees"]}
    assert "unknown classes in the given texts: 'river'" in run(
        "classes", "text", "river", *words, "-o", tmp_path / "t.safetensors", code=2
    )
