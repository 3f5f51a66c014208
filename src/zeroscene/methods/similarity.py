"""Class vectors on a scale that does not depend on the fit.

Calibrated stacking subtracts one gamma, chosen with fewer seen classes, from the scores of a fit with all of them. That
is meaningful only if a score has the same size in both fits, whatever the ridge, the width or the training length. A
bilinear method therefore takes the dot product in units of both lengths: those of each projected picture, and the mean
length of the seen class vectors. Both are the same for all classes, so the order of the classes is that of the plain
dot product `x' W phi(c)`; where all class vectors have unit length, the score is the cosine.
"""

import numpy as np

from zeroscene.methods.contract import Matrix, State


def fit_length(phi: Matrix) -> State:
    """Return the mean length of the seen class vectors, the unit of `in_lengths`."""
    length = np.linalg.norm(phi, axis=1).mean()
    return {"length": np.array([length if length > 0 else 1.0], np.float32)}


def in_lengths(phi: Matrix, state: State) -> Matrix:
    """Return class vectors (C, A) in units of the mean length of the seen ones.

    Args:
        phi: (C, A) class vectors.
        state: holds what `fit_length` returned.
    """
    return np.asarray(phi / state["length"], np.float32)
