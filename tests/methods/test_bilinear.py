"""The ranking losses equal direct double loops, and training does what the papers say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.methods.bilinear import ALE, DeViSE, _span

seeds = st.integers(0, 2**16)


def draw(seed, pictures=7, classes=5):
    rng = np.random.default_rng(seed)
    F = torch.from_numpy(rng.normal(size=(pictures, classes)))
    return F, torch.from_numpy(rng.integers(0, classes, pictures))


def by_loops(F, y, margin, weigh):
    total = 0.0
    for scores, right in zip(F.tolist(), y.tolist(), strict=True):
        violations = [max(0.0, margin + s - scores[right]) for c, s in enumerate(scores) if c != right]
        rank = sum(v > 0 for v in violations)
        total += sum(violations) * (weigh(rank) if rank else 0.0)
    return total / len(F)


@given(seed=seeds, margin=st.floats(0.01, 3))
def test_devise_loss_equals_the_double_loop(seed, margin):
    F, y = draw(seed)
    assert DeViSE.loss(F, y, margin).item() == pytest.approx(by_loops(F, y, margin, lambda rank: 1.0))


@given(seed=seeds, margin=st.floats(0.01, 3))
def test_ale_loss_equals_the_double_loop_with_weighted_approximate_ranking(seed, margin):
    F, y = draw(seed)
    expected = by_loops(F, y, margin, lambda rank: sum(1 / i for i in range(1, rank + 1)) / rank)
    assert ALE.loss(F, y, margin).item() == pytest.approx(expected)


@pytest.mark.parametrize("method", [DeViSE, ALE])
def test_a_loss_is_zero_where_every_picture_leads_by_the_margin(method):
    F = 2.0 * torch.eye(4)
    assert method.loss(F, torch.arange(4), 1.9).item() == 0.0


def test_ale_weighs_a_second_violation_less_than_a_first():
    y = torch.tensor([0])
    one = ALE.loss(torch.tensor([[0.0, 0.0, -9.0]]), y, 1.0).item()
    two = ALE.loss(torch.tensor([[0.0, 0.0, 0.0]]), y, 1.0).item()
    assert (one, two) == (pytest.approx(1.0), pytest.approx(1.5))
    assert DeViSE.loss(torch.tensor([[0.0, 0.0, 0.0]]), y, 1.0).item() == pytest.approx(2.0)


def test_the_basis_spans_the_class_vectors_and_no_more():
    phi = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    phi = np.vstack([phi, phi[0] + phi[1]])
    basis = _span(phi)
    assert basis.shape == (9, 4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(phi @ basis @ basis.T, phi, atol=1e-5)


def separable(seed=0):
    rng = np.random.default_rng(seed)
    phi = rng.normal(size=(6, 4)).astype(np.float32)
    y = np.repeat(np.arange(6), 10)
    x = phi[y] @ rng.normal(size=(4, 12)) + 0.05 * rng.normal(size=(60, 12))
    return x.astype(np.float32), y, phi


@pytest.mark.parametrize("method", [DeViSE, ALE])
def test_training_lowers_the_loss_of_the_training_pictures_towards_zero(method):
    x, y, phi = separable()
    options = {"picture_scaling": "none", "class_scaling": "none", "learning_rate": 0.01}

    def loss(epochs):
        W = method(epochs=epochs, **options)._fit(x, y, phi)["W"]
        return method.loss(torch.from_numpy(x @ W @ phi.T), torch.from_numpy(y), method().options.margin).item()

    untrained = method.loss(torch.zeros(60, 6), torch.from_numpy(y), method().options.margin).item()
    assert loss(100) < loss(1) < untrained
    assert loss(100) < 0.05 * untrained


@pytest.mark.parametrize("method", [DeViSE, ALE])
def test_the_seed_decides_the_result(method):
    x, y, phi = separable()
    first, again, other = (method(seed=seed, epochs=3, batch=8)._fit(x, y, phi)["W"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", [DeViSE, ALE])
def test_scores_are_cosines_where_class_vectors_have_unit_length(method):
    x, y, phi = separable()
    fitted = method(epochs=3)
    fitted.state_ = fitted._fit(x, y, phi)
    values = fitted._scores(x, phi, np.arange(6))
    assert np.abs(values).max() <= 1 + 1e-6
    projected = (x - x.mean(axis=0)) @ fitted.state_["W"]
    lengths = np.linalg.norm(projected, axis=1)[:, None] * np.linalg.norm(phi, axis=1)
    np.testing.assert_allclose(values, projected @ phi.T / lengths, atol=1e-5)
