"""How projected pictures are compared with class vectors, on a scale that does not depend on the fit.

Calibrated stacking subtracts one gamma, chosen with fewer seen classes, from the scores of a fit with all of them. That
is meaningful only if a score has the same size in both fits, whatever the ridge, the width or the training length.
"""

import numpy as np

from zeroscene.methods.contract import Matrix, State
from zeroscene.vectors import products, unit_rows


def cosine(a: Matrix, b: Matrix) -> Matrix:
    """Return the (N, C) cosines of the rows of (N, A) and (C, A), in [-1, 1]; 0 for a row of zeros."""
    return products(unit_rows(a), unit_rows(b))


def fit_length(phi: Matrix) -> State:
    """Return the mean length of the seen class vectors, the unit of `compatibility`."""
    length = np.linalg.norm(phi, axis=1).mean()
    return {"length": np.array([length if length > 0 else 1.0], np.float32)}


def compatibility(projected: Matrix, phi: Matrix, state: State) -> Matrix:
    """Return (N, C) dot products of pictures and classes, in units of both lengths.

    Each row is divided by the length of its projected picture and by the mean length of the seen class vectors. Both
    are the same for all classes, so the order of the classes is that of the plain dot product `x' W phi(c)`; where all
    class vectors have unit length, this is the cosine.

    Args:
        projected: (N, A) pictures in the space of class vectors, `x' W`.
        phi: (C, A) class vectors.
        state: holds what `fit_length` returned.
    """
    return products(unit_rows(projected), np.asarray(phi / state["length"], np.float32))
