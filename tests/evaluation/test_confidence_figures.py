"""Calibration error and AUROC against their definitions, and what the reject option is worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.evaluation.confidence_figures import (
    Answered,
    answers,
    auroc,
    calibration_error,
    measure_confidence,
)
from zeroscene.methods.confidence import Confidence, Promise, Setting, Thresholds
from zeroscene.methods.contract import Scores

FLOATS = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def test_the_calibration_error_of_two_bins_by_hand():
    probability = np.array([0.9, 0.9, 0.6, 0.6])
    right = np.array([True, True, True, False])
    assert calibration_error(probability, right) == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)
    assert calibration_error(np.array([]), np.array([], bool)) == 0


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_as_far_off_as_can_be():
    sure = np.ones(10)
    assert calibration_error(sure, np.ones(10, bool)) == 0
    assert calibration_error(sure, np.zeros(10, bool)) == 1


@given(FLOATS, FLOATS)
def test_auroc_is_the_share_of_pairs_in_order(known, unknown):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in known for b in unknown]
    assert auroc(np.array(known), np.array(unknown)) == pytest.approx(np.mean(pairs), abs=1e-6)


def setting(temperature, candidates, classes=("a", "b")):
    promise = Promise(precision=0.95, lead=1.0, coverage=0.5, measured=0.97)
    thresholds = (Thresholds(candidates=candidates, reachable=0.96, promises=(promise,)),)
    return Setting(temperature=temperature, classes=classes, pictures=9, thresholds=thresholds)


CONFIDENCE = Confidence(seen=("s", "t"), settings={"new": setting(1.0, 4), "mixed": setting(1.0, 6)})


def drawn(classes, true, seed=0, lead=3.0):
    rng = np.random.default_rng(seed)
    y = np.array([classes.index(name) for name in true])
    values = rng.normal(size=(len(y), len(classes))) + lead * np.eye(len(classes))[y]
    return Answered(Scores(tuple(map(str, range(len(y)))), tuple(classes), values.astype(np.float32)), y)


PLAIN = drawn(["k", "l", "m", "n"], list("klmn") * 25)
GENERALISED = drawn(["s", "t", "k", "l", "m", "n"], list("stklmn") * 25)


def test_coverage_and_precision_are_those_of_the_pictures_that_get_an_answer():
    found = answers(CONFIDENCE, PLAIN, 0.95)
    kept = ~CONFIDENCE.reject(PLAIN.scores, 0.95)
    assert 0 < found.coverage < 1
    assert found.coverage == pytest.approx(kept.mean())
    assert found.precision == pytest.approx(PLAIN.right[kept].mean(), abs=1e-6)
    assert found.precision > PLAIN.right.mean()


def test_a_precision_that_cannot_be_promised_has_no_coverage_and_says_why():
    found = answers(CONFIDENCE, PLAIN, 0.99)
    assert (found.coverage, found.precision) == (0, None)
    assert "99 % cannot be promised" in found.note


def test_pictures_of_withheld_classes_are_told_better_against_contrast():
    found = measure_confidence(CONFIDENCE, PLAIN, GENERALISED)
    assert found is not None
    assert 0.5 < found.auroc < found.auroc_contrast < 1


def test_seen_and_unseen_pictures_are_measured_apart():
    found = measure_confidence(CONFIDENCE, PLAIN, GENERALISED)
    p = CONFIDENCE.probabilities(GENERALISED.scores).values.max(axis=1).astype(float)
    seen = GENERALISED.y < 2
    assert found.ece_seen == pytest.approx(calibration_error(p[seen], GENERALISED.right[seen]))
    assert found.ece_unseen == pytest.approx(calibration_error(p[~seen], GENERALISED.right[~seen]))


def test_where_nothing_was_calibrated_there_is_nothing_to_measure():
    assert measure_confidence(Confidence(seen=("s",), settings={}), PLAIN, GENERALISED) is None


def test_three_unseen_classes_are_too_few_to_withhold_half_of_them():
    few = drawn(["s", "t", "k", "l", "m"], list("stklm") * 10)
    found = measure_confidence(CONFIDENCE, drawn(["k", "l", "m"], list("klm") * 10), few)
    assert found.auroc is None
