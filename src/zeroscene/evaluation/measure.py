"""Measuring a fitted method on a test set: plain and generalised zero-shot, and pictures to look at."""

from itertools import islice

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import DataFormatError
from zeroscene.evaluation.examples import EXAMPLES, Example, Examples
from zeroscene.evaluation.metrics import (
    Integers,
    Mask,
    SeenUnseenCurve,
    confusion_matrix,
    generalised_best,
    overall_accuracy,
    per_class_accuracy,
    seen_unseen_curve,
    t1,
)
from zeroscene.evaluation.protocol import TestSet
from zeroscene.evaluation.results import (
    CURVE_POINTS,
    GeneralisedResult,
    Point,
    ZeroShotResult,
    named,
    rounded,
)
from zeroscene.methods.contract import Matrix, Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable


def zero_shot(method: AnyMethod, test: TestSet, classes: ClassTable) -> ZeroShotResult:
    """Measure plain zero-shot: pictures of unseen classes, choice among the unseen classes.

    Args:
        method: fitted on every picture of the seen classes (`Trial.train_all`).
        test: the test pictures.
        classes: class vectors; must hold the unseen classes.

    Raises:
        UnknownNameError: an unseen class is absent from the table.
        DataFormatError: a score is not finite.
    """
    return zero_shot_of(unseen_scores(method, test, classes), test)


def generalised_curve(method: AnyMethod, test: TestSet, classes: ClassTable) -> SeenUnseenCurve:
    """Return the exact seen/unseen curve of a method fitted on `Trial.train_generalised`.

    Raises:
        UnknownNameError: a class of the split is absent from the table.
        DataFormatError: a score is not finite.
    """
    return seen_unseen_curve(all_scores(method, test, classes).values, *_truth(test))


def generalised(method: AnyMethod, test: TestSet, classes: ClassTable, gamma: float) -> GeneralisedResult:
    """Measure generalised zero-shot: held-out pictures of seen classes and those of unseen ones, choice among all.

    Args:
        method: fitted without the held-out pictures (`Trial.train_generalised`).
        test: the test pictures.
        classes: class vectors; must hold all classes of the split.
        gamma: what to subtract from the scores of seen classes.

    Raises:
        UnknownNameError: a class of the split is absent from the table.
        DataFormatError: a score is not finite.
    """
    return generalised_of(all_scores(method, test, classes), test, gamma)


def unseen_scores(method: AnyMethod, test: TestSet, classes: ClassTable) -> Scores:
    """Return the scores of the unseen classes' pictures over the unseen classes; arguments as in `zero_shot`.

    Raises:
        UnknownNameError: an unseen class is absent from the table.
        DataFormatError: a score is not finite.
    """
    scores = method.scores(test.unseen_pictures, classes.select(test.unseen))
    _check_finite(scores.values, method.name)
    return scores


def all_scores(method: AnyMethod, test: TestSet, classes: ClassTable) -> Scores:
    """Return scores of all test pictures over all classes, those of seen classes first; arguments as in `generalised`.

    Raises:
        UnknownNameError: a class of the split is absent from the table.
        DataFormatError: a score is not finite.
    """
    table = classes.select(test.seen + test.unseen)
    parts = [method.scores(pictures, table) for pictures in (test.seen_pictures, test.unseen_pictures)]
    values = np.concatenate([part.values for part in parts])
    _check_finite(values, method.name)
    return Scores(parts[0].ids + parts[1].ids, table.classes, values)


def zero_shot_of(scores: Scores, test: TestSet) -> ZeroShotResult:
    """Measure plain zero-shot on what `unseen_scores` gave."""
    y = test.unseen_pictures.label_indices(test.unseen)
    confusion = confusion_matrix(y, scores.best(), len(test.unseen))
    return ZeroShotResult(
        t1=rounded(t1(confusion)),
        overall=rounded(overall_accuracy(confusion)),
        per_class=named(test.unseen, per_class_accuracy(confusion)),
        classes=test.unseen,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        pictures=len(y),
    )


def generalised_of(scores: Scores, test: TestSet, gamma: float) -> GeneralisedResult:
    """Measure generalised zero-shot on what `all_scores` gave, with gamma subtracted from scores of seen classes."""
    values, y, seen = scores.values, *_truth(test)
    curve = seen_unseen_curve(values, y, seen)
    confusion = confusion_matrix(y, generalised_best(values, seen, gamma), len(seen))
    S, U, H = (rounded(v) for v in curve.at(gamma))
    S0, U0, H0 = (rounded(v) for v in curve.at(0.0))
    names = test.seen + test.unseen
    return GeneralisedResult(
        gamma=gamma,
        S=S,
        U=U,
        H=H,
        AUSUC=rounded(curve.area),
        uncalibrated=Point(S=S0, U=U0, H=H0),
        curve=tuple((rounded(s), rounded(u)) for s, u in curve.points(CURVE_POINTS)),
        per_class=named(names, per_class_accuracy(confusion)),
        classes=names,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        pictures_seen=len(test.seen_pictures),
        pictures_unseen=len(test.unseen_pictures),
    )


def pick_examples(scores: Scores, pictures: Embeddings) -> Examples:
    """Return the pictures that the method was surest about, right and wrong: one of each true class, then a second.

    Args:
        scores: of the pictures, one column a candidate class.
        pictures: labelled with candidate classes.
    """
    y = pictures.label_indices(scores.classes)
    predicted = scores.best()
    ranked = np.sort(scores.values.astype(np.float64), axis=1)
    margin = ranked[:, -1] - ranked[:, -2] if ranked.shape[1] > 1 else np.zeros(len(ranked))

    def pick(rows: Integers) -> tuple[Example, ...]:
        surest = sorted(rows.tolist(), key=lambda i: (-margin[i], scores.ids[i]))
        turn: dict[int, int] = {}
        order = []
        for i in surest:
            turn[y[i]] = turn.get(y[i], 0) + 1
            order.append((turn[y[i]], int(y[i]), i))
        return tuple(
            Example(
                id=scores.ids[i],
                true=scores.classes[y[i]],
                predicted=scores.classes[predicted[i]],
                margin=float(np.float32(margin[i])),
            )
            for _, _, i in islice(sorted(order), EXAMPLES)
        )

    right = predicted == y
    return Examples(right=pick(np.flatnonzero(right)), wrong=pick(np.flatnonzero(~right)))


def _truth(test: TestSet) -> tuple[Integers, Mask]:
    """Return the true columns of all test pictures, and which columns are seen classes."""
    order = test.seen + test.unseen
    y = np.concatenate([p.label_indices(order) for p in (test.seen_pictures, test.unseen_pictures)])
    return y, np.arange(len(order)) < len(test.seen)


def _check_finite(values: Matrix, name: str) -> None:
    if not np.isfinite(values).all():
        raise DataFormatError(f"{name} gave a score that is not finite; its fit diverged or its options do not suit")
