"""Golden figures: six published models and 107 prompts, and the spread over them."""

import csv
import importlib.util
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("prompts_benchmark", BENCHMARKS / "prompts.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real
def test_six_models_and_107_prompts_reproduce_the_published_accuracies(shared, script):
    rows = script.measure(shared / "real" / "whu-rs19-embeddings", shared / "facts" / "whu_rs19_expected.csv")
    assert len(rows) == 6 * 107
    assert [row for row in rows if abs(row.difference) > row.tolerance] == []
    assert {row.tolerance for row in rows if row.prompt == "averageprompt"} == {0.01}
    assert {row.model for row in rows if row.tolerance > 0.01} == {"CLIP/ViT-B-32", "CLIP/ViT-L-14"}


@pytest.mark.real
def test_the_spread_over_106_prompts_has_the_published_mean_best_and_worst(shared, script):
    with (shared / "facts" / "whu_rs19_expected.csv").open(newline="", encoding="utf-8") as f:
        rows = [row for row in csv.DictReader(f) if row["model"] == "RemoteCLIP/ViT-B-32"]
    single = {row["prompt"]: float(row["inductive_accuracy"]) for row in rows}
    average = single.pop("averageprompt")
    beds = script.beds(shared / "real" / "whu-rs19-embeddings")
    found = next(bed for bed in beds if bed.model == "RemoteCLIP/ViT-B-32").spread()
    assert len(found.templates) == 106
    assert 100 * found.overall.mean == pytest.approx(sum(single.values()) / 106, abs=0.01)
    assert 100 * found.overall.ensemble == pytest.approx(average, abs=0.01)
    assert single[found.templates[found.overall.best]] == pytest.approx(max(single.values()), abs=0.01)
    assert single[found.templates[found.overall.worst]] == pytest.approx(min(single.values()), abs=0.01)
    assert found.unanimous < found.pairwise < 1
