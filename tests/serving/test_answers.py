"""Answers: one a picture, exact in every file format, and honest about what is not known."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from zeroscene.errors import OptionError
from zeroscene.methods.contract import Scores
from zeroscene.serving.answers import NONE, Answers

FOREST_RIVER = np.array([[0.25, 1.5], [3.0, -1.0], [0.5, 0.5]], np.float32)


def answers(values=FOREST_RIVER, classes=("forest", "river"), **known) -> Answers:
    ids = tuple(f"p{i}.jpg" for i in range(len(values)))
    return Answers.of(Scores(ids, classes, np.asarray(values, np.float32)), **known)


def test_each_picture_gets_its_best_class_the_lead_and_the_runner_up() -> None:
    first, second, tied = answers().rows()
    assert first == {
        "id": "p0.jpg", "class": "river", "probability": None, "score": 1.5, "margin": 1.25, "runner_up": "forest"
    }  # fmt: skip
    assert (second["class"], second["margin"]) == ("forest", 4.0)
    assert (tied["class"], tied["margin"], tied["runner_up"]) == ("forest", 0.0, "river")


def test_an_answer_that_does_not_stand_is_none_of_these_and_tells_what_came_first() -> None:
    made = answers(answered=np.array([True, False, True]))
    assert [row["class"] for row in made.rows()] == ["river", NONE, "forest"]
    assert [row["runner_up"] for row in made.rows()] == ["forest", "forest", "river"]
    assert made.counts() == {"forest": 1, "river": 1, NONE: 1}


def test_one_class_alone_has_no_runner_up_and_no_margin() -> None:
    (row,) = answers([[0.5]], ("forest",)).rows()
    assert (row["class"], row["margin"], row["runner_up"]) == ("forest", None, None)


def test_the_three_formats_hold_the_same_rows(tmp_path) -> None:
    made = answers(probabilities=np.array([[0.2, 0.8], [0.98, 0.02], [0.5, 0.5]], np.float32))
    for suffix in ("csv", "json", "parquet"):
        made.write(tmp_path / f"labels.{suffix}")
    wanted = list(made.rows())
    assert json.loads((tmp_path / "labels.json").read_text())["predictions"] == wanted
    assert parquet.read_table(tmp_path / "labels.parquet").to_pylist() == wanted
    read = list(csv.DictReader((tmp_path / "labels.csv").open(newline="")))
    assert [{**row, **{k: float(row[k]) for k in ("probability", "score", "margin")}} for row in read] == wanted


def test_unreadable_pictures_are_listed_beside_the_table_and_the_list_goes_when_there_are_none(tmp_path) -> None:
    answers(skipped=(("bad.jpg", "cut off, at byte 7"),)).write(tmp_path / "labels.csv")
    listed = tmp_path / "labels.skipped.csv"
    assert listed.read_text() == 'id,reason\nbad.jpg,"cut off, at byte 7"\n'
    answers().write(tmp_path / "labels.csv")
    assert not listed.exists()


def test_another_suffix_is_refused_before_anything_is_written(tmp_path) -> None:
    with pytest.raises(OptionError, match=r"labels\.xlsx: answers are \.csv, \.json or \.parquet"):
        answers().write(tmp_path / "labels.xlsx")
    assert not list(tmp_path.iterdir())


@given(st.floats(width=32, allow_nan=False, allow_infinity=False).filter(lambda v: v == 0 or abs(v) > 1e-30))
def test_numbers_keep_six_significant_digits(value: float) -> None:
    (row,) = answers([[value]], ("forest",)).rows()
    assert row["score"] == pytest.approx(value, rel=5.1e-6)
    assert float(f"{row['score']:.6g}") == row["score"]
