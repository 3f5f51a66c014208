"""A linear softmax classifier trained with Adam on small batches; gradients are written out, so a step is cheap."""

import torch
from torch import Tensor

_BETA1, _BETA2, _EPSILON = 0.5, 0.999, 1e-8


@torch.no_grad()
def fit_softmax(
    x_NL: Tensor, y_N: Tensor, classes: int, *, epochs: int, learning_rate: float, batch: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Return weight (C, L) and bias (C,) that minimise the mean cross-entropy of softmax(W x + b).

    Args:
        x_NL: (N, L) float32 rows.
        y_N: (N,) class of each row.
        classes: C.
        epochs: passes over the rows, in a new seeded order each.
        learning_rate: of Adam (beta1 0.5, beta2 0.999), as in CADA-VAE's and MCFA's classifier.
        batch: rows a step.
        seed: of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    ones = torch.ones(len(x_NL), 1)
    x = torch.cat([x_NL, ones], dim=1)
    target = torch.nn.functional.one_hot(y_N, classes).float()
    weight = torch.zeros(classes, x.shape[1])
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    step = 0
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for rows in torch.split(order, batch):
            step += 1
            xb = x[rows]
            gradient = (torch.softmax(xb @ weight.T, dim=1) - target[rows]).T @ xb / len(rows)
            first.lerp_(gradient, 1 - _BETA1)
            second.lerp_(gradient.square(), 1 - _BETA2)
            rate = learning_rate * (1 - _BETA2**step) ** 0.5 / (1 - _BETA1**step)
            weight.addcdiv_(first, second.sqrt().add_(_EPSILON), value=-rate)
    return weight[:, :-1].contiguous(), weight[:, -1].contiguous()
