"""ConSE: a convex combination of the class vectors that a classifier of seen classes believes in.

Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014 (arXiv 1312.5650).

With p(s | x) a softmax classifier of the seen classes and s_1 ... s_T its T most probable ones for x,

    f(x) = 1 / Z  sum_{t <= T} p(s_t | x) phi(s_t),   Z = sum_{t <= T} p(s_t | x),

and the score of a class is the cosine of f(x) and phi(c). The classifier is linear, with a ridge on its weights; its
loss is convex and is minimised by L-BFGS from 0, so that nothing is random.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from zeroscene import options
from zeroscene.methods.contract import Indices, Matrix, State
from zeroscene.methods.product import ProductMethod
from zeroscene.methods.scaling import ClassScaling, PictureScaling, apply_scaling, fit_scaling
from zeroscene.vectors import products, unit_rows


class ConSEOptions(options.Options):
    """Options of ConSE.

    Attributes:
        top: T, how many seen classes are combined; all of them where there are fewer.
        log_ridge: log10 of the ridge, in units of the mean squared length of a picture vector.
        picture_scaling: scaling of picture vectors.
        class_scaling: scaling of class vectors.
    """

    top: int = Field(10, ge=1)
    log_ridge: float = Field(-3.0, ge=-8, le=8)
    picture_scaling: PictureScaling = "l2"
    class_scaling: ClassScaling = "center-l2"


class ConSE(ProductMethod[ConSEOptions]):
    """Convex combination of seen class vectors, weighted by a softmax classifier."""

    name = "conse"
    title = "ConSE"
    reference = (
        "Norouzi et al., Zero-shot learning by convex combination of semantic embeddings, ICLR 2014 (arXiv 1312.5650)."
    )
    Options = ConSEOptions

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return ({}, {"log_ridge": -4.0}, {"log_ridge": -2.0}, {"log_ridge": -1.0})

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "x") | fit_scaling(o.class_scaling, phi, "phi")
        x = apply_scaling(o.picture_scaling, state, x, "x")
        # Pictures of unit mean squared length give the ridge its unit and L-BFGS a well-scaled problem.
        length = np.float32(max(float((x.astype(np.float64) ** 2).sum(axis=1).mean()), 1e-12) ** 0.5)
        weight, bias = softmax_classifier(x / length, y, len(phi), 10**o.log_ridge)
        return state | {
            "weight": weight / length,
            "bias": bias,
            "phi": apply_scaling(o.class_scaling, state, phi, "phi"),
        }

    def picture_side(self, x: Matrix) -> Matrix:
        """Return (N, A) unit vectors along f(x)."""
        o, state = self.options, self.state_
        logits = products(apply_scaling(o.picture_scaling, state, x, "x"), state["weight"]) + state["bias"]
        return unit_rows(convex_combination(logits, state["phi"], o.top))

    def class_side(self, phi: Matrix) -> Matrix:
        """Return (C, A) unit vectors along the scaled class vectors."""
        return unit_rows(apply_scaling(self.options.class_scaling, self.state_, phi, "phi"))


def softmax_classifier(x: Matrix, y: Indices, classes: int, ridge: float) -> tuple[Matrix, Matrix]:
    """Return weight (S, D) and bias (S,) that minimise mean cross-entropy + ridge / 2 |weight|^2.

    Args:
        x: (N, D) pictures.
        y: (N,) classes, 0 ... S-1.
        classes: S.
        ridge: positive.
    """
    pictures, labels = torch.from_numpy(x), torch.from_numpy(y)
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    lbfgs = torch.optim.LBFGS([weight, bias], max_iter=100, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> float:
        lbfgs.zero_grad()
        loss = cross_entropy(pictures @ weight.T + bias, labels) + ridge / 2 * weight.square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    lbfgs.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach().numpy(), bias.detach().numpy()


def convex_combination(logits: Matrix, phi: Matrix, top: int) -> Matrix:
    """Return f(x) (N, A): class vectors phi (S, A) weighted by the `top` largest softmax probabilities of each row.

    Args:
        logits: (N, S) outputs of the classifier.
        phi: (S, A) class vectors.
        top: T.
    """
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, best, np.take_along_axis(probabilities, best, axis=1), axis=1)
    return products(kept / kept.sum(axis=1, keepdims=True), phi.T)
