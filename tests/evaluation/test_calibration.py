import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.evaluation.calibration import choose_gamma
from zeroscene.evaluation.metrics import seen_unseen_curve

SEEN = np.array([True, False])


def curve_of(seen_margins, unseen_margins):
    """Curve of one seen and one unseen class whose pictures are all right within their kind."""
    m = np.array([*seen_margins, *unseen_margins], float)
    y = np.array([0] * len(seen_margins) + [1] * len(unseen_margins))
    return seen_unseen_curve(np.stack([m, np.zeros_like(m)], axis=1), y, SEEN)


def test_gamma_is_the_middle_of_the_best_interval():
    gamma, harmonic = choose_gamma([curve_of([4.0, 5.0], [1.0, 2.0])])
    assert gamma == 3.0
    assert harmonic == 1.0


def test_the_widest_of_equal_intervals_is_taken():
    gamma, _ = choose_gamma([curve_of([1.0, 7.0], [0.0, 4.0])])  # H = 2/3 on [0, 1) and on [4, 7)
    assert gamma == 5.5


def test_folds_are_averaged():
    gamma, harmonic = choose_gamma([curve_of([4.0], [0.0]), curve_of([10.0], [3.0])])
    assert gamma == 3.5
    assert harmonic == 1.0


def test_nothing_to_gain_means_no_calibration():
    assert choose_gamma([]) == (0.0, 0.0)
    assert choose_gamma([curve_of([1.0], [2.0])])[1] == 0.0
    assert choose_gamma([curve_of([1.0], [2.0])])[0] == 0.0


@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(2, 12)), min_size=1, max_size=3))
@settings(deadline=None)
def test_no_gamma_does_better_on_the_folds(seeds):
    folds = []
    for seed, pictures in seeds:
        rng = np.random.default_rng(seed)
        folds.append(curve_of(rng.normal(1, 1, pictures).round(1), rng.normal(0, 1, pictures).round(1)))
    gamma, harmonic = choose_gamma(folds)
    everywhere = np.unique(np.concatenate([fold.gammas[1:] for fold in folds]))
    tried = [*everywhere, *((everywhere[1:] + everywhere[:-1]) / 2), -np.inf, np.inf]
    assert harmonic >= max(np.mean([fold.at(g)[2] for fold in folds]) for g in tried) - 1e-12
    assert np.isclose(np.mean([fold.at(gamma)[2] for fold in folds]), harmonic)
    assert np.isfinite(gamma)
