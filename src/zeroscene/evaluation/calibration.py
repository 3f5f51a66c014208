"""Calibrated stacking (Chao et al., 2016): one number gamma is subtracted from the scores of seen classes.

gamma is chosen on curves of validation folds; `selection` makes them from seen classes only.
"""

from collections.abc import Sequence

import numpy as np

from zeroscene.evaluation.metrics import SeenUnseenCurve


def choose_gamma(folds: Sequence[SeenUnseenCurve]) -> tuple[float, float]:
    """Return the gamma with the highest mean H over the folds, and that mean.

    The mean of the folds' step functions is exact at all their breakpoints. The middle of the widest interval that
    reaches the maximum is taken, so that no picture lies on the threshold. Where H is 0 at every gamma, gamma is 0.

    Args:
        folds: one exact curve a fold.
    """
    if not folds:
        return 0.0, 0.0
    gammas = np.unique(np.concatenate([fold.gammas for fold in folds]))
    H = np.mean([fold.harmonic[fold.positions(gammas)] for fold in folds], axis=0)
    best = float(H.max())
    if best == 0:
        return 0.0, 0.0
    # H > 0 needs S > 0 and U > 0 in some fold, which -inf and the last breakpoint exclude: each run is bounded.
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (best == H).astype(np.int8), [0]])))
    starts, ends = gammas[edges[0::2]], gammas[edges[1::2]]
    widest = int(np.argmax(ends - starts))
    return float((starts[widest] + ends[widest]) / 2), best
