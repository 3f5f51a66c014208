"""Semantic kernel regression: what a class means predicts where its pictures lie.

Changpinyo, Chao and Sha, "Predicting visual exemplars of unseen classes for zero-shot learning", ICCV 2017
(arXiv 1605.08151), with kernel ridge regression in the place of support vector regression.

With p_s the mean of the scaled pictures of seen class s, p the mean of the p_s, and k a kernel between class vectors,

    K_st = k(phi_s, phi_t),   alpha = (K + ridge I)^-1 (P - p),   p(c) = p + sum_s k(phi_c, phi_s) alpha_s,

and a picture's class is the one whose predicted prototype p(c) is nearest. The rule is one for all classes: a seen
class, too, is represented by its predicted prototype and not by the mean of its pictures. Its score then depends on the
class table only, an edited class vector has its effect, and seen classes get no head start in the generalised setting
beyond what the regression gives them (with ridge -> 0 the two coincide).
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
from zeroscene.vectors import Real, mapped, products, unit_rows

Array = npt.NDArray[np.float64]


class KernelOptions(options.Options):
    """Options of semantic kernel regression.

    Attributes:
        kernel: `rbf`, exp(-|a - b|^2 / 2 h^2), or `linear`, the dot product.
        bandwidth: h in units of the median distance between seen class vectors; `rbf` only.
        ridge: in units of the mean diagonal of K.
        distance: cosine of picture and prototype, or Euclidean distance.
        picture_scaling: scaling of picture vectors.
        class_scaling: scaling of class vectors.
    """

    kernel: Literal["rbf", "linear"] = "rbf"
    bandwidth: float = Field(1.0, gt=0, le=1e3)
    ridge: float = Field(0.3, gt=0, le=1e6)
    distance: Literal["cosine", "euclidean"] = "cosine"
    picture_scaling: PictureScaling = "power"
    class_scaling: ClassScaling = "l2"


class KernelPrototypes(ProductMethod[KernelOptions]):
    """Kernel ridge regression from class vectors to visual prototypes."""

    name = "kernel"
    title = "Semantic kernel regression"
    reference = (
        "Changpinyo, Chao and Sha, Predicting visual exemplars of unseen classes for zero-shot learning, ICCV 2017 "
        "(arXiv 1605.08151); kernel ridge regression in the place of support vector regression."
    )
    Options = KernelOptions

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return (
            {},
            *(
                {"picture_scaling": scaling, "kernel": kernel, "ridge": ridge}
                for scaling in ("power", "center-l2")
                for kernel in ("rbf", "linear")
                for ridge in (0.1, 0.3)
                if (scaling, kernel, ridge) != ("power", "rbf", 0.3)
            ),
        )

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "x") | fit_scaling(o.class_scaling, phi, "phi")
        x = apply_scaling(o.picture_scaling, state, x, "x")
        phi = apply_scaling(o.class_scaling, state, phi, "phi")
        own = class_means(x, y, len(phi))
        centre = own.mean(axis=0)
        unit = self._unit(phi.astype(np.float64))
        K = self._kernel(phi, phi, unit)
        ridge = o.ridge * max(float(np.trace(K)) / len(K), 1e-12)
        alpha = np.linalg.solve(K + ridge * np.eye(len(K)), own - centre)
        counts = np.bincount(y)
        spread = (float(np.square(x).sum(dtype=np.float64)) - float((counts @ np.square(own)).sum())) / len(x)
        return state | {
            "phi": phi,
            "unit": np.array([unit], np.float64),
            "alpha": alpha.astype(np.float32),
            "centre": centre.astype(np.float32),
            "spread": np.array([spread if spread > 0 else 1.0], np.float32),
        }

    def picture_side(self, x: Matrix) -> Matrix:
        """Return (N, D) unit vectors along the scaled pictures; (N, D + 2) x, |x|^2, 1 for Euclidean distances."""
        x = apply_scaling(self.options.picture_scaling, self.state_, x, "x")
        if self.options.distance == "cosine":
            return unit_rows(x)
        return np.hstack([x, (x * x).sum(axis=1, keepdims=True), np.ones((len(x), 1), np.float32)])

    def class_side(self, phi: Matrix) -> Matrix:
        """Return (C, D) unit vectors along the predicted prototypes; (C, D + 2) 2 p, -1, -|p|^2 for -|x - p|^2.

        The distances are in units of the mean squared distance of a training picture from its class mean.
        """
        o, state = self.options, self.state_
        K = self._kernel(apply_scaling(o.class_scaling, state, phi, "phi"), state["phi"], float(state["unit"][0]))
        p = state["centre"] + mapped(K.astype(np.float32), state["alpha"])
        if o.distance == "cosine":
            return unit_rows(p)
        squares = (p * p).sum(axis=1, keepdims=True)
        return np.asarray(np.hstack([2 * p, -np.ones_like(squares), -squares]) / state["spread"], np.float32)

    def _unit(self, phi: Array) -> float:
        """Return h of the rbf kernel, or the mean squared length of class vectors for the linear one."""
        if self.options.kernel == "linear":
            unit = float((phi * phi).sum(axis=1).mean())
        else:
            pairs = np.triu_indices(len(phi), k=1)
            distances = np.sqrt(_squared_distances(phi, phi)[pairs])
            unit = self.options.bandwidth * float(np.median(distances)) if len(distances) else 1.0
        return unit if unit > 0 else 1.0

    def _kernel(self, a: Matrix, b: Matrix, unit: float) -> Array:
        a, b = a.astype(np.float64), b.astype(np.float64)
        if self.options.kernel == "linear":
            return np.asarray(products(b, a).T / unit, np.float64)
        return np.asarray(np.exp(-_squared_distances(b, a).T / (2 * unit**2)), np.float64)


def class_means(x: Matrix, y: Indices, classes: int) -> Array:
    """Return the (S, D) mean picture of each class."""
    indicator = (y[None, :] == np.arange(classes)[:, None]).astype(np.float64)
    return np.asarray(indicator @ x.astype(np.float64) / indicator.sum(axis=1, keepdims=True), np.float64)


def _squared_distances(x: npt.NDArray[Real], classes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    squares = (x * x).sum(axis=1)[:, None] + (classes * classes).sum(axis=1)[None, :] - 2 * products(x, classes)
    return np.asarray(np.maximum(squares, 0))
