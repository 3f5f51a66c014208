"""Honest selection of options and gamma: on seen classes only.

The seen classes are divided into groups; in each fold one group plays unseen. The method is fitted on 80 % of the
pictures of the other classes and measured as in the real test: T1 among the pseudo-unseen classes, and the
seen/unseen curve on the kept-back 20 % and the pseudo-unseen pictures. The options with the best mean T1 are taken
(the first of equals), then the gamma with the best mean H for them. Nothing here can reach a test picture: the
arguments do not carry one, and this module knows no type that does. Class vectors that are annotated from pictures are
annotated anew in each fold, from the pictures of its pseudo-seen classes (`tables.TableSource`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.evaluation.calibration import choose_gamma
from zeroscene.evaluation.candidates import build, option_sets
from zeroscene.evaluation.metrics import SeenUnseenCurve, confusion_matrix, seen_unseen_curve, t1
from zeroscene.evaluation.results import CandidateRecord, Choice, FoldRecord, rounded
from zeroscene.evaluation.tables import TableSource, source_of
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.registry import AnyMethod
from zeroscene.scenes.splits import Split, validation_groups
from zeroscene.semantics.table import ClassTable

FOLDS = 4
KEPT_BACK = 0.2


@dataclass(frozen=True)
class Fold:
    """One validation fold, made of training pictures.

    Attributes:
        train: 80 % of the pictures of the pseudo-seen classes.
        validation: the other 20 % and all pictures of the pseudo-unseen classes.
        unseen: the pseudo-unseen classes.
    """

    train: TrainingSet
    validation: Embeddings
    unseen: tuple[str, ...]


def validation_folds(train: TrainingSet, folds: int = FOLDS, seed: int = 0) -> tuple[Fold, ...]:
    """Divide a training set into folds; each seen class plays unseen exactly once.

    The groups depend on the seed and the class names, not on their order. There are at most `folds` folds, and few
    enough that two classes or more play unseen in each; two or three seen classes play unseen one at a time, and one
    alone gives no fold.
    """
    made = (_fold(train, set(group), seed) for group in validation_groups(train.seen, folds, seed))
    return tuple(fold for fold in made if fold is not None)


def _fold(train: TrainingSet, group: set[str], seed: int) -> Fold | None:
    """Return the fold in which `group` plays unseen, or None where no class has a picture to keep back."""
    seen = tuple(name for name in train.seen if name not in group)
    unseen = tuple(name for name in train.seen if name in group)
    pictures = train.pictures
    counts = dict(zip(train.seen, np.bincount(train.y), strict=True))
    divisible = tuple(name for name in seen if counts[name] > 1)
    if not divisible:
        return None
    assert pictures.labels is not None
    kept = set(Split("", "validation", divisible, unseen).with_holdout(
        pictures.ids, pictures.labels, KEPT_BACK, seed
    ).held_out)  # fmt: skip
    kept_back = np.array([i in kept for i in pictures.ids], np.bool_)
    of_unseen = pictures.label_indices(unseen) >= 0
    return Fold(TrainingSet(pictures.take(~kept_back & ~of_unseen), seen), pictures.take(kept_back | of_unseen), unseen)


def select(
    method: type[AnyMethod],
    train: TrainingSet,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> Choice:
    """Choose options and gamma on seen classes only.

    Args:
        method: the method; its `candidates` are tried.
        train: pictures of the seen classes, without those held out for the test.
        classes: class vectors, or the source that makes them of a training set; only those of the seen classes, and
            only pictures of `train`, are used.
        fixed: options that are given, not chosen.
        folds: number of validation folds, at most.
        seed: of the folds, and of the method where it has one.

    Raises:
        UnknownNameError: a seen class is absent from the table.
        OptionError: a fixed option is unknown or out of range, or the class vectors are all the same.
    """
    source = source_of(classes).within(train)
    tried = option_sets(method, dict(fixed or {}))
    made = validation_folds(train, folds, seed)
    if not made:
        note = "one seen class, or one picture a class: nothing to choose on; the first option set, gamma 0"
        build(method, tried[0], seed)
        return Choice(selection="honest", options=tried[0], gamma=0.0, note=note)
    note = ""
    if all(len(fold.unseen) == 1 for fold in made):
        note = "too few seen classes to choose options on (one plays unseen at a time); gamma is chosen on them"
        tried = tried[:1]
    tables = [source.of(fold.train, train.seen) for fold in made]
    measured = [
        [_measure(build(method, options, seed), *pair) for pair in zip(made, tables, strict=True)] for options in tried
    ]
    means = [float(np.mean([accuracy for accuracy, _ in one])) for one in measured]
    best = int(np.argmax(means))
    gamma, harmonic = choose_gamma([curve for _, curve in measured[best]])
    return Choice(
        selection="honest",
        options=tried[best],
        gamma=gamma,
        harmonic=rounded(harmonic),
        candidates=tuple(
            CandidateRecord(options=options, t1=rounded(mean), t1_folds=tuple(rounded(a) for a, _ in one))
            for options, mean, one in zip(tried, means, measured, strict=True)
        ),
        folds=tuple(
            FoldRecord(
                pseudo_unseen=fold.unseen,
                train_pictures=len(fold.train.pictures),
                validation_pictures=len(fold.validation),
            )
            for fold in made
        ),
        note=note,
    )


def _measure(method: AnyMethod, fold: Fold, table: ClassTable) -> tuple[float, SeenUnseenCurve]:
    """Return T1 among the pseudo-unseen classes, and the curve over all classes of the fold."""
    method.fit(fold.train, table)
    unseen_pictures = fold.validation.of_classes(fold.unseen)
    predicted = method.scores(unseen_pictures, table.select(fold.unseen)).best()
    accuracy = t1(confusion_matrix(unseen_pictures.label_indices(fold.unseen), predicted, len(fold.unseen)))
    scores = method.scores(fold.validation, table)
    is_seen = np.array([name not in fold.unseen for name in table.classes])
    return accuracy, seen_unseen_curve(scores.values, fold.validation.label_indices(table.classes), is_seen)
