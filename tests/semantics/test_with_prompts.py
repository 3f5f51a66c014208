"""A table from anywhere, with the words of an image-text model for its attributes."""

import numpy as np
import pytest

from zeroscene.encoders.text import HuggingFaceTextEncoder, load_text_encoder
from zeroscene.errors import OptionError
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import Vocabulary, with_prompts

SYNTHETIC = read_vocabulary("synthetic")


@pytest.fixture(scope="module")
def reader() -> HuggingFaceTextEncoder:
    return load_text_encoder("tiny")


def test_the_values_stay_and_known_attributes_get_their_words(reader: HuggingFaceTextEncoder) -> None:
    table = knowledge_table(["lake", "harbor"])
    told = with_prompts(table, SYNTHETIC, reader)
    assert told.prompts is not None
    assert told.space == table.space
    assert np.array_equal(told.matrix, table.matrix)
    known = {column for column, has in zip(told.columns, told.prompts.known, strict=True) if has}
    assert known == set(table.columns) & set(SYNTHETIC.attributes)
    row, at = told.columns.index("piers"), SYNTHETIC.attributes.index("piers")
    np.testing.assert_allclose(told.prompts.vectors[row], SYNTHETIC.vectors(reader, ("{}",))[at], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(told.prompts.vectors[told.prompts.known], axis=1), 1, atol=1e-5)
    assert told.prompts.encoder == reader.identity


def test_spelling_does_not_matter_and_strangers_are_passed_over(reader: HuggingFaceTextEncoder) -> None:
    table = ClassTable(("lake",), np.ones((1, 2), np.float32), ("Small Boats", "charm"), "attributes")
    told = with_prompts(table, SYNTHETIC, reader)
    assert told.prompts is not None
    assert told.prompts.known.tolist() == [True, False]


def test_a_vocabulary_without_one_attribute_of_the_table_is_refused(reader: HuggingFaceTextEncoder) -> None:
    words = Vocabulary(("charm",), ("taste",), (("lovely",),))
    with pytest.raises(OptionError, match=r"none of the 133 attributes .*\(cars, \.\.\.\) .* vocabulary \(charm"):
        with_prompts(knowledge_table(["lake"]), words, reader)
