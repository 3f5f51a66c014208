"""ESZSL equals the formula of its paper, whichever of its two Gram matrices is the smaller."""

import numpy as np
import pytest

from zeroscene.methods.eszsl import ESZSL, closed_form, mean_eigenvalue


def problem(d, m, a, z, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(z), rng.integers(0, z, m - z)])
    return rng.normal(size=(d, m)), np.where(y[:, None] == np.arange(z), 1.0, -1.0), rng.normal(size=(a, z)), y


def literal(X, Y, S, gamma, lam):
    d, a = len(X), len(S)
    return np.linalg.inv(X @ X.T + gamma * np.eye(d)) @ X @ Y @ S.T @ np.linalg.inv(S @ S.T + lam * np.eye(a))


@pytest.mark.parametrize(("d", "m"), [(7, 30), (30, 7)], ids=["more pictures", "more dimensions"])
@pytest.mark.parametrize(("a", "z"), [(3, 5), (9, 5)], ids=["more classes", "more attributes"])
def test_closed_form_equals_the_paper(d, m, a, z):
    X, Y, S, _ = problem(d, m, a, z)
    np.testing.assert_allclose(closed_form(X, Y, S, 0.3, 0.7), literal(X, Y, S, 0.3, 0.7), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("d", "m"), [(7, 30), (30, 7)])
def test_closed_form_is_where_the_gradient_of_the_paper_s_objective_vanishes(d, m):
    X, Y, S, _ = problem(d, m, 4, 5)
    gamma, lam = 0.3, 0.7

    def objective(V):
        parts = (X.T @ V @ S - Y, gamma**0.5 * V @ S, lam**0.5 * X.T @ V, (gamma * lam) ** 0.5 * V)
        return sum((part**2).sum() for part in parts)

    V = closed_form(X, Y, S, gamma, lam)
    step = 1e-3 * np.random.default_rng(1).normal(size=V.shape)
    assert objective(V) < min(objective(V + step), objective(V - step))
    assert abs(objective(V + step) - objective(V - step)) < 1e-8


def test_the_fitted_method_holds_v_of_the_scaled_arrays():
    X, Y, S, y = problem(6, 40, 3, 5)
    method = ESZSL(log_gamma=1.0, log_lambda=-1.0, picture_scaling="none", class_scaling="none")
    state = method._fit(X.T.astype(np.float32), y, S.T.astype(np.float32))
    gamma, lam = 10 * np.trace(X @ X.T) / 6, 0.1 * np.trace(S @ S.T) / 3
    np.testing.assert_allclose(state["V"], literal(X, Y, S, gamma, lam), rtol=1e-4, atol=1e-6)


def test_the_order_of_classes_is_that_of_the_paper_s_rule():
    X, _, S, y = problem(6, 40, 3, 5)
    method = ESZSL(picture_scaling="none", class_scaling="none")
    method.state_ = method._fit(X.T.astype(np.float32), y, S.T.astype(np.float32))
    scores = method._scores(X.T.astype(np.float32), S.T.astype(np.float32), np.arange(5))
    np.testing.assert_array_equal(np.argsort(scores, axis=1), np.argsort(X.T @ method.state_["V"] @ S, axis=1))


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_scores_do_not_change_with_the_unit_of_pictures_or_class_vectors(factor):
    X, _, S, y = problem(6, 40, 3, 5)

    def scores(x, phi):
        method = ESZSL(picture_scaling="none", class_scaling="none")
        method.state_ = method._fit(x.T.astype(np.float32), y, phi.T.astype(np.float32))
        return method._scores(x.T.astype(np.float32), phi.T.astype(np.float32), np.arange(5))

    np.testing.assert_allclose(scores(factor * X, S), scores(X, S), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores(X, factor * S), scores(X, S), rtol=1e-4, atol=1e-6)


def test_mean_eigenvalue_counts_only_eigenvalues_that_can_differ_from_zero():
    M = np.random.default_rng(0).normal(size=(9, 4))
    assert mean_eigenvalue(M) == pytest.approx(np.linalg.eigvalsh(M.T @ M).mean())
    assert mean_eigenvalue(M.T) == pytest.approx(mean_eigenvalue(M))
