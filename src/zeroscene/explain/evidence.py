"""Reasons: what each attribute contributes to a class's score, and what speaks for one class rather than another.

A method that can be explained finds attributes a_b(x) in a picture with each of its branches b and weighs them for
each class c. Its score is

    s_c(x) = sum over branches b and attributes k of a_b(x)_k w_b(c)_k - what calibration subtracts from c

so contributions add up to the score, and "why A and not B?" is the difference of the two classes' contributions,
attribute by attribute. An attribute's strength is told in standard deviations over training pictures, mean over the
branches.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import OptionError
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.net import Looked
from zeroscene.methods.dsva.pictures import require_grids
from zeroscene.methods.registry import AnyMethod, method_class, method_names
from zeroscene.semantics.table import ClassTable

Array = npt.NDArray[np.float32]

_LEAST: Final = 1e-6
"""An attribute that varies less than this over training pictures has no strength."""
_SAID: Final = 4
_DIGITS: Final = 6


@dataclass(frozen=True)
class Reason:
    """One attribute of one picture, and what it does for two classes.

    Attributes:
        attribute: its name.
        group: its group; empty where the table has none.
        strength: how much of it was found, in standard deviations above the mean of training pictures.
        chosen: its contribution to the score of the chosen class.
        other: its contribution to the score of the other class; 0 where there is none.
    """

    attribute: str
    group: str
    strength: float
    chosen: float
    other: float

    @property
    def difference(self) -> float:
        """What it says for the chosen class rather than the other; negative where it speaks against."""
        return self.chosen - self.other

    @property
    def words(self) -> str:
        """The attribute in words: an attribute below the mean speaks by its absence."""
        said = names.words(self.attribute)
        return said if self.strength >= 0 else f"lack of {said}"


@dataclass(frozen=True, eq=False)
class Evidence:
    """Why a picture was given one class rather than another.

    Attributes:
        picture: its id.
        chosen: the class that is explained.
        other: the class that it is compared with; None where there is only one.
        scores: (class, score after calibration) of every candidate, best first.
        reasons: one for each attribute, in the order of the class table.
        calibration: what calibration adds to the difference of the two scores.
        maps_HWA: how much each place shows each attribute, rows from the top; None where the method looks at none.
        class_map_HW: what each place says for the chosen class rather than for the mean of the other candidates: the
            sum over attributes of map times weight; None where the method does not predict by places.
    """

    picture: str
    chosen: str
    other: str | None
    scores: tuple[tuple[str, float], ...]
    reasons: tuple[Reason, ...]
    calibration: float = 0.0
    maps_HWA: Array | None = None
    class_map_HW: Array | None = None

    @property
    def margin(self) -> float:
        """Score of the chosen class less that of the other."""
        return sum(reason.difference for reason in self.reasons) + self.calibration

    def found(self, count: int) -> list[Reason]:
        """Return the attributes that stand out most, strongest first."""
        ranked = sorted(self.reasons, key=lambda r: -r.strength)
        return [reason for reason in ranked[:count] if reason.strength > 0]

    def supporting(self, count: int) -> list[Reason]:
        """Return the reasons that contribute most to the chosen class, greatest first."""
        return [reason for reason in sorted(self.reasons, key=lambda r: -r.chosen)[:count] if reason.chosen > 0]

    def speaking_for(self, count: int) -> list[Reason]:
        """Return what speaks most for the chosen class rather than the other, greatest first."""
        return [r for r in sorted(self.reasons, key=lambda r: -r.difference)[:count] if r.difference > 0]

    def speaking_against(self, count: int) -> list[Reason]:
        """Return what speaks most for the other class, greatest first."""
        return [r for r in sorted(self.reasons, key=lambda r: r.difference)[:count] if r.difference < 0]

    def map(self, attribute: str) -> Array:
        """Return how much each place shows an attribute, (H, W).

        Raises:
            UnknownNameError: there is no such attribute; the nearest are named.
            OptionError: the method was fitted without a branch that looks at places.
        """
        if self.maps_HWA is None:
            raise OptionError("this method was fitted without the local branch (weight_compatibility_local=0): no maps")
        columns = tuple(reason.attribute for reason in self.reasons)
        positions = names.index(columns, "attributes")
        if names.key(attribute) not in positions:
            raise names.unknown([attribute], columns, "attributes")
        return self.maps_HWA[:, :, positions[names.key(attribute)]]

    @property
    def sentence(self) -> str:
        """The reasons in one sentence: `harbor rather than beach: small boats +1.20, piers +0.80; against: sand -0.40`.

        Numbers are differences of contributions to the two scores.
        """
        said = ", ".join(map(_signed, self.speaking_for(_SAID))) or "no attribute speaks for it"
        against = ", ".join(map(_signed, self.speaking_against(_SAID // 2)))
        head = names.words(self.chosen)
        if self.other is not None:
            head += f" rather than {names.words(self.other)}"
        calibrated = f"; calibration {self.calibration:+.2f}" if self.calibration else ""
        return f"{head}: {said}{f'; against: {against}' if against else ''}{calibrated}"

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as a JSON value, without the maps."""
        return {
            "picture": self.picture,
            "class": self.chosen,
            "rather_than": self.other,
            "why": self.sentence,
            "margin": _short(self.margin),
            "calibration": _short(self.calibration),
            "scores": [{"class": name, "score": _short(score)} for name, score in self.scores],
            "attributes": [
                {
                    "attribute": r.attribute,
                    "group": r.group,
                    "strength": _short(r.strength),
                    "contribution": _short(r.chosen),
                    "contribution_other": _short(r.other) if self.other is not None else None,
                    "difference": _short(r.difference),
                }
                for r in self.reasons
            ],
        }


