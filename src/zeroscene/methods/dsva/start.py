"""Where the weights of DSVA begin: at random, as published; in closed form; or with the words of an image-text model.

With V_S the mean inputs of the pictures of each seen class and Phi the seen class vectors, the closed form is ridge
regression of pictures on class vectors in the space of classes,

    W = Phi^T (Phi Phi^T + lambda I)^-1 V_S,

so that phi(c) W is near the mean of the pictures of c. The words of attribute k, where an image-text model has some,
are its direction in pictures already; each is divided by the deviation of its likeness over the training pictures.

Shapes in names: N pictures, R places, D width, A attributes, S seen classes.
"""

from collections.abc import Sequence
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from zeroscene.methods.dsva.net import Branch, DSVANet, Views
from zeroscene.methods.dsva.pictures import Pictures

Start = Literal["prompts", "ridge", "random"]

_RMS: Final = 0.02
"""Root mean square of weights at the start: Adam's steps are a share of it, whatever the encoder."""
_LOGITS: Final = 2.0
"""Standard deviation of each branch's compatibilities over training pictures and seen classes at the start."""
_LEAST: Final = 1e-6


@torch.no_grad()
def random_start(net: DSVANet, generator: torch.Generator) -> None:
    """Draw weights as the layers of the public implementation do: uniform in +- 1 / sqrt(D)."""
    for weight_AD in net.weight.values():
        bound = weight_AD.shape[1] ** -0.5
        weight_AD.copy_(torch.rand(weight_AD.shape, generator=generator) * 2 * bound - bound)


@torch.no_grad()
def centre(net: DSVANet, pictures: Pictures) -> dict[Branch, Tensor]:
    """Take the mean input of training pictures for each branch's own; returns the centred inputs, (N, D).

    Those of the local branch are the mean of each picture's places.
    """
    given: dict[Branch, Tensor] = {
        "global": pictures.picture_ND,
        "local": pictures.place_ND,
        "focus": pictures.focus_ND,
    }
    inputs: dict[Branch, Tensor] = {}
    for branch in net.branches:
        net.mean[branch].copy_(given[branch].mean(0))
        centred_ND = given[branch] - net.mean[branch]
        inputs[branch] = centred_ND if branch == "local" else F.normalize(centred_ND, dim=1)
    return inputs


@torch.no_grad()
def ridge_start(net: DSVANet, branch: Branch, x_ND: Tensor, y_N: Tensor, phi_SA: Tensor, ridge: float) -> None:
    """Begin a branch in closed form; `ridge` is lambda for class vectors of length 1."""
    own_SD = torch.stack([x_ND[y_N == c].mean(0) for c in range(len(phi_SA))])
    gram_SS = phi_SA @ phi_SA.T + ridge * torch.eye(len(phi_SA))
    weight_AD = phi_SA.T @ torch.linalg.solve(gram_SS, own_SD)
    net.directions(branch).copy_(weight_AD * _RMS / _rms(weight_AD))


@torch.no_grad()
def prompts_start(net: DSVANet, branch: Branch, blocks: Sequence[Views], prompts_AD: Tensor) -> None:
    """Begin a branch with the words for the attributes; an attribute without words begins at nothing."""
    net.directions(branch).copy_(prompts_AD)
    deviation_A = torch.cat([net.found(branch, views)[0] for views in blocks]).std(0)
    known_A = deviation_A > _LEAST
    weight_AD = torch.where(known_A[:, None], prompts_AD / deviation_A.clamp_min(_LEAST)[:, None], 0.0)
    net.directions(branch).copy_(weight_AD * _RMS / _rms(weight_AD[known_A]))


@torch.no_grad()
def level(net: DSVANet, blocks: Sequence[Views], phi_SA: Tensor) -> None:
    """Set biases so that each attribute is 0 on average, and tempers so that no branch outweighs another."""
    looked = [net(views).attributes for views in blocks]
    for branch in net.branches:
        found_NA = torch.cat([attributes[branch] for attributes in looked])
        net.bias[branch].sub_(found_NA.mean(0))
        found_NA.sub_(found_NA.mean(0))
        net.temper[branch].mul_(_LOGITS / net.compatibility(branch, found_NA, phi_SA).std().clamp_min(_LEAST))
        if branch == "local":
            net.spread.copy_(found_NA.square().mean().sqrt().clamp_min(_LEAST))


def _rms(weight: Tensor) -> Tensor:
    return weight.square().mean().sqrt().clamp_min(1e-12)
