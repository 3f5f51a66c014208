"""A cell hears the cells around it: lone errors go, edges and gaps stay, and a large map is refined by a sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.errors import DataFormatError, OptionError
from zeroscene.methods.transduction.refine import refine
from zeroscene.methods.transduction.spatial import Grid, GridOptions, refine_grid

ALONE = GridOptions(weight=0)


def world(rows=16, columns=20, classes=4, *, seed=0, noise=1.2, hint=1.2, width=24):
    """Return vectors and scores of a map of square regions, and the true class of each cell."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, classes, (-(-rows // 4), -(-columns // 4)))
    y = np.repeat(np.repeat(blocks, 4, 0), 4, 1)[:rows, :columns].ravel()
    x = rng.normal(size=(classes, width))[y] + noise * rng.normal(size=(len(y), width))
    scores = hint * np.eye(classes)[y] + rng.normal(size=(len(y), classes))
    return x.astype(np.float32), scores.astype(np.float32), y


X, S, Y = world()
GRID = Grid.of(np.ones((16, 20), bool))


def accuracy(values, y=Y):
    return float((values.argmax(axis=1) == y).mean())


# What it is for


def test_neighbours_help_where_cells_of_a_class_lie_together():
    alone, heard = (refine_grid(X, S, GRID, options) for options in (ALONE, None))
    assert accuracy(S) + 0.1 < accuracy(alone.values) < accuracy(heard.values)


@pytest.mark.parametrize("neighbours", [4, 8])
def test_without_weight_the_set_decides_alone(neighbours):
    alone = refine_grid(X, S, GRID, GridOptions(weight=0, neighbours=neighbours))
    np.testing.assert_array_equal(alone.values.argmax(axis=1), refine(X, S).values.argmax(axis=1))


def test_a_doubtful_cell_follows_neighbours_that_look_alike_and_not_those_that_differ():
    # Two halves of one look each; a doubtful cell looks like the one or like the other, surrounded by the first.
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 50)
    means = np.zeros((2, 12))
    means[:, 0] = (-3, 3)
    x = means[y] + rng.normal(size=(100, 12)) * 0.3
    scores = 3.0 * np.eye(2)[y]
    grid = Grid.of(np.ones((10, 10), bool))
    cell = 22
    kept = []
    for look in (0, 1):
        x[cell] = means[look]
        scores[cell] = (0.0, 0.1)
        kept.append(np.exp(refine_grid(x, scores, grid, GridOptions(weight=0.3, lead=1.0)).values[cell, 1]))
    assert kept[0] < 0.3
    assert kept[1] > 0.5


def test_cells_beyond_a_gap_are_not_heard():
    valid = np.ones((16, 20), bool)
    valid[:, 9:11] = False
    whole = refine_grid(X[valid.ravel()], S[valid.ravel()], Grid.of(valid))
    west = np.flatnonzero(valid.ravel()) % 20 < 9
    moved = Grid(16, 40, np.where(west, 0, 15) + np.flatnonzero(valid.ravel()) + 20 * (np.flatnonzero(valid) // 20))
    np.testing.assert_allclose(whole.values, refine_grid(X[valid.ravel()], S[valid.ravel()], moved).values, atol=1e-4)


def test_a_large_map_is_refined_by_a_sample_nearly_as_well():
    x, scores, y = world(48, 60, seed=5)
    grid = Grid.of(np.ones((48, 60), bool))
    whole, sampled = (refine_grid(x, scores, grid, GridOptions(sample=n)).values for n in (10_000, 800))
    assert accuracy(sampled, y) > accuracy(whole, y) - 0.02
    assert (sampled.argmax(axis=1) == whole.argmax(axis=1)).mean() > 0.95


# What it keeps to


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_order_of_the_cells_does_not_matter(seed):
    order = np.random.default_rng(seed).permutation(len(Y))
    here = refine_grid(X, S, GRID).values
    mixed = refine_grid(X[order], S[order], Grid(16, 20, order)).values
    np.testing.assert_allclose(mixed, here[order], atol=2e-2)


@pytest.mark.parametrize("flip", [np.flipud, np.fliplr, np.transpose], ids=["north-south", "east-west", "transposed"])
def test_the_map_may_lie_any_way(flip):
    turned = flip(np.arange(320).reshape(16, 20))
    grid = Grid(*turned.shape, np.argsort(turned.ravel()))
    np.testing.assert_allclose(refine_grid(X, S, grid).values, refine_grid(X, S, GRID).values, atol=1e-4)


def test_the_same_arguments_give_the_same_numbers():
    first, second = (refine_grid(X, S, GRID, GridOptions(sample=100)) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2)])
@pytest.mark.parametrize("classes", [1, 3])
def test_maps_of_a_few_cells_and_one_class_are_answered(shape, classes):
    n = shape[0] * shape[1]
    result = refine_grid(X[:n], S[:n, :classes], Grid.of(np.ones(shape, bool)))
    assert result.values.shape == (n, classes)
    np.testing.assert_allclose(np.exp(result.values).sum(axis=1), 1, atol=1e-5)


def test_cells_that_are_all_alike_hear_each_other_all_alike():
    alike = refine_grid(np.ones_like(X), S, GRID)
    assert np.isfinite(alike.values).all()


# What a user can get wrong


def test_a_grid_that_is_none_is_refused():
    with pytest.raises(DataFormatError, match="cell 1 has position 6, outside 2 x 3"):
        Grid(2, 3, np.array([0, 6]))
    with pytest.raises(DataFormatError, match="row 1, column 0 stands twice"):
        Grid(2, 3, np.array([3, 0, 3]))
    with pytest.raises(DataFormatError, match="grid: 0 x 3 cells"):
        Grid(0, 3, np.array([], int))


def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(DataFormatError, match="319 vectors for 320 cells"):
        refine_grid(X[1:], S[1:], GRID)
    with pytest.raises(DataFormatError, match="vectors of shape"):
        refine_grid(X, S[1:], GRID)
    with pytest.raises(DataFormatError, match="vectors of shape"):
        refine_grid(X[:0], S[:0], Grid(1, 1, np.array([], int)))
    broken = S.copy()
    broken[7, 1] = np.nan
    with pytest.raises(DataFormatError, match="row 7 of the scores is not finite; leave that cell out"):
        refine_grid(X, broken, GRID)
    with pytest.raises(OptionError, match="neighbours"):
        GridOptions.of({"neighbours": 6}, "map")
