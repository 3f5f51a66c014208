"""Examples of a method that can be explained carry their reasons and a map, in the result and in the report."""

import base64
import io
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image

import small_world
from small_world import UNSEEN
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.examples import Example, Examples, Said, Why
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.protocol import Trial, carve
from zeroscene.evaluation.report import render
from zeroscene.evaluation.report_data import groups
from zeroscene.evaluation.report_pictures import SIDE
from zeroscene.evaluation.report_pictures import examples as pictures_of
from zeroscene.evaluation.results import BenchmarkResult, CellResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.evaluation.why import with_reasons
from zeroscene.explain.evidence import explain
from zeroscene.files import read_json
from zeroscene.methods.registry import create_method, method_class
from zeroscene.scenes.splits import Split
from zeroscene.semantics.table import ClassTable

SPLIT = Split("pictures", "1", small_world.SEEN, UNSEEN)
BY_PLACES = {"epochs": 0, "predict": "all"}


@pytest.fixture(scope="module")
def table(prepared: Path) -> ClassTable:
    return ClassTable.read(prepared / "classes.csv")


@pytest.fixture(scope="module")
def trial(prepared: Path) -> Trial:
    return carve(EmbeddingStore.open(prepared / "token-grids").read(grids=True), SPLIT)


def plan(prepared: Path) -> BenchmarkPlan:
    methods = (MethodPlan("dsva", BY_PLACES), MethodPlan("kernel"))
    store, classes = prepared / "token-grids", prepared / "classes.csv"
    return BenchmarkPlan("why", {"tiny": store}, {"knowledge": classes}, (SPLIT,), methods, selection="defaults")


@pytest.fixture(scope="module")
def finished(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchmarkResult]:
    out = tmp_path_factory.mktemp("why")
    return out, run_benchmark(plan(prepared), out)


def cell(result: BenchmarkResult, label: str) -> CellResult:
    return next(c for c in result.cells if c.label == label)


def shown(examples: Examples) -> list[Example]:
    return [*examples.right, *examples.wrong]


def test_the_cell_of_a_method_that_can_be_explained_says_why(finished: tuple[Path, BenchmarkResult]) -> None:
    out, _ = finished
    explained, not_explained = (read_json(next((out / "cells").glob(f"{name}__*"))) for name in ("dsva", "kernel"))
    assert all(e["why"] is None for kind in ("right", "wrong") for e in not_explained["examples"][kind])
    whys = [e["why"] for kind in ("right", "wrong") for e in explained["examples"][kind]]
    assert whys
    for why in whys:
        assert " rather than " in why["sentence"]
        assert 0 < len(why["speaking_for"]) <= 3
        assert len(why["speaking_against"]) <= 2
        levels = np.array(why["map"])
        assert levels.shape == (8, 8)
        assert (levels.min(), levels.max()) == (0, 255)


def test_the_number_of_processes_changes_no_byte(
    finished: tuple[Path, BenchmarkResult], prepared: Path, tmp_path: Path
) -> None:
    out, _ = finished
    run_benchmark(plan(prepared), tmp_path, jobs=2)
    assert (tmp_path / "results.json").read_bytes() == (out / "results.json").read_bytes()


def test_reasons_are_those_of_the_fitted_method(trial: Trial, table: ClassTable) -> None:
    method = create_method("dsva", **BY_PLACES).fit(trial.train_all, table)
    x, candidates = trial.test.unseen_pictures, table.select(UNSEEN)
    assert x.labels is not None
    scores = method.scores(x, candidates)
    wrong = next(c for c in UNSEEN if c != x.labels[0])
    picked = Examples(
        right=(Example(id=x.ids[0], true=x.labels[0], predicted=x.labels[0], margin=1.0),),
        wrong=(Example(id=x.ids[0], true=x.labels[0], predicted=wrong, margin=1.0),),
    )
    found = with_reasons(picked, method, x, candidates)
    right_why, wrong_why = (shown(found)[i].why for i in (0, 1))
    assert right_why is not None
    assert wrong_why is not None
    told = dict(zip(candidates.classes, scores.values[0], strict=True))
    assert right_why.rather_than == max((c for c in UNSEEN if c != x.labels[0]), key=lambda c: told[c])
    assert wrong_why.rather_than == x.labels[0]
    (evidence,) = explain(method, x.take([0]), candidates, chosen=wrong, against=x.labels[0])
    assert wrong_why.sentence == evidence.sentence
    assert [r.words for r in wrong_why.speaking_for] == [r.words for r in evidence.speaking_for(3)]
    assert [r.difference for r in wrong_why.speaking_against] == pytest.approx(
        [r.difference for r in evidence.speaking_against(2)], rel=1e-3
    )
    map_HW = evidence.class_map_HW
    assert map_HW is not None
    reach = float(np.ptp(map_HW))
    assert np.array(wrong_why.map) / 255 * reach + map_HW.min() == pytest.approx(map_HW, abs=reach / 500)


