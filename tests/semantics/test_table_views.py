"""A class table made of several: each is had back to the bit, and the whole is a table like any other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DuplicateNameError, UnknownNameError
from zeroscene.semantics.table import ClassTable, Prompts
from zeroscene.semantics.views import is_joined, join, labels, space_of, view

CLASSES = ("beach", "forest", "harbour", "river")
TOWER = EncoderIdentity("clip", "w", "tokens", "text-projection")


def attributes(classes=CLASSES, groups=("surface", "objects", "objects"), prompts=True) -> ClassTable:
    rng = np.random.default_rng(1)
    told = Prompts(rng.normal(size=(3, 5)).astype(np.float32), TOWER) if prompts else None
    values = rng.random((len(classes), 3)).astype(np.float32)
    provenance = {"source": "user file", "file": "classes.csv"}
    return ClassTable(classes, values, ("sand", "boats", "trees"), "attributes", groups, provenance, told)


def texts(classes=CLASSES, space="clip") -> ClassTable:
    vectors = np.random.default_rng(2).normal(size=(len(classes), 5)).astype(np.float32)
    columns = tuple(f"dim{i}" for i in range(5))
    return ClassTable(classes, vectors, columns, "embedding", provenance={"source": "text", "space": space})


def assert_same(made: ClassTable, expected: ClassTable) -> None:
    assert made.matrix.tobytes() == expected.matrix.tobytes()
    assert (made.classes, made.columns, made.kind) == (expected.classes, expected.columns, expected.kind)
    assert (made.groups, made.provenance, made.space) == (expected.groups, expected.provenance, expected.space)
    assert made.fingerprint == expected.fingerprint
    assert (made.prompts is None) == (expected.prompts is None)
    if made.prompts is not None:
        assert made.prompts.encoder == expected.prompts.encoder
        assert made.prompts.vectors.tobytes() == expected.prompts.vectors.tobytes()


@pytest.mark.parametrize("groups", [(), ("surface", "objects", "objects")])
@pytest.mark.parametrize("prompts", [False, True])
def test_a_view_is_the_table_that_was_joined(groups, prompts):
    own, words = attributes(groups=groups, prompts=prompts), texts()
    joined = join({"attributes": own, "words": words})
    assert joined.kind == "embedding"
    assert joined.columns[:1] + joined.columns[-1:] == ("attributes.sand", "words.dim4")
    assert is_joined(joined)
    assert not is_joined(own)
    assert labels(joined.provenance) == ("attributes", "words")
    assert_same(view(joined, "attributes"), own)
    assert_same(view(joined, "Words"), words)


@given(st.lists(st.sampled_from(CLASSES), unique=True))
def test_choosing_classes_and_taking_a_view_may_come_in_either_order(wanted):
    joined = join({"attributes": attributes(), "words": texts()})
    assert_same(view(joined.select(wanted), "attributes"), attributes().select(wanted))
    assert_same(view(joined.select(wanted), "words"), texts().select(wanted))


def test_a_joined_table_is_written_and_read_like_any_other(tmp_path):
    joined = join({"attributes": attributes(), "words": texts()})
    joined.write(tmp_path / "both.safetensors")
    read = ClassTable.read(tmp_path / "both.safetensors")
    assert read.fingerprint == joined.fingerprint
    assert_same(view(read, "attributes"), attributes())
    assert_same(view(read, "words"), texts())


def test_new_classes_are_added_to_all_views_at_once():
    new = {"attributes": attributes(("bridge",)), "words": texts(("bridge",))}
    grown = join({"attributes": attributes(), "words": texts()}).union(join(new))
    assert_same(view(grown, "words"), texts().union(texts(("bridge",))))
    assert_same(view(grown, "attributes").select(["bridge"]), attributes(("bridge",)))


def test_the_vector_space_is_that_of_all_views():
    joined = join({"attributes": attributes(), "words": texts()})
    assert joined.space == join({"attributes": attributes(), "words": texts()}).space
    assert joined.space != join({"attributes": attributes(), "words": texts(space="other")}).space
    with pytest.raises(DataFormatError, match="different vector spaces"):
        joined.union(join({"attributes": attributes(("bridge",)), "words": texts(("bridge",), space="other")}))


def test_the_provenance_alone_tells_the_space_of_a_view():
    joined = join({"attributes": attributes(), "words": texts()})
    space, provenance = space_of(joined.provenance, "words")
    assert (space, provenance) == (texts().space, texts().provenance)


def test_classes_are_those_of_the_first_table_in_its_spelling():
    words = texts(("River", "Forest", "Beach", "Harbour", "Bridge"))
    joined = join({"attributes": attributes(), "words": words})
    assert joined.classes == CLASSES
    np.testing.assert_array_equal(view(joined, "words").row("beach"), words.row("Beach"))


def test_what_cannot_be_joined_is_refused_in_one_line():
    both = join({"attributes": attributes(), "words": texts()})
    with pytest.raises(UnknownNameError, match=r"classes in 'words', which must hold those of 'attributes': 'river'"):
        join({"attributes": attributes(), "words": texts(CLASSES[:3])})
    with pytest.raises(DuplicateNameError, match=r"'words' and 'Words'"):
        join({"words": texts(), "Words": texts()})
    with pytest.raises(DataFormatError, match=r"'both' is joined of several already"):
        join({"both": both, "words": texts()})
    with pytest.raises(DataFormatError, match="at least one"):
        join({})
    other = replace(attributes(), prompts=replace(attributes().prompts, encoder=replace(TOWER, weights="v")))
    with pytest.raises(DataFormatError, match=r"'a' and 'b' bring words of different image-text models"):
        join({"a": attributes(), "b": other})


def test_an_unknown_view_is_refused_with_those_there_are():
    with pytest.raises(UnknownNameError, match=r"'word' \(nearest: words\); known: attributes, words"):
        view(join({"attributes": attributes(), "words": texts()}), "word")
    with pytest.raises(UnknownNameError, match=r"no view 'words'; it is one table, of source 'text'"):
        view(texts(), "words")
