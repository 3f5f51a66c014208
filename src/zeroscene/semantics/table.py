"""ClassTable: one semantic vector a class, what its columns are, and where they come from.

Attribute tables are CSV that a person edits in a spreadsheet; dense text vectors are safetensors.
"""

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError
from zeroscene.files import digest, json_digest, replacing, write_text
from zeroscene.vectors import unit_rows

Matrix = npt.NDArray[np.float32]
Kind = Literal["attributes", "embedding"]

_FORMAT = "zeroscene-class-table-1"
_PROMPTS = "zeroscene-prompts-1"


@dataclass(frozen=True)
class Prompts:
    """Where the attributes of a table lie in the space that an image-text model has for pictures and texts.

    Attributes:
        vectors: (A, D) float32, unit length; zeros for an attribute that the model has no words for.
        encoder: the text tower.

    Raises:
        DataFormatError: not a matrix, or a value is not finite.
    """

    vectors: Matrix
    encoder: EncoderIdentity

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not np.isfinite(self.vectors).all():
            raise DataFormatError(f"prompts: {self.vectors.shape} is no matrix of finite vectors, one an attribute")

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(A,) whether the model has words for the attribute."""
        return np.asarray(self.vectors.any(axis=1))

    def write(self, path: Path, columns: Sequence[str]) -> None:
        """Write the vectors of the columns as safetensors."""
        from safetensors.numpy import save_file

        header = {"format": _PROMPTS, "columns": list(columns), "encoder": self.encoder.to_json()}
        with replacing(path) as temporary:
            save_file({"prompts": np.ascontiguousarray(self.vectors)}, temporary, metadata=_one_entry(header))

    @classmethod
    def read(cls, path: Path, columns: Sequence[str]) -> Self:
        """Read the vectors of these columns; a column that the file does not know gets zeros.

        Raises:
            DataFormatError: not such a file, or it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as f:
                header = _read_entry(f.metadata())
                vectors = f.get_tensor("prompts") if header.get("format") == _PROMPTS else None
        except SafetensorError as error:
            raise DataFormatError(f"{path} is damaged; write the table again, or delete this file") from error
        if vectors is None:
            raise DataFormatError(f"{path} holds tensors, but no prompts; move it away from the table")
        positions = names.index(header["columns"], str(path))
        chosen = np.zeros((len(columns), vectors.shape[1]), np.float32)
        for row, column in enumerate(columns):
            if (found := positions.get(names.key(column))) is not None:
                chosen[row] = vectors[found]
        return cls(chosen, EncoderIdentity.from_json(header["encoder"]))


