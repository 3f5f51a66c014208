"""Honest selection of options and gamma: on seen classes only.

The seen classes are divided into groups; in each fold one group plays unseen. The method is fitted on 80 % of the
pictures of the other classes and measured as in the real test: T1 among the pseudo-unseen classes, and the
seen/unseen curve on the kept-back 20 % and the pseudo-unseen pictures. The options with the best mean T1 are taken
(the first of equals), then the gamma with the best mean H for them. Nothing here can reach a test picture: the
arguments do not carry one, and this module knows no type that does. Class vectors that are annotated from pictures are
annotated anew in each fold, from the pictures of its pseudo-seen classes (`tables.TableSource`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.evaluation.calibration import choose_gamma
from zeroscene.evaluation.candidates import build, option_sets
from zeroscene.evaluation.metrics import SeenUnseenCurve, confusion_matrix, seen_unseen_curve, t1
from zeroscene.evaluation.results import CandidateRecord, Choice, FoldRecord, rounded
from zeroscene.evaluation.tables import TableSource, source_of
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.registry import AnyMethod
from zeroscene.scenes.splits import Split, validation_groups
from zeroscene.semantics.table import ClassTable

FOLDS = 4
KEPT_BACK = 0.2
NO_FOLDS = "one seen class, or one picture a class: nothing to choose on; the first option set, gamma 0"
FEW_CLASSES = "too few seen classes to choose options on (one plays unseen at a time); gamma is chosen on them"


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

    @cached_property
    def unseen_pictures(self) -> Embeddings:
        """The validation pictures of the pseudo-unseen classes."""
        return self.validation.of_classes(self.unseen)


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


def select_in_folds(
    method: type[AnyMethod],
    train: TrainingSet,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> "Chosen":
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
    given = dict(fixed or {})
    made = validation_folds(train, folds, seed)
    if not made:
        first = option_sets(method, given)[0]
        build(method, first, seed)
        return Chosen(Choice(selection="honest", options=first, gamma=0.0, note=NO_FOLDS))
    tables = [source.of(fold.train, train.seen) for fold in made]
    best = best_options(method, made, tables, given, seed)
    gamma, harmonic = choose_gamma([measure.curve for measure in best.measures])
    choice = Choice(
        selection="honest",
        options=best.options,
        gamma=gamma,
        harmonic=rounded(harmonic),
        candidates=best.candidates,
        folds=fold_records(made),
        note=FEW_CLASSES if too_few_classes(made) else "",
    )
    return Chosen(choice, made, best.measures)


@dataclass(frozen=True)
class FoldMeasure:
    """What one fitted method does in one fold.

    Attributes:
        among_unseen: scores of the pictures of pseudo-unseen classes among these.
        among_all: scores of the validation pictures among all classes of the fold.
        t1: accuracy of `among_unseen`.
        curve: seen/unseen curve of `among_all`.
    """

    among_unseen: Scores
    among_all: Scores
    t1: float
    curve: SeenUnseenCurve

    @classmethod
    def of(cls, fold: Fold, among_unseen: Scores, among_all: Scores) -> Self:
        """Measure scores against the labels of the fold."""
        y = fold.unseen_pictures.label_indices(fold.unseen)
        is_seen = np.array([name not in fold.unseen for name in among_all.classes])
        return cls(
            among_unseen,
            among_all,
            t1(confusion_matrix(y, among_unseen.best(), len(fold.unseen))),
            seen_unseen_curve(among_all.values, fold.validation.label_indices(among_all.classes), is_seen),
        )


@dataclass(frozen=True)
class Chosen:
    """What was chosen, with the folds and what the chosen method does in each; no folds where there is one class."""

    choice: Choice
    folds: tuple[Fold, ...] = ()
    measures: tuple[FoldMeasure, ...] = ()


@dataclass(frozen=True)
class Best:
    """The option set with the best mean T1 over folds, what it does in each, and the record of all that were tried."""

    options: dict[str, Any]
    measures: tuple[FoldMeasure, ...]
    candidates: tuple[CandidateRecord, ...]


def best_options(
    method: type[AnyMethod], made: Sequence[Fold], tables: Sequence[ClassTable], fixed: Mapping[str, Any], seed: int
) -> Best:
    """Fit every option set of a method once in each fold, and return the best; the first where classes are too few.

    Args:
        method: the method.
        made: one fold or more.
        tables: class vectors of the classes of each fold.
        fixed: options that are given, not chosen.
        seed: of the method where it has one.
    """
    tried = option_sets(method, fixed)
    records: list[CandidateRecord] = []
    best: tuple[float, dict[str, Any], tuple[FoldMeasure, ...]] | None = None
    for options in tried[:1] if too_few_classes(made) else tried:
        measures = tuple(
            _measure(build(method, options, seed), fold, table) for fold, table in zip(made, tables, strict=True)
        )
        mean = float(np.mean([measure.t1 for measure in measures]))
        records.append(candidate_record(options, measures))
        if best is None or mean > best[0]:
            best = mean, options, measures
    assert best is not None
    return Best(best[1], best[2], tuple(records))


def too_few_classes(made: Sequence[Fold]) -> bool:
    """Return whether one class at a time plays unseen: then T1 among those that play unseen says nothing."""
    return all(len(fold.unseen) == 1 for fold in made)


def candidate_record(options: dict[str, Any], measures: Sequence[FoldMeasure]) -> CandidateRecord:
    """Return the record of an option set that was tried in the folds."""
    accuracies = [measure.t1 for measure in measures]
    return CandidateRecord(
        options=options, t1=rounded(float(np.mean(accuracies))), t1_folds=tuple(rounded(a) for a in accuracies)
    )


def fold_records(made: Sequence[Fold]) -> tuple[FoldRecord, ...]:
    """Return the records of the folds."""
    return tuple(
        FoldRecord(
            pseudo_unseen=fold.unseen,
            train_pictures=len(fold.train.pictures),
            validation_pictures=len(fold.validation),
        )
        for fold in made
    )


def _measure(method: AnyMethod, fold: Fold, table: ClassTable) -> FoldMeasure:
    method.fit(fold.train, table)
    among_unseen = method.scores(fold.unseen_pictures, table.select(fold.unseen))
    return FoldMeasure.of(fold, among_unseen, method.scores(fold.validation, table))
