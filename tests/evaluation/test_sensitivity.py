"""The spread over prompts: against a plain count, with labels and without, never one number alone."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError
from zeroscene.evaluation.sensitivity import Spread, prompt_sensitivity, sensitivity
from zeroscene.semantics.text import PromptEnsemble

IMAGE = EncoderIdentity("clip", "w0", "p0", "projection")
TEXT = EncoderIdentity("clip", "w0", "t0", "text-projection")
TEMPLATES = ("{}", "a photo of {}.", "{} from above")


def scores_of(choices, classes=3):
    return np.eye(classes, dtype=np.float32)[np.asarray(choices)]


def test_accuracies_are_those_of_each_template_and_of_the_ensemble():
    y = np.array([0, 0, 0, 1])
    found = sensitivity(
        map(scores_of, ([0, 0, 0, 1], [0, 0, 0, 2], [1, 0, 2, 1])), scores_of([0, 0, 1, 1]), TEMPLATES, y
    )
    assert found.overall.values == (1, 0.75, 0.5)
    assert found.t1.values == pytest.approx((1, 0.5, (1 / 3 + 1) / 2))
    assert (found.overall.ensemble, found.t1.ensemble) == pytest.approx((0.75, (2 / 3 + 1) / 2))
    assert found.agreement.values == (0.75, 0.5, 0.5)
    assert (found.templates[found.overall.best], found.templates[found.overall.worst]) == ("{}", "{} from above")
    assert (found.overall.mean, found.overall.deviation) == pytest.approx((0.75, 0.25))
    assert list(found.figures) == ["T1", "accuracy", "as the ensemble"]


@given(arrays.arrays(np.int64, st.tuples(st.integers(2, 5), st.integers(1, 6)), elements=st.integers(0, 2)))
def test_agreement_is_that_of_all_pairs_counted_one_by_one(choices_TN):
    templates = [str(t) for t in range(len(choices_TN))]
    found = sensitivity(map(scores_of, choices_TN), scores_of(choices_TN[0]), templates)
    pairs = [(a == b).mean() for i, a in enumerate(choices_TN) for b in choices_TN[i + 1 :]]
    assert found.pairwise == pytest.approx(np.mean(pairs))
    assert found.unanimous == pytest.approx((choices_TN == choices_TN[0]).all(axis=0).mean())
    assert found.agreement.values[0] == 1
    assert (found.t1, found.overall) == (None, None)
    assert list(found.figures) == ["as the ensemble"]


def test_one_template_has_no_deviation_and_agrees_with_itself():
    found = sensitivity([scores_of([0, 1])], scores_of([0, 1]), ("{}",), np.array([0, 1]))
    assert (found.overall.deviation, found.pairwise, found.unanimous) == (0, 1, 1)
    assert Spread((0.5,), 0.5).mean == 0.5


def test_the_json_value_names_best_and_worst_and_has_every_template():
    found = sensitivity(map(scores_of, ([0, 1], [0, 0])), scores_of([0, 1]), TEMPLATES[:2], np.array([0, 1]))
    value = json.loads(json.dumps(found.to_json()))
    assert value["overall"] == {
        "values": [1, 0.5], "ensemble": 1, "mean": 0.75, "deviation": pytest.approx(0.5**1.5), "best": "{}",
        "worst": "a photo of {}.",
    }  # fmt: skip
    assert value["templates"] == list(TEMPLATES[:2])
    assert sensitivity([scores_of([0])], scores_of([0]), ("{}",)).to_json()["t1"] is None


def test_what_does_not_fit_is_refused():
    ensemble = scores_of([0, 1])
    with pytest.raises(OptionError, match="scores of 1 templates for 2 texts"):
        sensitivity([ensemble], ensemble, TEMPLATES[:2])
    with pytest.raises(OptionError, match="scores of 0 templates"):
        sensitivity([], ensemble, ())
    with pytest.raises(DataFormatError, match=r"template are \(1, 3\), those of the ensemble \(2, 3\)"):
        sensitivity([scores_of([0])], ensemble, ("{}",))
    with pytest.raises(DataFormatError, match="needs pictures"):
        sensitivity([ensemble[:0]], ensemble[:0], ("{}",))


# Pictures and an ensemble of one model


def ensemble():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 2, 8)).astype(np.float32)
    return PromptEnsemble(("lake", "sand"), (("lake",), ("sand",)), TEMPLATES, vectors, TEXT)


def pictures(labels=("lake", "sand", "Lake", "runway")):
    x = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    return Embeddings(tuple("abcd"), x, IMAGE, labels)


def test_pictures_of_classes_that_nobody_named_are_left_out():
    found = prompt_sensitivity(pictures(), ensemble())
    assert found.pictures == 3
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in ensemble().vectors_TCD]
    right = [(pictures().x[:3] @ v.T).argmax(axis=1) == [0, 1, 0] for v in unit]
    assert found.overall.values == pytest.approx([r.mean() for r in right])


def test_without_labels_all_pictures_count():
    found = prompt_sensitivity(pictures(None), ensemble())
    assert found.pictures == 4
    assert found.t1 is None


def test_pictures_of_another_model_or_of_no_named_class_are_refused():
    with pytest.raises(EncoderMismatchError, match="two towers"):
        prompt_sensitivity(replace(pictures(), encoder=replace(IMAGE, weights="w1")), ensemble())
    with pytest.raises(OptionError, match="no picture is labelled with one of the named classes"):
        prompt_sensitivity(pictures(("runway",) * 4), ensemble())
