"""The contrast of pictures and texts, against plain formulas."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeroscene.training.tiny.loss import Judge, contrast, pair_weights

TRUTHS = arrays(bool, st.tuples(st.integers(2, 6), st.integers(1, 5)))


@given(TRUTHS)
def test_all_texts_weigh_alike_and_their_positives_as_much_as_their_negatives(truth):
    both = truth.any(0) & ~truth.all(0)
    weights = pair_weights(torch.from_numpy(truth)).numpy().astype(float)
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    yes, no = (weights * truth).sum(0), (weights * ~truth).sum(0)
    np.testing.assert_allclose(yes[both], no[both], atol=1e-6)
    if both.any():
        np.testing.assert_allclose(yes[both], yes[both][0], atol=1e-6)


@given(TRUTHS, st.integers(0, 99))
def test_the_loss_is_that_of_independent_yes_and_no_questions(truth, seed):
    logits = torch.randn(truth.shape, generator=torch.Generator().manual_seed(seed))
    weights = pair_weights(torch.from_numpy(truth))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(truth).float(), weight=weights, reduction="sum"
    )
    torch.testing.assert_close(contrast(logits, torch.from_numpy(truth), weights), expected)


def test_the_grid_answers_with_a_smooth_maximum_over_its_tokens():
    judge, one = Judge(), torch.eye(4)
    tokens = torch.stack([one[[0, 1, 1]], one[[1, 1, 1]], one[[0, 0, 0]]])
    with torch.no_grad():
        judge.grid_bias.zero_()
        judge.grid_log_scale.fill_(math.log(20))
        found = judge.grid(tokens, one[:1])[:, 0]
    torch.testing.assert_close(found, torch.tensor([20 - math.log(3), 0.0, 20.0]), atol=1e-4, rtol=0)
