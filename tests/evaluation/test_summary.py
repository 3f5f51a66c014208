import csv
import io

import pytest
from evaluation_world import pictures, split, table

from zeroscene.errors import DataFormatError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.results import CellResult, EncoderRecord, SplitRecord, TableRecord
from zeroscene.evaluation.summary import cells_csv, compare, figure, summarise, summary_csv
from zeroscene.methods.registry import method_class


@pytest.fixture(scope="module")
def measured():
    """One real cell, from which the tests make others with figures of their choice."""
    trial = carve(pictures(), split())
    found = evaluate(method_class("eszsl"), trial, table(), selection="defaults")
    encoder = trial.test.unseen_pictures.encoder
    return CellResult(
        cell="eszsl__tiny",
        digest="0",
        method="eszsl",
        label="eszsl",
        title="ESZSL",
        reference="a test",
        options=found.options,
        selection="defaults",
        encoder=EncoderRecord(label="tiny", fingerprint=encoder.fingerprint, **encoder.to_json()),
        table=TableRecord(
            label="knowledge", source="a test", kind="attributes", columns=6, fingerprint="0", provenance={}
        ),
        split=SplitRecord(
            dataset="tiny", name="1", fingerprint="0", seen=trial.split.seen, unseen=trial.split.unseen, held_out=14
        ),
        seed=0,
        zsl=found.zsl,
        gzsl=found.gzsl,
        examples=found.examples,
        choice=found.choice,
        environment={},
    )


@pytest.fixture
def cell(measured):
    def make(label, split_name, seed, t1, harmonic=0.5):
        return measured.model_copy(
            update={
                "label": label,
                "seed": seed,
                "split": measured.split.model_copy(update={"name": split_name}),
                "zsl": measured.zsl.model_copy(update={"t1": t1}),
                "gzsl": measured.gzsl.model_copy(update={"H": harmonic}),
            }
        )

    return make


def test_a_record_survives_its_json(measured):
    assert CellResult.from_json(measured.to_json()) == measured


def test_a_damaged_record_names_the_field_and_the_file(measured):
    damaged = measured.to_json()
    damaged["zsl"]["t1"] = "high"
    with pytest.raises(DataFormatError, match=r"a\.json is not a CellResult: zsl\.t1"):
        CellResult.from_json(damaged, "a.json")


def test_the_summary_is_over_splits_and_seeds(cell):
    rows = summarise([cell("a", "1", 0, 0.5), cell("a", "1", 1, 0.7), cell("b", "1", 0, 0.1), cell("a", "2", 0, 0.9)])
    assert [(row.label, row.t1.count) for row in rows] == [("a", 3), ("b", 1)]
    assert (rows[0].t1.mean, rows[0].t1.deviation) == (0.7, 0.2)
    assert rows[0].H.deviation == 0


def test_methods_are_paired_by_split_with_seeds_averaged(cell):
    a = [cell("a", "1", 0, 0.2), cell("a", "1", 1, 0.4), cell("a", "2", 0, 0.5), cell("a", "3", 0, 1.0)]
    b = [cell("b", "1", 0, 0.5), cell("b", "2", 0, 0.6)]
    found = {c.metric: c for c in compare(a + b)}
    t1 = found["t1"]
    assert (t1.first, t1.second, t1.count) == ("b", "a", 2)  # split 3 has no partner
    assert t1.difference == pytest.approx((0.2 + 0.1) / 2)
    assert (t1.low, t1.high, t1.not_better) == (0.1, 0.2, 0.0)
    assert found["H"].not_better == 1


def test_tables_hold_every_cell_and_every_row(cell):
    cells = [cell("a", "1", 0, 0.5), cell("a, wide", "1", 0, 0.25)]
    rows = list(csv.DictReader(io.StringIO(cells_csv(cells))))
    assert [(row["label"], float(row["t1"]), row["selection"]) for row in rows] == [
        ("a", 0.5, "defaults"),
        ("a, wide", 0.25, "defaults"),
    ]
    assert float(rows[0]["uncalibrated_H"]) == figure(cells[0], "uncalibrated_H")
    summary = list(csv.DictReader(io.StringIO(summary_csv(summarise(cells)))))
    assert [(row["label"], row["t1_mean"], row["cells"]) for row in summary] == [
        ("a", "0.5", "1"),
        ("a, wide", "0.25", "1"),
    ]
