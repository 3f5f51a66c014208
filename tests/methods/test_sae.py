"""SAE solves the Sylvester equation of its paper."""

import numpy as np
import pytest

from zeroscene.methods.sae import SAE, autoencoder
from zeroscene.vectors import unit_rows


def problem(d, n, k, classes, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    phi = rng.normal(size=(classes, k))
    return rng.normal(size=(d, n)), phi[y].T, phi, y


@pytest.mark.parametrize(("d", "n"), [(8, 30), (30, 8)], ids=["more pictures", "more dimensions"])
@pytest.mark.parametrize(("k", "classes"), [(3, 5), (9, 5)], ids=["more classes", "more attributes"])
@pytest.mark.parametrize("lam", [0.05, 3.0])
def test_w_satisfies_the_sylvester_equation(d, n, k, classes, lam):
    X, S, _, _ = problem(d, n, k, classes)
    W = autoencoder(X, S, lam)
    np.testing.assert_allclose(S @ S.T @ W + W @ (lam * X @ X.T), (1 + lam) * S @ X.T, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("d", "n"), [(8, 30), (30, 8)])
def test_w_minimises_the_loss_of_encoder_and_decoder(d, n):
    X, S, _, _ = problem(d, n, 3, 5)
    W = autoencoder(X, S, 0.5)

    def loss(W):
        return ((X - W.T @ S) ** 2).sum() + 0.5 * ((W @ X - S) ** 2).sum()

    step = 1e-3 * np.random.default_rng(1).normal(size=W.shape)
    assert loss(W) < min(loss(W + step), loss(W - step))
    assert abs(loss(W + step) - loss(W - step)) < 1e-8


def test_directions_without_data_stay_zero():
    X, S, _, _ = problem(6, 20, 3, 5)
    X[4:] = 0
    np.testing.assert_allclose(autoencoder(X, S, 0.5)[:, 4:], 0, atol=1e-12)


@pytest.mark.parametrize("direction", ["to-semantic", "to-visual"])
def test_scores_are_the_cosines_of_the_paper_in_either_direction(direction):
    X, S, phi, y = problem(6, 40, 3, 5)
    x, phi = X.T.astype(np.float32), phi.astype(np.float32)
    method = SAE(direction=direction, log_lambda=0.3, picture_scaling="none", class_scaling="none")
    method.state_ = method._fit(x, y, phi)
    W = autoencoder(X, S, 10**0.3 * (S**2).sum() / (X**2).sum())
    left, right = (x @ W.T, phi) if direction == "to-semantic" else (x, phi @ W)
    expected = unit_rows(left) @ unit_rows(right).T
    np.testing.assert_allclose(method._scores(x, phi, np.arange(5)), expected, atol=1e-4)
