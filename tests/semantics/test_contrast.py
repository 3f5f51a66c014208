"""Contrast: other names, without those that mean what was asked for."""

import numpy as np
import pytest

from zeroscene.errors import DataFormatError
from zeroscene.semantics.contrast import contrast_names, distinct
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable


def table(classes, matrix, source="drawn"):
    columns = tuple(f"dim{i}" for i in range(matrix.shape[1]))
    return ClassTable(tuple(classes), matrix, columns, "embedding", provenance={"source": source, "space": source})


def test_a_name_that_is_asked_for_is_no_contrast_however_it_is_spelled():
    found = contrast_names(["Storage_Tank", "solar farm"])
    assert "storage_tank" not in found
    assert "harbor" in found


def test_what_means_nearly_the_same_is_left_out():
    rng = np.random.default_rng(0)
    others = rng.normal(size=(30, 64)).astype(np.float32)
    asked = others[:1] + 0.3 * rng.normal(size=(1, 64)).astype(np.float32)
    left = distinct(table(["asked"], asked), table([f"other {i}" for i in range(30)], others))
    assert "other 0" not in left.classes
    assert len(left) >= 27


def test_by_attributes_too():
    left = distinct(knowledge_table(["dense_residential"]), knowledge_table([
        "medium_residential", "beach", "forest", "harbor", "river", "desert", "storage_tank", "airplane",
        "snow_mountain", "lake", "freeway",
    ]))  # fmt: skip
    assert "medium_residential" not in left.classes
    assert {"beach", "forest", "river"} <= set(left.classes)


def test_few_names_are_all_kept_but_the_candidate_itself():
    rows = np.eye(4, dtype=np.float32)
    assert distinct(table("a", rows[:1]), table("abcd", rows)).classes == ("b", "c", "d")


def test_no_name_left_and_another_space_are_refused():
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(DataFormatError, match="every other name"):
        distinct(table("ab", rows), table("a", rows[:1]))
    with pytest.raises(DataFormatError, match="another vector space"):
        distinct(table("a", rows[:1]), table("b", rows[1:], "texts"))
