"""Attribute vocabularies as files that a person edits."""

from pathlib import Path

import pytest

from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError
from zeroscene.semantics import knowledge
from zeroscene.semantics.vocabulary import Vocabulary


def test_the_knowledge_vocabulary_survives_its_file(tmp_path: Path) -> None:
    known = Vocabulary.of_knowledge()
    known.write(tmp_path / "attributes.csv")
    read = Vocabulary.read(tmp_path / "attributes.csv")
    assert read == known
    assert read.fingerprint == known.fingerprint
    assert len(read) == len(knowledge.vocabulary())


def test_several_wordings_stand_in_one_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("attribute,group,prompt\nboats,objects,boats | small boats\n")
    assert Vocabulary.read(tmp_path / "a.csv").prompts == (("boats", "small boats"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,prompt\nboats,boats\n", "first line"),
        ("attribute,group,prompt\nboats,objects\n", "line 2: 2 cells"),
        ("attribute,group,prompt\nboats,,boats\n", "'boats' is in no group"),
        ("attribute,group,prompt\nboats,objects, \n", "'boats' has no prompt"),
        ("attribute,group,prompt\n", "names no attribute"),
    ],
)
def test_a_damaged_file_is_told_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataFormatError, match=said):
        Vocabulary.read(tmp_path / "a.csv")


def test_a_missing_file_and_a_name_given_twice(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no such attribute vocabulary"):
        Vocabulary.read(tmp_path / "none.csv")
    with pytest.raises(DuplicateNameError):
        Vocabulary(("Small boats", "small_boats"), ("a", "a"), (("x",), ("y",)))
