import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.errors import DataFormatError
from zeroscene.evaluation.metrics import (
    confusion_matrix,
    generalised_best,
    harmonic_mean,
    margins,
    overall_accuracy,
    per_class_accuracy,
    seen_unseen_curve,
    t1,
)


@st.composite
def problems(draw):
    """Scores with many exact ties, labels that leave some classes without pictures, any order of seen and unseen."""
    classes = draw(st.integers(2, 6))
    seen = np.array(draw(st.lists(st.booleans(), min_size=classes, max_size=classes)))
    seen[0], seen[-1] = True, False
    seen = seen[draw(st.permutations(range(classes)))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pictures = draw(st.integers(2, 25))
    y = rng.integers(0, classes, pictures)
    y[0], y[1] = np.flatnonzero(seen)[0], np.flatnonzero(~seen)[0]
    grain = draw(st.sampled_from([1.0, 4.0, 1e6]))
    scores = (np.round(rng.normal(size=(pictures, classes)) * grain) / grain).astype(np.float32)
    return scores, y, seen


def test_t1_weighs_classes_and_overall_accuracy_weighs_pictures():
    confusion = confusion_matrix(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0]), 2)
    assert confusion.tolist() == [[3, 1], [1, 0]]
    assert per_class_accuracy(confusion).tolist() == [0.75, 0.0]
    assert t1(confusion) == 0.375
    assert overall_accuracy(confusion) == 0.6


def test_a_class_without_pictures_does_not_count():
    confusion = confusion_matrix(np.array([0, 0]), np.array([0, 2]), 3)
    assert np.isnan(per_class_accuracy(confusion)[1:]).all()
    assert t1(confusion) == 0.5


def test_the_harmonic_mean_of_two_zeros_is_zero():
    assert harmonic_mean(0.0, 0.0) == 0
    assert harmonic_mean(0.5, 1.0) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("y", "predicted", "message"),
    [
        ([0, 1], [0], "2 labels for 1 predictions"),
        ([0, 2], [0, 1], "outside the 2"),
        ([0, -1], [0, 1], "outside the 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, predicted, message):
    with pytest.raises(DataFormatError, match=message):
        confusion_matrix(np.array(y), np.array(predicted), 2)


def test_accuracy_of_no_pictures_is_refused():
    with pytest.raises(DataFormatError, match="no pictures"):
        t1(np.zeros((3, 3), np.int64))


@pytest.mark.parametrize(
    ("scores", "y", "seen", "message"),
    [
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], [True, True], "one seen and one unseen class"),
        ([[1.0, 0.0], [0.0, 1.0]], [0, 0], [True, False], "test pictures of seen and of unseen"),
        ([[1.0, np.nan], [0.0, 1.0]], [0, 1], [True, False], "not finite"),
        ([[1.0, 0.0], [0.0, 1.0]], [0, 2], [True, False], "labels do not fit"),
        ([[1.0, 0.0], [0.0, 1.0]], [0, 1], [True, False, False], "for 3 classes"),
    ],
)
def test_a_curve_of_what_has_none_is_refused(scores, y, seen, message):
    with pytest.raises(DataFormatError, match=message):
        seen_unseen_curve(np.array(scores), np.array(y), np.array(seen))


def test_the_curve_of_four_pictures_by_hand():
    scores = np.array([[3.0, 1.0], [1.5, 1.0], [1.0, 2.0], [2.0, 1.0]])  # margins 2, 0.5, -1, 1
    curve = seen_unseen_curve(scores, np.array([0, 0, 1, 1]), np.array([True, False]))
    assert curve.gammas.tolist() == [-np.inf, -1.0, 0.5, 1.0, 2.0]
    assert curve.S.tolist() == [1.0, 1.0, 0.5, 0.5, 0.0]
    assert curve.U.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert curve.area == 0.5 + 0.25
    assert curve.at(0.0) == pytest.approx((1.0, 0.5, 2 / 3))


