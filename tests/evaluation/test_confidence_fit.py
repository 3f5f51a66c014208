"""Temperature and thresholds hold on classes that they were not chosen on, and say so where they cannot."""

from dataclasses import replace

import numpy as np
import pytest

from choices import choose
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.evaluation.confidence import (
    ALPHA,
    HeldOut,
    best_temperature,
    calibrated,
    fit_confidence,
    sets_of,
    thresholds_of,
)
from zeroscene.evaluation.selection import validation_folds
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.kernel import KernelPrototypes
from zeroscene.methods.prompts import Prompts
from zeroscene.methods.transduction.refine import TransductionOptions
from zeroscene.semantics.table import ClassTable

PICTURES = EncoderIdentity("model", "weights", "pixels", "projection")
REFINEMENT = TransductionOptions()
TEXTS = EncoderIdentity("model", "weights", "tokens", "text-projection")


def world(classes, each=30, width=32, noise=0.8, muddle=0.8, seed=0):
    """Return pictures that lie about the texts of their classes, which lie about their middle."""
    rng = np.random.default_rng(seed)
    names = tuple(f"class {i:02d}" for i in range(classes))
    centre = rng.normal(size=(classes, width)) / np.sqrt(width)
    text = centre + muddle * rng.normal(size=centre.shape) / np.sqrt(width)
    y = np.repeat(np.arange(classes), each)
    x = centre[y] + noise * rng.normal(size=(len(y), width)) / np.sqrt(width) * 1.5
    columns = tuple(f"dim{i}" for i in range(width))
    provenance = {"source": "text", "encoder": TEXTS.to_json(), "space": "drawn"}
    table = ClassTable(names, text.astype(np.float32), columns, "embedding", provenance=provenance)
    ids = tuple(f"{i:05d}" for i in range(len(y)))
    return Embeddings(ids, x.astype(np.float32), PICTURES, tuple(names[i] for i in y)), table


def held_out(classes=8, each=30, **how):
    pictures, table = world(classes, each, **how)
    return HeldOut.of(pictures, Prompts.untrained(PICTURES, table).scores(pictures, table))


# Temperature


def test_the_temperature_of_logits_that_were_drawn_from_themselves_is_found():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(10000, 5)) * 2
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (rng.random((len(z), 1)) > np.cumsum(p, axis=1)).sum(axis=1)
    assert best_temperature([(3.0 * z, y)], classes=10**6) == pytest.approx(3.0, rel=0.06)


def test_a_method_that_is_right_about_every_held_out_picture_does_not_become_infinitely_sure():
    y = np.arange(6).repeat(20)
    z = 5.0 * np.eye(6)[y]
    temperature = best_temperature([(z, y)], classes=6)
    wrong = 5 * np.exp(-5.0 / temperature)
    assert wrong / (1 + wrong) == pytest.approx(ALPHA / (6 + ALPHA), rel=1e-3)


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_scores_in_other_units_get_the_same_probabilities(factor):
    one = held_out()
    scaled = replace(one, values=factor * one.values)
    assert calibrated([scaled]).temperature == pytest.approx(factor * calibrated([one]).temperature, rel=1e-3)


def test_scores_that_are_all_the_same_have_some_temperature():
    assert best_temperature([(np.zeros((4, 3)), np.array([0, 1, 2, 0]))], 3) == 1.0


# Thresholds


def drawn(wrong_share, classes=12, each=50, seed=0):
    """Return leads, and which answers are right; the share of wrong ones falls with the lead."""
    rng = np.random.default_rng(seed)
    lead = rng.exponential(2.0, classes * each)
    right = rng.random(len(lead)) > wrong_share * np.exp(-lead)
    return lead, right, np.repeat(np.arange(classes), each)


def test_promises_rise_with_the_lead_and_cost_coverage():
    found = thresholds_of(5, *drawn(0.8))
    assert found.candidates == 5
    assert [p.lead for p in found.promises] == sorted(p.lead for p in found.promises)
    coverage = [p.coverage for p in found.promises]
    assert coverage == sorted(coverage, reverse=True)
    assert all(p.measured >= p.precision for p in found.promises)


def test_a_promise_asks_for_more_than_the_precision_that_was_measured():
    lead, right, of = drawn(0.8)
    promise = next(p for p in thresholds_of(5, lead, right, of).promises if p.precision == 0.9)
    assert promise.measured > 0.92


