import numpy as np
import pytest
from evaluation_world import CLASSES, ENCODER, pictures, split, table

from zeroscene import options
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import DataFormatError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.examples import EXAMPLES
from zeroscene.evaluation.measure import generalised, pick_examples, zero_shot
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.results import CURVE_POINTS, Point
from zeroscene.methods.contract import Scores, VectorMethod
from zeroscene.methods.registry import method_class


@pytest.fixture(scope="module")
def measured():
    trial = carve(pictures(noise=0.8), split())
    return trial, evaluate(method_class("eszsl"), trial, table(), fixed={"log_gamma": 0.0, "log_lambda": 0.0})


def test_plain_figures_follow_from_the_confusion(measured):
    trial, found = measured
    confusion = np.array(found.zsl.confusion)
    assert found.zsl.classes == trial.split.unseen
    assert confusion.sum() == found.zsl.pictures == 36
    accuracy = np.diag(confusion) / confusion.sum(axis=1)
    assert list(found.zsl.per_class.values()) == pytest.approx(accuracy, abs=1e-6)
    assert found.zsl.t1 == pytest.approx(accuracy.mean(), abs=1e-6)
    assert found.zsl.overall == pytest.approx(np.trace(confusion) / 36, abs=1e-6)


def test_generalised_figures_follow_from_the_confusion(measured):
    trial, found = measured
    g = found.gzsl
    confusion = np.array(g.confusion)
    assert g.classes == trial.split.seen + trial.split.unseen
    assert (g.pictures_seen, g.pictures_unseen) == (14, 36)
    accuracy = np.diag(confusion) / confusion.sum(axis=1)
    assert pytest.approx([accuracy[:7].mean(), accuracy[7:].mean()], abs=1e-6) == [g.S, g.U]
    assert pytest.approx(2 * g.S * g.U / (g.S + g.U), abs=1e-5) == g.H
    assert len(g.curve) <= CURVE_POINTS
    assert g.curve[0][1] == g.curve[-1][0] == 0


def test_a_single_unseen_class_is_always_right_in_plain_zero_shot():
    trial = carve(pictures(), split(unseen=("beach",)))
    found = evaluate(method_class("eszsl"), trial, table(), selection="defaults")
    assert found.zsl.t1 == 1
    assert [e.margin for e in found.examples.right] == [0.0] * EXAMPLES
    assert found.examples.wrong == ()


def test_defaults_choose_nothing():
    trial = carve(pictures(), split())
    found = evaluate(method_class("eszsl"), trial, table(), fixed={"log_gamma": 1.0}, selection="defaults")
    assert found.choice.selection == "defaults"
    assert (found.choice.options, found.gzsl.gamma) == ({"log_gamma": 1.0}, 0.0)
    assert found.gzsl.uncalibrated == Point(S=found.gzsl.S, U=found.gzsl.U, H=found.gzsl.H)
    assert found.options["log_gamma"] == 1.0
    assert found.options.keys() == method_class("eszsl").Options.model_fields.keys()


class Diverged(VectorMethod[options.Options]):
    name, title, reference = "diverged", "Diverged", "a test"
    Options = options.Options

    def _fit(self, x, y, phi):
        return {"W": np.zeros(1, np.float32)}

    def _scores(self, x, phi, seen):
        return np.full((len(x), len(phi)), np.nan, np.float32)


def test_scores_that_are_not_finite_are_refused():
    trial = carve(pictures(), split())
    method = Diverged().fit(trial.train_all, table())
    with pytest.raises(DataFormatError, match="diverged gave a score that is not finite"):
        zero_shot(method, trial.test, table())
    with pytest.raises(DataFormatError, match="diverged gave a score that is not finite"):
        generalised(method, trial.test, table(), 0.0)


def test_examples_are_the_surest_of_each_class_in_turn():
    classes = CLASSES[:3]
    labels = ("airport",) * 6 + ("beach",) * 2 + ("bridge",)
    ids = tuple(f"{i}" for i in range(9))
    values = np.zeros((9, 3), np.float32)
    values[:, 0] = [3, 9, 1, 7, 5, 2, 4, 6, 8]  # all are taken for airports
    found = pick_examples(Scores(ids, classes, values), Embeddings(ids, np.zeros((9, 1), np.float32), ENCODER, labels))
    assert [e.id for e in found.right] == ["1", "3", "4", "0", "5", "2"]
    assert [(e.id, e.true, e.predicted, e.margin) for e in found.wrong] == [
        ("7", "beach", "airport", 6.0),
        ("8", "bridge", "airport", 8.0),
        ("6", "beach", "airport", 4.0),
    ]
