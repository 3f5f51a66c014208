"""Class vectors from texts: prompt ensembles, and an encoder of words whose vectors are known."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DuplicateNameError, OptionError, UnknownNameError
from zeroscene.semantics.prompts import TEMPLATE_SETS
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import text_table


class WordCounts:
    """A text is the counts of the words that the encoder knows, to unit length, and a little of everything."""

    words = ("beach", "forest", "runway", "sand", "above", "aerial")
    width = len(words)

    def __init__(self, weights: str = "w") -> None:
        self.identity = EncoderIdentity("word counts", weights, "words", "counts")
        self.seen: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        x = np.array([[t.lower().split().count(w) + 0.01 for w in self.words] for t in texts], np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_names_are_read_as_phrases():
    encoder = WordCounts()
    table = text_table(["DenseForest_of_glass", "very_long_beach"], encoder)
    assert encoder.seen == ["dense forest of glass", "very long beach"]
    assert table.classes == ("DenseForest_of_glass", "very_long_beach")
    assert table.kind == "embedding"
    assert table.matrix.argmax(axis=1).tolist() == [1, 0]


def test_a_class_is_the_mean_of_unit_vectors_over_texts_and_templates():
    encoder = WordCounts()
    texts = {"Beach": ["sand and sand", "beach"], "forest": "forest"}
    templates = ("{}", "{} from above", "aerial {}")
    table = text_table(["beach", "forest"], encoder, texts=texts, templates=templates)
    for row, own in ((0, ["sand and sand", "beach"]), (1, ["forest"])):
        mean = np.mean([encoder.encode_texts([t.replace("{}", text)])[0] for text in own for t in templates], axis=0)
        np.testing.assert_allclose(table.matrix[row], mean / np.linalg.norm(mean), rtol=1e-5)


@given(st.lists(st.sampled_from(WordCounts.words), min_size=1, max_size=6, unique=True))
def test_rows_have_unit_length_and_do_not_depend_on_the_other_classes(classes):
    texts = {c: c for c in classes}
    table = text_table(classes, WordCounts(), texts=texts, templates=TEMPLATE_SETS["aerial"])
    np.testing.assert_allclose(np.linalg.norm(table.matrix, axis=1), 1, atol=1e-6)
    for row, name in enumerate(classes):
        alone = text_table([name], WordCounts(), texts=texts, templates=TEMPLATE_SETS["aerial"])
        np.testing.assert_allclose(alone.matrix[0], table.matrix[row], atol=1e-6)


def test_tables_of_one_space_join_and_others_do_not():
    def space(encoder: WordCounts, templates: Sequence[str] = ("{}",), name: str = "beach") -> str:
        return text_table([name], encoder, texts={name: name}, templates=templates).space

    first = space(WordCounts())
    assert space(WordCounts(), name="runway") == first
    assert space(WordCounts("other weights")) != first
    assert space(WordCounts(), TEMPLATE_SETS["aerial"]) != first


def test_provenance_says_how_the_vectors_were_made(tmp_path):
    table = text_table(["beach"], WordCounts(), texts={"beach": ["sand"]}, templates=["a {}"])
    assert table.provenance["source"] == "text"
    assert table.provenance["encoder"] == WordCounts().identity.to_json()
    assert table.provenance["templates"] == ["a {}"]
    assert table.provenance["texts"] == {"beach": ["sand"]}
    json.dumps(dict(table.provenance))
    table.write(tmp_path / "table.safetensors")
    assert ClassTable.read(tmp_path / "table.safetensors").space == table.space


def test_descriptions_come_from_the_knowledge_base():
    from zeroscene.semantics import knowledge

    encoder = WordCounts()
    text_table(["airport", "Beach"], encoder, texts="descriptions")
    assert encoder.seen == [knowledge.description("airport"), knowledge.description("beach")]


def test_braces_in_a_text_are_text():
    encoder = WordCounts()
    text_table(["x"], encoder, texts={"x": "a {0} {}"}, templates=["<{}>"])
    assert encoder.seen == ["<a {0} {}>"]


@pytest.mark.parametrize("template", ["no place", "{} and {}", "{0}"])
def test_a_template_has_one_place(template):
    with pytest.raises(OptionError, match="exactly once"):
        text_table(["beach"], WordCounts(), templates=[template])


def test_what_is_missing_is_named():
    with pytest.raises(OptionError, match="at least one template"):
        text_table(["beach"], WordCounts(), templates=[])
    with pytest.raises(UnknownNameError, match=r"unknown classes in the given texts: 'beech' \(nearest: beach\)"):
        text_table(["beech", "beach"], WordCounts(), texts={"beach": "sand"})
    with pytest.raises(OptionError, match="class 'beach' has an empty text"):
        text_table(["beach"], WordCounts(), texts={"beach": ["sand", " "]})
    with pytest.raises(DuplicateNameError):
        text_table(["beach", "Beach"], WordCounts(), texts={"beach": "sand"})


def test_real_vectors_put_like_classes_near_each_other(shared):
    from zeroscene.encoders.text import load_text_encoder

    encoder = load_text_encoder(shared / "real" / "encoders" / "all-minilm-l6-v2")
    classes = ["denseresidential", "mediumresidential", "forest", "river", "runway"]
    similarity = (lambda m: m @ m.T)(text_table(classes, encoder).matrix)
    np.fill_diagonal(similarity, -1)
    assert similarity[0].argmax() == 1
    assert similarity[1].argmax() == 0
