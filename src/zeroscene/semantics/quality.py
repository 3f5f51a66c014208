"""What an attribute table is worth before any method sees it: agreement, constant attributes, classes alike."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import unit_rows

ALIKE: Final = 0.9
"""Cosine of two classes' rows, the mean row taken off, from which on they are called alike."""


@dataclass(frozen=True)
class Quality:
    """How far an attribute table can be trusted.

    Attributes:
        agreement: correlation over classes with a reference table, for each attribute that both have; None where
            one of the two is constant.
        agreement_mean: mean of those correlations, or None without a reference.
        discrimination: standard deviation of each attribute over the classes.
        constant: attributes with one value for all classes.
        alike: pairs of classes that the table hardly tells apart, with their cosine, closest first.
    """

    agreement: dict[str, float | None]
    agreement_mean: float | None
    discrimination: dict[str, float]
    constant: list[str]
    alike: list[tuple[str, str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON value."""
        return asdict(self)


def quality(table: ClassTable, reference: ClassTable | None = None) -> Quality:
    """Return what can be said about an attribute table without a picture.

    Args:
        table: attributes of two classes or more.
        reference: another table, such as the knowledge table, with some of the same attributes and all its classes.

    Raises:
        OptionError: the table is not of attributes, or has a single class.
        UnknownNameError: a class is absent from the reference.
    """
    if table.kind != "attributes" or len(table) < 2:
        raise OptionError("a quality report needs a table of attributes with two classes or more")
    deviation = table.matrix.std(axis=0)
    agreement = _agreement(table, reference.select(table.classes)) if reference else {}
    known = [value for value in agreement.values() if value is not None]
    return Quality(
        agreement,
        float(np.mean(known)) if known else None,
        {name: round(float(d), 4) for name, d in zip(table.columns, deviation, strict=True)},
        [name for name, d in zip(table.columns, deviation, strict=True) if d == 0],
        _alike(table),
    )


def _agreement(table: ClassTable, reference: ClassTable) -> dict[str, float | None]:
    columns = {names.key(name): i for i, name in enumerate(reference.columns)}
    found: dict[str, float | None] = {}
    for i, name in enumerate(table.columns):
        if names.key(name) in columns:
            found[name] = _correlation(table.matrix[:, i], reference.matrix[:, columns[names.key(name)]])
    return found


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return round(float(a @ b) / scale, 4) if scale > 1e-9 else None


def _alike(table: ClassTable) -> list[tuple[str, str, float]]:
    centred = table.matrix - table.matrix.mean(axis=0)
    unit = unit_rows(centred)
    cosine = unit @ unit.T
    pairs = np.argwhere(np.triu(cosine > ALIKE, k=1))
    found = [(table.classes[i], table.classes[j], round(float(cosine[i, j]), 4)) for i, j in pairs]
    return sorted(found, key=lambda pair: -pair[2])
