"""The losses of DSVA (Xu et al. 2023, section 3.4), each a mean over the pictures of an episode.

    semantic compatibility   cross-entropy of softmax over classes of a(x) . phi(c), at the class of x
    semantic regression      |a(x) - phi(y)|^2: mean over attributes as published, else of both at length 1, their sum
    concentration            sum over attributes k and places p of sigmoid(M_k[p]) * |p - peak of M_k|^2
    group lasso              sum over attributes of the length of their weights

The public implementation takes the cross-entropy of a softmax as if it were logits: a second softmax, under which the
first value is near ln S a branch whatever the weights are, and the gradient almost nothing (`double_softmax`).

Shapes in names: N pictures, R places, A attributes, S seen classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from zeroscene.methods.dsva.net import Branch, DSVANet, Looked


@dataclass(frozen=True)
class Terms:
    """The terms of a step, unweighted; weights go by the same names.

    Attributes:
        compatibility_global: of the global branch, to which the focus branch's compatibilities are added.
        compatibility_local, regression_global, regression_local, concentration, lasso: as above.
    """

    compatibility_global: Tensor
    compatibility_local: Tensor
    regression_global: Tensor
    regression_local: Tensor
    concentration: Tensor
    lasso: Tensor

    def weighted(self, weights: Mapping[str, float]) -> Tensor:
        """Return the loss: the terms that have a weight, weighted and summed."""
        return torch.stack([getattr(self, name) * weight for name, weight in weights.items() if weight]).sum()

    def values(self) -> dict[str, float]:
        """Return the terms as numbers, for progress and logs."""
        return {f.name: float(getattr(self, f.name).detach()) for f in fields(self)}


TERMS: Final = tuple(f.name for f in fields(Terms))


def terms(
    net: DSVANet,
    looked: Looked,
    phi_SA: Tensor,
    y_N: Tensor,
    grid: tuple[int, int],
    weights: Mapping[str, float],
    double_softmax: bool = False,
) -> Terms:
    """Return the terms of one step; one without a weight is 0.

    Args:
        net: gives compatibilities and weights.
        looked: what its branches found in the pictures.
        phi_SA: class vectors of the seen classes, as the net takes them.
        y_N: class of each picture.
        grid: (H, W) with H W = R.
        weights: of the terms, by name.
        double_softmax: as published.
    """
    zero = phi_SA.new_zeros(())

    def compatibility(*branches: Branch) -> Tensor:
        present = [b for b in branches if b in looked.attributes]
        logits_NS = torch.stack([net.compatibility(b, looked.attributes[b], phi_SA) for b in present]).sum(0)
        return F.cross_entropy(logits_NS.softmax(1) if double_softmax else logits_NS, y_N)

    def regression(attributes_NA: Tensor) -> Tensor:
        if not net.cosine:
            return F.mse_loss(attributes_NA, phi_SA[y_N])
        return (F.normalize(attributes_NA, dim=1) - F.normalize(phi_SA[y_N], dim=1)).square().sum(1).mean()

    found, wanted = looked.attributes, {name for name, weight in weights.items() if weight}
    has_local, maps_NRA = "local" in found, looked.maps_NRA
    return Terms(
        compatibility("global", "focus") if "compatibility_global" in wanted else zero,
        compatibility("local") if "compatibility_local" in wanted and has_local else zero,
        regression(found["global"]) if "regression_global" in wanted and "global" in found else zero,
        regression(found["local"]) if "regression_local" in wanted and has_local else zero,
        concentration(maps_NRA / net.spread, grid) if "concentration" in wanted and maps_NRA is not None else zero,
        torch.stack([w.norm(dim=1).sum() for w in net.weight.values()]).sum() if "lasso" in wanted else zero,
    )


def concentration(maps_NRA: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return how far from its peak each attribute is found, a mean over pictures of the sum over attributes."""
    distance_RR = squared_distances(grid, maps_NRA.device)
    peaks_NA = maps_NRA.detach().argmax(1)
    return torch.einsum("nra,nar->n", maps_NRA.sigmoid(), distance_RR[peaks_NA]).mean()


def squared_distances(grid: tuple[int, int], device: torch.device) -> Tensor:
    """Return squared grid distances between all places, (R, R)."""
    height, width = grid
    rows = torch.arange(height, device=device).repeat_interleave(width)
    columns = torch.arange(width, device=device).repeat(height)
    return ((rows[:, None] - rows).square() + (columns[:, None] - columns).square()).float()
