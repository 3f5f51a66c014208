"""Muon (Jordan et al., 2024): momentum whose directions all count alike, for the matrices inside a transformer.

The update of a matrix is its momentum with the singular values replaced by ones, found by five Newton-Schulz steps, and
scaled to the size that AdamW's updates have (Liu et al., 2025), so that one learning rate suits both.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

import torch
from torch import Tensor

_MOMENTUM, _STEPS = 0.95, 5
_A, _B, _C = 3.4445, -4.7750, 2.0315
_LIKE_ADAMW = 0.2


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and decoupled weight decay, for parameters of two dimensions.

    Args:
        parameters: matrices.
        lr: learning rate.
        weight_decay: share that a matrix loses in a step, per unit of the learning rate.
        inner: type of the numbers in the Newton-Schulz steps; bfloat16 is precise enough.
        threads: share out the matrices.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float, inner: torch.dtype, threads: Executor
    ):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._inner, self._threads = inner, threads

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Take one step along the gradients that the parameters hold."""
        for group in self.param_groups:
            rate, decay = group["lr"], group["weight_decay"]
            list(self._threads.map(lambda p, r=rate, d=decay: self._update(p, p.grad, r, d), group["params"]))

    @torch.no_grad()
    def _update(self, matrix: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, _MOMENTUM).to(self._inner)).to(matrix.dtype)
        matrix.mul_(1 - rate * decay)
        matrix.add_(update, alpha=-rate * _LIKE_ADAMW * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return a matrix with its singular values near one, the singular vectors kept."""
    x: Tensor = matrix / matrix.norm().clamp(min=1e-12)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(_STEPS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.T if tall else x
