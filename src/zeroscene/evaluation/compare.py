"""Mean and deviation over splits and seeds, and the paired bootstrap between two methods."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeroscene.errors import DataFormatError
from zeroscene.evaluation.results import rounded
from zeroscene.evaluation.summary_records import Statistic

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of paired figures, first minus second, with its percentile bootstrap.

    Attributes:
        difference: mean over the pairs.
        low, high: 95 % interval of the mean.
        not_better: share of resamples in which the first is not better than the second.
        count: number of pairs.
    """

    difference: float
    low: float
    high: float
    not_better: float
    count: int


def statistic(values: Sequence[float]) -> Statistic:
    """Return mean and standard deviation (n - 1; 0 for one value), rounded as they are stored.

    Raises:
        DataFormatError: there are no values.
    """
    if not values:
        raise DataFormatError("the mean of no figures is not defined")
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Statistic(mean=rounded(float(np.mean(values))), deviation=rounded(deviation), count=len(values))


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> PairedDifference:
    """Compare two methods measured on the same units (Efron and Tibshirani, 1993, chapter 13: percentile interval).

    Args:
        first, second: one figure a unit, in the same order. A unit is a split; average its seeds first, since seeds of
            one split are not independent.
        resamples: number of bootstrap samples of the units.
        seed: of the resampling; the same for the same interval.

    Raises:
        DataFormatError: lengths differ or there are no units.
    """
    if len(first) != len(second) or not len(first):
        raise DataFormatError(
            f"paired comparison of {len(first)} and {len(second)} figures; give one a unit, at least 1"
        )
    d = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(d), (resamples, len(d)))
    means = d[drawn].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    # A sum of the same numbers in another order may miss 0 by a rounding error.
    not_better = float(np.mean(means <= 1e-12))
    return PairedDifference(float(d.mean()), float(low), float(high), not_better, len(d))