def split_accuracies(scores, y, seen, gamma):
    """S and U at one gamma, from the confusion matrix of the calibrated prediction."""
    accuracy = per_class_accuracy(confusion_matrix(y, generalised_best(scores, seen, gamma), len(seen)))
    return np.nanmean(accuracy[seen]), np.nanmean(accuracy[~seen])


@given(problems())
@settings(deadline=None)
def test_the_curve_equals_predictions_at_every_breakpoint_and_between(problem):
    scores, y, seen = problem
    curve = seen_unseen_curve(scores, y, seen)
    between = (curve.gammas[1:-1] + curve.gammas[2:]) / 2
    for gamma in [0.0, -np.inf, np.inf, *curve.gammas, *between]:
        assert curve.at(gamma)[:2] == pytest.approx(split_accuracies(scores, y, seen, gamma), abs=1e-12)


@given(problems())
@settings(deadline=None)
def test_the_curve_runs_from_axis_to_axis_and_never_back(problem):
    scores, y, seen = problem
    curve = seen_unseen_curve(scores, y, seen)
    assert (np.diff(curve.gammas) > 0).all()
    assert (np.diff(curve.S) <= 0).all()
    assert (np.diff(curve.U) >= 0).all()
    assert curve.U[0] == 0
    assert curve.S[-1] == 0
    assert 0 <= curve.area <= curve.S[0] * curve.U[-1] + 1e-12 <= 1 + 1e-12
    low, high = np.minimum(curve.S, curve.U), np.maximum(curve.S, curve.U)
    harmonic = curve.harmonic
    assert (harmonic >= low - 1e-12).all()
    assert (harmonic <= np.minimum(2 * low, high) + 1e-12).all()


@given(problems())
@settings(deadline=None, max_examples=40)
def test_the_area_equals_a_brute_force_sweep(problem):
    scores, y, seen = problem
    m = np.unique(margins(scores, seen))
    sweep = [-np.inf, *m, *((m[1:] + m[:-1]) / 2), *np.linspace(m[0] - 1, m[-1] + 1, 50)]
    points = [split_accuracies(scores, y, seen, gamma) for gamma in sorted(sweep)]
    area = sum((b[1] - a[1]) * (a[0] + b[0]) / 2 for a, b in itertools.pairwise(points))
    assert seen_unseen_curve(scores, y, seen).area == pytest.approx(area, abs=1e-12)


@given(problems(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_order_of_pictures_and_a_shift_of_a_row_do_not_matter(problem, random):
    scores, y, seen = problem
    order = list(range(len(y)))
    random.shuffle(order)
    row_shift = np.arange(len(y), dtype=np.float64)[:, None] * 4
    curve = seen_unseen_curve(scores, y, seen)
    other = seen_unseen_curve((scores.astype(np.float64) + row_shift)[order], y[order], seen)
    assert other.area == pytest.approx(curve.area, abs=1e-9)
    predicted = generalised_best(scores, seen)
    assert (generalised_best(scores[order], seen) == predicted[order]).all()
    assert t1(confusion_matrix(y[order], predicted[order], len(seen))) == pytest.approx(
        t1(confusion_matrix(y, predicted, len(seen)))
    )


@given(problems())
@settings(deadline=None)
def test_without_ties_gamma_zero_is_the_plain_argmax(problem):
    scores, _, seen = problem
    distinct = scores.astype(np.float64) + np.arange(scores.shape[1]) * 1e-9
    assert (generalised_best(distinct, seen) == distinct.argmax(axis=1)).all()


@given(problems(), st.integers(2, 8))
@settings(deadline=None)
def test_the_drawn_points_are_few_distinct_and_hold_both_ends(problem, limit):
    scores, y, seen = problem
    curve = seen_unseen_curve(scores, y, seen)
    points = curve.points(limit)
    assert len(points) == len(set(points)) <= limit
    assert points[0] == (curve.S[0], 0.0)
    assert points[-1] == (0.0, curve.U[-1])
