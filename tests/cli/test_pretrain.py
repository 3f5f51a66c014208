"""`zeroscene pretrain tiny`: from nothing to a folder that other commands take."""

import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from zeroscene.cli.main import app
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.training.tiny import loop


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    defaults = (0, 4000, 8, *loop.Recipe.__init__.__defaults__[3:])
    monkeypatch.setattr(loop.Recipe.__init__, "__defaults__", defaults)


def test_an_encoder_is_trained_scored_and_usable(tmp_path):
    out = tmp_path / "run"
    done = run("pretrain", "tiny", "--pictures", 8, "--epochs", 2, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)
    assert value["steps"] == 2
    assert value["encoder"] == str(out / "encoder")
    assert 0 < value["prevalence"] < 1
    (tmp_path / "pictures").mkdir()
    Image.fromarray(lesson(0, 0, 64).pixels).save(tmp_path / "pictures" / "one.png")
    embedded = run("embed", tmp_path / "pictures", "--encoder", out / "encoder", "-o", tmp_path / "store")
    assert embedded.exit_code == 0, embedded.output
    again = run("pretrain", "tiny", "--pictures", 8, "--epochs", 2, "-o", out)
    assert again.exit_code == 0
    assert "mAP" in again.output
    other = run("pretrain", "tiny", "--pictures", 8, "--epochs", 2, "--seed", 1, "-o", out)
    assert other.exit_code == 2
    assert "another seed" in other.output


@pytest.mark.parametrize("wrong", [("--pictures", 0), ("--epochs", 0), ("--seed", -1), ("--jobs", 0)])
def test_numbers_out_of_range_are_refused_in_one_line(tmp_path, wrong):
    done = run("pretrain", "tiny", "-o", tmp_path / "run", *wrong)
    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert len(done.output.strip().splitlines()) == 1
