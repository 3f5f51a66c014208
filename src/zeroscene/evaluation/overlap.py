"""Figures without the test pictures that show ground the method was fitted on, or ground of another collection.

The pairs are those of `zeroscene audit` (`embeddings.overlap`). Nothing is fitted again: the same scores are measured
on fewer pictures, so that the two figures differ by these pictures alone.
"""

import numpy as np
import numpy.typing as npt

from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.evaluation.metrics import (
    Integers,
    confusion_matrix,
    generalised_best,
    harmonic_mean,
    per_class_accuracy,
)
from zeroscene.evaluation.protocol import Trial
from zeroscene.evaluation.results import WithoutOverlap
from zeroscene.methods.contract import Scores

Mask = npt.NDArray[np.bool_]


def without_overlap(
    trial: Trial, of_unseen: Scores, of_all: Scores, gamma: float, overlaps: OverlapFile
) -> WithoutOverlap:
    """Measure what `measure.unseen_scores` and `measure.all_scores` gave on the test pictures that overlap nothing.

    Args:
        trial: the pictures.
        of_unseen: scores of the pictures of unseen classes over the unseen classes.
        of_all: scores of all test pictures over all classes.
        gamma: what is subtracted from the scores of seen classes.
        overlaps: the pairs.
    """
    test = trial.test
    taken = overlapping(trial, overlaps)
    order = test.seen + test.unseen
    y = np.concatenate([part.label_indices(order) for part in (test.seen_pictures, test.unseen_pictures)])
    kept = np.array([picture not in taken for picture in of_all.ids], np.bool_)
    unseen_kept = kept[len(test.seen_pictures) :]
    plain = _accuracies(
        test.unseen_pictures.label_indices(test.unseen), of_unseen.best(), unseen_kept, len(test.unseen)
    )
    seen = np.arange(len(order)) < len(test.seen)
    both = _accuracies(y, generalised_best(of_all.values, seen, gamma), kept, len(order))
    S, U = _mean(both[seen]), _mean(both[~seen])
    before, after = (np.bincount(y[rows], minlength=len(order)) for rows in (np.ones_like(kept), kept))
    return WithoutOverlap(
        t1=_mean(plain),
        S=S,
        U=U,
        H=None if S is None or U is None else round(float(harmonic_mean(S, U)), 6),
        removed={name: int(b - a) for name, b, a in zip(order, before, after, strict=True) if b > a},
        lost=tuple(name for name, b, a in zip(order, before, after, strict=True) if b and not a),
        pictures=len(y),
    )


def overlapping(trial: Trial, overlaps: OverlapFile) -> frozenset[str]:
    """Return the test pictures that overlap something else.

    Against another place, these are all that the pairs name. Within the data set, a picture of an unseen class counts
    when it overlaps any picture of a seen class, and a held-out one when it overlaps one that is trained on.
    """
    test = trial.test
    if overlaps.place:
        named = {pair.id for pair in overlaps.pairs}
        return frozenset(named.intersection(test.seen_pictures.ids + test.unseen_pictures.ids))
    either_way = [(a, b) for pair in overlaps.pairs for a, b in ((pair.id, pair.other), (pair.other, pair.id))]
    parts = (
        (test.unseen_pictures.ids, trial.train_all.pictures.ids),
        (test.seen_pictures.ids, trial.train_generalised.pictures.ids),
    )
    found: set[str] = set()
    for tested, trained in parts:
        here, there = set(tested), set(trained)
        found |= {a for a, b in either_way if a in here and b in there}
    return frozenset(found)


def _accuracies(y: Integers, predicted: Integers, kept: Mask, classes: int) -> npt.NDArray[np.float64]:
    return per_class_accuracy(confusion_matrix(y[kept], predicted[kept], classes))


def _mean(accuracies: npt.NDArray[np.float64]) -> float | None:
    known = accuracies[np.isfinite(accuracies)]
    return round(float(known.mean()), 6) if known.size else None
