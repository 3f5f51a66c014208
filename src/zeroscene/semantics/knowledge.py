"""The attribute knowledge base: what scene classes look like from above, written down as numbers and sentences.

Four CSV files in `data/` hold it, and a person edits them: `attributes.csv` (the vocabulary), `classes.csv` (class x
attribute values in [0, 1]), `synonyms.csv` (other spellings and words) and `descriptions.csv` (one sentence a class).
docs/knowledge.md says what the values mean and how the table was made.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from zeroscene import names
from zeroscene.errors import DataFormatError, DuplicateNameError, OptionError, UnknownNameError
from zeroscene.semantics.table import ClassTable

VERSION = "1.0"
"""Version of the values; raised by every change of a value, an attribute or a class."""

_SPACE = "zeroscene-knowledge"
REMEDY = (
    "rename it to a known class, describe it with knowledge.compose(), or write its row into your own table "
    "(docs/knowledge.md, 'Classes of your own')"
)
_data = resources.files("zeroscene.semantics") / "data"


@dataclass(frozen=True)
class Attribute:
    """One visually detectable attribute.

    Attributes:
        name: column name in class tables.
        group: objects, materials, functions, surface or layout.
        definition: what is seen from above, and when the value is 1.
        prompt: noun phrase that completes "an aerial photo showing ...".
    """

    name: str
    group: str
    definition: str
    prompt: str


@dataclass(frozen=True)
class _Spelling:
    """What one known spelling stands for: its canonical class, and how to say it in words."""

    shown: str
    canonical: str
    phrase: str


def _rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((_data / file).read_text(encoding="utf-8-sig").splitlines()))


@cache
def vocabulary() -> tuple[Attribute, ...]:
    """Return all attributes, in the column order of the tables."""
    return tuple(Attribute(r["attribute"], r["group"], r["definition"], r["prompt"]) for r in _rows("attributes.csv"))


@cache
def _everything() -> ClassTable:
    with resources.as_file(_data / "classes.csv") as path:
        table = ClassTable.read(path)
    attributes = vocabulary()
    if table.columns != tuple(a.name for a in attributes) or table.groups != tuple(a.group for a in attributes):
        raise DataFormatError("knowledge base: classes.csv and attributes.csv must name the same attributes and groups")
    table = ClassTable(table.classes, table.matrix, table.columns, "attributes", table.groups, _provenance("knowledge"))
    described = {**table.provenance, "table": table.fingerprint}
    return ClassTable(table.classes, table.matrix, table.columns, "attributes", table.groups, described)


def _provenance(source: str) -> dict[str, Any]:
    return {"source": source, "version": VERSION, "space": _SPACE}


@cache
def _spellings() -> dict[str, _Spelling]:
    known = {names.key(c): _Spelling(c, c, names.words(c)) for c in _everything().classes}
    for row in _rows("synonyms.csv"):
        alias = row["alias"]
        known[names.key(alias)] = _Spelling(alias, row["class"], row["phrase"] or names.words(alias))
    return known


@cache
def _descriptions() -> dict[str, str]:
    return {row["class"]: row["description"] for row in _rows("descriptions.csv")}


def _singulars(key: str) -> Iterator[str]:
    for plural, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if key.endswith(plural):
            yield key.removesuffix(plural) + singular


def _find(name: str) -> _Spelling | None:
    known, key = _spellings(), names.key(name)
    return next((known[k] for k in (key, *_singulars(key)) if k in known), None)


def _resolve(wanted: Sequence[str]) -> list[_Spelling]:
    found = [_find(name) for name in wanted]
    missing = [name for name, spelling in zip(wanted, found, strict=True) if spelling is None]
    if missing:
        known = [spelling.shown for spelling in _spellings().values()]
        error = names.unknown(missing, known, "classes in the knowledge base")
        raise UnknownNameError(f"{error}; {REMEDY}")
    return [spelling for spelling in found if spelling is not None]


def known_classes() -> tuple[str, ...]:
    """Return the canonical class names, sorted."""
    return _everything().classes


def canonical(name: str) -> str:
    """Return the canonical class that a name stands for: `Port`, `crossroads` and `BareLand` are all known.

    Raises:
        UnknownNameError: no class or synonym has this name; the nearest names and what to do are given.
    """
    return _resolve([name])[0].canonical


def find(name: str) -> str | None:
    """Return the canonical class that a name stands for, or None where nobody wrote one down."""
    found = _find(name)
    return None if found is None else found.canonical


def phrase(name: str) -> str:
    """Return a class name as words for a text encoder: `baseballdiamond` as "baseball diamond".

    Raises:
        UnknownNameError: no class or synonym has this name.
    """
    return _resolve([name])[0].phrase


def synonyms(name: str) -> tuple[str, ...]:
    """Return all words of the knowledge base for the class that a name stands for, the name's own phrase first.

    Raises:
        UnknownNameError: no class or synonym has this name.
    """
    own = _resolve([name])[0]
    said: dict[str, str] = {}
    for words in (own.phrase, *(one.phrase for one in _spellings().values() if one.canonical == own.canonical)):
        said.setdefault(names.key(words), words)
    return tuple(said.values())


def description(name: str) -> str:
    """Return one factual sentence on what scenes of a class look like from above.

    Raises:
        UnknownNameError: no class or synonym has this name.
    """
    return _descriptions()[canonical(name)]


def knowledge_table(classes: Sequence[str]) -> ClassTable:
    """Return the attribute table of the given classes, in their order and spelling, (C, A) with values in [0, 1].

    Raises:
        UnknownNameError: classes are not known; all are named, with the nearest names and what to do.
        DuplicateNameError: two names stand for one canonical class, so that nothing could tell them apart.
    """
    resolved = [spelling.canonical for spelling in _resolve(classes)]
    first: dict[str, str] = {}
    for given, found in zip(classes, resolved, strict=True):
        if found in first:
            raise DuplicateNameError(
                f"knowledge base: {first[found]!r} and {given!r} both mean {found!r} and cannot be told apart; "
                "merge them, or give one of them its own row (docs/knowledge.md, 'Classes of your own')"
            )
        first[found] = given
    rows = _everything().select(resolved)
    meant = {given: found for given, found in zip(classes, resolved, strict=True) if given != found}
    provenance = {**rows.provenance, "meant": meant}
    return ClassTable(tuple(classes), rows.matrix, rows.columns, "attributes", rows.groups, provenance)


def compose(values: Mapping[str, float], name: str) -> ClassTable:
    """Return a table with one new class made from named attributes; attributes that are not named are 0.

    The table has the space of `knowledge_table`, so that the two can be joined with `ClassTable.union`.

    Raises:
        UnknownNameError: an attribute is not in the vocabulary; the nearest names are listed.
        DuplicateNameError: one attribute is given twice.
        OptionError: a value is outside [0, 1], or no value is above 0.
    """
    table = _everything()
    given = names.index(list(values), f"attributes of {name!r}")
    columns = {names.key(column): i for i, column in enumerate(table.columns)}
    if not given.keys() <= columns.keys():
        raise names.unknown(values, table.columns, f"attributes of {name!r}")
    row = np.zeros((1, len(columns)), np.float32)
    for attribute, value in values.items():
        if not 0 <= value <= 1:
            raise OptionError(f"attribute {attribute!r} of class {name!r} is {value!r}; give a number from 0 to 1")
        row[0, columns[names.key(attribute)]] = value
    if not row.any():
        raise OptionError(f"class {name!r} has no attribute above 0; name at least one")
    return ClassTable((name,), row, table.columns, "attributes", table.groups, _provenance("composed"))
