"""How a user wants pictures to be answered, and the calibration that every answer begins with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import TransductionOptions

Vector = npt.NDArray[np.float32]

UNCALIBRATED: Final = (
    "this model turns no scores into probabilities: it was fitted with --no-select, or on too few classes to hold some "
    "out and learn how sure it is; fit it without --no-select, on more classes if need be"
)
UNCHECKED: Final = "probabilities with examples were not checked on other classes"


@dataclass(frozen=True)
class Asking:
    """How pictures are answered.

    Attributes:
        refine: let the set of pictures correct its scores (methods/transduction); None answers each picture alone.
        least: answers of less probability become `none of these`.
        precision: wanted share of right answers; less sure ones become `none of these`.

    Raises:
        OptionError: a number out of range, or both ways to give no answer.
    """

    refine: TransductionOptions | None = None
    least: float | None = None
    precision: float | None = None

    def __post_init__(self) -> None:
        if self.least is not None and self.precision is not None:
            raise OptionError("ask for a least probability or for a precision, not for both")
        for what, value in (("least probability", self.least), ("precision", self.precision)):
            if value is not None and not 0 < value < 1:
                raise OptionError(f"{what} {value:g} does not lie between 0 and 1")


def check_gamma(gamma: float) -> None:
    """Refuse a gamma that no score survives.

    Raises:
        OptionError: it is not finite, or beyond what a score can hold.
    """
    if not abs(gamma) <= float(np.finfo(np.float32).max):
        raise OptionError(
            f"gamma {gamma:g} is no finite number; take the one of the fit, or 0 to leave scores as they are"
        )


def subtracted(method: AnyMethod, classes: Sequence[str], gamma: float) -> Vector:
    """Return what calibration takes from each class: gamma from seen ones where there are others too, else nothing.

    Raises:
        OptionError: gamma is not finite.
    """
    check_gamma(gamma)
    known = {names.key(name) for name in method.require_fitted().seen}
    is_seen = np.array([names.key(name) in known for name in classes])
    if is_seen.all():
        is_seen[:] = False
    return np.where(is_seen, gamma, 0.0).astype(np.float32)
