"""The quality report of attribute tables."""

import numpy as np
import pytest

from zeroscene.errors import OptionError
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.quality import quality
from zeroscene.semantics.table import ClassTable


def table(rows: list[list[float]], columns: tuple[str, ...]) -> ClassTable:
    return ClassTable(tuple(f"c{i}" for i in range(len(rows))), np.array(rows, np.float32), columns, "attributes")


def test_a_table_agrees_with_itself_and_disagrees_with_its_mirror() -> None:
    known = knowledge_table(["forest", "river", "harbor", "parking lot"])
    assert quality(known, known).agreement_mean == pytest.approx(1)
    mirror = ClassTable(known.classes, 1 - known.matrix, known.columns, "attributes", known.groups)
    assert quality(mirror, known).agreement_mean == pytest.approx(-1)


def test_only_common_attributes_are_compared() -> None:
    ours = table([[0, 1], [1, 0], [0.5, 1]], ("boats", "mine"))
    theirs = table([[0, 7], [1, 8], [0.5, 9]], ("Boats", "theirs"))
    assert quality(ours, theirs).agreement == {"boats": pytest.approx(1)}
    assert quality(ours).agreement_mean is None


def test_constant_attributes_and_classes_alike_are_named() -> None:
    told = quality(table([[1, 0, 0.5], [0.99, 0, 0.5], [0, 1, 0.5]], ("a", "b", "c")))
    assert told.constant == ["c"]
    assert [pair[:2] for pair in told.alike] == [("c0", "c1")]
    assert told.discrimination["c"] == 0


def test_one_class_has_no_quality() -> None:
    with pytest.raises(OptionError, match="two classes"):
        quality(table([[1.0]], ("a",)))
