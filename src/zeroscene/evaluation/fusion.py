"""Honest selection for a fusion: options of the members, their scales and weights, and gamma, on seen classes only.

Folds are those of `selection`. Each member's options are chosen as if it were alone, by T1 on the classes that play
unseen; its scores in the folds are kept, and from then on nothing is fitted. The weights are those of a grid on the
simplex (tenths for up to four members) with the highest mean AUSUC over the folds: the area under the seen/unseen
curve, which needs no gamma and moves with every picture. Weights may be 0; of equals, those with the fewest members
are taken. Then gamma is chosen for the sum as for any method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zeroscene.evaluation.calibration import choose_gamma
from zeroscene.evaluation.results import CandidateRecord, Choice, rounded
from zeroscene.evaluation.selection import (
    FEW_CLASSES,
    FOLDS,
    NO_FOLDS,
    Best,
    Chosen,
    Fold,
    FoldMeasure,
    best_options,
    candidate_record,
    fold_records,
    select_in_folds,
    too_few_classes,
    validation_folds,
)
from zeroscene.evaluation.tables import TableSource, source_of
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.fusion import Fusion, FusionOptions, Member, spread
from zeroscene.methods.registry import AnyMethod, method_class
from zeroscene.semantics.table import ClassTable

Weights = tuple[float, ...]


def choose_in_folds(
    method: type[AnyMethod],
    train: TrainingSet,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> Chosen:
    """Choose options and gamma of any method on seen classes only: `select_in_folds`, or `select_fusion`.

    Args and Raises are those of `selection.select_in_folds`.
    """
    wanted = select_fusion if issubclass(method, Fusion) else select_in_folds
    return wanted(method, train, classes, fixed=fixed, folds=folds, seed=seed)


def select_fusion(
    method: type[AnyMethod],
    train: TrainingSet,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    folds: int = FOLDS,
    seed: int = 0,
) -> Chosen:
    """Choose the options, scales and weights of the members of a fusion, and gamma, on seen classes only.

    Args:
        method: `Fusion`.
        train: pictures of the seen classes, without those held out for the test.
        classes: class vectors, or the source that makes them of a training set; only those of the seen classes, and
            only pictures of `train`, are used.
        fixed: options that are given: the members, with what of them is not to be chosen.
        folds: number of validation folds, at most.
        seed: of the folds and of the members.

    Raises:
        UnknownNameError: a seen class is absent from the table, or the table has no such view.
        OptionError: a fixed option is unknown or out of range, or the class vectors are all the same.
    """
    given = dict(fixed or {})
    method(**given)
    members = FusionOptions.of(given, method.name).members
    source = source_of(classes).within(train)
    made = validation_folds(train, folds, seed)
    if not made:
        return Chosen(Choice(selection="honest", options=given, gamma=0.0, note=NO_FOLDS))
    tables = [source.of(fold.train, train.seen) for fold in made]
    found = [
        best_options(method_class(member.method), made, [member.vectors(t) for t in tables], member.options, seed)
        for member in members
    ]
    scales = [_scale(member, best, len(members)) for member, best in zip(members, found, strict=True)]
    blend = _Blend(made, found, scales)
    fixed_weights = tuple(member.weight for member in members if member.weight is not None)
    few = too_few_classes(made) and not fixed_weights
    tried = [fixed_weights] if fixed_weights else [(1.0,) * len(members)] if few else grid(len(members))
    areas = [blend.area(weights) for weights in tried]
    chosen = tried[int(np.argmax(areas))]
    alone = [tuple(float(i == k) for i in range(len(members))) for k in range(len(members))]
    measures = blend.measures(chosen)
    gamma, harmonic = choose_gamma([measure.curve for measure in measures])
    choice = Choice(
        selection="honest",
        options=_options(given, members, found, scales, chosen),
        gamma=gamma,
        harmonic=rounded(harmonic),
        candidates=tuple(
            candidate_record(_options(given, members, found, scales, weights), blend.measures(weights))
            for weights in dict.fromkeys([*alone, chosen])
        )
        if len(members) > 1
        else _of_one(given, members[0], found[0], scales[0], chosen),
        folds=fold_records(made),
        note=FEW_CLASSES if few else _note(members, chosen, max(areas), [blend.area(weights) for weights in alone]),
    )
    return Chosen(choice, made, tuple(measures))


def grid(members: int) -> list[Weights]:
    """Return the weights that are tried: all shares of a whole, those of the fewest members first.

    Shares are tenths for up to four members, fifths above: at most some hundred sums.
    """
    parts = 10 if members <= 4 else 5
    shares = _divided(parts, members)
    ordered = sorted(shares, key=lambda share: (sum(part > 0 for part in share), tuple(-part for part in share)))
    return [tuple(part / parts for part in share) for share in ordered]


def _divided(whole: int, members: int) -> list[tuple[int, ...]]:
    if members == 1:
        return [(whole,)]
    return [(first, *rest) for first in range(whole + 1) for rest in _divided(whole - first, members - 1)]


@dataclass(frozen=True)
class _Blend:
    """Scores of the members in the folds, and what comes of their weighted sums."""

    made: Sequence[Fold]
    found: Sequence[Best]
    scales: Sequence[float]

    def area(self, weights: Weights) -> float:
        """Return the mean AUSUC over the folds."""
        return float(np.mean([measure.curve.area for measure in self.measures(weights)]))

    def measures(self, weights: Weights) -> list[FoldMeasure]:
        """Return what the sum does in each fold."""
        shares = [weight / scale for weight, scale in zip(weights, self.scales, strict=True)]
        return [
            FoldMeasure.of(
                fold,
                _sum(shares, [best.measures[k].among_unseen for best in self.found]),
                _sum(shares, [best.measures[k].among_all for best in self.found]),
            )
            for k, fold in enumerate(self.made)
        ]


def _sum(shares: Sequence[float], scores: Sequence[Scores]) -> Scores:
    total = np.zeros_like(scores[0].values)
    for share, one in zip(shares, scores, strict=True):
        if share:
            total += np.float32(share) * one.values
    return Scores(scores[0].ids, scores[0].classes, total)


def _scale(member: Member, best: Best, members: int) -> float:
    """Return what a member's scores are divided by: their mean spread in the folds, unless it is given."""
    if member.scale is not None:
        return member.scale
    if members == 1:
        return 1.0
    return float(f"{np.mean([spread(measure.among_all.values) for measure in best.measures]):.4g}")