def explainable(method: AnyMethod) -> DSVA:
    """Return the method, if it can give reasons.

    Raises:
        OptionError: it finds no attributes in pictures; those that do are named.
    """
    if isinstance(method, DSVA):
        return method
    able = [name for name in method_names() if method_class(name).reads == "grids"]
    raise OptionError(
        f"{method.name} finds no attributes in the places of a picture, so it has no reasons to show; methods that "
        f"can be explained: {', '.join(able)}"
    )


def explain(
    method: AnyMethod,
    x: Embeddings,
    table: ClassTable,
    *,
    chosen: str | None = None,
    against: str | None = None,
    subtracted: Mapping[str, float] | None = None,
) -> Iterator[Evidence]:
    """Yield the evidence of each picture, in order.

    Args:
        method: a fitted method that can be explained.
        x: N pictures with their token grids.
        table: C candidate classes.
        chosen: the class to explain; None for the best of each picture.
        against: the class to compare with; None, or where it is the chosen one, for the best of the others.
        subtracted: what calibration subtracts from the score of a class, by its name in the table.

    Raises:
        OptionError: the method cannot be explained.
        UnknownNameError: `chosen` or `against` is not in the table; the nearest names are listed.
        EncoderMismatchError, EncoderError, NotFittedError: as for the method's `scores`.
    """
    able = explainable(method)
    ours, theirs = (None if name is None else _position(name, table) for name in (chosen, against))
    able.scores(x.take(np.zeros(0, np.int64)), table)  # refuses pictures and tables of another kind
    require_grids(x)
    penalty_C = np.array([(subtracted or {}).get(name, 0.0) for name in table.classes], np.float32)
    return _evidence(able, x, table, ours, theirs, penalty_C)


def _evidence(
    method: DSVA,
    x: Embeddings,
    table: ClassTable,
    chosen: int | None,
    against: int | None,
    penalty_C: Array,
) -> Iterator[Evidence]:
    weights = {branch: own.numpy() for branch, own in method.class_weights(table).items()}
    lead_CA = lead(weights["local"]) if "local" in weights else None
    groups = table.groups or ("",) * len(table.columns)
    at = 0
    for looked in method.look(x):
        found = {branch: looked.attributes[branch].numpy() for branch in weights}
        values_NC = np.sum([found[b] @ weights[b].T for b in weights], 0) - penalty_C
        strength_NA = strengths(method, looked)
        for row, strength_A in enumerate(strength_NA):
            ranked = np.argsort(-values_NC[row], kind="stable")
            one, other = _pair(ranked, chosen, against)
            ours_A, theirs_A = (
                np.zeros_like(strength_A) if c is None else np.sum([found[b][row] * weights[b][c] for b in weights], 0)
                for c in (one, other)
            )
            columns = zip(table.columns, groups, strength_A, ours_A, theirs_A, strict=True)
            maps_HWA = _grid(looked, row, x)
            yield Evidence(
                x.ids[at],
                table.classes[one],
                None if other is None else table.classes[other],
                tuple((table.classes[c], float(values_NC[row, c])) for c in ranked),
                tuple(Reason(name, group, *map(float, numbers)) for name, group, *numbers in columns),
                float((0.0 if other is None else penalty_C[other]) - penalty_C[one]),
                maps_HWA,
                None if lead_CA is None or maps_HWA is None else maps_HWA @ lead_CA[one],
            )
            at += 1


@torch.no_grad()
def strengths(method: DSVA, looked: Looked) -> Array:
    """Return how much of each attribute was found, (N, A), in standard deviations over training pictures."""
    scaled = []
    for branch in method.predicting:
        mean_A, deviation_A = method.strength_scale(branch)
        varies_A = deviation_A > _LEAST
        away_NA = (looked.attributes[branch] - mean_A) / torch.where(varies_A, deviation_A, 1.0)
        scaled.append(away_NA * varies_A)
    strength_NA: Array = torch.stack(scaled).mean(0).numpy()
    return strength_NA


def lead(of_classes: Array) -> Array:
    """Return by how much each class, a row, leads the mean of the other classes; of one class, its own values."""
    count = len(of_classes)
    ahead: Array = of_classes if count < 2 else (of_classes - of_classes.mean(0)) * np.float32(count / (count - 1))
    return ahead


def _grid(looked: Looked, row: int, x: Embeddings) -> Array | None:
    if looked.maps_NRA is None or x.grids is None:
        return None
    height, width, _ = x.grids.shape
    map_HWA: Array = looked.maps_NRA[row].numpy().reshape(height, width, -1)
    return map_HWA


def _pair(order: npt.NDArray[np.int64], chosen: int | None, against: int | None) -> tuple[int, int | None]:
    """Return the class to explain and the one to compare it with, of classes ordered best first."""
    one = int(order[0]) if chosen is None else chosen
    if against is not None and against != one:
        return one, against
    return one, next((int(c) for c in order if c != one), None)


def _position(name: str, table: ClassTable) -> int:
    if name not in table:
        raise names.unknown([name], table.classes, "classes among the candidates")
    return names.index(table.classes, "class table")[names.key(name)]


def _signed(reason: Reason) -> str:
    return f"{reason.words} {reason.difference:+.2f}"


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
