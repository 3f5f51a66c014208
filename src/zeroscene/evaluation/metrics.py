"""Accuracies of zero-shot recognition, and the exact curve between seen and unseen classes.

Notation: N pictures, C classes, y in {0 ... C-1} the true columns. T1 is the mean of the per-class accuracies; S and U
are T1 over seen and unseen classes when the choice is among all, H = 2SU/(S+U) (Xian et al., 2018). The seen/unseen
curve and its area AUSUC follow Chao et al., 2016: gamma is subtracted from the scores of seen classes and swept from
minus to plus infinity. Here the sweep is exact: the curve changes only at the N margins
m_i = best seen score - best unseen score, so those are all the gammas there are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zeroscene.errors import DataFormatError

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float32] | Reals


def confusion_matrix(y: Integers, predicted: Integers, classes: int) -> Integers:
    """Return (C, C) picture counts; rows are true classes, columns predicted ones.

    Raises:
        DataFormatError: lengths differ, or an index is not in 0 ... C-1.
    """
    if y.shape != predicted.shape:
        raise DataFormatError(f"confusion: {y.size} labels for {predicted.size} predictions")
    if y.size and (min(y.min(), predicted.min()) < 0 or max(y.max(), predicted.max()) >= classes):
        raise DataFormatError(f"confusion: a label or a prediction lies outside the {classes} classes")
    return np.bincount(y * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class_accuracy(confusion: Integers) -> Reals:
    """Return the (C,) share of each class's pictures that are right; NaN for a class without pictures."""
    counts = confusion.sum(axis=1)
    return np.where(counts > 0, np.diagonal(confusion) / np.maximum(counts, 1), np.nan)


def t1(confusion: Integers) -> float:
    """Return the mean of the per-class accuracies, over the classes that have pictures.

    Raises:
        DataFormatError: there are no pictures.
    """
    if not confusion.sum():
        raise DataFormatError("accuracy of no pictures is not defined")
    return float(np.nanmean(per_class_accuracy(confusion)))


def overall_accuracy(confusion: Integers) -> float:
    """Return the share of pictures that are right.

    Raises:
        DataFormatError: there are no pictures.
    """
    if not confusion.sum():
        raise DataFormatError("accuracy of no pictures is not defined")
    return float(np.trace(confusion) / confusion.sum())


def harmonic_mean(S: Reals | float, U: Reals | float) -> Reals:
    """Return H = 2SU/(S+U), 0 where both are 0."""
    total = np.add(S, U, dtype=np.float64)
    return np.asarray(2 * np.multiply(S, U) / np.where(total > 0, total, 1.0), np.float64)


def margins(scores: Values, seen: Mask) -> Reals:
    """Return (N,) m_i = best score of a seen class - best score of an unseen one.

    Args:
        scores: (N, C).
        seen: (C,), true for seen classes; at least one of either kind.

    Raises:
        DataFormatError: one kind is missing, shapes differ, or a score is not finite.
    """
    if scores.ndim != 2 or seen.shape != scores.shape[1:]:
        raise DataFormatError(f"generalised scores of shape {scores.shape} for {seen.size} classes")
    if seen.all() or not seen.any():
        raise DataFormatError("generalised accuracy needs at least one seen and one unseen class")
    if not np.isfinite(scores).all():
        raise DataFormatError("a score is not finite")
    best_seen, best_unseen = (scores[:, kind].max(axis=1).astype(np.float64) for kind in (seen, ~seen))
    return np.asarray(best_seen - best_unseen, np.float64)


def generalised_best(scores: Values, seen: Mask, gamma: float = 0.0) -> Integers:
    """Return the (N,) predicted columns when gamma is subtracted from the scores of seen classes.

    The best seen class is taken where m_i > gamma, the best unseen one elsewhere, so an exact tie goes to the unseen
    class; this is the rule under which the curve is exact.
    """
    columns = np.arange(len(seen))
    best_seen = columns[seen][scores[:, seen].argmax(axis=1)]
    best_unseen = columns[~seen][scores[:, ~seen].argmax(axis=1)]
    return np.asarray(np.where(margins(scores, seen) > gamma, best_seen, best_unseen), np.int64)