def _options(
    given: Mapping[str, Any],
    members: Sequence[Member],
    found: Sequence[Best],
    scales: Sequence[float],
    weights: Weights,
) -> dict[str, Any]:
    parts = zip(members, found, scales, weights, strict=True)
    chosen = [
        {"method": member.method, "view": member.view, "options": best.options, "weight": weight, "scale": scale}
        for member, best, scale, weight in parts
    ]
    return {**given, "members": chosen}


def _of_one(
    given: Mapping[str, Any], member: Member, best: Best, scale: float, weights: Weights
) -> tuple[CandidateRecord, ...]:
    """Return the records of all option sets that were tried for the one member."""
    return tuple(
        record.model_copy(
            update={"options": _options(given, [member], [replace(best, options=record.options)], [scale], weights)}
        )
        for record in best.candidates
    )


def _note(members: Sequence[Member], weights: Weights, area: float, alone: Sequence[float]) -> str:
    """Return the weights and what they are worth, in words."""
    if len(members) == 1:
        return ""
    shares = ", ".join(f"{weight:g} {member.label}" for member, weight in zip(members, weights, strict=True))
    best = int(np.argmax(alone))
    return (
        f"weights by AUSUC on seen classes that played unseen: {shares}; AUSUC {100 * area:.1f} %, "
        f"best member alone ({members[best].label}) {100 * alone[best]:.1f} %"
    )
