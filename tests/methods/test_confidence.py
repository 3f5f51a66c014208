"""A probability sums to one and is honest about being alone; an answer is refused where the lead is too small."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError
from zeroscene.methods.confidence import (
    SOMETHING_ELSE,
    TAIL,
    Confidence,
    Promise,
    Setting,
    Thresholds,
    answer_probability,
    leads,
    unsure,
    untrained_confidence,
)
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.kernel import KernelPrototypes
from zeroscene.methods.registry import load_method
from zeroscene.methods.transduction.refine import TransductionOptions
from zeroscene.semantics.table import ClassTable

PROMISES = (
    Promise(precision=0.9, lead=1.0, coverage=0.8, measured=0.93),
    Promise(precision=0.95, lead=2.0, coverage=0.5, measured=0.97),
)
NEW = Setting(
    temperature=0.5,
    classes=("a", "b", "c", "d"),
    pictures=40,
    thresholds=(
        Thresholds(candidates=2, reachable=0.96, promises=(PROMISES[0],)),
        Thresholds(candidates=5, reachable=0.957, promises=PROMISES),
    ),
)
MIXED = Setting(
    temperature=2.0,
    classes=NEW.classes,
    pictures=40,
    thresholds=(Thresholds(candidates=6, reachable=0.91, promises=PROMISES[:1]),),
)
CONFIDENCE = Confidence(seen=("lake", "Sea"), settings={"new": NEW, "mixed": MIXED})


def scores(values, classes="uvwxyz"):
    values = np.atleast_2d(np.asarray(values, np.float32))
    return Scores(tuple(f"{i}.png" for i in range(len(values))), tuple(classes[: values.shape[1]]), values)


# Probabilities


def test_a_probability_is_the_softmax_of_the_scores_over_the_temperature():
    p = CONFIDENCE.probabilities(scores([[1.0, 0.5, 0.0]]))
    expected = np.exp([2.0, 1.0, 0.0]) / np.exp([2.0, 1.0, 0.0]).sum()
    np.testing.assert_allclose(p.values[0], expected, rtol=1e-6)
    assert p.classes == ("u", "v", "w")


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=8), st.floats(-1e3, 1e3, width=32))
def test_probabilities_sum_to_one_and_keep_the_order_whatever_is_added_to_a_row(row, added):
    classes = [f"c{i}" for i in range(len(row))]
    p = CONFIDENCE.probabilities(scores([row], classes)).values
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert p[0, int(np.argmax(row))] == p.max()
    moved = CONFIDENCE.probabilities(scores([np.float32(row) + np.float32(added)], classes)).values
    np.testing.assert_allclose(moved, p, atol=2e-2)


def test_a_seen_class_among_the_candidates_makes_them_mixed_however_it_is_spelled():
    assert CONFIDENCE.setting(scores([[1, 0]], ("sea", "river"))) is MIXED
    assert CONFIDENCE.setting(scores([[1, 0]], ("harbor", "river"))) is NEW


def test_refined_scores_are_refused_where_nobody_tried_them():
    with pytest.raises(OptionError, match="refined scores were not calibrated"):
        CONFIDENCE.probabilities(scores([[1, 0]]), refined=True)


# The reject option


def test_a_picture_gets_an_answer_where_its_lead_in_logits_reaches_the_threshold():
    rejected = CONFIDENCE.reject(scores([[1.0, 0.0, 0, 0, 0], [0.9, 0.0, 0, 0, 0], [0, 0, 3, 0, 3]]), 0.95)
    assert rejected.tolist() == [False, True, True]  # leads of 2.0, 1.8 and 0 logits


def test_a_precision_between_two_promises_takes_the_stricter_one():
    assert NEW.lead(5, 0.93) == NEW.lead(5, 0.95) == 2.0
    assert NEW.lead(5, 0.6) == 1.0


def test_fewer_candidates_than_tried_take_the_next_larger_set_and_more_ask_for_a_larger_lead():
    assert NEW.lead(3, 0.95) == NEW.lead(5, 0.95)
    assert NEW.lead(8, 0.95) == pytest.approx(2.0 + TAIL * np.log(7 / 4))


def test_far_more_candidates_than_tried_are_refused_and_the_message_says_how_many_there_may_be():
    with pytest.raises(OptionError, match="among 9 candidate classes: it was tried among 5; name at most 8"):
        NEW.lead(9, 0.95)


def test_a_precision_out_of_reach_is_refused_and_the_message_says_what_was_in_reach():
    with pytest.raises(OptionError, match=r"99 % cannot be promised: on 4 held-out classes .* more than 95\.7 %"):
        CONFIDENCE.reject(scores([[1, 0, 0, 0, 0]]), 0.99)


def test_a_precision_above_all_that_are_tried_is_refused_and_the_message_says_which_is_the_highest():
    sure = Thresholds(candidates=5, reachable=0.998, promises=PROMISES)
    with pytest.raises(OptionError, match=r"99\.5 % cannot be promised: .* the highest that is tried is 99 %"):
        Setting(temperature=0.5, thresholds=(sure,)).lead(5, 0.995)
    with pytest.raises(OptionError, match=r"99\.5 % cannot be promised: .* no threshold was sure of more than 95\.7 %"):
        NEW.lead(5, 0.995)


REFINED = Confidence(seen=(), settings={"new refined": NEW}, refinement=TransductionOptions())


def test_a_precision_is_promised_for_scores_refined_as_in_the_calibration_only():
    s = scores([[2.0, 0, 0, 0, 0]])
    expected = REFINED.reject(s, 0.95, refined=True)
    assert (REFINED.reject(s, 0.95, refined=TransductionOptions()) == expected).all()
    said = "no precision can be promised for scores refined with priors=balanced and not free, affinity=2.0 and not 1.0"
    with pytest.raises(OptionError, match=said):
        REFINED.reject(s, 0.95, refined=TransductionOptions(priors="balanced", affinity=2))
    REFINED.probabilities(s, refined=True)


@pytest.mark.parametrize("precision", [0, 1, 1.5, -0.1, float("nan")])
def test_a_precision_that_is_none_is_refused(precision):
    with pytest.raises(OptionError, match="between 0 and 1"):
        CONFIDENCE.reject(scores([[1, 0]]), precision)


def test_the_expected_coverage_is_that_of_the_held_out_pictures():
    assert CONFIDENCE.expected_coverage(4, 0.95) == 0.5
    assert CONFIDENCE.expected_coverage(2, 0.9) == 0.8


# One class alone


@pytest.mark.parametrize("ask", [CONFIDENCE.probabilities, CONFIDENCE.reject])
def test_one_candidate_alone_has_no_probability_and_no_promise(ask):
    with pytest.raises(OptionError, match="'u' is the only candidate"):
        ask(scores([[0.3]]))


def test_against_contrast_one_class_has_its_share_of_everything():
    p = CONFIDENCE.against(scores([[1.0]]), scores([[0.5, 0.0]], ("street", "cloud")))
    assert p.classes == ("u", SOMETHING_ELSE)
    np.testing.assert_allclose(p.values[0], np.array([np.e**2, np.e + 1]) / (np.e**2 + np.e + 1), rtol=1e-6)
    assert answer_probability(p)[0] == pytest.approx(p.values[0, 0])


def test_against_contrast_candidates_keep_their_proportions():
    s = scores([[1.0, 0.4, -0.2]])
    p, q = CONFIDENCE.probabilities(s).values, CONFIDENCE.against(s, scores([[0.9, 0.1]], ("s", "t"))).values
    np.testing.assert_allclose(q[:, :3] / q[:, :3].sum(), p, rtol=1e-5)
    assert q.sum() == pytest.approx(1)


def test_contrast_of_other_pictures_is_refused():
    with pytest.raises(DataFormatError, match="scores of the same pictures"):
        CONFIDENCE.against(scores([[1.0]]), Scores(("other.png",), ("t",), np.zeros((1, 1), np.float32)))


# An image-text model that nobody calibrated


def test_an_untrained_model_gives_probabilities_by_its_own_scale_and_promises_nothing():
    confidence = untrained_confidence(100.0)
    p = confidence.probabilities(scores([[0.25, 0.24]]))
    np.testing.assert_allclose(p.values[0, 0], 1 / (1 + np.exp(-1)), rtol=1e-4)
    assert unsure(p, 0.8).tolist() == [True]
    assert unsure(p, 0.7).tolist() == [False]
    with pytest.raises(OptionError, match=r"nobody calibrated this model .* a least probability instead"):
        confidence.reject(scores([[0.25, 0.24]]))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(OptionError, match="scale"):
        untrained_confidence(scale)


def test_a_least_probability_that_is_none_is_refused():
    with pytest.raises(OptionError, match="between 0 and 1"):
        unsure(scores([[0.5, 0.5]]), 95)


# Its file


def test_it_comes_back_from_its_file(tmp_path):
    CONFIDENCE.write(tmp_path / "confidence.json")
    assert Confidence.read(tmp_path / "confidence.json") == CONFIDENCE


def test_how_refined_scores_were_made_comes_back_from_the_file(tmp_path):
    REFINED.write(tmp_path / "confidence.json")
    kept = Confidence.read(tmp_path / "confidence.json")
    assert kept == REFINED
    assert kept.unlike(TransductionOptions(priors="balanced")) == "priors=balanced and not free"
    assert kept.unlike(TransductionOptions()) == ""


def test_it_belongs_to_the_fitted_method_that_it_is_bound_to_also_after_both_were_saved(tmp_path):
    method, other = fitted(seed=0), fitted(seed=1)
    CONFIDENCE.of(method).write(tmp_path / "confidence.json")
    method.save(tmp_path)
    kept = Confidence.read(tmp_path / "confidence.json")
    kept.check_method(load_method(tmp_path))
    with pytest.raises(DataFormatError, match="confidence kept with this kernel is of another fit"):
        kept.check_method(other)
    CONFIDENCE.check_method(other)


def fitted(seed):
    x = np.random.default_rng(seed).normal(size=(12, 6)).astype(np.float32)
    eye = EncoderIdentity("toy", "w", "p", "pooled")
    pictures = Embeddings(tuple(map(str, range(12))), x, eye, ("a", "b", "c") * 4)
    table = ClassTable(("a", "b", "c"), np.eye(3, dtype=np.float32), ("r", "g", "b"), "attributes")
    return KernelPrototypes().fit(TrainingSet(pictures, table.classes), table)


@pytest.mark.parametrize("change", [{"format": "other"}, {"seen": 3}, {"more": 1}])
def test_another_file_is_refused(tmp_path, change):
    value = CONFIDENCE.model_dump(mode="json") | change
    (tmp_path / "confidence.json").write_text(json.dumps(value))
    with pytest.raises(DataFormatError, match=next(iter(change))):
        Confidence.read(tmp_path / "confidence.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"confidence\.json"):
        Confidence.read(tmp_path / "confidence.json")


def test_the_lead_is_of_the_best_over_the_second():
    np.testing.assert_allclose(leads(np.array([[1.0, 5.0, 3.0], [2.0, 2.0, 1.0]])), [2.0, 0.0])
