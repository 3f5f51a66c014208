"""Scaling of picture and class vectors, fitted on seen classes only.

Every kind is `rows((x - offset) * factor)`: a shift and a factor per dimension that are learned from the training
rows, then, for some kinds, each row divided by its own length. `power` and `root-minmax` first take signed square
roots (`power` of unit length), which keeps a few strong activations from deciding every distance (Perronnin et al.,
ECCV 2010).

| kind        | offset | factor    | rows        |
|-------------|--------|-----------|-------------|
| none        | 0      | 1         |             |
| l2          | 0      | 1         | unit length |
| center-l2   | mean   | 1         | unit length |
| power       | mean   | 1         | unit length |
| standard    | mean   | 1 / std   |             |
| minmax      | min    | 1 / range |             |
| root-minmax | min    | 1 / range |             |

A dimension that is constant in the training rows (to a millionth of its size, the rounding of float32) says nothing
about them, so `standard` and `minmax` set it to 0 for all rows, later ones included. Later rows are never clipped:
outside the training range `minmax` leaves [0, 1], which keeps the order of values and the linearity that closed-form
methods rest on.
"""

from typing import Literal

import numpy as np

from zeroscene.methods.contract import Matrix, State
from zeroscene.vectors import unit_rows

PictureScaling = Literal["none", "l2", "center-l2", "power", "standard", "minmax", "root-minmax"]
ClassScaling = Literal["none", "l2", "center-l2"]

_UNIT_ROWS = ("l2", "center-l2", "power")


def fit_scaling(kind: PictureScaling, x: Matrix, prefix: str) -> State:
    """Return the learned arrays of a scaling, ready to be part of a method's state.

    Args:
        kind: one of the kinds above.
        x: (N, D) training rows: pictures of the seen classes, or their class vectors.
        prefix: keeps scalings of one state apart; the keys are `{prefix}.offset` and `{prefix}.factor`.
    """
    x = _rooted(kind, x)
    if kind in ("center-l2", "power"):
        return {f"{prefix}.offset": x.mean(axis=0, dtype=np.float64).astype(np.float32)}
    if kind == "standard":
        offset, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    elif kind in ("minmax", "root-minmax"):
        offset, spread = x.min(axis=0).astype(np.float64), np.ptp(x, axis=0).astype(np.float64)
    else:
        return {}
    rounding = 1e-6 * np.abs(x).max(axis=0).astype(np.float64)
    factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > np.maximum(rounding, 1e-30))
    return {f"{prefix}.offset": offset.astype(np.float32), f"{prefix}.factor": factor.astype(np.float32)}


def apply_scaling(kind: PictureScaling, state: State, x: Matrix, prefix: str) -> Matrix:
    """Return the scaled rows, (N, D) float32; the input is not changed.

    Args:
        kind: the kind given to `fit_scaling`.
        state: holds what `fit_scaling` returned.
        x: (N, D) rows.
        prefix: the prefix given to `fit_scaling`.
    """
    x = _rooted(kind, x)
    if f"{prefix}.offset" in state:
        x = x - state[f"{prefix}.offset"]
    if f"{prefix}.factor" in state:
        x = x * state[f"{prefix}.factor"]
    return unit_rows(x) if kind in _UNIT_ROWS else np.asarray(x, np.float32)


def _rooted(kind: PictureScaling, x: Matrix) -> Matrix:
    if kind not in ("power", "root-minmax"):
        return x
    roots = np.asarray(np.sign(x) * np.sqrt(np.abs(x)), np.float32)
    return unit_rows(roots) if kind == "power" else roots
