"""The contrast of pictures and texts: every pair is asked by itself whether the text is true of the picture.

As in SigLIP (Zhai et al., 2023) a pair's logit is scale x cosine + bias, and its loss the logistic one. Two things
differ: a pair is positive when the text's claims hold, whoever the text was written for; and the positives and the
negatives of a text weigh half each, so that a rare fact counts as much as a common one. A second term asks the same of
the token grid through a smooth maximum over tokens, so that some token must answer for what is there.

Shapes in names: B pictures, L texts, P texts of one fact, T tokens, D width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class Judge(nn.Module):
    """Scales and biases that turn cosines into logits; of use in training only.

    Attributes:
        bias: of pictures; their scale is the model's own `logit_scale`.
        grid_log_scale: of tokens.
        grid_bias: of tokens.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(0.0))
        self.grid_log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.grid_bias = nn.Parameter(torch.tensor(0.0))

    def whole(self, log_scale: Tensor, pictures_BD: Tensor, texts_LD: Tensor) -> Tensor:
        """Return the logits of pictures and texts, (B, L)."""
        return log_scale.exp() * pictures_BD @ texts_LD.T + self.bias

    def grid(self, tokens_BTD: Tensor, texts_PD: Tensor) -> Tensor:
        """Return the logits of the best tokens of pictures, (B, P), for texts of one fact."""
        logits_BTP = self.grid_log_scale.exp() * tokens_BTD @ texts_PD.T
        return torch.logsumexp(logits_BTP, dim=1) - math.log(tokens_BTD.shape[1]) + self.grid_bias


def pair_weights(truth_BL: Tensor) -> Tensor:
    """Return (B, L) weights that sum to 1: all texts alike, half on a text's positives and half on its negatives."""
    positive = truth_BL.float()
    negative = 1 - positive
    halves = positive / positive.sum(0).clamp(min=1) + negative / negative.sum(0).clamp(min=1)
    return halves / halves.sum()


def contrast(logits_BL: Tensor, truth_BL: Tensor, weights_BL: Tensor) -> Tensor:
    """Return the weighted logistic loss, a scalar."""
    signed = torch.where(truth_BL, logits_BL, -logits_BL)
    return (weights_BL * softplus(-signed)).sum()
