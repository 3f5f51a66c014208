"""`fit` keeps what turns scores into probabilities; `predict` uses it, and says what it cannot promise."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import SEEN
from zeroscene.cli.main import app
from zeroscene.serving.model import CONFIDENCE, Model


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], prog_name="zeroscene")
    assert done.exit_code == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def fit(prepared: Path, out: Path, *words: str) -> str:
    seen = [word for name in SEEN for word in ("--seen", name)]
    return run("fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", *seen, "-o", out, *words)


@pytest.fixture(scope="module")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fitted") / "model"
    said = fit(prepared, out)
    assert "confidence: among 2 new classes, at 95 % precision:" in said
    return out


def test_the_confidence_of_a_fit_is_kept_with_the_model_for_scores_as_they_are_and_refined(model: Path) -> None:
    confidence = Model.load(model).confidence
    assert confidence is not None
    assert set(confidence.seen) == set(SEEN)
    assert set(confidence.settings) == {"new", "mixed", "new refined", "mixed refined"}
    assert set(confidence.settings["mixed"].classes) == set(SEEN)


def test_a_fit_that_chose_nothing_leaves_no_confidence_of_an_earlier_one(prepared: Path, tmp_path: Path) -> None:
    fit(prepared, tmp_path / "m")
    assert (tmp_path / "m" / CONFIDENCE).is_file()
    fit(prepared, tmp_path / "m", "--no-select")
    assert not (tmp_path / "m" / CONFIDENCE).exists()
    assert Model.load(tmp_path / "m").confidence is None


def test_probabilities_of_predict_are_those_of_the_kept_temperature(model: Path, prepared: Path) -> None:
    told = json.loads(
        run("predict", model, prepared / "new-pictures", "--classes", "harbor, river, solar panel", "--json")
    )
    assert all(0 < row["probability"] <= 1 for row in told["predictions"])
