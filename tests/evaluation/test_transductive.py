"""The transductive column: refined scores of the test pictures, measured beside the inductive ones."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from benchmark_job import plan
from evaluation_world import pictures, split, table

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import OptionError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.metrics import confusion_matrix, t1
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.protocol import TestSet, carve
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.evaluation.summary import cells_csv, summarise, summary_csv, transductive_change
from zeroscene.evaluation.transductive import NOISE, Transduction, transductive
from zeroscene.methods.contract import Scores
from zeroscene.methods.registry import create_method, method_class
from zeroscene.methods.transduction.refine import TransductionOptions, refine
from zeroscene.scenes.split_files import write_splits

FIXED = {"log_gamma": 0.0, "log_lambda": 0.0}


def trial(**changes):
    return carve(pictures(noise=0.8, each=20), split(), **changes)


def measured(given, options: Transduction | None):
    return evaluate(method_class("eszsl"), given, table(), fixed=FIXED, selection="defaults", transduction=options)


def shuffled(x: Embeddings) -> Embeddings:
    """Return the pictures with their labels in another order."""
    order = np.random.default_rng(0).permutation(len(x))
    return replace(x, labels=tuple(x.labels[i] for i in order))


def test_it_is_measured_where_asked_and_changes_nothing_else():
    without, with_it = measured(trial(), None), measured(trial(), Transduction())
    assert without.transductive is None
    assert replace(with_it, transductive=None, table=without.table) == without
    assert with_it.transductive.options == Transduction().model_dump()


def test_plain_figures_are_those_of_refine():
    given = trial()
    method = create_method("eszsl", **FIXED).fit(given.train_all, table())
    x = given.test.unseen_pictures
    refined = refine(x.x, method.scores(x, table().select(given.test.unseen)).values)
    confusion = confusion_matrix(
        x.label_indices(given.test.unseen), refined.values.argmax(axis=1), len(given.test.unseen)
    )
    found = measured(given, Transduction(labelled=False)).transductive
    assert found.t1 == pytest.approx(t1(confusion), abs=1e-6)
    assert found.overall == pytest.approx(np.trace(confusion) / confusion.sum(), abs=1e-6)
    assert list(found.warnings) == refined.diagnosis.warnings(given.test.unseen)
    assert found.t1 == pytest.approx(np.mean(list(found.per_class.values())), abs=1e-6)


def test_generalised_figures_are_over_all_test_pictures_and_classes():
    given = trial()
    found = measured(given, Transduction()).transductive
    accuracies = list(found.generalised_per_class.values())
    assert tuple(found.generalised_per_class) == given.test.seen + given.test.unseen
    assert pytest.approx([np.mean(accuracies[:7]), np.mean(accuracies[7:])], abs=1e-6) == [found.S, found.U]
    assert pytest.approx(2 * found.S * found.U / (found.S + found.U), abs=1e-6) == found.H


def test_gamma_is_subtracted_before_the_set_refines():
    given = trial()
    method = create_method("eszsl", **FIXED).fit(given.train_generalised, table())
    order = given.test.seen + given.test.unseen
    parts = [method.scores(x, table().select(order)) for x in (given.test.seen_pictures, given.test.unseen_pictures)]
    everything = Scores(parts[0].ids + parts[1].ids, order, np.concatenate([part.values for part in parts]))
    unseen = method.scores(given.test.unseen_pictures, table().select(given.test.unseen))
    shares = [transductive(given, unseen, everything, gamma, Transduction()).U for gamma in (-100.0, 0.0, 100.0)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_no_label_of_a_test_picture_reaches_the_refinement(monkeypatch):
    """Wrong labels change what is measured, never what is refined."""
    seen_by_refine = []

    def listening(x, scores, options, *, labelled):
        seen_by_refine.append((x.copy(), scores.copy(), labelled.x.copy(), labelled.y.copy()))
        return refine(x, scores, options, labelled=labelled)

    monkeypatch.setattr("zeroscene.evaluation.transductive.refine", listening)
    honest = trial()
    wrong = replace(
        honest,
        test=TestSet(
            shuffled(honest.test.unseen_pictures),
            shuffled(honest.test.seen_pictures),
            honest.test.seen,
            honest.test.unseen,
        ),
    )
    one, other = (measured(given, Transduction()).transductive for given in (honest, wrong))
    for before, after in zip(seen_by_refine[:2], seen_by_refine[2:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert one.t1 != other.t1
    assert (one.warnings, one.generalised_warnings) == (other.warnings, other.generalised_warnings)
    test_ids = {*honest.test.unseen_pictures.ids, *honest.test.seen_pictures.ids}
    assert len(seen_by_refine[1][2]) == len(honest.train_generalised.pictures)
    assert not test_ids & set(honest.train_generalised.pictures.ids)


def test_options_of_a_plan():
    assert plan().transduction is None
    assert plan(transductive=False).transduction is None
    assert plan(transductive=True).transduction == Transduction()
    asked = plan(transductive={"priors": "balanced", "labelled": False})
    assert asked.transduction == Transduction(priors="balanced", labelled=False)
    assert replace(asked, name="again").transduction == asked.transduction
    assert set(Transduction.model_fields) == {*TransductionOptions.model_fields, "labelled"}
    with pytest.raises(OptionError, match="transductive: unknown option 'prior'; did you mean priors"):
        plan(transductive={"prior": "free"})


def test_only_a_plan_that_asks_changes_what_decides_a_cell():
    def inputs(given: BenchmarkPlan):
        return next(iter(given.cells())).inputs(given, "x", "t", {})

    assert "transductive" not in inputs(plan())
    told = [inputs(plan(transductive=asked))["transductive"] for asked in (True, {"priors": "balanced"})]
    assert told[0] != told[1]


def test_a_plan_file_asks_for_it(tmp_path):
    write_splits(tmp_path / "splits.json", plan().splits)
    file = tmp_path / "plan.yaml"
    text = "embeddings: {a: b}\ntables: {c: d.csv}\nsplits: [splits.json]\nmethods: [eszsl]\ntransductive: "
    for asked, options in (
        ("true", Transduction()),
        ("false", None),
        ("{priors: balanced}", Transduction(priors="balanced")),
    ):
        file.write_text(text + asked)
        assert BenchmarkPlan.read(file).transduction == options


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> BenchmarkResult:
    folder = tmp_path_factory.mktemp("refined")
    methods = (MethodPlan("eszsl", FIXED), MethodPlan("kernel", {"bandwidth": 1.0}))
    run_benchmark(plan(methods=methods, transductive=True), folder)
    return BenchmarkResult.read(folder)


def test_the_summary_keeps_both_apart(result):
    assert result.plan["transductive"] == Transduction().model_dump()
    for row in result.summary:
        cells = [cell for cell in result.cells if cell.label == row.label]
        refined = row.transductive
        assert row.t1.mean == pytest.approx(np.mean([cell.zsl.t1 for cell in cells]), abs=1e-6)
        assert refined.t1.mean == pytest.approx(np.mean([cell.transductive.t1 for cell in cells]), abs=1e-6)
        assert refined.H.mean == pytest.approx(np.mean([cell.transductive.H for cell in cells]), abs=1e-6)
        assert refined.warned == sum(bool(cell.transductive.warnings) for cell in cells)


def test_what_refining_changed_is_compared_in_pairs(result):
    for row in result.summary:
        for metric, change in (("t1", row.transductive.t1_change), ("H", row.transductive.H_change)):
            changes = [transductive_change(cell, metric) for cell in result.cells if cell.label == row.label]
            after, before = getattr(row.transductive, metric), getattr(row, metric)
            assert change.difference == pytest.approx(after.mean - before.mean, abs=2e-6)
            assert change.low <= change.difference <= change.high
            assert (change.worst, change.count) == (min(changes), len(changes))
            assert change.worse == sum(value < -NOISE for value in changes)


def test_csv_files_have_columns_of_their_own_where_it_was_measured(result):
    rows = list(csv.DictReader(io.StringIO(cells_csv(result.cells))))
    assert [float(row["transductive_t1"]) for row in rows] == [cell.transductive.t1 for cell in result.cells]
    assert [float(row["t1"]) for row in rows] == [cell.zsl.t1 for cell in result.cells]
    summary = list(csv.DictReader(io.StringIO(summary_csv(result.summary))))
    assert [float(row["transductive_H_mean"]) for row in summary] == [row.transductive.H.mean for row in result.summary]
    assert [int(row["transductive_t1_worse"]) for row in summary] == [
        row.transductive.t1_change.worse for row in result.summary
    ]
    plain = [cell.model_copy(update={"transductive": None}) for cell in result.cells]
    assert "transductive" not in cells_csv(plain)
    assert "transductive" not in summary_csv(summarise(plain))


def test_a_row_of_which_a_cell_lacks_it_has_no_transductive_figures(result):
    first, *others = result.cells
    rows = summarise([first.model_copy(update={"transductive": None}), *others])
    assert [row.transductive is None for row in rows] == [True, False]
    text = list(csv.DictReader(io.StringIO(summary_csv(rows))))
    assert text[0]["transductive_t1_mean"] == ""
    assert text[1]["transductive_t1_mean"]
