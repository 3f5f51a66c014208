"""Transduction finds clusters that poor scores only hint at, keeps to its symmetries, and says when not to trust it."""

import csv
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from zeroscene.errors import DataFormatError, OptionError
from zeroscene.methods.prompts import cosine_scores
from zeroscene.methods.transduction import mixture, space
from zeroscene.methods.transduction.diagnosis import diagnose
from zeroscene.methods.transduction.refine import Labelled, Refined, TransductionOptions, refine, scaled_logits
from zeroscene.methods.transduction.self_training import SelfTrainingOptions, self_training

BALANCED = TransductionOptions(priors="balanced")
BOTH = pytest.mark.parametrize("method", [refine, self_training], ids=["refine", "self-training"])


def drawn(counts, *, width=40, noise=1.0, hint=0.5, seed=0, distance=1.0):
    """Return pictures of Gaussian classes and scores that hint at the right class and are mostly noise."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    means = rng.normal(size=(len(counts), width)) * distance
    stretch = np.geomspace(2.0, 0.2, width)
    x = means[y] + rng.normal(size=(len(y), width)) * stretch
    scores = hint * np.eye(len(counts))[y] + noise * rng.normal(size=(len(y), len(counts))) * 0.5
    return x.astype(np.float32), scores.astype(np.float32), y


def accuracy(values, y):
    return float((values.argmax(axis=1) == y).mean())


X, S, Y = drawn([40] * 5)


# What it is for


@pytest.mark.parametrize("options", [TransductionOptions(), BALANCED], ids=["free", "balanced"])
def test_clusters_are_recovered_from_poor_scores(options):
    assert accuracy(S, Y) < 0.6
    assert accuracy(refine(X, S, options).values, Y) > 0.98


def test_self_training_is_better_than_the_scores_and_worse_than_the_mixture():
    trained = accuracy(self_training(X, S).values, Y)
    assert accuracy(S, Y) + 0.1 < trained < accuracy(refine(X, S).values, Y)


def test_free_priors_find_the_sizes_of_unequal_classes_and_balanced_ones_do_not():
    sizes = [160, 80, 40, 20, 10]
    x, s, y = drawn(sizes, hint=0.8)
    free, balanced = refine(x, s), refine(x, s, BALANCED)
    np.testing.assert_allclose(free.priors, np.divide(sizes, sum(sizes)), atol=0.01)
    assert accuracy(free.values, y) > 0.98 > accuracy(balanced.values, y)
    assert balanced.diagnosis.strain > 0.1
    assert "the pictures resist classes of equal size; refine with priors=free" in balanced.diagnosis.warnings("abcde")


def test_a_class_that_is_absent_takes_next_to_nothing():
    x, s, y = drawn([50] * 4 + [0] * 4, hint=1.0)
    result = refine(x, s)
    assert (s.argmax(axis=1) >= 4).mean() > 0.1
    assert result.priors[4:].sum() < 0.02
    assert accuracy(result.values, y) > 0.95
    lost = [line for line in result.diagnosis.warnings("abcdefgh") if "kept" in line]
    assert len(lost) == 4
    assert lost[0] == "'e' kept 1 of 9 pictures; look at those it lost"


def test_labelled_pictures_of_other_classes_tell_how_pictures_of_one_class_differ():
    # Two directions that vary far more within classes than anything differs between them.
    rng = np.random.default_rng(1)
    x, s, y = drawn([12] * 4, hint=1.0, distance=0.35, seed=2)
    lx, _, ly = drawn([60] * 8, distance=0.35, seed=3)
    nuisance = rng.normal(size=(2, x.shape[1]))
    x += (rng.normal(size=(len(x), 2)) * 3 @ nuisance).astype(np.float32)
    lx += (rng.normal(size=(len(lx), 2)) * 3 @ nuisance).astype(np.float32)
    alone, helped = refine(x, s), refine(x, s, labelled=Labelled(lx, ly))
    assert accuracy(helped.values, y) > accuracy(alone.values, y) + 0.05


# What it returns


@BOTH
def test_values_are_log_probabilities_and_priors_their_means(method):
    result = method(X, S)
    assert isinstance(result, Refined)
    assert result.values.dtype == np.float32
    assert result.iterations > 0
    np.testing.assert_allclose(np.exp(result.values).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(result.priors, np.exp(result.values).mean(axis=0), atol=1e-5)


@BOTH
def test_the_same_set_gives_the_same_bytes(method):
    assert method(X, S).values.tobytes() == method(X.copy(), S.copy()).values.tobytes()


@pytest.mark.parametrize("options", [TransductionOptions(), BALANCED], ids=["free", "balanced"])
def test_order_of_pictures_and_of_classes_does_not_matter(options):
    rng = np.random.default_rng(5)
    rows, columns = rng.permutation(len(X)), rng.permutation(S.shape[1])
    plain, moved = refine(X, S, options), refine(X[rows], S[rows][:, columns], options)
    np.testing.assert_allclose(np.exp(moved.values), np.exp(plain.values[rows][:, columns]), atol=1e-3)
    np.testing.assert_allclose(moved.priors, plain.priors[columns], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    factor=st.sampled_from([1e-6, 0.01, 3.0, 1e5]),
    size=st.sampled_from([1e-4, 1.0, 1e4]),
    shift=st.floats(-5, 5),
    priors=st.sampled_from(["free", "balanced"]),
)
def test_scale_of_scores_and_pictures_and_shifts_of_rows_do_not_matter(factor, size, shift, priors):
    options = TransductionOptions(priors=priors)
    shifts = shift * np.cos(np.arange(len(S)))[:, None]
    plain, other = (
        refine(X, S, options),
        refine(X * np.float32(size), (S.astype(np.float64) + shifts) * factor, options),
    )
    np.testing.assert_allclose(np.exp(other.values), np.exp(plain.values), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    pictures=st.integers(1, 30),
    classes=st.integers(1, 8),
    width=st.integers(1, 12),
    priors=st.sampled_from(["free", "balanced"]),
    seed=st.integers(0, 99),
)
def test_any_set_gets_probabilities(pictures, classes, width, priors, seed):
    rng = np.random.default_rng(seed)
    x, s = rng.normal(size=(pictures, width)), rng.normal(size=(pictures, classes))
    x[rng.random(pictures) < 0.2] = 0
    for result in (refine(x, s, TransductionOptions(priors=priors)), self_training(x, s)):
        np.testing.assert_allclose(np.exp(result.values).sum(axis=1), 1, atol=1e-5)
        assert len(result.diagnosis.naming) == classes
        assert all(isinstance(line, str) for line in result.diagnosis.warnings([str(c) for c in range(classes)]))


# The ends of its range


@BOTH
@pytest.mark.parametrize("options", [None, "balanced"])
def test_one_picture_keeps_the_order_of_its_scores(method, options):
    given = BALANCED if options and method is refine else None
    result = method(X[:1], S[:1], given)
    assert result.values[0].argsort().tolist() == S[0].argsort().tolist()
    assert result.diagnosis.warnings("abcde")[0] == "1 pictures are few for 5 classes; clusters need 5 a class or more"


@BOTH
def test_one_class_is_certain(method):
    result = method(X, S[:, :1])
    np.testing.assert_array_equal(result.values, 0)
    assert result.diagnosis.warnings(["field"]) == []


@pytest.mark.parametrize("options", [TransductionOptions(), BALANCED], ids=["free", "balanced"])
def test_scores_that_say_nothing_leave_all_classes_alike(options):
    constant = refine(X, np.full_like(S, 0.3) + np.linspace(0, 1, len(S), dtype=np.float32)[:, None], options)
    np.testing.assert_allclose(constant.values, np.log(1 / 5), atol=1e-5)


def test_pictures_that_are_all_alike_leave_the_order_of_the_scores():
    result = refine(np.full_like(X, 0.7), S)
    np.testing.assert_array_equal(result.values.argmax(axis=1), S.argmax(axis=1))


@BOTH
@pytest.mark.parametrize(
    ("x", "scores", "message"),
    [
        (np.where(np.arange(200)[:, None] == 7, np.nan, X), S, "row 7 of the vectors is not finite"),
        (X, np.where(np.arange(200)[:, None] == 3, -np.inf, S), "row 3 of the scores is not finite"),
        (X[:9], S, r"vectors of shape \(9, 40\) and scores of shape \(200, 5\)"),
        (X[:0], S[:0], "a picture and a class at least"),
        (X, S[:, :0], "a picture and a class at least"),
    ],
    ids=["nan", "infinite", "lengths", "no picture", "no class"],
)
def test_what_cannot_be_refined_is_refused_in_one_line(method, x, scores, message):
    with pytest.raises(DataFormatError, match=message) as caught:
        method(x, scores)
    assert "\n" not in str(caught.value)


def test_labelled_pictures_of_another_encoder_or_with_nan_are_refused():
    with pytest.raises(DataFormatError, match="they must come from the same encoder"):
        refine(X, S, labelled=Labelled(X[:, :9], Y))
    with pytest.raises(DataFormatError, match="row 0 of the labelled vectors is not finite"):
        refine(X, S, labelled=Labelled(np.full_like(X, np.nan), Y))


def test_options_out_of_range_are_refused():
    with pytest.raises(OptionError, match="priors"):
        TransductionOptions.of({"priors": "flat"}, "transduction")
    with pytest.raises(OptionError, match="share"):
        SelfTrainingOptions.of({"share": 0}, "self-training")


# What it says about itself


def test_neighbours_agree_more_and_the_moved_are_counted():
    diagnosis = (result := refine(X, S)).diagnosis
    assert diagnosis.moved == (result.values.argmax(axis=1) != S.argmax(axis=1)).mean()
    assert diagnosis.agreement_before < 0.6 < 0.95 < diagnosis.agreement_after
    np.testing.assert_array_equal(diagnosis.after, np.bincount(result.values.argmax(axis=1)))
    assert diagnosis.strain == 0


def test_a_pair_that_the_scores_cannot_tell_apart_is_named():
    x, s, y = drawn([60] * 4, hint=1.0, noise=0.5)
    pair = np.isin(y, (1, 3))
    s[pair, 3] = s[pair, 1] + np.random.default_rng(0).normal(size=pair.sum()) * 0.3
    warnings = refine(x, s).diagnosis.warnings(["sea", "lake", "field", "river"])
    assert len(warnings) == 1
    assert warnings[0].startswith("'lake' and 'river' may have swapped names")
    assert refine(x, drawn([60] * 4, hint=1.0, noise=0.5)[1]).diagnosis.warnings("abcd") == []


def test_naming_is_the_smallest_standardised_lead():
    u = np.array([[3.0, 0, 1], [1, 0, 2], [0, 2, 1], [0, 4, 1], [0, 0, 5], [0, 1, 4]])
    best = np.array([0, 0, 1, 1, 2, 2])
    refined, near = np.eye(3)[best], np.array([[1], [0], [3], [2], [5], [4]])
    found = diagnose(u, refined, near, 0.0)
    for a in range(3):
        clear = {}
        for b in {0, 1, 2} - {a}:
            lead = u[:, a] - u[:, b]
            within = np.sqrt((lead[best == a].var() + lead[best == b].var()) / 2)
            clear[b] = (lead[best == a].mean() - lead[best == b].mean()) / 2 / within
        assert found.naming[a] == pytest.approx(min(clear.values()))
        assert {clear[b] for b in found.others[a]} == {min(clear.values())}
    assert found.agreement_after == 1


def standardised_lead(u, best, a, b):
    """Return how far pictures of a prefer its score over that of b, in deviations within both."""
    lead = u[:, a] - u[:, b]
    of_a, of_b = lead[best == a], lead[best == b]
    return of_a.mean() / np.sqrt((len(of_a) * of_a.var() + len(of_b) * of_b.var()) / (len(of_a) + len(of_b)))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_naming_is_that_of_the_nearest_circle_of_two_or_three(seed, classes):
    rng = np.random.default_rng(seed)
    best = np.sort(np.concatenate([np.arange(classes), rng.integers(0, classes, 3 * classes)]))
    best = np.concatenate([best, best])
    u = rng.normal(size=(len(best), classes)) + np.eye(classes)[best]
    near = np.arange(len(best))[:, None]
    found = diagnose(u, np.eye(classes)[best], near, 0.0)
    for a in range(classes):
        lead = partial(standardised_lead, u, best)
        circles = {(b, b): (lead(a, b) + lead(b, a)) / 2 for b in range(classes) if b != a}
        circles |= {
            (b, d): (lead(a, b) + lead(b, d) + lead(d, a)) / np.sqrt(6)
            for b, d in permutations(set(range(classes)) - {a}, 2)
        }
        assert found.naming[a] == pytest.approx(min(circles.values(), default=np.inf))
        assert circles.get(tuple(found.others[a]), np.inf) == pytest.approx(found.naming[a])


def test_classes_that_may_have_swapped_names_are_named_together():
    diagnosis = replace(
        refine(X, S).diagnosis,
        naming=np.array([0.1, 2.0, 0.2, np.nan, 0.4, 0.3]),
        others=np.array([[2, 2], [0, 0], [4, 0], [3, 3], [2, 2], [1, 1]]),
    )
    said = [line.partition(" may have swapped")[0] for line in diagnosis.warnings("abcdef") if "swapped" in line]
    assert said == ["'a', 'c' and 'e'", "'b' and 'f'"]


def test_three_classes_that_may_have_passed_on_their_names_are_named():
    """Pictures of each score nearly as high for the next one, which no pair of them shows."""
    rng = np.random.default_rng(0)
    best = np.repeat(np.arange(4), 50)
    u = 2 * np.eye(4)[best]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        u[best == a, b] += 1.9
    found = diagnose(u + 0.3 * rng.normal(size=u.shape), np.eye(4)[best], np.arange(200)[:, None], 0.0)
    assert found.naming[3] > 1
    assert [set(row) for row in found.others[:3]] == [{1, 2}, {2, 0}, {0, 1}]
    assert [line for line in found.warnings("abcd") if "swapped" in line] == [
        "'a', 'b' and 'c' may have swapped names: the scores hardly tell them apart; look at some pictures of each"
    ]


# Its parts


def test_neighbours_are_those_of_the_whole_matrix_whatever_the_block(monkeypatch):
    z = np.random.default_rng(0).normal(size=(50, 6))
    near, weights = space.nearest(z, 4)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    cosines = unit @ unit.T - 3 * np.eye(50)
    np.testing.assert_array_equal(np.sort(near), np.sort(np.argsort(-cosines, axis=1)[:, :4]))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    monkeypatch.setattr(space, "_BLOCK", 170)
    np.testing.assert_array_equal(np.sort(space.nearest(z, 4)[0]), np.sort(near))


def test_covariance_of_neighbours_equals_its_definition():
    z = np.random.default_rng(0).normal(size=(30, 4))
    near, _ = space.nearest(z, 3)
    by_hand = np.mean([np.outer(z[i] - z[j], z[i] - z[j]) for i in range(30) for j in near[i]], axis=0) / 2
    np.testing.assert_allclose(space.neighbour_covariance(z, near), by_hand, atol=1e-12)


def test_whitening_makes_the_shrunk_covariance_the_identity():
    z = np.random.default_rng(0).normal(size=(500, 3)) @ np.diag([5.0, 1.0, 0.2])
    S_ = np.cov(z.T)
    shrunk = 0.9 * S_ + 0.1 * np.trace(S_) / 3 * np.eye(3)
    made = space.whitened(z, S_, 0.1)
    transform = np.linalg.lstsq(z, made, rcond=None)[0]
    np.testing.assert_allclose(transform.T @ shrunk @ transform, np.eye(3) * np.trace(S_) / 3, atol=1e-9)


@pytest.mark.parametrize("width", [4, 80])
def test_principal_directions_keep_distances(width):
    x = np.random.default_rng(0).normal(size=(20, width)).astype(np.float32)
    kept = space.principal(x, width)
    distances = [np.linalg.norm(a[:, None] - a[None], axis=2) for a in (x, kept)]
    np.testing.assert_allclose(*distances, atol=1e-3)
    assert space.principal(x, 3).shape == (20, 3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), pictures=st.integers(100, 400), classes=st.integers(2, 6))
def test_offsets_make_classes_equal_up_to_the_one_picture_they_are_worth(seed, pictures, classes):
    a = np.random.default_rng(seed).normal(size=(pictures, classes)) * 3
    offsets = mixture.balancing(a, np.zeros(classes), steps=200)
    mass = mixture.softmax(a + offsets).sum(axis=0)
    np.testing.assert_allclose(mass + offsets, pictures / classes, atol=0.01)


def test_the_best_class_leads_by_what_was_asked():
    logits = scaled_logits(S * 7, 2.0)
    top = np.sort(logits - logits.mean(axis=0), axis=1)
    assert (top[:, -1] - top[:, -2]).mean() == pytest.approx(2.0)


# Real pictures


@pytest.mark.real
def test_whu_rs19_with_average_prompts_reaches_the_reported_transductive_accuracies(shared):
    with (shared / "facts" / "whu_rs19_expected.csv").open(newline="", encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["prompt"] == "averageprompt"]
    expected = {row["model"]: row for row in rows}
    files = sorted((shared / "real" / "whu-rs19-embeddings").glob("*.safetensors"))
    assert len(files) == len(expected) == 6
    for file in files:
        with safe_open(file, framework="numpy") as f:
            row = expected[f.metadata()["model"]]
            x, y = f.get_tensor("image_embeddings"), f.get_tensor("labels")
            scores = cosine_scores(x, f.get_tensor("text_embeddings_average"))
        assert 100 * accuracy(scores, y) == pytest.approx(float(row["inductive_accuracy"]), abs=0.01)
        result = refine(x, scores)
        assert 100 * accuracy(result.values, y) >= float(row["transductive_accuracy"])
        assert result.diagnosis.agreement_after > result.diagnosis.agreement_before
