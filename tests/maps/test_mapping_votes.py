"""Soft votes are the weighted mean of the windows that cover a cell, whatever the shape of the map."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.maps.layout import Layout
from zeroscene.maps.votes import Said, cast


def said(values: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> Said:
    """Return the kept windows of a (rows, columns, V) field."""
    rows, columns = np.nonzero(kept)
    return Said(rows, columns, values[rows, columns], weights[rows, columns])


def pieces(whole: Said, ends: list[int]) -> list[Said]:
    edges = [0, *sorted(min(end, len(whole.rows)) for end in ends), len(whole.rows)]
    spans = [slice(a, b) for a, b in pairwise(edges)]
    return [Said(whole.rows[s], whole.columns[s], whole.values[s], whole.weights[s]) for s in spans]


def collected(parts: list[Said], layout: Layout, width: int, in_order: bool = True) -> tuple[np.ndarray, np.ndarray]:
    found = list(cast(parts, layout, width, in_order))
    assert [one.row for one in found] == list(range(layout.shape[0]))
    return np.array([one.values for one in found]), np.array([one.weights for one in found])


@given(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(0, 30)),
    st.integers(0, 1000),
)  # fmt: skip
def test_every_cell_hears_the_windows_that_cover_it(
    rows: int, columns: int, steps: int, width: int, ends: list[int], seed: int
) -> None:
    layout = Layout(rows, columns, (1, 1), steps)
    rng = np.random.default_rng(seed)
    values, kept = rng.random((*layout.windows, width)), rng.random(layout.windows) < 0.8
    weights = rng.random(layout.windows) * kept
    means, totals = np.zeros((rows, columns, width)), np.zeros((rows, columns))
    for cell in np.ndindex(rows, columns):
        seen = np.ix_(*layout.covering(*cell))
        totals[cell] = weights[seen].sum()
        if totals[cell] > 0:
            means[cell] = (weights[seen][..., None] * values[seen]).sum(axis=(0, 1)) / totals[cell]
    parts = pieces(said(values, weights, kept), ends)
    for found in (collected(parts, layout, width), collected(parts[::-1], layout, width, in_order=False)):
        np.testing.assert_allclose(found[0], means, atol=1e-12)
        np.testing.assert_allclose(found[1], totals, atol=1e-12)


def test_votes_of_probabilities_are_probabilities() -> None:
    rng = np.random.default_rng(0)
    layout = Layout(9, 11, (1, 1), 3)
    whole = said(rng.dirichlet(np.ones(5), layout.windows), rng.random(layout.windows) + 0.1, np.ones(layout.windows))
    np.testing.assert_allclose(collected([whole], layout, 5)[0].sum(axis=2), 1)


def test_without_overlap_a_cell_says_what_its_window_says() -> None:
    values = np.random.default_rng(0).random((3, 4, 2))
    found, _ = collected([said(values, np.ones((3, 4)), np.ones((3, 4)))], Layout(3, 4, (1, 1)), 2)
    np.testing.assert_array_equal(found, values)


def test_a_window_that_saw_little_counts_little() -> None:
    values, weights = np.array([[[1.0, 0.0], [0.0, 1.0]]]), np.array([[1.0, 0.25]])
    means, totals = collected([said(values, weights, np.ones((1, 2)))], Layout(1, 3, (1, 1), 2), 2)
    np.testing.assert_allclose(means[0], [[1, 0], [0.8, 0.2], [0, 1]])
    np.testing.assert_allclose(totals[0], [1, 1.25, 0.25])


@pytest.mark.parametrize("weight", [0.0, None], ids=["of no weight", "left out"])
def test_a_cell_that_nobody_looked_at_has_no_answer(weight: float | None) -> None:
    kept = np.ones((2, 2)) if weight is not None else np.array([[1, 1], [0, 1]])
    weights = np.array([[1.0, 1.0], [0.0, 1.0]])
    means, totals = collected([said(np.ones((2, 2, 1)), weights, kept)], Layout(2, 2, (1, 1)), 1)
    assert means[:, :, 0].tolist() == [[1, 1], [0, 1]]
    assert totals.tolist() == [[1, 1], [0, 1]]