@dataclass(frozen=True)
class ClassTable:
    """Semantic vectors phi(c) of C classes, with A columns (methods.md: phi in R^{C x A}).

    Attributes:
        classes: class names as the user spells them, unique after normalisation.
        matrix: (C, A) float32, finite.
        columns: names of the A columns; attribute names, or `dim0` ... of a dense embedding.
        kind: `attributes` (each column has a meaning, values in [0, 1]) or `embedding`.
        groups: group of each column (objects, materials, ...); empty when columns have no groups.
        provenance: how the vectors were made; must hold `source`. `space` names the vector space, and two tables
            can be mixed only when their spaces are equal.
        prompts: the columns as an image-text model knows them, where one was asked. They say where to look in a
            picture, not what a class is, and are no part of the vector space.

    Raises:
        DataFormatError: shapes disagree, or a value is not finite (the class and column are named).
        DuplicateNameError: two classes or two columns have the same normalised name.
    """

    classes: tuple[str, ...]
    matrix: Matrix
    columns: tuple[str, ...]
    kind: Kind
    groups: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"source": "unknown"})
    prompts: Prompts | None = None

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float32, order="C")
        if matrix.shape != (len(self.classes), len(self.columns)):
            raise DataFormatError(
                f"class table: matrix is {matrix.shape}, but there are {len(self.classes)} classes "
                f"and {len(self.columns)} columns"
            )
        if self.groups and len(self.groups) != len(self.columns):
            raise DataFormatError(f"class table: {len(self.groups)} groups for {len(self.columns)} columns")
        if blank := [c for c, group in zip(self.columns, self.groups, strict=False) if not group.strip()]:
            raise DataFormatError(f"class table: {blank[0]!r} is in no group; give every attribute one, or none at all")
        if self.prompts is not None and len(self.prompts.vectors) != len(self.columns):
            raise DataFormatError(
                f"class table: prompts of {len(self.prompts.vectors)} attributes for {len(self.columns)} columns"
            )
        if not np.isfinite(matrix).all():
            row, column = np.argwhere(~np.isfinite(matrix))[0]
            raise DataFormatError(
                f"class table: the value of {self.columns[column]!r} for class {self.classes[row]!r} "
                f"is {matrix[row, column]}; give a number"
            )
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)
        _ = self._positions
        if self.kind == "attributes":
            names.index(self.columns, "class table columns")

    @cached_property
    def _positions(self) -> dict[str, int]:
        return names.index(self.classes, "class table")

    @property
    def space(self) -> str:
        """Identity of the vector space: tables of one space are comparable column by column."""
        own = self.provenance.get("space", "")
        return json_digest([self.kind, list(self.columns), own])

    @cached_property
    def fingerprint(self) -> str:
        """Digest of names and values; changes when any of them changes."""
        keys = json.dumps([names.key(c) for c in self.classes])
        prompts = [] if self.prompts is None else [self.prompts.vectors.tobytes()]
        return digest(self.space, keys, self.matrix.tobytes(), *prompts)

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and names.key(name) in self._positions

    def row(self, name: str) -> Matrix:
        """Return phi of one class, (A,).

        Raises:
            UnknownNameError: no such class; the nearest names are listed.
        """
        found: Matrix = self.select([name]).matrix[0]
        return found

    def select(self, wanted: Sequence[str]) -> Self:
        """Return the table of the wanted classes in their order, spelled as wanted.

        Raises:
            UnknownNameError: a class is absent; every absent one is named with its nearest names.
        """
        if any(name not in self for name in wanted):
            raise names.unknown(wanted, self.classes, "classes in the class table")
        rows = [self._positions[names.key(name)] for name in wanted]
        return self._like(tuple(wanted), self.matrix[rows])

    def union(self, other: "ClassTable") -> Self:
        """Return the classes of both tables; both must be of the same vector space.

        Raises:
            DataFormatError: the spaces differ.
            DuplicateNameError: a class stands in both.
        """
        if self.space != other.space:
            raise DataFormatError("class tables of different vector spaces cannot be joined by rows")
        return self._like(self.classes + other.classes, np.vstack([self.matrix, other.matrix]))

    def beside(self, other: "ClassTable") -> "ClassTable":
        """Return the columns of both tables, each block of rows scaled to unit length, for the classes of this one.

        Raises:
            UnknownNameError: a class of this table is absent from the other.
        """
        right = other.select(self.classes)
        blocks = [unit_rows(t.matrix) for t in (self, right)]
        return ClassTable(
            self.classes,
            np.hstack(blocks),
            (*(f"a.{c}" for c in self.columns), *(f"b.{c}" for c in right.columns)),
            "embedding",
            provenance={
                "source": "concatenation",
                "space": [self.space, right.space],
                "parts": [dict(self.provenance), dict(right.provenance)],
            },
        )

    def _like(self, classes: tuple[str, ...], matrix: Matrix) -> Self:
        return type(self)(classes, matrix, self.columns, self.kind, self.groups, self.provenance, self.prompts)

    def write(self, path: Path) -> None:
        """Write `.csv` (attributes; a second header row holds the groups) or `.safetensors` (any table).

        Prompts lie beside it as `NAME.prompts.safetensors`; a file of that name is removed where there are none.

        Raises:
            OptionError: another suffix, or a dense embedding as CSV.
        """
        self._write_values(path)
        beside = _beside(path)
        if self.prompts is None:
            beside.unlink(missing_ok=True)
        else:
            self.prompts.write(beside, self.columns)

    def _write_values(self, path: Path) -> None:
        if path.suffix == ".csv" and self.kind == "attributes":
            write_text(path, self._csv())
        elif path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            header = {
                "format": _FORMAT, "classes": self.classes, "columns": self.columns, "kind": self.kind,
                "groups": self.groups, "provenance": dict(self.provenance),
            }  # fmt: skip
            with replacing(path) as temporary:
                save_file({"matrix": self.matrix}, temporary, metadata=_one_entry(header))
        else:
            raise OptionError(
                f"cannot write a table of kind {self.kind!r} to {path.name}: "
                "attribute tables are .csv or .safetensors, embeddings are .safetensors"
            )

    def _csv(self) -> str:
        text = io.StringIO()
        text.write("# " + json.dumps(dict(self.provenance), sort_keys=True) + "\n")
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["class", *self.columns])
        if self.groups:
            rows.writerow(["(group)", *self.groups])
        for name, values in zip(self.classes, self.matrix, strict=True):
            rows.writerow([name, *(np.format_float_positional(v, trim="-") for v in values)])
        return text.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a table written by `write`, or a CSV that a person made: first column the class, first row the columns.

        A class bank is read by `semantics.reading.read_table`.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: not such a table; the row and column are named.
        """
        if not path.is_file():
            raise DatasetNotFoundError(f"no such class table: {path}")
        if path.suffix not in (".csv", ".safetensors"):
            raise DataFormatError(f"{path}: a class table is .csv or .safetensors, or a .bank")
        table = cls._read_csv(path) if path.suffix == ".csv" else cls._read_safetensors(path)
        beside = _beside(path)
        return replace(table, prompts=Prompts.read(beside, table.columns)) if beside.is_file() else table

    @classmethod
    def _read_csv(cls, path: Path) -> Self:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataFormatError(f"{path} is not UTF-8 text; save the table as CSV UTF-8") from error
        provenance: dict[str, Any] = {"source": "user file", "file": path.name}
        first = ",".join(next(csv.reader(lines), []))  # a spreadsheet quotes the comment and splits it at its commas
        if first.startswith("#"):
            with contextlib.suppress(ValueError, TypeError):  # a person's comment stays a comment
                provenance = dict(json.loads(first[1:].rstrip(",; ")))
            lines = lines[1:]
        rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
        if len(rows) < 2 or len(rows[0]) < 2:
            raise DataFormatError(f"{path}: a class table has a header row, a class column and at least one class")
        columns = tuple(cell.strip() for cell in rows[0][1:])
        body = rows[1:]
        groups: tuple[str, ...] = ()
        if body[0][0].strip() == "(group)":
            groups, body = tuple(cell.strip() for cell in body[0][1:]), body[1:]
        matrix = np.empty((len(body), len(columns)), np.float32)
        for r, row in enumerate(body):
            if len(row) != len(columns) + 1:
                raise DataFormatError(
                    f"{path}: class {row[0]!r} has {len(row) - 1} values, the header names {len(columns)} columns"
                )
            for c, cell in enumerate(row[1:]):
                try:
                    matrix[r, c] = float(cell)
                except ValueError as error:
                    raise DataFormatError(
                        f"{path}: class {row[0]!r}, column {columns[c]!r}: {cell!r} is not a number"
                    ) from error
        try:
            return cls(tuple(row[0].strip() for row in body), matrix, columns, "attributes", groups, provenance)
        except DataFormatError as error:
            raise DataFormatError(f"{path}: {error}") from error

    @classmethod
    def _read_safetensors(cls, path: Path) -> Self:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as f:
                header = _read_entry(f.metadata())
                if header.get("format") != _FORMAT:
                    raise DataFormatError(f"{path} holds tensors, but not a class table")
                matrix = f.get_tensor("matrix")
        except SafetensorError as error:
            raise DataFormatError(f"{path} is not a safetensors file, or is cut off: {error}") from error
        kind: Kind = "attributes" if header["kind"] == "attributes" else "embedding"
        return cls(
            tuple(header["classes"]),
            matrix,
            tuple(header["columns"]),
            kind,
            tuple(header["groups"]),
            header["provenance"],
        )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.prompts.safetensors")


def _one_entry(header: Mapping[str, Any]) -> dict[str, str]:
    """Return a header as one entry: safetensors writes several in any order, and equal tables must be equal files."""
    return {"zeroscene": json.dumps(header, sort_keys=True)}


def _read_entry(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        header = json.loads((metadata or {}).get("zeroscene", "{}"))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}
