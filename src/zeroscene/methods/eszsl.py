"""ESZSL: a bilinear compatibility in closed form.

Romera-Paredes and Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015.

With X in R^{d x m} the pictures, Y in {-1, 1}^{m x z} their classes, and S in R^{a x z} the seen class vectors, the
minimiser of |X' V S - Y|^2 + gamma |V S|^2 + lambda |X' V|^2 + gamma lambda |V|^2 is

    V = (X X' + gamma I)^-1  X Y S'  (S S' + lambda I)^-1,

and a picture's class is argmax_c x' V s_c.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from zeroscene import options
from zeroscene.methods.contract import Indices, Matrix, State
from zeroscene.methods.product import ProductMethod
from zeroscene.methods.scaling import ClassScaling, PictureScaling, apply_scaling, fit_scaling
from zeroscene.methods.similarity import fit_length, in_lengths
from zeroscene.vectors import products, unit_rows

Array = npt.NDArray[np.float64]


class ESZSLOptions(options.Options):
    """Options of ESZSL.

    Attributes:
        log_gamma: log10 of gamma in units of the mean eigenvalue of X X' (see `mean_eigenvalue`).
        log_lambda: log10 of lambda in units of the mean eigenvalue of S S'.
        picture_scaling: scaling of picture vectors.
        class_scaling: scaling of class vectors.
    """

    log_gamma: float = Field(1.0, ge=-8, le=8)
    log_lambda: float = Field(0.0, ge=-8, le=8)
    picture_scaling: PictureScaling = "center-l2"
    class_scaling: ClassScaling = "center-l2"


class ESZSL(ProductMethod[ESZSLOptions]):
    """Bilinear compatibility by two ridge regressions, in closed form."""

    name = "eszsl"
    title = "ESZSL"
    reference = (
        "Romera-Paredes and Torr, An embarrassingly simple approach to zero-shot learning, ICML 2015 "
        "(proceedings.mlr.press/v37/romera-paredes15)."
    )
    Options = ESZSLOptions

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return (
            {},
            *({"log_gamma": g, "log_lambda": k} for g in (0.0, 1.0) for k in (-1.0, 0.0, 1.0) if (g, k) != (1.0, 0.0)),
        )

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "x") | fit_scaling(o.class_scaling, phi, "phi")
        phi = apply_scaling(o.class_scaling, state, phi, "phi")
        X = apply_scaling(o.picture_scaling, state, x, "x").T.astype(np.float64)
        S = phi.T.astype(np.float64)
        Y = np.where(y[:, None] == np.arange(S.shape[1]), 1.0, -1.0)
        V = closed_form(X, Y, S, 10**o.log_gamma * mean_eigenvalue(X), 10**o.log_lambda * mean_eigenvalue(S))
        return state | fit_length(phi) | {"V": V.astype(np.float32)}

    def picture_side(self, x: Matrix) -> Matrix:
        """Return (N, A) unit vectors along x' V."""
        x = apply_scaling(self.options.picture_scaling, self.state_, x, "x")
        return unit_rows(products(x, self.state_["V"].T))

    def class_side(self, phi: Matrix) -> Matrix:
        """Return (C, A) scaled class vectors in units of their mean length in `fit`."""
        return in_lengths(apply_scaling(self.options.class_scaling, self.state_, phi, "phi"), self.state_)


def closed_form(X: Array, Y: Array, S: Array, gamma: float, lam: float) -> Array:
    """Return V (d, a) of the closed form.

    Args:
        X: (d, m) pictures.
        Y: (m, z) classes, -1 or 1.
        S: (a, z) class vectors.
        gamma: ridge in the space of pictures, positive.
        lam: ridge in the space of class vectors, positive.
    """
    left = _ridge(X, Y, gamma)
    return _ridge(S, left.T, lam).T


def mean_eigenvalue(M: Array) -> float:
    """Return the mean of those eigenvalues of M M' (p, n) that can differ from 0: trace / min(p, n).

    A ridge in this unit means the same for every encoder, scaling and number of pictures.
    """
    return max(float(np.square(M).sum()) / float(min(M.shape)), 1e-12)


def _ridge(M: Array, T: Array, penalty: float) -> Array:
    """Return (M M' + penalty I)^-1 M T, by the smaller of M M' and M' M."""
    p, n = M.shape
    if p <= n:
        return _solve(M @ M.T, M @ T, penalty)
    return np.asarray(M @ _solve(M.T @ M, T, penalty), np.float64)


def _solve(gram: Array, T: Array, penalty: float) -> Array:
    """Return (gram + penalty I)^-1 T by Cholesky, half the work of a general solve; `gram` is overwritten."""
    gram.flat[:: len(gram) + 1] += penalty
    factor = torch.linalg.cholesky(torch.from_numpy(gram))
    return np.asarray(torch.cholesky_solve(torch.from_numpy(np.ascontiguousarray(T)), factor).numpy(), np.float64)
