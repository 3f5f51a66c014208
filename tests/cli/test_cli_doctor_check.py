"""zeroscene doctor --encoder: the self-check of an image-text model, printed and as JSON."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from tiny_models import save_vision
from zeroscene.cli.main import app
from zeroscene.encoders import tiny

runner = CliRunner()


def doctor(*words: object, code: int = 0) -> str:
    done = runner.invoke(app, ["doctor", *(str(word) for word in words)])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout


def test_a_sound_model_shows_its_margin() -> None:
    assert "drawn pictures find their text" in doctor()
    told = json.loads(doctor("--json"))["encoder"]["self_check"]
    assert told["warnings"] == []
    assert told["accuracy"] > 10 * told["chance"]


def test_a_wrong_declaration_is_a_problem(tmp_path: Path) -> None:
    folder = shutil.copytree(tiny.WEIGHTS, tmp_path / "mine")
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_normalize": False}))
    assert "mine sees better with another preprocessing" in doctor("--encoder", folder, code=1)


def test_a_tower_of_pictures_alone_is_no_problem(tmp_path: Path) -> None:
    told = doctor("--encoder", save_vision("clip-vision", tmp_path / "eyes"))
    assert "self-check  not made" in told
    assert "no problems found" in told
    assert "self-check" not in doctor("--encoder", save_vision("vit", tmp_path / "vit"))
