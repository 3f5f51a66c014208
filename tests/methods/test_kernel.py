"""Kernel regression equals its formula, and reduces to what it should at its ends."""

import numpy as np
import pytest

from zeroscene.methods.kernel import KernelPrototypes, class_means
from zeroscene.vectors import unit_rows

RNG = np.random.default_rng(3)
Y = np.array([0, 1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 4])
X = RNG.normal(size=(12, 6)).astype(np.float32) + Y[:, None]
PHI = RNG.normal(size=(5, 3)).astype(np.float32)
NEW = RNG.normal(size=(2, 3)).astype(np.float32)


def scores(x, phi, **options):
    method = KernelPrototypes(**{"picture_scaling": "none", "class_scaling": "none"} | options)
    method.state_ = method._fit(X, Y, PHI)
    return method._scores(x, phi, np.full(len(phi), -1))


def prototypes_by_hand(phi, kernel, ridge):
    means = np.array([X[c == Y].mean(axis=0) for c in range(5)])
    centre = means.mean(axis=0)
    K = np.array([[kernel(a, b) for b in PHI] for a in PHI])
    alpha = np.linalg.solve(K + ridge * np.trace(K) / 5 * np.eye(5), means - centre)
    return np.array([centre + sum(kernel(a, b) * alpha[s] for s, b in enumerate(PHI)) for a in phi])


def rbf(bandwidth):
    distances = [np.linalg.norm(PHI[i] - PHI[j]) for i in range(5) for j in range(i)]
    h = bandwidth * np.median(distances)
    return lambda a, b: np.exp(-np.sum((a - b) ** 2) / (2 * h * h))


@pytest.mark.parametrize(
    ("options", "kernel"),
    [({"kernel": "linear"}, lambda a, b: a @ b), ({"kernel": "rbf", "bandwidth": 0.7}, rbf(0.7))],
    ids=["linear", "rbf"],
)
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_scores_equal_the_formula(options, kernel, distance):
    p = prototypes_by_hand(NEW, kernel, 0.2)
    if distance == "cosine":
        expected = unit_rows(X) @ unit_rows(p).T
    else:
        within = np.mean([np.sum((x - X[c == Y].mean(axis=0)) ** 2) for x, c in zip(X, Y, strict=True)])
        expected = [[-np.sum((x - q) ** 2) / within for q in p] for x in X]
    np.testing.assert_allclose(scores(X, NEW, ridge=0.2, distance=distance, **options), expected, rtol=1e-4, atol=1e-4)


def test_without_ridge_a_seen_class_is_the_mean_of_its_pictures():
    expected = unit_rows(X) @ unit_rows(class_means(X, Y, 5)).T
    np.testing.assert_allclose(scores(X, PHI, ridge=1e-9), expected, atol=1e-5)


def test_with_a_huge_ridge_every_class_is_the_common_centre():
    values = scores(X, np.vstack([PHI, NEW]), ridge=1e6)
    np.testing.assert_allclose(values, np.broadcast_to(values[:, :1], values.shape), atol=1e-4)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_scores_do_not_change_with_the_unit_of_pictures_or_class_vectors(kernel):
    def fit(x, phi, later):
        method = KernelPrototypes(
            kernel=kernel, distance="euclidean", picture_scaling="none", class_scaling="none", ridge=0.2
        )
        method.state_ = method._fit(x, Y, phi)
        return method._scores(x, later, np.full(2, -1))

    once = fit(X, PHI, NEW)
    np.testing.assert_allclose(fit(100 * X, PHI / 100, NEW / 100), once, rtol=1e-3)


def test_one_seen_class_predicts_its_own_mean():
    method = KernelPrototypes()
    method.state_ = method._fit(X[Y == 0], np.zeros(3, np.int64), PHI[:1])
    assert np.isfinite(method._scores(X, NEW, np.full(2, -1))).all()


def test_class_means_weigh_every_picture_of_a_class_alike():
    np.testing.assert_allclose(class_means(X, Y, 5)[4], X[[4, 10, 11]].mean(axis=0), rtol=1e-6)
