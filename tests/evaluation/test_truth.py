"""The true class table of the synthetic world."""

from pathlib import Path

import numpy as np
import pytest

from zeroscene.errors import DuplicateNameError, OptionError
from zeroscene.evaluation.truth import true_table
from zeroscene.scenes.synthetic.world import draw
from zeroscene.semantics.knowledge import vocabulary
from zeroscene.semantics.table import ClassTable


def test_a_row_is_the_share_of_pictures_with_each_attribute() -> None:
    table = true_table(["Lake", "sea"], seed=7, count=3)
    drawn = [draw("lake", 7, index, 96).attributes for index in range(3)]
    assert table.row("lake") == pytest.approx(np.mean(drawn, axis=0))
    assert table.classes == ("lake", "sea")


def test_columns_are_attributes_of_the_knowledge_base_in_their_groups() -> None:
    table = true_table(["sea"], count=1)
    known = {attribute.name: attribute.group for attribute in vocabulary()}
    assert dict(zip(table.columns, table.groups, strict=True)).items() <= known.items()
    assert table.kind == "attributes"


def test_it_says_how_it_was_counted_and_survives_a_file(tmp_path: Path) -> None:
    table = true_table(["lake", "sea"], seed=7, count=3)
    table.write(tmp_path / "true.csv")
    read = ClassTable.read(tmp_path / "true.csv")
    assert read.fingerprint == table.fingerprint
    assert (read.provenance["seed"], read.provenance["count"]) == (7, 3)


def test_tables_of_two_counts_are_of_one_space() -> None:
    assert true_table(["sea"], count=1).space == true_table(["lake"], seed=2, count=2).space


def test_bad_input() -> None:
    with pytest.raises(OptionError, match="at least 1 picture a class, not 0"):
        true_table(["sea"], count=0)
    with pytest.raises(DuplicateNameError):
        true_table(["sea", "Sea"], count=1)
