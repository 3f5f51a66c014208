"""Scalings are fitted on training rows only and applied unchanged to every later row."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeroscene.methods.scaling import PictureScaling, apply_scaling, fit_scaling
from zeroscene.vectors import unit_rows

KINDS = get_args(PictureScaling)
TRAIN = np.array([[1, 2, 5], [3, 2, 1], [5, 2, 3]], np.float32)
rows = arrays(np.float32, (4, 3), elements=st.floats(-8, 8, width=32))


def scaled(kind, train, x):
    return apply_scaling(kind, fit_scaling(kind, train, "x"), x, "x")


def test_none_changes_nothing():
    np.testing.assert_array_equal(scaled("none", TRAIN, TRAIN), TRAIN)


def test_l2_gives_rows_of_unit_length_and_learns_nothing():
    assert fit_scaling("l2", TRAIN, "x") == {}
    np.testing.assert_allclose(np.linalg.norm(scaled("l2", TRAIN, TRAIN), axis=1), 1, rtol=1e-6)


def test_minmax_maps_each_training_dimension_to_0_1_and_constant_ones_to_0():
    np.testing.assert_allclose(scaled("minmax", TRAIN, TRAIN), [[0, 0, 1], [0.5, 0, 0], [1, 0, 0.5]])


def test_minmax_does_not_clip_later_rows():
    np.testing.assert_allclose(scaled("minmax", TRAIN, np.array([[9, 7, -3]], np.float32)), [[2, 0, -1]])


def test_standard_gives_mean_0_and_deviation_1_and_constant_dimensions_0():
    z = scaled("standard", TRAIN, TRAIN)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(0), [1, 0, 1], atol=1e-6)


def test_standard_of_a_constant_that_float32_cannot_average_exactly_is_0():
    x = np.full((7, 1), 0.1, np.float32)
    np.testing.assert_array_equal(scaled("standard", x, x + 1), np.zeros((7, 1)))


def test_center_l2_takes_the_centre_from_the_training_rows():
    expected = unit_rows(np.array([[9, 7, -3]], np.float32) - np.array([3, 2, 3], np.float32))
    np.testing.assert_allclose(scaled("center-l2", TRAIN, np.array([[9, 7, -3]], np.float32)), expected)


def test_power_centres_signed_roots_of_unit_length():
    x = np.array([[4, -9, 0]], np.float32)
    centre = unit_rows(np.sqrt(TRAIN)).mean(0)
    expected = unit_rows(np.array([[2, -3, 0]], np.float32) / np.float32(13**0.5) - centre)
    np.testing.assert_allclose(scaled("power", TRAIN, x), expected, rtol=1e-5, atol=1e-6)


def test_root_minmax_is_minmax_of_signed_roots():
    np.testing.assert_allclose(
        scaled("root-minmax", np.array([[0], [16]], np.float32), np.array([[4]], np.float32)), 0.5
    )


def test_a_row_of_zeros_has_no_direction_and_stays_zero():
    np.testing.assert_array_equal(unit_rows(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_two_scalings_share_a_state_under_their_prefixes(kind):
    state = {**fit_scaling(kind, TRAIN, "x"), **fit_scaling("minmax", TRAIN * 2, "phi")}
    np.testing.assert_array_equal(apply_scaling(kind, state, TRAIN, "x"), scaled(kind, TRAIN, TRAIN))


@pytest.mark.parametrize("kind", KINDS)
@given(train=rows, later=rows)
def test_scaling_works_row_by_row_leaves_its_input_alone_and_stays_finite(kind, train, later):
    before = later.copy()
    together = scaled(kind, train, later)
    np.testing.assert_array_equal(later, before)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together[2:3], scaled(kind, train, later[2:3]), rtol=1e-6, atol=1e-6)
