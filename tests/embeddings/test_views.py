"""Augmented views: a window at a uniform place, one of eight turns, decided by the id and the number alone."""

from itertools import product

import numpy as np

from zeroscene.embeddings.views import view

SIDE, WINDOW = 64, 56
# Red counts rows and green counts columns, so that a pixel tells where it comes from.
PICTURE = np.stack([*np.mgrid[:SIDE, :SIDE], np.zeros((SIDE, SIDE), int)], 2).astype(np.uint8)
NAMES = [f"beach/{i:04d}.png" for i in range(2000)]


def origin_and_turn(seen: np.ndarray) -> tuple[int, int, int]:
    """Return the top, the left and the turn (0 to 7) of a view of `PICTURE`."""
    top, left = seen[..., 0].min(), seen[..., 1].min()
    window = PICTURE[top : top + WINDOW, left : left + WINDOW]
    turned = [np.rot90(window, k) for k in range(4)]
    all_turns = turned + [np.fliplr(t) for t in turned]
    found = [k for k, t in enumerate(all_turns) if np.array_equal(t, seen)]
    assert len(found) == 1, "a view is one window, turned"
    return int(top), int(left), found[0]


def test_view_0_is_the_picture():
    assert view(PICTURE, NAMES[0], 0) is PICTURE


def test_other_views_are_turned_windows_spread_evenly():
    found = np.array([origin_and_turn(view(PICTURE, name, 1)) for name in NAMES])
    places, turns = SIDE - WINDOW + 1, 8
    for column, kinds in ((0, places), (1, places), (2, turns)):
        counts = np.bincount(found[:, column], minlength=kinds)
        assert len(counts) == kinds
        # Five standard deviations of a binomial count.
        expected = len(NAMES) / kinds
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)
    correlation = np.corrcoef(found.T)
    assert np.abs(correlation - np.eye(3)).max() < 0.1


def test_views_depend_on_the_id_and_the_number_and_on_nothing_else():
    def drawn(names, numbers):
        return {(n, k): view(PICTURE, n, k).tobytes() for n, k in product(names, numbers)}

    once = drawn(NAMES[:20], (1, 2, 3))
    assert drawn(NAMES[19::-1], (3, 2, 1)) == once
    assert len(set(once.values())) > 50


def test_views_are_the_same_on_every_machine_and_in_every_version():
    found = [origin_and_turn(view(PICTURE, name, number)) for name, number in product(NAMES[:2], (1, 2))]
    assert found == [(7, 4, 0), (0, 6, 6), (2, 8, 1), (2, 3, 1)]


def test_the_window_is_seven_eighths_of_each_side():
    assert sorted(view(np.zeros((256, 512, 3), np.uint8), "a", 1).shape) == [3, 224, 448]
    assert view(np.zeros((1, 1, 3), np.uint8), "a", 1).shape == (1, 1, 3)


def test_a_view_can_be_taken_over_by_torch():
    for name in NAMES[:16]:
        assert view(PICTURE, name, 1).flags.c_contiguous
