"""ALE and DeViSE: a bilinear compatibility F(x, c) = x' W phi(c), trained so that the right class ranks first.

With F_n = F(x_n, y_n) and the violations v_nc = max(0, margin + F(x_n, c) - F_n) of the classes c != y_n,

    DeViSE  (Frome et al., NIPS 2013)     mean_n sum_c v_nc
    ALE     (Akata et al., PAMI 2016)     mean_n l(r_n) / r_n sum_c v_nc,   l(r) = sum_{i <= r} 1 / i,

where r_n counts the classes with v_nc > 0: an upper bound of the rank of the right class, so that errors at the top of
the list weigh most. r_n counts as a constant when the loss is differentiated.

Both papers train with stochastic gradients and draw violating classes at random; here all classes of a picture enter
each step (a few dozen scenes cost nothing) and Adam sets the step sizes. Every gradient is a combination of seen class
vectors, so W = M B' with B an orthonormal basis of their span: nothing is lost, and 384-dimensional sentence vectors
of 16 classes train 16 columns. W starts at 0, and the only randomness is the order of the pictures.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import Field

from zeroscene import options
from zeroscene.methods.contract import Indices, Matrix, State
from zeroscene.methods.product import ProductMethod
from zeroscene.methods.scaling import ClassScaling, PictureScaling, apply_scaling, fit_scaling
from zeroscene.methods.similarity import fit_length, in_lengths
from zeroscene.vectors import products, unit_rows


class DeViSEOptions(options.Options):
    """Options of DeViSE.

    Attributes:
        margin: by how much the right class must lead.
        epochs: passes over the pictures.
        batch: pictures a step.
        learning_rate: of Adam.
        seed: decides the order of the pictures.
        picture_scaling: scaling of picture vectors.
        class_scaling: scaling of class vectors.
    """

    margin: float = Field(0.1, gt=0, le=100)
    epochs: int = Field(20, ge=1, le=10_000)
    batch: int = Field(64, ge=1)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    seed: int = Field(0, ge=0)
    picture_scaling: PictureScaling = "center-l2"
    class_scaling: ClassScaling = "l2"


class ALEOptions(DeViSEOptions):
    """Options of ALE: those of DeViSE, with a margin of 1."""

    margin: float = Field(1.0, gt=0, le=100)


class _Bilinear(ProductMethod[DeViSEOptions]):
    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return ({}, {"epochs": 5}, {"epochs": 80})

    @staticmethod
    @abstractmethod
    def loss(F: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
        """Return the loss of compatibilities F (B, S) for the right classes y (B,)."""

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        o = self.options
        state = fit_scaling(o.picture_scaling, x, "x") | fit_scaling(o.class_scaling, phi, "phi")
        phi = apply_scaling(o.class_scaling, state, phi, "phi")
        basis = _span(phi)
        M = self._train(
            torch.from_numpy(apply_scaling(o.picture_scaling, state, x, "x")),
            torch.from_numpy(y),
            torch.from_numpy(phi @ basis),
        )
        return state | fit_length(phi) | {"W": M.numpy() @ basis.T}

    def _train(self, x: torch.Tensor, y: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
        o = self.options
        order = torch.Generator().manual_seed(o.seed)
        M = torch.zeros(x.shape[1], phi.shape[1], requires_grad=True)
        adam = torch.optim.Adam([M], lr=o.learning_rate, fused=True)
        for _ in range(o.epochs):
            for rows in torch.split(torch.randperm(len(x), generator=order), o.batch):
                adam.zero_grad(set_to_none=True)
                torch.autograd.backward(self.loss(x[rows] @ M @ phi.T, y[rows], o.margin))
                adam.step()
        return M.detach()

    def picture_side(self, x: Matrix) -> Matrix:
        """Return (N, A) unit vectors along x' W."""
        x = apply_scaling(self.options.picture_scaling, self.state_, x, "x")
        return unit_rows(products(x, self.state_["W"].T))

    def class_side(self, phi: Matrix) -> Matrix:
        """Return (C, A) scaled class vectors in units of their mean length in `fit`."""
        return in_lengths(apply_scaling(self.options.class_scaling, self.state_, phi, "phi"), self.state_)


class DeViSE(_Bilinear):
    """Bilinear compatibility with a hinge on every wrong class."""

    name = "devise"
    title = "DeViSE"
    reference = "Frome et al., DeViSE: a deep visual-semantic embedding model, NIPS 2013."
    Options = DeViSEOptions

    @staticmethod
    def loss(F: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
        """Return mean_n sum_c v_nc for compatibilities F (B, S) and right classes y (B,)."""
        return _violations(F, y, margin).sum(dim=1).mean()


class ALE(_Bilinear):
    """Bilinear compatibility with a hinge weighted by the rank of the right class."""

    name = "ale"
    title = "ALE"
    reference = "Akata et al., Label-embedding for image classification, PAMI 2016 (arXiv 1503.08677)."
    Options = ALEOptions

    @staticmethod
    def loss(F: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
        """Return mean_n l(r_n) / r_n sum_c v_nc for compatibilities F (B, S) and right classes y (B,)."""
        violations = _violations(F, y, margin)
        rank = (violations > 0).sum(dim=1)
        harmonic = torch.cumsum(1 / torch.arange(1, F.shape[1] + 1, dtype=F.dtype), dim=0)
        weight = harmonic[(rank - 1).clamp(min=0)] / rank.clamp(min=1)
        return (weight * violations.sum(dim=1)).mean()


def _violations(F: torch.Tensor, y: torch.Tensor, margin: float) -> torch.Tensor:
    """Return v (B, S), 0 at the right class."""
    violations = (margin + F - F.gather(1, y[:, None])).clamp(min=0)
    return violations.scatter(1, y[:, None], 0.0)


def _span(phi: Matrix) -> Matrix:
    """Return an orthonormal basis (A, r) of the span of the class vectors (S, A)."""
    _, sizes, rows = np.linalg.svd(phi, full_matrices=False)
    kept = max(int((sizes > 1e-6 * sizes[0]).sum()), 1)
    return np.ascontiguousarray(rows[:kept].T)
