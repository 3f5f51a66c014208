"""zeroscene audit: what it prints and writes, its exit codes, its one-line errors."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zeroscene.cli.main import app

runner = CliRunner()


def run(*words: object, code: int) -> str:
    done = runner.invoke(app, ["audit", *(str(word) for word in words)])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    if code == 2:
        assert done.stderr.count("\n") == 1
    return done.stderr if code == 2 else done.stdout


@pytest.fixture
def world(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "world")


def test_nothing_in_common_is_0(world):
    assert "no overlaps found" in run(world / "pictures", "--against", world / "new-pictures", code=0)


def test_a_planted_copy_is_1_and_stands_in_the_file(world):
    picture = sorted((world / "pictures" / "lake").iterdir())[0]
    shutil.copy(picture, world / "new-pictures" / "lake" / "planted.png")
    said = run(world / "new-pictures", "--against", world / "pictures", "-o", world / "overlap.csv", "--json", code=1)
    assert [(p["id"], p["kind"]) for p in json.loads(said)["pairs"]] == [("lake/planted.png", "identical")]
    assert (
        f"lake/planted.png,lake/{picture.name},{world / 'pictures'},identical,1,1"
        in (world / "overlap.csv").read_text()
    )


def test_a_store_is_compared_by_its_pictures_and_by_vectors_when_they_are_gone(world):
    told = run(world / "store", "--within", "--json", code=0)
    assert json.loads(told)["by_pixels"]
    (world / "store" / "origin.json").unlink()
    told = run(world / "store", "--within", code=0)
    assert "vectors alone" in told


def test_one_of_two_questions_is_asked(world):
    assert "--within" in run(world / "store", code=2)
    assert "--within" in run(world / "store", "--within", "--against", world / "pictures", code=2)


def test_bad_places_are_one_line(world, prepared, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no picture" in run(tmp_path / "empty", "--against", world / "pictures", code=2)
    assert "no folder" in run(tmp_path / "none", "--against", world / "pictures", code=2)
    assert "are the same pictures" in run(world / "pictures", "--against", world / "pictures", code=2)
    assert "are the same pictures" in run(prepared / "store", "--against", prepared / "pictures", code=2)
