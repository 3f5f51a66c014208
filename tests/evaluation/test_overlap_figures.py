"""Figures with and without the test pictures that overlap training pictures: which are taken out, what is measured."""

import csv
import json

import numpy as np
import pytest
from evaluation_world import pictures, split, table, write_store

from zeroscene.cli.benchmark import summary
from zeroscene.embeddings.overlap import Overlap
from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.errors import DataFormatError, DatasetNotFoundError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.measure import all_scores, generalised_of, unseen_scores, zero_shot_of
from zeroscene.evaluation.overlap import overlapping, without_overlap
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.protocol import TestSet, Trial, carve
from zeroscene.evaluation.results import CellResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.methods.registry import create_method, method_class
from zeroscene.scenes.split_files import write_splits


@pytest.fixture(scope="module")
def trial() -> Trial:
    return carve(pictures(noise=0.8), split())


@pytest.fixture(scope="module")
def scores(trial):
    fitted = create_method("eszsl").fit(trial.train_generalised, table())
    return unseen_scores(fitted, trial.test, table()), all_scores(fitted, trial.test, table())


def pairs(*named: tuple[str, str], place: str = "") -> OverlapFile:
    return OverlapFile(place, tuple(Overlap(a, b, "overlap", 0.9, 0.5) for a, b in named))


def generalised_figures(found) -> list[float]:
    return [found.S, found.U, found.H]


def test_a_pair_counts_whichever_way_round_it_stands(trial):
    tested, trained = trial.test.unseen_pictures.ids[0], trial.train_all.pictures.ids[0]
    assert overlapping(trial, pairs((tested, trained))) == {tested}
    assert overlapping(trial, pairs((trained, tested))) == {tested}


def test_pairs_on_one_side_do_not_count(trial):
    tests, trained = trial.test.unseen_pictures.ids, trial.train_all.pictures.ids
    assert not overlapping(trial, pairs((tests[0], tests[1]), (trained[0], trained[1])))


def test_a_held_out_picture_counts_against_those_trained_on_only(trial):
    held_out, trained = trial.test.seen_pictures.ids, trial.train_generalised.pictures.ids
    assert overlapping(trial, pairs((held_out[0], held_out[1]), (held_out[2], trained[0]))) == {held_out[2]}


def test_an_unseen_picture_counts_against_held_out_ones_too(trial):
    tested, held_out = trial.test.unseen_pictures.ids[0], trial.test.seen_pictures.ids[0]
    assert overlapping(trial, pairs((tested, held_out))) == {tested}


def test_against_another_place_every_named_test_picture_counts(trial):
    tested, trained = trial.test.unseen_pictures.ids[0], trial.train_all.pictures.ids[0]
    assert overlapping(trial, pairs((tested, "x.png"), (trained, "y.png"), place="elsewhere")) == {tested}


def test_without_pairs_the_figures_are_the_same(trial, scores):
    of_unseen, of_all = scores
    found = without_overlap(trial, of_unseen, of_all, 0.1, pairs())
    whole = generalised_of(of_all, trial.test, 0.1)
    assert found.t1 == zero_shot_of(of_unseen, trial.test).t1
    assert generalised_figures(found) == pytest.approx(generalised_figures(whole), abs=2e-6)
    assert found.removed == {}
    assert found.lost == ()


def test_the_figures_are_those_of_a_test_set_that_never_had_the_pictures(trial, scores):
    test = trial.test
    gone = {*test.unseen_pictures.ids[::3], *test.seen_pictures.ids[:1]}
    found = without_overlap(trial, *scores, 0.1, pairs(*((i, "x") for i in gone), place="elsewhere"))

    def left(part):
        return part.take(np.array([i not in gone for i in part.ids]))

    fewer = TestSet(left(test.unseen_pictures), left(test.seen_pictures), test.seen, test.unseen)
    fitted = create_method("eszsl").fit(trial.train_generalised, table())
    whole = generalised_of(all_scores(fitted, fewer, table()), fewer, 0.1)
    assert found.t1 == zero_shot_of(unseen_scores(fitted, fewer, table()), fewer).t1
    assert generalised_figures(found) == pytest.approx(generalised_figures(whole), abs=2e-6)
    assert sum(found.removed.values()) == len(gone)


def test_a_class_that_loses_all_pictures_is_said_and_left_out_of_the_mean(trial, scores):
    test = trial.test.unseen_pictures
    gone = [i for i, label in zip(test.ids, test.labels, strict=True) if label == "forest"]
    found = without_overlap(trial, *scores, 0.0, pairs(*((i, "x") for i in gone), place="elsewhere"))
    before = zero_shot_of(scores[0], trial.test).per_class
    assert found.lost == ("forest",)
    assert found.removed == {"forest": len(gone)}
    assert found.t1 == pytest.approx(np.mean([before["beach"], before["stadium"]]), abs=1e-6)