@pytest.mark.parametrize(
    ("options", "has_map"), [({"predict": "global"}, True), ({"weight_compatibility_local": 0.0}, False)]
)
def test_without_a_map_of_the_class_that_of_the_strongest_attribute_is_kept(
    trial: Trial, table: ClassTable, options: dict[str, object], has_map: bool
) -> None:
    fixed = {"epochs": 0, **options}
    found = evaluate(method_class("dsva"), trial, table, fixed=fixed, selection="defaults")
    for example in shown(found.examples):
        assert example.why is not None
        assert (example.why.map is not None) == (example.why.map_of is not None) == has_map
        present = [r.attribute for r in example.why.speaking_for if r.strength > 0]
        if has_map and present:
            assert example.why.map_of == present[0]


def warmth(address: str) -> np.ndarray:
    """Return by how much red exceeds blue in a picture of the page."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        pixels = np.asarray(image, np.float64)
    return pixels[..., 0] - pixels[..., 2]


def test_the_report_lays_the_map_over_the_picture(finished: tuple[Path, BenchmarkResult], prepared: Path) -> None:
    _, result = finished
    series = next(s for s in groups([result])[0].series if s.label == "dsva")
    folders = [prepared / "pictures"]
    page = render([result], folders)
    for picture in chain(*pictures_of(series, folders).values()):
        assert picture.source is not None
        assert picture.heat is not None
        assert picture.source in page
        assert picture.heat in page
        why = picture.example.why
        assert why is not None
        assert why.map is not None
        assert str(escape(why.sentence)) in page
        glowing, plain = warmth(picture.heat), warmth(picture.source)
        assert glowing.shape == plain.shape == (SIDE, SIDE)
        cells = (glowing - plain).reshape(8, SIDE // 8, 8, SIDE // 8).mean((1, 3))
        levels = np.array(why.map)
        assert cells[levels > 220].mean() > cells[levels < 64].mean()


def test_without_pictures_at_hand_the_map_is_shown_alone(finished: tuple[Path, BenchmarkResult]) -> None:
    _, result = finished
    series = next(s for s in groups([result])[0].series if s.label == "dsva")
    page = render([result])
    for picture in chain(*pictures_of(series, []).values()):
        assert picture.source is None
        assert picture.heat is not None
        assert picture.heat in page
        assert picture.example.id in page


@pytest.mark.parametrize("leader", ["dsva", "kernel"])
def test_reasons_are_shown_whether_their_method_leads_or_not(
    finished: tuple[Path, BenchmarkResult], leader: str
) -> None:
    _, result = finished
    rows = [
        row.model_copy(update={"t1": row.t1.model_copy(update={"mean": 1.0 if row.label == leader else 0.5})})
        for row in result.summary
    ]
    page = render([result.model_copy(update={"summary": tuple(rows)})])
    for example in shown(cell(result, "dsva").examples):
        assert example.why is not None
        assert page.count(f'alt="{escape(example.why.sentence)}"') == 1
    assert ("Not the highest T1" in page) == (leader == "kernel")


def test_what_is_said_stays_text(finished: tuple[Path, BenchmarkResult]) -> None:
    _, result = finished
    hostile = "<script>alert('x')</script>"
    said = Said(attribute=hostile, words=hostile, strength=1.0, difference=0.5)
    why = Why(rather_than=hostile, sentence=f'"{hostile}"', speaking_for=(said,), speaking_against=(said,))
    example = shown(cell(result, "dsva").examples)[0].model_copy(update={"why": why})
    changed = cell(result, "dsva").model_copy(update={"examples": Examples(right=(example,))})
    page = render([result.model_copy(update={"cells": (changed, cell(result, "kernel"))})])
    assert "<script" not in page
    assert str(escape(hostile)) in page


def test_a_result_from_before_there_were_reasons_is_read_and_shown(
    finished: tuple[Path, BenchmarkResult], prepared: Path
) -> None:
    _, result = finished
    value = result.to_json()
    for one in value["cells"]:
        for kind in ("right", "wrong"):
            for example in one["examples"][kind]:
                del example["why"]
    old = BenchmarkResult.from_json(value)
    assert all(e.why is None for c in old.cells for e in shown(c.examples))
    page = render([old], [prepared / "pictures"])
    assert "and why" not in page
    assert page.count("data:image/jpeg") == len(shown(groups([old])[0].leader.cells[0].examples))
