"""ClassBank: the classes that a model is asked about, as a value that is edited class by class and kept in one file.

A bank is what a class table is made of: each class with its texts or attribute values and its vector, and the recipe by
which the vector of a new class is made in the same space. Operations return a new bank. The file is JSON, one line a
class, so that people and `git diff` can read it; its last line holds the version, the digest of all before. Equal banks
are equal files: adding a class and removing it again restores the file byte for byte.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from zeroscene import names
from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError, ZeroSceneError
from zeroscene.files import digest
from zeroscene.semantics.bank_parts import FORMAT, Entry, Made, Recipe, line
from zeroscene.semantics.table import ClassTable

SUFFIX: Final = ".bank"
_NOTES: Final[Mapping[str, Made]] = {"composed": "attributes", "described": "words"}
"""What a table's provenance calls the classes that were made otherwise than the rest of it."""


@dataclass(frozen=True, eq=False)
class ClassBank:
    """An ordered set of classes and the recipe of their vectors; two banks are equal when their files are.

    Raises:
        DuplicateNameError: two classes have the same normalised name.
        DataFormatError: a vector is of another width than the recipe says.
    """

    recipe: Recipe
    entries: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        _ = self._positions
        for entry in self.entries:
            if len(entry.data) != 4 * len(self.recipe.columns):
                raise DataFormatError(
                    f"class {entry.name!r} has {len(entry.data) // 4} values, the bank {len(self.recipe.columns)}"
                )

    @cached_property
    def _positions(self) -> dict[str, int]:
        return names.index(self.classes, "class bank")

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and names.key(name) in self._positions

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassBank) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return tuple(entry.name for entry in self.entries)

    @classmethod
    def of(cls, table: ClassTable) -> Self:
        """Return the bank of the classes of a table; its `table` is that table again.

        Raises:
            DuplicateNameError: a class is called "none of these".
        """
        provenance = json.loads(json.dumps(dict(table.provenance)))
        said = {key: _by_key(provenance.pop(key, {})) for key in ("texts", "meant")}
        made: dict[str, Made] = {}
        for note, how in _NOTES.items():
            made |= {names.key(name): how for name in provenance.pop(note, ())}
        entries = []
        for name, vector in zip(table.classes, table.matrix, strict=True):
            _refuse_reserved(name)
            key = names.key(name)
            texts = said["texts"].get(key, ())
            meant = str(said["meant"].get(key, ""))
            entries.append(
                Entry.of(name, vector, (texts,) if isinstance(texts, str) else texts, made.get(key, ""), meant)
            )
        return cls(Recipe(table.kind, table.columns, table.groups, provenance, table.prompts), tuple(entries))

    @cached_property
    def table(self) -> ClassTable:
        """The class table of all classes, (C, A); with no class, a table of none."""
        recipe, matrix = self.recipe, np.zeros((len(self), len(self.recipe.columns)), np.float32)
        for row, entry in zip(matrix, self.entries, strict=True):
            row[:] = entry.vector
        provenance = dict(recipe.provenance)
        if texts := {entry.name: list(entry.texts) for entry in self.entries if entry.texts}:
            provenance["texts"] = texts
        if meant := {entry.name: entry.meant for entry in self.entries if entry.meant}:
            provenance["meant"] = meant
        for note, how in _NOTES.items():
            if made := [entry.name for entry in self.entries if entry.made == how]:
                provenance[note] = made
        return ClassTable(self.classes, matrix, recipe.columns, recipe.kind, recipe.groups, provenance, recipe.prompts)

    @property
    def space(self) -> str:
        """The vector space of `ClassTable.space`; no operation changes it."""
        return self.recipe.space

    @cached_property
    def version(self) -> str:
        """Digest of the content, 16 hexadecimal digits."""
        return digest(self._body)

    @cached_property
    def _body(self) -> bytes:
        lines = [*self.recipe.lines, *(line(entry.to_json(self.recipe.named)) for entry in self.entries)]
        return "".join(lines).encode()

    def entry(self, name: str) -> Entry:
        """Return one class.

        Raises:
            UnknownNameError: no such class; the nearest are listed.
        """
        return self.entries[self.position(name)]

    def position(self, name: str) -> int:
        """Return where a class stands.

        Raises:
            UnknownNameError: no such class; the nearest are listed.
        """
        if name not in self:
            raise names.unknown([name], self.classes, "classes in the class bank")
        return self._positions[names.key(name)]

    def added(self, entry: Entry, at: int | None = None) -> Self:
        """Return the bank with one class more.

        Args:
            entry: the class.
            at: before which position; behind the last without it.

        Raises:
            DuplicateNameError: the class is there already, however it is spelled, or is called "none of these".
        """
        self.require_new(entry.name)
        at = len(self) if at is None else at
        return replace(self, entries=(*self.entries[:at], entry, *self.entries[at:]))

    def removed(self, name: str) -> Self:
        """Return the bank without a class.

        Raises:
            UnknownNameError: no such class; the nearest are listed.
        """
        at = self.position(name)
        return replace(self, entries=(*self.entries[:at], *self.entries[at + 1 :]))

    def renamed(self, name: str, new: str) -> Self:
        """Return the bank with another name for a class; its vector and its place stay.

        Raises:
            UnknownNameError: no such class; the nearest are listed.
            DuplicateNameError: another class has the new name, however it is spelled, or it is "none of these".
        """
        entry = self.entry(name)
        if names.key(new) != names.key(name):
            self.require_new(new)
        return self.described(replace(entry, name=new), of=name)

    def described(self, entry: Entry, of: str | None = None) -> Self:
        """Return the bank with another entry in the place of a class.

        Args:
            entry: the class anew.
            of: the class whose place it takes; the one of the same name without it.

        Raises:
            UnknownNameError: no such class; the nearest are listed.
        """
        at = self.position(entry.name if of is None else of)
        return replace(self, entries=(*self.entries[:at], entry, *self.entries[at + 1 :]))

    def require_new(self, name: str) -> None:
        """Refuse a name that a class has already, and the one of no class.

        Raises:
            DuplicateNameError: one has it, however it is spelled, or it is "none of these".
        """
        _refuse_reserved(name)
        if name in self:
            known = self.entry(name).name
            spelled = "" if known == name else f", spelled {known!r}"
            raise DuplicateNameError(f"class {name!r} is in the bank already{spelled}; describe, rename or remove it")

    def to_bytes(self) -> bytes:
        """Return the file."""
        return self._body + line({"version": self.version}).encode()

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Self:
        """Return the bank of a file.

        Args:
            data: its bytes.
            what: how errors call it.

        Raises:
            DataFormatError: it is no bank, is damaged, or was changed by hand.
        """
        if not data.startswith(b"{") or FORMAT.encode() not in data.partition(b"\n")[0]:
            raise DataFormatError(f"{what} is not a class bank; make one with `zeroscene classes bank`")
        body, newline, _ = data.removesuffix(b"\n").rpartition(b"\n")
        if (body + newline + line({"version": digest(body + newline)}).encode()) != data:
            raise DataFormatError(
                f"{what} is damaged or was changed by hand (it is not what its last line says); take a version back "
                "with `zeroscene classes restore`, and change classes with `zeroscene classes describe`"
            )
        try:
            header, *lines = (json.loads(line) for line in body.split(b"\n"))
            columns = [line for line in lines if "column" in line]
            recipe = Recipe.from_json(header, columns)
            return cls(recipe, tuple(Entry.from_json(line, recipe.named) for line in lines[len(columns) :]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, ZeroSceneError):
                raise DataFormatError(f"{what}: {error}") from error
            raise DataFormatError(f"{what} is not a class bank that this version of zeroscene can read") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a bank.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it is no bank, is damaged, or was changed by hand.
        """
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise DatasetNotFoundError(f"no such class bank: {path}; make one with `zeroscene classes bank`") from error
        return cls.from_bytes(data, str(path))


def _refuse_reserved(name: str) -> None:
    if names.key(name) == names.key(names.NONE):
        raise DuplicateNameError(
            f"class {name!r} has the name of pictures that show no class, {names.NONE!r}; give it another name"
        )


def _by_key(said: Any) -> dict[str, Any]:
    return {names.key(name): value for name, value in said.items()} if isinstance(said, Mapping) else {}
