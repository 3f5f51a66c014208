"""ConSE by hand: which seen classes are combined, with which weights, and what the classifier minimises."""

import numpy as np
import pytest

from zeroscene.methods.conse import ConSE, convex_combination, softmax_classifier

PHI = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)


def logits(*probabilities):
    return np.log(np.array([probabilities], np.float32))


def test_all_classes_are_weighted_by_their_probabilities():
    np.testing.assert_allclose(convex_combination(logits(0.5, 0.3, 0.2), PHI, 3), [[0.3, 0.3]], rtol=1e-6)


def test_only_the_top_classes_count_and_their_weights_sum_to_one():
    np.testing.assert_allclose(convex_combination(logits(0.5, 0.3, 0.2), PHI, 2), [[0.625, 0.375]], rtol=1e-6)
    np.testing.assert_allclose(convex_combination(logits(0.5, 0.3, 0.2), PHI, 1), [[1, 0]], rtol=1e-6)


def test_more_top_classes_than_there_are_means_all_of_them():
    every = convex_combination(logits(0.5, 0.3, 0.2), PHI, 3)
    np.testing.assert_array_equal(convex_combination(logits(0.5, 0.3, 0.2), PHI, 99), every)


def test_probabilities_of_large_logits_do_not_overflow():
    np.testing.assert_allclose(convex_combination(np.array([[1000.0, 999.0, -1000.0]], np.float32), PHI, 1), [[1, 0]])


def test_ties_fall_to_the_class_that_stands_first():
    np.testing.assert_allclose(convex_combination(logits(0.4, 0.4, 0.2), PHI, 1), [[1, 0]], rtol=1e-6)


def blobs():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 20)
    return (rng.normal(size=(60, 5)) + 2 * np.eye(3, 5)[y]).astype(np.float32), y


def test_the_classifier_sits_where_the_gradient_of_its_loss_vanishes():
    x, y = blobs()
    weight, bias = softmax_classifier(x, y, 3, ridge=0.05)
    z = np.exp(x @ weight.T + bias)
    residual = z / z.sum(axis=1, keepdims=True) - np.eye(3)[y]
    np.testing.assert_allclose(residual.T @ x / 60 + 0.05 * weight, 0, atol=1e-4)
    np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-4)


def test_scores_are_cosines_of_the_combination_and_the_class_vectors():
    x, y = blobs()
    method = ConSE(top=2, picture_scaling="none", class_scaling="none")
    method.state_ = method._fit(x, y, PHI)
    combined = convex_combination(x @ method.state_["weight"].T + method.state_["bias"], PHI, 2)
    table = np.array([[2, 0], [3, 3]], np.float32)
    expected = combined @ table.T / np.linalg.norm(combined, axis=1)[:, None] / np.linalg.norm(table, axis=1)
    np.testing.assert_allclose(method._scores(x, table, np.array([-1, -1])), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [0.01, 100])
def test_the_ridge_is_in_units_of_the_pictures(factor):
    x, y = blobs()

    def scores(x):
        method = ConSE(picture_scaling="none", log_ridge=-1.0)
        method.state_ = method._fit(x, y, PHI)
        return method._scores(x, PHI, np.arange(3))

    np.testing.assert_allclose(scores((factor * x).astype(np.float32)), scores(x), atol=2e-3)
