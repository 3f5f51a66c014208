"""`fit` keeps what turns scores into probabilities; `predict` uses it, and says what it cannot promise."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import SEEN
from zeroscene.cli.main import app
from zeroscene.methods.kernel import KernelPrototypes
from zeroscene.semantics.table import ClassTable
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
    assert "confidence: among 2 new classes, a precision of 95 % cannot be promised" in said
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


def test_a_fit_that_fails_leaves_the_model_that_was_there(model: Path, prepared: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(model, tmp_path / "m")
    before = {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
    few = ClassTable.read(prepared / "classes.csv").select(SEEN[:2])
    few.write(tmp_path / "few.csv")
    for more in ((), ("--no-select",)):
        said = run("fit", "kernel", "-e", prepared / "store", "-c", tmp_path / "few.csv", "-o", kept, *more, code=2)
        assert "unknown classes in the class table" in said
        assert {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()} == before


def test_a_fit_that_was_killed_while_it_wrote_leaves_a_model_that_is_refused(
    model: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = shutil.copytree(model, tmp_path / "m")
    monkeypatch.setattr(KernelPrototypes, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    seen = [word for name in SEEN[1:] for word in ("--seen", name)]
    run("fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", *seen, "-o", kept, code=130)
    said = run("predict", kept, prepared / "store", "--classes", "river, sea", code=2)
    assert said == (
        "error: the confidence kept with this kernel is of another fit, as after one that was interrupted; "
        "fit the method again\n"
    )


def test_a_precision_for_another_refinement_than_the_calibrated_one_is_refused(model: Path, prepared: Path) -> None:
    words = ("predict", model, prepared / "store", "--classes", "river, sea", "--refine", "balanced")
    told = json.loads(run(*words, "--json"))
    assert any("refined with priors=balanced and not free were not checked" in note for note in told["notes"])
    said = run(*words, "--precision", "0.5", code=2)
    assert "no precision can be promised for scores refined with priors=balanced and not free" in said


@pytest.mark.parametrize("gamma", ["nan", "inf", "-inf"])
def test_a_gamma_that_is_not_finite_is_refused(model: Path, prepared: Path, gamma: str) -> None:
    for words in (("predict", model, prepared / "store"), ("map", prepared / "none.tif", "-o", prepared / "none")):
        said = run(*words, "--classes", "river, lake", f"--gamma={gamma}", "--json", code=2)
        assert said == f"error: --gamma {gamma} is no finite number; without it the gamma of the fit is taken\n"


def test_without_selection_the_message_names_it_as_a_cause(prepared: Path, tmp_path: Path) -> None:
    fit(prepared, tmp_path / "m", "--no-select")
    said = run("predict", tmp_path / "m", prepared / "store", "--classes", "river, sea", "--least", "0.5", code=2)
    assert "it was fitted with --no-select, or on too few classes" in said
    assert said.count("\n") == 1
