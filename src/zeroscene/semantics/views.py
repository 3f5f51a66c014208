"""Several class tables as one: each is a view of it, and can be had back as it was.

Methods of one fusion may know classes by different things: an image-text model by the vectors of their texts, another
method by attributes. `join` puts such tables side by side; a class of the joined table has a row in every view, so
choosing classes, adding some, writing and reading are those of one table.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from zeroscene import names
from zeroscene.errors import DataFormatError, UnknownNameError
from zeroscene.semantics.table import ClassTable, Prompts

VIEWS: Final = "views"
"""`source` in the provenance of a joined table."""


def join(tables: Mapping[str, ClassTable]) -> ClassTable:
    """Return tables side by side, for the classes of the first and in its spelling.

    Values stay as they are; a column is called `LABEL.COLUMN`. The vector space is that of all views, and the
    provenance keeps that of each among its `parts`.

    Args:
        tables: label -> table; every other table must hold the classes of the first.

    Raises:
        DataFormatError: there is no table, a table is joined already, or two bring words of different image-text
            models for their attributes.
        DuplicateNameError: two labels are the same name, or one is blank.
        UnknownNameError: a class of the first table is absent from another; the message names the table.
    """
    if not tables:
        raise DataFormatError("class tables: name at least one to join")
    names.index(list(tables), "labels of class tables")
    first, classes = next((label, table.classes) for label, table in tables.items())
    for label, table in tables.items():
        if is_joined(table):
            raise DataFormatError(f"class table {label!r} is joined of several already; join its views instead")
        if absent := [name for name in classes if name not in table]:
            raise names.unknown(absent, table.classes, f"classes in {label!r}, which must hold those of {first!r}")
    parts = {label: table.select(classes) for label, table in tables.items()}
    return ClassTable(
        classes,
        np.hstack([part.matrix for part in parts.values()]),
        tuple(f"{label}.{column}" for label, part in parts.items() for column in part.columns),
        "embedding",
        _groups(parts),
        {
            "source": VIEWS,
            "space": [[label, part.space] for label, part in parts.items()],
            VIEWS: [
                {
                    "label": label,
                    "kind": part.kind,
                    "columns": len(part.columns),
                    "grouped": bool(part.groups),
                    "prompts": part.prompts is not None,
                    "space": part.space,
                }
                for label, part in parts.items()
            ],
            "parts": [dict(part.provenance) for part in parts.values()],
        },
        _prompts(parts),
    )


def view(table: ClassTable, label: str) -> ClassTable:
    """Return one of the tables that were joined, for the classes of `table`.

    Raises:
        UnknownNameError: no such view, or the table is not joined; the views it has are named.
    """
    start = 0
    for record, provenance in zip(_records(table.provenance), table.provenance.get("parts", ()), strict=False):
        columns = slice(start, start := start + record["columns"])
        if names.key(record["label"]) != names.key(label):
            continue
        prefix = len(record["label"]) + 1
        prompts = None
        if record["prompts"] and table.prompts is not None:
            prompts = Prompts(table.prompts.vectors[columns], table.prompts.encoder)
        return ClassTable(
            table.classes,
            table.matrix[:, columns],
            tuple(column[prefix:] for column in table.columns[columns]),
            "attributes" if record["kind"] == "attributes" else "embedding",
            table.groups[columns] if record["grouped"] else (),
            provenance,
            prompts,
        )
    if not is_joined(table):
        raise UnknownNameError(
            f"class table: there is no view {label!r}; it is one table, of source {table.provenance.get('source')!r}"
        )
    raise names.unknown([label], labels(table.provenance), "view of the class table")


def is_joined(table: ClassTable) -> bool:
    """Return whether a table is made of views."""
    return bool(_records(table.provenance))


def labels(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of the views, in order; none for a table that is not joined."""
    return tuple(record["label"] for record in _records(provenance))


def space_of(provenance: Mapping[str, Any], label: str) -> tuple[str, Mapping[str, Any]]:
    """Return the vector space and the provenance of a view, told by the provenance of the joined table alone.

    Raises:
        UnknownNameError: no such view.
    """
    for record, part in zip(_records(provenance), provenance.get("parts", ()), strict=False):
        if names.key(record["label"]) == names.key(label):
            return record["space"], part
    raise names.unknown([label], labels(provenance), "view of the class table")


def _records(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(provenance.get(VIEWS, ())) if provenance.get("source") == VIEWS else []


def _groups(parts: Mapping[str, ClassTable]) -> tuple[str, ...]:
    """Return the groups of all columns; those of a table without groups are one group with its label."""
    if not any(part.groups for part in parts.values()):
        return ()
    return tuple(group for label, part in parts.items() for group in part.groups or (label,) * len(part.columns))


def _prompts(parts: Mapping[str, ClassTable]) -> Prompts | None:
    """Return the words for the columns of all tables; zeros for those of a table without words."""
    given = {label: part.prompts for label, part in parts.items() if part.prompts is not None}
    if not given:
        return None
    (first, told), *others = given.items()
    for label, other in others:
        if other.encoder.fingerprint != told.encoder.fingerprint:
            raise DataFormatError(
                f"class tables {first!r} and {label!r} bring words of different image-text models, "
                f"{told.encoder.name!r} and {other.encoder.name!r}; make both with one"
            )
    nothing = {label: np.zeros((len(part.columns), told.vectors.shape[1]), np.float32) for label, part in parts.items()}
    return Prompts(
        np.vstack([given[label].vectors if label in given else nothing[label] for label in parts]), told.encoder
    )
