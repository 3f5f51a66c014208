"""What a class rests on: the attributes that pictures must show for it, and the classes that are near it.

The effect of attribute k on class c is what c's score gains over the mean of the other classes when k is found one
standard deviation (over training pictures) more strongly in every branch that predicts:

    e_ck = sum over branches b of (w_b(c)_k - mean over c' of w_b(c')_k) sigma_bk
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.explain.evidence import explainable
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import unit_rows

Array = npt.NDArray[np.float32]

_APART: Final = 3


@dataclass(frozen=True)
class Weight:
    """What an attribute is worth to a class.

    Attributes:
        attribute: its name.
        group: its group; empty where the table has none.
        value: of the class in its table.
        effect: what the class's score gains over the other classes for one standard deviation more of it.
    """

    attribute: str
    group: str
    value: float
    effect: float


@dataclass(frozen=True)
class Near:
    """A class that rests on much the same.

    Attributes:
        name: the class.
        seen: whether the method was fitted on pictures of it.
        cosine: of the effects of both classes.
        apart: attributes that set the explained class apart from it most, with the difference of the effects.
    """

    name: str
    seen: bool
    cosine: float
    apart: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ClassEvidence:
    """What a class rests on.

    Attributes:
        name: the class.
        seen: whether the method was fitted on pictures of it.
        weights: one for each attribute, strongest effect for the class first.
        near: the other classes, nearest first.
    """

    name: str
    seen: bool
    weights: tuple[Weight, ...]
    near: tuple[Near, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the evidence as a JSON value."""
        return {
            "class": self.name,
            "seen": self.seen,
            "attributes": [
                {"attribute": w.attribute, "group": w.group, "value": round(w.value, 4), "effect": round(w.effect, 6)}
                for w in self.weights
            ],
            "near": [
                {
                    "class": n.name,
                    "seen": n.seen,
                    "cosine": round(n.cosine, 4),
                    "apart": [{"attribute": a, "difference": round(d, 6)} for a, d in n.apart],
                }
                for n in self.near
            ],
        }


def explain_class(method: AnyMethod, table: ClassTable, name: str) -> ClassEvidence:
    """Return what a class rests on, beside the other classes of a table.

    Args:
        method: a fitted method that can be explained.
        table: the class and those it is compared with: seen ones, and other candidates.
        name: the class.

    Raises:
        OptionError: the method cannot be explained, or the table holds no other class.
        UnknownNameError: the class is not in the table; the nearest names are listed.
    """
    able = explainable(method)
    if name not in table:
        raise names.unknown([name], table.classes, "classes in the table")
    if len(table) < 2:
        raise OptionError(f"what {name!r} rests on shows beside other classes; give a table with two or more")
    effects_CA = _effects(method, table)
    unit_CA = unit_rows(effects_CA)
    own = names.index(table.classes, "class table")[names.key(name)]
    seen = {names.key(one) for one in able.require_fitted().seen}
    groups = table.groups or ("",) * len(table.columns)
    order = np.argsort(-effects_CA[own], kind="stable")
    nearest = np.argsort(-(unit_CA @ unit_CA[own]), kind="stable")
    return ClassEvidence(
        table.classes[own],
        names.key(name) in seen,
        tuple(
            Weight(table.columns[k], groups[k], float(table.matrix[own, k]), float(effects_CA[own, k])) for k in order
        ),
        tuple(
            Near(
                table.classes[c],
                names.key(table.classes[c]) in seen,
                float(unit_CA[c] @ unit_CA[own]),
                _apart(effects_CA[own] - effects_CA[c], table.columns),
            )
            for c in nearest
            if c != own
        ),
    )


def _effects(method: AnyMethod, table: ClassTable) -> Array:
    able = explainable(method)
    effects_CA = np.zeros(table.matrix.shape, np.float32)
    for branch, weights_CA in able.class_weights(table).items():
        _, deviation_A = able.strength_scale(branch)
        effects_CA += (weights_CA * deviation_A).numpy()
    others = len(table) / (len(table) - 1)
    centred: Array = (effects_CA - effects_CA.mean(0)) * np.float32(others)
    return centred


def _apart(difference_A: Array, columns: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-np.abs(difference_A), kind="stable")[:_APART]
    return tuple((columns[k], float(difference_A[k])) for k in order)
