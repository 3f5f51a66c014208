"""The transductive column: the set of test pictures refines its own scores, and both answers are measured.

Refinement gets vectors and scores of the test pictures, and labelled pictures of the training set; no label of a test
picture reaches it, and it has no option that is chosen a split. The figures belong to the set and stand in a record of
their own (`TransductiveResult`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np

from zeroscene.evaluation.metrics import (
    Integers,
    confusion_matrix,
    harmonic_mean,
    overall_accuracy,
    per_class_accuracy,
    t1,
)
from zeroscene.evaluation.protocol import TestSet, Trial
from zeroscene.evaluation.results import TransductiveResult, named, rounded
from zeroscene.methods.contract import Matrix, Scores, TrainingSet
from zeroscene.methods.transduction.refine import Refined, TransductionOptions, refine
from zeroscene.methods.transduction.space import Labelled

NOISE: Final = 0.01
"""Accuracy that a refinement may lose before it counts as worse."""


class Transduction(TransductionOptions):
    """Options of the refinement in a benchmark.

    Attributes:
        labelled: whether the pictures that the method was fitted on tell how pictures of one class differ.
    """

    labelled: bool = True

    @classmethod
    def asked(cls, given: "bool | Mapping[str, Any] | Transduction", where: str) -> Self | None:
        """Return what a plan asks for: false nothing, true the defaults, or a mapping of options.

        Raises:
            OptionError: an unknown option or a value out of range.
        """
        if isinstance(given, Transduction):
            return cls.of(given.model_dump(), where)
        if isinstance(given, bool):
            return cls() if given else None
        return cls.of(given, where)


def transductive(
    trial: Trial, unseen: Scores, everything: Scores, gamma: float, options: Transduction
) -> TransductiveResult:
    """Refine the scores of both test sets, and measure.

    Args:
        trial: training and test pictures; labels of the test pictures are read after the refinement.
        unseen: inductive scores of the unseen classes' pictures (`measure.unseen_scores`).
        everything: of all test pictures over all classes (`measure.all_scores`).
        gamma: what honest selection subtracts from the scores of seen classes; it is subtracted before.
        options: of the refinement.

    Raises:
        DataFormatError: a vector is not finite.
    """
    test = trial.test
    plain = refined(test.unseen_pictures.x, unseen.values, trial.train_all, options)
    confusion = _confusion(test.unseen_pictures.label_indices(test.unseen), plain, len(test.unseen))
    order = test.seen + test.unseen
    is_seen = np.arange(len(order)) < len(test.seen)
    x, y = _all_pictures(test, order)
    calibrated = everything.values - np.where(is_seen, np.float32(gamma), np.float32(0))
    generalised = refined(x, calibrated, trial.train_generalised, options)
    accuracies = per_class_accuracy(_confusion(y, generalised, len(order)))
    S, U = float(accuracies[is_seen].mean()), float(accuracies[~is_seen].mean())
    return TransductiveResult(
        options=options.model_dump(mode="json"),
        t1=rounded(t1(confusion)),
        overall=rounded(overall_accuracy(confusion)),
        per_class=named(test.unseen, per_class_accuracy(confusion)),
        warnings=tuple(plain.diagnosis.warnings(test.unseen)),
        S=rounded(S),
        U=rounded(U),
        H=rounded(float(harmonic_mean(S, U))),
        generalised_per_class=named(order, accuracies),
        generalised_warnings=tuple(generalised.diagnosis.warnings(order)),
    )


def refined(x: Matrix, scores: Matrix, train: TrainingSet, options: Transduction) -> Refined:
    """Return the refined classes of a set of pictures that have no labels here.

    Args:
        x: (N, D) vectors of the set.
        scores: (N, C) inductive scores.
        train: what the method was fitted on.
        options: of the refinement.

    Raises:
        DataFormatError: a vector is not finite.
    """
    given = TransductionOptions(**options.model_dump(exclude={"labelled"}))
    return refine(x, scores, given, labelled=Labelled(train.pictures.x, train.y) if options.labelled else None)


def _confusion(y: Integers, found: Refined, classes: int) -> Integers:
    return confusion_matrix(y, np.asarray(found.values.argmax(axis=1), np.int64), classes)


def _all_pictures(test: TestSet, order: Sequence[str]) -> tuple[Matrix, Integers]:
    parts = (test.seen_pictures, test.unseen_pictures)
    return np.concatenate([p.x for p in parts]), np.concatenate([p.label_indices(order) for p in parts])
