"""SAE: a linear auto-encoder whose code is the class vector.

Kodirov, Xiang and Gong, "Semantic autoencoder for zero-shot learning", CVPR 2017 (arXiv 1704.08345).

With X in R^{d x N} the pictures and S in R^{k x N} the vector of each picture's class, W in R^{k x d} minimises

    |X - W' S|^2 + lambda |W X - S|^2

which is the Sylvester equation A W + W B = C with

    A = S S',   B = lambda X X',   C = (1 + lambda) S X'.

A and B are symmetric: with A = P diag(alpha) P' and X X' = Q diag(beta) Q',

    W = P [ (P' C Q)_ij / (alpha_i + lambda beta_j) ] Q'.

A picture is compared with a class by the cosine of W x and s_c (to-semantic), or of x and W' s_c (to-visual).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import options
from zeroscene.methods.contract import Indices, Matrix, State
from zeroscene.methods.product import ProductMethod
from zeroscene.methods.scaling import ClassScaling, PictureScaling, apply_scaling, fit_scaling
from zeroscene.vectors import mapped, products, unit_rows

Array = npt.NDArray[np.float64]


class SAEOptions(options.Options):
    """Options of SAE.

    Attributes:
        direction: compare in the space of class vectors (`to-semantic`) or of pictures (`to-visual`).
        log_lambda: log10 of lambda in units of trace(S S') / trace(X X'): at 0 the encoder and the decoder weigh alike.
        picture_scaling: scaling of picture vectors.
        class_scaling: scaling of class vectors.
    """

    direction: Literal["to-semantic", "to-visual"] = "to-visual"
    log_lambda: float = Field(0.0, ge=-8, le=8)
    picture_scaling: PictureScaling = "center-l2"
    class_scaling: ClassScaling = "center-l2"


class SAE(ProductMethod[SAEOptions]):
    """Linear auto-encoder with the class vector as its code, by a Sylvester equation."""

    name = "sae"
    title = "SAE"
    reference = "Kodirov, Xiang and Gong, Semantic autoencoder for zero-shot learning, CVPR 2017 (arXiv 1704.08345)."
    Options = SAEOptions

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return (
            {},
            *(
                {"direction": direction, "log_lambda": k}
                for direction in ("to-visual", "to-semantic")
                for k in (-1.0, 0.0, 1.0)
                if (direction, k) != ("to-visual", 0.0)
            ),
        )

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "x") | fit_scaling(o.class_scaling, phi, "phi")
        X = apply_scaling(o.picture_scaling, state, x, "x").T.astype(np.float64)
        S = apply_scaling(o.class_scaling, state, phi, "phi").T.astype(np.float64)[:, y]
        unit = max(float((S * S).sum()), 1e-12) / max(float((X * X).sum()), 1e-12)
        return state | {"W": autoencoder(X, S, 10**o.log_lambda * unit).astype(np.float32)}

    def picture_side(self, x: Matrix) -> Matrix:
        """Return unit vectors along W x (N, k) or x (N, d)."""
        x = apply_scaling(self.options.picture_scaling, self.state_, x, "x")
        return unit_rows(products(x, self.state_["W"]) if self.options.direction == "to-semantic" else x)

    def class_side(self, phi: Matrix) -> Matrix:
        """Return unit vectors along s_c (C, k) or W' s_c (C, d)."""
        phi = apply_scaling(self.options.class_scaling, self.state_, phi, "phi")
        return unit_rows(phi if self.options.direction == "to-semantic" else mapped(phi, self.state_["W"]))


def autoencoder(X: Array, S: Array, lam: float) -> Array:
    """Return W (k, d), the solution of S S' W + W lambda X X' = (1 + lambda) S X'.

    With fewer pictures than dimensions, Q' is written as diag(beta)^-1/2 R' X' with X' X = R diag(beta) R', which
    gives the same W from the smaller eigenvalue problem and divides by no small beta.

    Args:
        X: (d, N) pictures.
        S: (k, N) class vector of each picture.
        lam: weight of the encoder, positive.
    """
    alpha, P = np.linalg.eigh(S @ S.T)
    small = len(X) > X.shape[1]
    beta, Q = np.linalg.eigh(X.T @ X if small else X @ X.T)
    C = (1 + lam) * (P.T @ S) @ (Q if small else X.T @ Q)
    denominator = np.maximum(alpha, 0)[:, None] + lam * np.maximum(beta, 0)
    # Where both eigenvalues vanish, so does C: those directions carry no data, and W is 0 there.
    carried = denominator > 1e-12 * denominator.max()
    inner = np.divide(C, denominator, out=np.zeros_like(C), where=carried)
    return np.asarray(P @ inner @ (Q.T @ X.T if small else Q.T), np.float64)
