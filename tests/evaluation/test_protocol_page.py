"""docs/protocol.md does what it says."""

import re
from pathlib import Path

import pytest
from evaluation_world import pictures, split, table, write_store

from zeroscene.evaluation.plan import BenchmarkPlan
from zeroscene.evaluation.results import CellResult
from zeroscene.scenes.split_files import write_splits

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_store(tmp_path / "store", pictures())
    table().write(tmp_path / "classes.csv")
    write_splits(tmp_path / "splits.json", [split(), split(("airport", "river"), name="2")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_example_runs(folder, capsys):
    for block in blocks("python"):
        exec(block, {})
    assert re.match(r"T1 \d+\.\d% +H \d+\.\d%, chosen: \{.*\}, gamma -?\d", capsys.readouterr().out)


def test_the_plan_is_a_plan(folder):
    (plan,) = blocks("yaml")
    (folder / "plan.yaml").write_text(plan)
    read = BenchmarkPlan.read(folder / "plan.yaml")
    assert len(list(read.cells())) == 3 * 2
    assert [m.label for m in read.methods] == ["kernel", "eszsl", "eszsl fixed"]


def test_every_field_of_a_cell_is_described():
    described = PAGE[PAGE.index("### Fields of a cell") :]
    for field in CellResult.model_fields:
        assert f"`{field}`" in described or field == "format"