@dataclass(frozen=True)
class SeenUnseenCurve:
    """S and U as step functions of gamma: value k holds for gamma in [gammas[k], gammas[k+1]).

    Attributes:
        gammas: (K+1,) increasing; the first is -inf (all pictures go to seen classes).
        S: (K+1,) decreasing to exactly 0.
        U: (K+1,) increasing from exactly 0.
    """

    gammas: Reals
    S: Reals
    U: Reals

    @cached_property
    def harmonic(self) -> Reals:
        """(K+1,) harmonic mean of S and U."""
        return harmonic_mean(self.S, self.U)

    @property
    def area(self) -> float:
        """AUSUC: area under S over U, by trapezoids between neighbouring points of the exact curve."""
        return float(np.sum(np.diff(self.U) * (self.S[1:] + self.S[:-1]) / 2))

    def positions(self, gamma: Reals | float) -> Integers:
        """Return the step that holds at each gamma."""
        return np.asarray(np.searchsorted(self.gammas, gamma, side="right") - 1, np.int64)

    def at(self, gamma: float) -> tuple[float, float, float]:
        """Return S, U and H at a gamma."""
        k = self.positions(gamma)
        return float(self.S[k]), float(self.U[k]), float(self.harmonic[k])

    def points(self, limit: int) -> list[tuple[float, float]]:
        """Return at most `limit` different points (S, U), both ends among them, evenly spaced along the curve."""
        moved = np.abs(np.diff(self.S)) + np.abs(np.diff(self.U))
        along = np.concatenate([[0.0], np.cumsum(moved)])
        distinct = np.concatenate([[0], np.flatnonzero(moved > 0) + 1])
        if len(distinct) > limit:
            wanted = np.linspace(0.0, along[-1], limit)
            nearest = np.searchsorted(along[distinct], wanted, side="left").clip(max=len(distinct) - 1)
            distinct = distinct[np.unique(nearest)]
        return [(float(self.S[k]), float(self.U[k])) for k in distinct]


def seen_unseen_curve(scores: Values, y: Integers, seen: Mask) -> SeenUnseenCurve:
    """Return the exact seen/unseen curve; O(N log N) after two passes over the scores.

    Args:
        scores: (N, C).
        y: (N,) true column of each picture.
        seen: (C,), true for seen classes.

    Raises:
        DataFormatError: a label lies outside, one kind of class or of picture is missing, or a score is not finite.
    """
    m = margins(scores, seen)
    if len(y) != len(m) or (len(y) and (y.min() < 0 or y.max() >= len(seen))):
        raise DataFormatError(
            f"seen/unseen curve: labels do not fit {scores.shape[0]} pictures and {len(seen)} classes"
        )
    of_seen = seen[y]
    if of_seen.all() or not of_seen.any():
        raise DataFormatError("the seen/unseen curve needs test pictures of seen and of unseen classes")
    counts = np.bincount(y, minlength=len(seen))
    share_S = 1.0 / (counts[y] * np.count_nonzero(counts[seen]))
    share_U = 1.0 / (counts[y] * np.count_nonzero(counts[~seen]))
    right_if_seen = of_seen & (generalised_best(scores, seen, -np.inf) == y)
    right_if_unseen = ~of_seen & (generalised_best(scores, seen, np.inf) == y)

    gammas, step = np.unique(m, return_inverse=True)
    lost = np.bincount(step, weights=np.where(right_if_seen, share_S, 0.0), minlength=len(gammas))
    won = np.bincount(step, weights=np.where(right_if_unseen, share_U, 0.0), minlength=len(gammas))
    # Summed from the end at which each is exactly 0, so that both ends of the curve lie on the axes.
    S = np.concatenate([np.cumsum(lost[::-1])[::-1], [0.0]]).clip(max=1.0)
    U = np.concatenate([[0.0], np.cumsum(won)]).clip(max=1.0)
    return SeenUnseenCurve(np.concatenate([[-np.inf], gammas]), S, U)