def test_where_no_pictures_are_left_there_is_no_figure(trial, scores):
    gone = pairs(*((i, "x") for i in trial.test.unseen_pictures.ids), place="elsewhere")
    found = without_overlap(trial, *scores, 0.0, gone)
    assert (found.t1, found.U, found.H) == (None, None, None)
    assert found.S is not None


def test_an_evaluation_has_them_only_where_pairs_are_given(trial):
    plain = evaluate(method_class("eszsl"), trial, table(), selection="defaults")
    named = evaluate(method_class("eszsl"), trial, table(), selection="defaults", overlap=pairs())
    assert plain.without_overlap is None
    assert named.without_overlap.t1 == named.zsl.t1


@pytest.fixture
def plan_file(tmp_path, trial):
    write_store(tmp_path / "store", pictures(noise=0.8))
    table().write(tmp_path / "knowledge.csv")
    write_splits(tmp_path / "splits.json", [split()])
    (tmp_path / "plan.yaml").write_text(
        "embeddings: {tiny: store}\ntables: {knowledge: knowledge.csv}\nsplits: [splits.json]\nmethods: [eszsl]\n"
        "selection: defaults\noverlap: overlap.csv\n"
    )
    beach = [i for i in trial.test.unseen_pictures.ids if i.startswith("beach")]
    trained = trial.train_all.pictures.ids[0]
    pairs(*((i, trained) for i in beach)).write(tmp_path / "overlap.csv")
    return tmp_path / "plan.yaml"


def test_a_benchmark_shows_both_side_by_side(plan_file, tmp_path):
    plan = BenchmarkPlan.read(plan_file)
    result = run_benchmark(plan, tmp_path / "results")
    (cell,), (row,) = result.cells, result.summary
    assert cell.without_overlap.lost == ("beach",)
    assert row.without_overlap.with_t1 == row.t1
    assert row.without_overlap.t1.mean == cell.without_overlap.t1
    assert row.without_overlap.removed == 12
    text = summary(result)
    assert "T1 without overlap" in text
    assert "split 1: without the overlap no test pictures are left of beach" in text
    (line,) = csv.DictReader((tmp_path / "results" / "results.csv").open())
    assert float(line["without_overlap_t1"]) == cell.without_overlap.t1
    assert (line["without_overlap_removed"], line["without_overlap_lost"]) == ("12", "beach")
    (line,) = csv.DictReader((tmp_path / "results" / "summary.csv").open())
    assert float(line["without_overlap_with_t1_mean"]) == row.t1.mean
    assert json.loads((tmp_path / "results" / "results.json").read_text())["plan"]["overlap"]["pairs"] == 12
    assert CellResult.from_json(cell.to_json()) == cell


def test_a_benchmark_without_an_audit_says_nothing_of_overlap(plan_file, tmp_path):
    plan_file.write_text(plan_file.read_text().replace("overlap: overlap.csv\n", ""))
    result = run_benchmark(BenchmarkPlan.read(plan_file), tmp_path / "results")
    assert "overlap" not in summary(result)
    assert "overlap" not in (tmp_path / "results" / "results.csv").read_text()


def test_pairs_of_other_pictures_are_refused(plan_file, tmp_path):
    pairs(("a.png", "b.png")).write(tmp_path / "overlap.csv")
    with pytest.raises(DataFormatError, match=r"none of the 1 overlapping pictures \('a\.png'"):
        run_benchmark(BenchmarkPlan.read(plan_file), tmp_path / "results")


def test_a_missing_file_of_pairs_is_named(plan_file, tmp_path):
    (tmp_path / "overlap.csv").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no such file of overlaps: .*overlap\.csv"):
        BenchmarkPlan.read(plan_file)


def test_other_pairs_make_other_cells(trial):
    plan = BenchmarkPlan("p", {"t": pictures()}, {"k": table()}, (split(),), (MethodPlan("eszsl"),))
    (cell,) = plan.cells()
    plain = cell.inputs(plan, "e", "t", {})
    assert "overlap" not in plain
    named = BenchmarkPlan(
        "p",
        plan.embeddings,
        plan.tables,
        plan.splits,
        plan.methods,
        overlap=pairs((trial.test.unseen_pictures.ids[0], "x")),
    )
    assert cell.inputs(named, "e", "t", {}) == plain | {"overlap": named.overlap.fingerprint}
