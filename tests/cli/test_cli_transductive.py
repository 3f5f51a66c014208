"""`benchmark --transductive`: columns of their own in what is printed, written and shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zeroscene.cli.main import app
from zeroscene.evaluation.results import BenchmarkResult


def invoke(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


@pytest.fixture
def parts(prepared: Path, tmp_path: Path) -> list[object]:
    """Return what a benchmark of the small world compares, with a folder for its results."""
    return [
        *("benchmark", "--embeddings", prepared / "store", "--classes", prepared / "classes.csv"),
        *("--splits", prepared / "splits.json", "--methods", "eszsl", "--selection", "defaults"),
        *("-o", tmp_path / "results"),
    ]


def test_the_table_has_the_columns_only_when_asked(parts: list[object], tmp_path: Path) -> None:
    assert "transductive" not in invoke(*parts)
    said = invoke(*parts, "--transductive", "balanced", "-o", tmp_path / "refined")
    (row,) = BenchmarkResult.read(tmp_path / "refined").summary
    header, _, line = said.splitlines()[2:5]
    assert header.split()[-5:] == ["T1", "transductive", "H", "transductive", "worse"]
    assert row.transductive is not None
    assert f"{100 * row.transductive.t1.mean:.1f} ±" in line
    assert f"{row.transductive.t1_change.worse}, {row.transductive.H_change.worse} of 2" in line
    assert "without labels" in said


def test_its_options_are_those_of_the_refinement(parts: list[object], tmp_path: Path) -> None:
    told = json.loads(invoke(*parts, "--transductive", "balanced", "--json"))
    assert told["summary"][0]["transductive"]["t1"]["count"] == 2
    (cell, _) = BenchmarkResult.read(tmp_path / "results").cells
    assert cell.transductive is not None
    assert cell.transductive.options["priors"] == "balanced"
    assert "'equal' is not one of free, balanced" in invoke(*parts, "--transductive", "equal", code=2)
    said = invoke("benchmark", tmp_path / "p.yaml", "-o", tmp_path / "x", "--transductive", "free", code=2)
    assert "--transductive: say it in" in said
