"""The branches of DSVA over one token grid (Xu et al. 2023, section 3.3).

    global   a(x)   = W v(x), v the vector of the whole picture
    local    M_k[p] = prototype of attribute k at place p, a 1 x 1 convolution: the attention map of k
             a(x)_k = max over places p of M_k[p]
    focus    a(x)   = W' f(x), f the greatest value of each feature over the places of a crop, or of the whole picture

Shapes in names: N pictures, R places, D width, A attributes, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Branch = Literal["global", "local", "focus"]
BRANCHES: Final[tuple[Branch, ...]] = ("global", "local", "focus")

Inputs = Literal["centred", "power", "layernorm"]
INPUTS: Final[tuple[Inputs, ...]] = ("centred", "power", "layernorm")
_TINY: Final = 1e-12
"""Keeps the gradient of a root finite at 0, where a convolutional network's activations often are."""


@dataclass(frozen=True)
class Views:
    """What the branches are given of N pictures, as `DSVANet.views` makes it.

    Attributes:
        picture_ND: vector of the whole picture.
        tokens_NRD: its token grid; None where nobody asks the local branch.
        focus_ND: the greatest value of each feature over the places of the crop, or of the whole picture.
    """

    picture_ND: Tensor
    tokens_NRD: Tensor | None
    focus_ND: Tensor

    def of(self, branch: Branch) -> Tensor:
        """Return what a branch is given: (N, D), and (N, R, D) for the local one."""
        given = {"global": self.picture_ND, "local": self.tokens_NRD, "focus": self.focus_ND}[branch]
        assert given is not None
        return given


@dataclass(frozen=True)
class Looked:
    """What the branches find in N pictures.

    Attributes:
        attributes: (N, A) of each branch.
        maps_NRA: M, how much each place shows each attribute; None without a local branch.
    """

    attributes: dict[Branch, Tensor]
    maps_NRA: Tensor | None


class DSVANet(nn.Module):
    """Attribute directions of each branch, and what brings its input to them.

    Inputs are `centred`: brought to length 1 and the training mean taken off; `power`: the same after signed roots,
    which level the long tail of a convolutional network's activations; or as published: `layernorm`, where tokens stay
    as they are, the mean token goes through LayerNorm, and a crop goes the way of the picture.

    With `cosine`, class vectors are of length 1, and the compatibility of a picture and a class is divided by the
    length of the class's own direction W^T phi(c), so that no class wins by length.
    """

    def __init__(self, width: int, attributes: int, branches: Sequence[Branch], inputs: Inputs, cosine: bool) -> None:
        super().__init__()
        self.branches, self.inputs, self.cosine = tuple(branches), inputs, cosine
        own = [branch for branch in self.branches if branch != "focus" or inputs != "layernorm"]
        self.weight = nn.ParameterDict({branch: nn.Parameter(torch.zeros(attributes, width)) for branch in own})
        self.bias = nn.ParameterDict({branch: nn.Parameter(torch.zeros(attributes)) for branch in own})
        self.norm = nn.LayerNorm(width) if inputs == "layernorm" else None
        self.mean = nn.ParameterDict({b: nn.Parameter(torch.zeros(width), requires_grad=False) for b in own})
        self.temper = nn.ParameterDict({b: nn.Parameter(torch.ones(()), requires_grad=False) for b in BRANCHES})
        self.spread = nn.Parameter(torch.ones(()), requires_grad=False)
        self.class_mean = nn.Parameter(torch.zeros(attributes), requires_grad=False)

    def class_vectors(self, phi_CA: Tensor) -> Tensor:
        """Return class vectors as the branches take them, (C, A)."""
        return F.normalize(phi_CA - self.class_mean, dim=1) if self.cosine else phi_CA

    def layer(self, branch: Branch) -> Branch:
        """Return the branch whose weights a branch uses: as published, the crop goes through the global one's."""
        return "global" if branch == "focus" and self.inputs == "layernorm" else branch

    def directions(self, branch: Branch) -> Tensor:
        """Return the attribute directions of a branch, (A, D)."""
        weight_AD: Tensor = self.weight[self.layer(branch)]
        return weight_AD

    def views(self, picture_ND: Tensor, tokens_NRD: Tensor, crop_NRD: Tensor | None = None) -> Views:
        """Return what the branches are given of pictures.

        Args:
            picture_ND: vector of each picture.
            tokens_NRD: its token grid.
            crop_NRD: token grid of the crop that is focused on; None to focus on the whole picture.
        """
        tokens = self.common(tokens_NRD)
        focus = tokens if crop_NRD is None else self.common(crop_NRD)
        return Views(self.common(picture_ND), tokens, focus.amax(1))

    def common(self, x: Tensor) -> Tensor:
        """Return vectors brought to what all pictures have in common: their length, and for `power` their tail."""
        if self.inputs == "layernorm":
            return x
        return F.normalize(x.abs().add(_TINY).sqrt().copysign(x) if self.inputs == "power" else x, dim=-1)

    def input(self, branch: Branch, views: Views) -> Tensor:
        """Return the input of a branch, (N, D), and (N, R, D) for the local one."""
        x = views.of(branch)
        if self.norm is not None:
            normed: Tensor = x if branch == "local" else self.norm(x)
            return normed
        x = x - self.mean[branch]
        return x if branch == "local" else F.normalize(x, dim=-1)

    def found(self, branch: Branch, views: Views) -> tuple[Tensor, Tensor | None]:
        """Return what a branch finds: attributes (N, A), and the local one's maps (N, R, A)."""
        layer = self.layer(branch)
        found = F.linear(self.input(branch, views), self.weight[layer], self.bias[layer])
        return (found.amax(1), found) if branch == "local" else (found, None)

    def forward(self, views: Views) -> Looked:
        """Return what the branches find, the local one where it is given tokens."""
        attributes: dict[Branch, Tensor] = {}
        maps_NRA = None
        for branch in self.branches:
            if branch == "local" and views.tokens_NRD is None:
                continue
            attributes[branch], maps = self.found(branch, views)
            maps_NRA = maps if branch == "local" else maps_NRA
        return Looked(attributes, maps_NRA)

    def class_weights(self, branch: Branch, phi_CA: Tensor) -> Tensor:
        """Return what attributes weigh for each class, (C, A): phi(c), tempered, by the length of its direction."""
        weights_CA: Tensor = phi_CA * self.temper[branch]
        if not self.cosine:
            return weights_CA
        length_C1: Tensor = (phi_CA @ self.directions(branch)).norm(dim=1, keepdim=True)
        return weights_CA / length_C1.clamp_min(1e-12)

    def compatibility(self, branch: Branch, attributes_NA: Tensor, phi_CA: Tensor) -> Tensor:
        """Return a(x) . phi(c), (N, C)."""
        compatible_NC: Tensor = attributes_NA @ self.class_weights(branch, phi_CA).T
        return compatible_NC
