"""Choosing temperature and thresholds on seen classes that played unseen; applied by `methods.confidence`.

The folds, fits and scores are those of honest selection. The temperature is the one of least negative log-likelihood,
the threshold for a wanted precision the lowest lead from which on the precision on held-out pictures is sure enough.
Pictures of one class are not independent (a class is mostly named rightly or wrongly as a whole), so the unit of the
bound is the class:

    precision_w(t) = sum_k w_k right_k(t) / (sum_k w_k answered_k(t) + w_0 mean_k answered_k(t) + 1),
    w ~ Dirichlet(1, ..., 1; ALPHA), times the number of classes

of which the 10 % quantile is taken (Rubin 1981, The Bayesian Bootstrap, Annals of Statistics 9). w_0 belongs to a class
that was not met and is answered wrongly, ALPHA of one, and 1 is a picture answered wrongly. Without them, a method that
is right about all held-out classes would be sure of itself, and so would be a threshold that a handful of pictures
pass. The same share of answers, each the rival's, goes into the likelihood of the temperature. Refined scores are
probabilities already; a temperature of so few classes made them worse wherever it was tried, and theirs is 1.

All of it changes with the number of candidates. Sets of several sizes are drawn from the held-out classes, each with
the pictures of its own classes only, and each size gets its thresholds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.evaluation.candidates import build
from zeroscene.evaluation.selection import FOLDS, Fold, FoldMeasure, validation_folds
from zeroscene.evaluation.tables import TableSource, source_of
from zeroscene.methods.confidence import PRECISIONS, Confidence, Kind, Promise, Setting, Thresholds, leads
from zeroscene.methods.contract import Indices, Scores, TrainingSet
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import TransductionOptions, refine
from zeroscene.methods.transduction.space import Labelled
from zeroscene.semantics.table import ClassTable

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ALPHA: Final = 0.1
QUANTILE: Final = 0.1
SIZES: Final = (*range(2, 11), 12, 15, 20, 25, 30, 40, 60, 80, 100)
_DRAWS, _REFINED_DRAWS = 40, 4  # sets of candidates of each size, over all folds
_PICTURES = 20_000  # of a fold that are drawn from
_REFINED_PICTURES = 4000  # of one set; the search for neighbours grows with the square
_WEIGHTINGS, _STEPS = 2000, 200  # of classes; leads that are tried


@dataclass(frozen=True)
class HeldOut:
    """Pictures with known classes and their scores by a method that did not see these classes, or not these pictures.

    Attributes:
        pictures: those of a fold; they are not copied.
        rows: (N,) which of them.
        classes: the C candidates.
        y: (N,) column of each picture's class.
        values: (N, C) scores.
        train: what the method was fitted on; None where it learned nothing.
    """

    pictures: Embeddings
    rows: Indices
    classes: tuple[str, ...]
    y: Indices
    values: Array
    train: TrainingSet | None = None

    @classmethod
    def of(cls, pictures: Embeddings, scores: Scores, train: TrainingSet | None = None) -> Self:
        """Return scored pictures, all of whose classes are candidates."""
        y = pictures.label_indices(scores.classes)
        return cls(pictures, np.arange(len(y)), scores.classes, y, scores.values.astype(np.float64), train)

    def among(self, chosen: Iterable[str]) -> "HeldOut":
        """Return the pictures of the chosen classes, scored among these, in the order of the candidates."""
        wanted = set(chosen)
        columns = [i for i, name in enumerate(self.classes) if name in wanted]
        position = np.full(len(self.classes), -1, np.int64)
        position[columns] = np.arange(len(columns))
        kept = np.flatnonzero(position[self.y] >= 0)
        classes = tuple(self.classes[i] for i in columns)
        y, values = position[self.y[kept]], self.values[kept][:, columns]
        return HeldOut(self.pictures, self.rows[kept], classes, y, values, self.train)

    def thinned(self, most: int, rng: np.random.Generator) -> "HeldOut":
        """Return at most so many pictures, drawn."""
        if len(self.rows) <= most:
            return self
        kept = np.sort(rng.choice(len(self.rows), most, replace=False))
        return HeldOut(self.pictures, self.rows[kept], self.classes, self.y[kept], self.values[kept], self.train)

    def refined(self, options: TransductionOptions, with_training: bool) -> "HeldOut":
        """Return the log-probabilities that the pictures, taken as a set without labels, give each other."""
        labelled = Labelled(self.train.pictures.x, self.train.y) if self.train and with_training else None
        values = refine(self.pictures.x[self.rows], self.values, options, labelled=labelled).values
        return replace(self, values=values.astype(np.float64))


def fit_confidence(
    method: type[AnyMethod],
    options: Mapping[str, Any],
    gamma: float,
    train: TrainingSet,
    classes: ClassTable | TableSource,
    *,
    folds: Sequence[Fold] | None = None,
    measures: Sequence[FoldMeasure] | None = None,
    refinement: TransductionOptions | None = None,
    labelled: bool = False,
    seed: int = 0,
) -> Confidence:
    """Choose temperatures and thresholds on seen classes only.

    Args:
        method: the method.
        options: its options, chosen already.
        gamma: what is subtracted from the scores of seen classes where there are others too, chosen already.
        train: pictures of the seen classes.
        classes: class vectors, or the source that makes them of a training set.
        folds, measures: what honest selection found with these options; the folds are fitted anew without them.
        refinement: choose for refined scores as well, refined in this way; the promise holds for no other.
        labelled: the pictures that the method was fitted on take part in the refinement.
        seed: of the folds, of the sets of candidates, and of the method where it has one.
    """
    source = source_of(classes).within(train)
    folds = validation_folds(train, FOLDS, seed) if folds is None else folds
    if measures is None:
        measures = [_measure(build(method, options, seed), fold, source.of(fold.train, train.seen)) for fold in folds]
    if method.learns:
        new = [_new(fold, measure) for fold, measure in zip(folds, measures, strict=True)]
    else:  # no class is seen in any sense: all of them can be candidates at once
        new = [_everything(build(method, options, seed), train, source.of(train, train.seen))]
    mixed = [_mixed(fold, measure, gamma) for fold, measure in zip(folds, measures, strict=True)]
    kinds: dict[Kind, list[HeldOut]] = {"new": new, "mixed": mixed}
    settings: dict[Kind, Setting] = {}
    for kind, held in kinds.items():
        rng = np.random.default_rng(seed)
        usable = [one.thinned(_PICTURES, rng) for one in held if len(one.classes) > 1]
        if not usable:
            continue
        sizes = SIZES if kind == "new" else ()
        settings[kind] = calibrated(sets_of(usable, sizes, _DRAWS, seed))
        if refinement is not None:
            drawn = sets_of(usable, sizes, _REFINED_DRAWS, seed)
            name: Kind = "new refined" if kind == "new" else "mixed refined"
            settings[name] = calibrated(
                (one.thinned(_REFINED_PICTURES, rng).refined(refinement, labelled) for one in drawn), 1.0
            )
    return Confidence(seen=train.seen, settings=settings, refinement=refinement)


def sets_of(held: Sequence[HeldOut], sizes: Iterable[int], draws: int, seed: int) -> list[HeldOut]:
    """Return each fold with all its candidates, and drawn sets of fewer candidates.

    Args:
        held: folds of one kind.
        sizes: numbers of candidates; those below the smallest fold are drawn.
        draws: sets of each size, over all folds.
        seed: of the draws.
    """
    whole = min(len(one.classes) for one in held)
    found = []
    for fold, one in enumerate(held):
        rng = np.random.default_rng([seed, fold])
        found.append(one.among(rng.permutation(one.classes)[:whole]))
        for _ in range(-(-draws // len(held))):
            order = rng.permutation(one.classes)  # smaller sets are parts of larger ones, so that sizes compare
            found += [one.among(order[:size]) for size in sizes if size < whole]
    return found


def calibrated(sets: Iterable[HeldOut], temperature: float | None = None) -> Setting:
    """Return the temperature, and the thresholds of each number of candidates.

    Args:
        sets: held-out pictures, scored.
        temperature: where it is known; else that of the sets with most candidates.
    """
    by_size: dict[int, list[HeldOut]] = {}
    for one in sets:
        by_size.setdefault(len(one.classes), []).append(one)
    largest = by_size[max(by_size)]
    held_out = tuple(sorted({name for one in largest for name in one.classes}))
    if temperature is None:
        temperature = best_temperature([(one.values, one.y) for one in largest], len(held_out))
    thresholds = []
    for size, members in sorted(by_size.items()):
        lead = np.concatenate([leads(one.values) for one in members]) / temperature
        right = np.concatenate([one.values.argmax(axis=1) == one.y for one in members])
        of = np.concatenate([np.array(one.classes)[one.y] for one in members])
        thresholds.append(thresholds_of(size, lead, right, np.unique(of, return_inverse=True)[1], len(members)))
    pictures = len({one.pictures.ids[row] for one in largest for row in one.rows})
    return Setting(temperature=temperature, classes=held_out, pictures=pictures, thresholds=tuple(thresholds))


def best_temperature(sets: Sequence[tuple[Array, Indices]], classes: int) -> float:
    """Return the T of least negative log-likelihood, with ALPHA of a class more whose pictures go to their rivals.

    Args:
        sets: (N, C) scores and (N,) true columns.
        classes: number of different classes.
    """
    wrong = ALPHA / (classes + ALPHA)
    parts = []
    for values, y in sets:
        z = values - values.mean(axis=1, keepdims=True)
        own = z[np.arange(len(y)), y]
        others = z.copy()
        others[np.arange(len(y)), y] = -np.inf
        parts.append((z, (1 - wrong) * own + wrong * others.max(axis=1)))
    scale = float(np.mean([np.abs(z).mean() for z, _ in parts]))
    if not scale > 0:
        return 1.0

    def loss(log_beta: float) -> float:
        beta = np.exp(log_beta) / scale
        total = 0.0
        for z, target in parts:
            top = beta * z.max(axis=1)
            total += float((top + np.log(np.exp(beta * z - top[:, None]).sum(axis=1)) - beta * target).sum())
        return total

    return float(scale / np.exp(_lowest(loss, np.log(1e-3), np.log(1e4))))


def thresholds_of(candidates: int, lead: Array, right: Mask, of: Indices, sets: int = 1) -> Thresholds:
    """Return what precision which lead can promise.

    Args:
        candidates: number of candidate classes.
        lead: (N,) in logits.
        right: (N,) whether the best class is the true one.
        of: (N,) true class, 0 ... K-1.
        sets: how many sets of candidates they come from; a picture may stand in several.
    """
    order = np.argsort(-lead, kind="stable")
    lead, right, of = lead[order], right[order], of[order]
    last = np.flatnonzero(np.append(lead[1:] < lead[:-1], True))  # equal leads are answered together
    tried = last[np.unique(np.linspace(0, len(last) - 1, min(_STEPS, len(last))).astype(int))]
    classes = int(of.max()) + 1
    cell = np.searchsorted(tried, np.arange(len(lead))) * classes + of
    answered, correct = (
        np.cumsum(np.bincount(cell[rows], minlength=len(tried) * classes).reshape(-1, classes), axis=0)
        for rows in (slice(None), right)
    )
    sure = _sure_precision(answered, correct, sets)
    shares = (tried + 1) / len(lead)
    promises = []
    for precision in PRECISIONS:
        enough = np.flatnonzero(sure >= precision)
        if len(enough):
            k = enough[-1]
            promises.append(
                Promise(
                    precision=precision,
                    lead=float(lead[tried[k]]),
                    coverage=round(float(shares[k]), 6),
                    measured=round(float(correct[k].sum() / answered[k].sum()), 6),
                )
            )
    return Thresholds(candidates=candidates, reachable=round(float(sure.max()), 6), promises=tuple(promises))


def _sure_precision(answered: Indices, correct: Indices, sets: int) -> Array:
    """Return the (T,) quantile of the precision under weightings of the classes, for (T, K) counts over some sets."""
    classes = answered.shape[1]
    shape = np.append(np.ones(classes), ALPHA)
    w = np.random.default_rng(0).dirichlet(shape, size=_WEIGHTINGS) * classes
    total = answered @ w[:, :classes].T + answered.mean(axis=1)[:, None] * w[:, classes] + sets
    return np.asarray(np.quantile(correct @ w[:, :classes].T / total, QUANTILE, axis=1), np.float64)


def _measure(method: AnyMethod, fold: Fold, table: ClassTable) -> FoldMeasure:
    fitted = method.fit(fold.train, table)
    among_unseen = fitted.scores(fold.unseen_pictures, table.select(fold.unseen))
    return FoldMeasure.of(fold, among_unseen, fitted.scores(fold.validation, table))


def _new(fold: Fold, measure: FoldMeasure) -> HeldOut:
    return HeldOut.of(fold.unseen_pictures, measure.among_unseen, fold.train)


def _mixed(fold: Fold, measure: FoldMeasure, gamma: float) -> HeldOut:
    held = HeldOut.of(fold.validation, measure.among_all, fold.train)
    return replace(
        held, values=held.values - np.array([0.0 if name in fold.unseen else gamma for name in held.classes])
    )


def _everything(method: AnyMethod, train: TrainingSet, table: ClassTable) -> HeldOut:
    return HeldOut.of(train.pictures, method.fit(train, table).scores(train.pictures, table))


def _lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Return where a function with one minimum is lowest: a grid, then golden section."""
    grid = np.linspace(low, high, 25)
    k = int(np.argmin([loss(g) for g in grid]))
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(30):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return float((low + high) / 2)
