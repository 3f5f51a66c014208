import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.errors import DataFormatError
from zeroscene.evaluation.compare import paired_bootstrap, statistic

figures = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_deviation_is_of_the_sample():
    found = statistic([0.5, 0.7, 0.9])
    assert (found.mean, found.deviation, found.count) == (0.7, 0.2, 3)
    assert statistic([0.25]).deviation == 0


def test_the_interval_is_that_of_a_normal_mean_when_pairs_are_many():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.1, 400)
    found = paired_bootstrap(0.5 + noise, np.full(400, 0.48))
    half = 1.96 * noise.std(ddof=1) / 20
    assert found.difference == pytest.approx(0.02 + noise.mean())
    assert found.low == pytest.approx(found.difference - half, abs=5e-4)
    assert found.high == pytest.approx(found.difference + half, abs=5e-4)


def test_pairing_finds_a_small_steady_gain_under_large_spread():
    base = np.array([0.2, 0.9, 0.4, 0.7, 0.55])
    found = paired_bootstrap(base + 0.01, base)
    assert found.low == pytest.approx(0.01)
    assert found.not_better == 0


def test_equal_methods_are_never_better():
    assert paired_bootstrap([0.3, 0.6, 0.1], [0.3, 0.6, 0.1]).not_better == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_interval_holds_the_mean_and_is_mirrored_when_methods_are_swapped(pairs):
    first, second = zip(*pairs, strict=True)
    one = paired_bootstrap(first, second, resamples=400)
    other = paired_bootstrap(second, first, resamples=400)
    assert min(np.subtract(first, second)) - 1e-9 <= one.low <= one.high <= max(np.subtract(first, second)) + 1e-9
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low), abs=1e-9)
    assert one == paired_bootstrap(first, second, resamples=400)


@pytest.mark.parametrize(("first", "second"), [([], []), ([0.1], [0.1, 0.2])])
def test_what_is_not_paired_is_refused(first, second):
    with pytest.raises(DataFormatError, match="paired comparison"):
        paired_bootstrap(first, second)


@given(figures)
def test_the_mean_lies_between_the_extremes(values):
    assert min(values) - 1e-6 <= statistic(values).mean <= max(values) + 1e-6
