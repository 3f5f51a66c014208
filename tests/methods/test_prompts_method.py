"""The method `prompts`: cosines in the space of one image-text model, and the refusal of every other table."""

from dataclasses import replace

import numpy as np
import pytest

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, EncoderMismatchError
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.prompts import Prompts, cosine_scores
from zeroscene.methods.registry import load_method
from zeroscene.semantics.table import ClassTable

IMAGE = EncoderIdentity("clip", "w0", "p0", "projection")
TEXT = EncoderIdentity("clip", "w0", "t0", "text-projection")
X = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
PICTURES = Embeddings(("a", "b"), X, IMAGE, ("river", "lake"))


def words(encoder=TEXT, matrix=((2.0, 0.0), (0.0, 1.0)), templates=("{}",)):
    provenance = {
        "source": "text",
        "encoder": encoder.to_json(),
        "templates": list(templates),
        "space": list(templates),
    }
    values = np.array(matrix, np.float32)
    columns = tuple(f"dim{i}" for i in range(values.shape[1]))
    return ClassTable(("river", "lake"), values, columns, "embedding", provenance=provenance)


def test_the_score_is_the_cosine_of_picture_and_text():
    scores = Prompts.untrained(IMAGE, words()).scores(PICTURES, words())
    assert scores.values == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]), abs=1e-7)
    assert scores.classes == ("river", "lake")


def test_a_fit_looks_at_no_picture_and_says_so():
    other = replace(PICTURES, x=X[::-1] * 7)
    fitted = [Prompts().fit(TrainingSet(p, ("river", "lake")), words()) for p in (PICTURES, other)]
    of_both = [method.scores(PICTURES, words()).values for method in fitted]
    np.testing.assert_array_equal(*of_both)
    np.testing.assert_array_equal(of_both[0], Prompts.untrained(IMAGE, words()).scores(PICTURES, words()).values)
    for method in (*fitted, Prompts.untrained(IMAGE, words())):
        assert "no picture was looked at" in method.card()


def test_an_untrained_one_is_saved_and_loaded_like_any_other(tmp_path):
    method = Prompts.untrained(IMAGE, words())
    method.save(tmp_path)
    loaded = load_method(tmp_path)
    assert loaded.require_fitted() == method.require_fitted()
    np.testing.assert_array_equal(loaded.scores(PICTURES, words()).values, method.scores(PICTURES, words()).values)


def test_texts_of_other_templates_by_the_same_tower_can_be_scored():
    other = words(templates=("a photo of {}.",))
    assert other.space != words().space
    assert Prompts.untrained(IMAGE, words()).scores(PICTURES, other).values.shape == (2, 2)


@pytest.mark.parametrize(
    ("image", "table", "told"),
    [
        (IMAGE, words(replace(TEXT, name="minilm", weights="w1")), "'clip', texts by 'minilm'.*two towers"),
        (replace(IMAGE, output="mean"), words(), "output 'mean'.*--pooling projection"),
        (IMAGE, words(replace(TEXT, output="sentence-mean")), "'sentence-mean'.*need the text tower"),
        (IMAGE, ClassTable(("river",), np.ones((1, 2)), ("a", "b"), "attributes"), "'clip'.*attributes of source"),
        (IMAGE, ClassTable(("river",), np.ones((1, 2)), ("a", "b"), "embedding"), "embedding of source 'unknown'"),
    ],
)
def test_class_vectors_that_are_no_texts_of_the_model_are_refused_in_one_line(image, table, told):
    with pytest.raises(EncoderMismatchError, match=told) as error:
        Prompts.untrained(image, table)
    assert "\n" not in str(error.value)
    with pytest.raises(EncoderMismatchError, match=told):
        Prompts().fit(TrainingSet(replace(PICTURES, encoder=image).take([0]), ("river",)), table)


def test_a_fitted_one_refuses_the_same_tables_when_it_scores():
    method = Prompts.untrained(IMAGE, words())
    with pytest.raises(EncoderMismatchError, match="two towers"):
        method.scores(PICTURES, words(replace(TEXT, name="minilm", weights="w1")))


def test_length_does_not_count_and_precision_is_float32():
    scores = cosine_scores(X.astype(np.float16), np.array([[10.0, 0.0], [0.0, 1.0]]))
    assert scores.dtype == np.float32
    assert scores == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]), abs=1e-7)


def test_a_zero_vector_scores_zero():
    assert cosine_scores(np.zeros((1, 2)), np.ones((3, 2))).tolist() == [[0.0, 0.0, 0.0]]


def test_vectors_of_another_width_are_refused():
    with pytest.raises(DataFormatError, match=r"\(2, 3\).*\(4, 5\)"):
        cosine_scores(np.ones((2, 3)), np.ones((4, 5)))
