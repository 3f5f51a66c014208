"""Prompts of a class table: they lie beside it, follow its columns, and are no part of its space."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError
from zeroscene.semantics.table import ClassTable, Prompts

ENCODER = EncoderIdentity("drawn", "w", "p", "projection")
VECTORS = np.eye(3, 5, dtype=np.float32)


def table(**changes: object) -> ClassTable:
    made = ClassTable(
        ("lake", "beach"), np.array([[1, 0, 0.5], [0, 1, 0]], np.float32), ("water", "sand", "boats"), "attributes",
        ("materials", "materials", "objects"), prompts=Prompts(VECTORS, ENCODER),
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize("name", ["table.csv", "table.safetensors"])
def test_they_are_read_as_written_and_equal_tables_are_equal_files(tmp_path: Path, name: str) -> None:
    table().write(tmp_path / name)
    read = ClassTable.read(tmp_path / name)
    assert read.prompts is not None
    np.testing.assert_array_equal(read.prompts.vectors, VECTORS)
    assert read.prompts.encoder == ENCODER
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    read.write(tmp_path / name)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == written


def test_they_follow_the_columns_of_an_edited_table(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    table().write(file)
    file.write_text("class,boats,gravel,water\n(group),objects,materials,materials\nlake,1,0,1\nbeach,0,1,1\n")
    read = ClassTable.read(file)
    assert read.prompts is not None
    np.testing.assert_array_equal(read.prompts.vectors, [VECTORS[2], np.zeros(5), VECTORS[0]])
    assert read.prompts.known.tolist() == [True, False, True]


def test_a_table_without_them_leaves_none_beside_it(tmp_path: Path) -> None:
    table().write(tmp_path / "table.csv")
    table(prompts=None).write(tmp_path / "table.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_they_count_for_the_fingerprint_but_not_for_the_space() -> None:
    with_them, without = table(), table(prompts=None)
    assert with_them.space == without.space
    assert with_them.fingerprint != without.fingerprint
    assert with_them.select(["beach"]).prompts is with_them.prompts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": Prompts(VECTORS[:2], ENCODER)}, "prompts of 2 attributes for 3 columns"),
        ({"groups": ("materials", " ", "objects")}, "'sand' is in no group"),
        ({"groups": ("materials", "objects")}, "2 groups for 3 columns"),
    ],
)
def test_what_does_not_cover_the_attributes_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        table(**changes)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    table().write(tmp_path / "table.csv")
    beside = tmp_path / "table.prompts.safetensors"
    beside.write_bytes(beside.read_bytes()[:-8])
    with pytest.raises(DataFormatError, match=r"table\.prompts\.safetensors is damaged"):
        ClassTable.read(tmp_path / "table.csv")