def test_errors_in_one_class_cost_more_than_the_same_errors_spread_over_all():
    lead, of = np.linspace(0, 5, 600), np.tile(np.arange(12), 50)
    spread, bundled = np.ones(600, bool), np.ones(600, bool)
    spread[np.random.default_rng(0).choice(600, 40, replace=False)] = False
    bundled[np.flatnonzero(of == 3)[-40:]] = False
    reach = [thresholds_of(5, lead, right, of).reachable for right in (spread, bundled)]
    assert reach[0] > reach[1] + 0.02


def test_few_held_out_classes_can_promise_little_even_if_all_answers_are_right():
    reach = []
    for classes in (2, 4, 8, 16):
        of = np.arange(classes).repeat(30)
        reach.append(thresholds_of(2, np.linspace(0, 9, len(of)), np.ones(len(of), bool), of).reachable)
    assert reach == sorted(reach)
    assert reach[0] < 0.9
    assert 0.97 < reach[-1] < 1


def test_a_method_that_guesses_can_promise_nothing_much():
    rng = np.random.default_rng(0)
    found = thresholds_of(4, rng.random(400), rng.random(400) < 0.25, rng.integers(0, 8, 400))
    assert not [p for p in found.promises if p.precision >= 0.8]


# Sets of candidates


def test_every_set_holds_the_pictures_of_its_own_classes_only_and_smaller_sets_are_parts_of_larger_ones():
    sets = sets_of([held_out(6, 4)], (2, 3, 9), 5, seed=0)
    assert sorted({len(one.classes) for one in sets}) == [2, 3, 6]
    for one in sets:
        labels = np.array(one.pictures.labels)[one.rows]
        assert set(labels) == set(one.classes)
        assert one.values.shape == (len(labels), len(one.classes))
        assert (np.array(one.classes)[one.y] == labels).all()
    for two, three in zip(sets[1::2], sets[2::2], strict=True):
        assert set(two.classes) < set(three.classes)


def test_folds_of_unequal_size_are_brought_to_the_smallest():
    assert {len(one.classes) for one in sets_of([held_out(3, 4), held_out(4, 4)], (), 2, seed=0)} == {3}


# On other classes


def test_the_wanted_precision_is_reached_on_classes_that_did_not_choose():
    pictures, table = world(60, each=20, seed=3)
    method = Prompts.untrained(PICTURES, table)
    got, coverage, accuracy = [], [], []
    for seed in range(6):
        order = [table.classes[i] for i in np.random.default_rng(seed).permutation(60)]
        train = TrainingSet(pictures.of_classes(order[:16]), tuple(order[:16]))
        confidence = fit_confidence(Prompts, {}, 0.0, train, table, seed=seed)
        test = pictures.of_classes(order[16:26])
        scores = method.scores(test, table.select(order[16:26]))
        right = scores.best() == test.label_indices(order[16:26])
        answered = ~confidence.reject(scores, 0.95)
        got.append(right[answered].mean())
        coverage.append(answered.mean())
        accuracy.append(right.mean())
    assert np.mean(accuracy) < 0.93
    assert np.mean(got) >= 0.95
    assert np.mean(coverage) > 0.6


def test_it_looks_at_pictures_of_the_training_set_only_and_is_the_same_every_time():
    pictures, table = world(9)
    seen = table.classes[:6]
    train = TrainingSet(pictures.of_classes(seen), seen)
    first = fit_confidence(KernelPrototypes, {}, 0.1, train, table.select(seen), refinement=REFINEMENT)
    assert first == fit_confidence(KernelPrototypes, {}, 0.1, train, table.select(seen), refinement=REFINEMENT)
    assert set(first.settings) == {"new", "mixed", "new refined", "mixed refined"}
    assert first.refinement == REFINEMENT
    assert set(first.settings["mixed"].classes) == set(seen)
    assert first.settings["mixed"].thresholds[-1].candidates == 6


def test_what_selection_found_in_its_folds_serves_without_another_fit():
    pictures, table = world(8)
    train = TrainingSet(pictures, table.classes)
    choice = choose(KernelPrototypes, train, table)
    fresh = fit_confidence(KernelPrototypes, choice.options, choice.gamma, train, table)
    folds = validation_folds(train)
    assert fresh.settings["new"].pictures == sum(len(fold.unseen_pictures) for fold in folds)
    assert [t.candidates for t in fresh.settings["new"].thresholds] == [2]


def test_a_method_that_learns_nothing_is_tried_with_all_seen_classes_at_once():
    pictures, table = world(8)
    confidence = fit_confidence(Prompts, {}, 0.0, TrainingSet(pictures, table.classes), table)
    assert [t.candidates for t in confidence.settings["new"].thresholds] == [2, 3, 4, 5, 6, 7, 8]
