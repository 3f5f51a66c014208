"""What a class bank is made of: entries, one a class, and the recipe that they share."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError
from zeroscene.semantics.table import ClassTable, Kind, Matrix, Prompts

Made = Literal["", "attributes", "words"]

FORMAT: Final = "zeroscene-class-bank-1"


@dataclass(frozen=True)
class Entry:
    """One class.

    Attributes:
        name: as the user spells it.
        data: its vector, (A,) float32, little-endian.
        texts: what it looks like, or other words for it; none where its vector is not made of words.
        made: how, where otherwise than the rest of the bank: of single attribute values, or of words.
        meant: class of the knowledge base whose row it has, where that has another name.

    Raises:
        DataFormatError: a name without letters or digits, or an unreadable one; an empty text; a value not finite.
    """

    name: str
    data: bytes
    texts: tuple[str, ...] = ()
    made: Made = ""
    meant: str = ""

    def __post_init__(self) -> None:
        for text in (self.name, *self.texts):
            if not text.strip() or not _is_unicode(text):
                raise DataFormatError(f"class {self.name!r}: {text!r} is empty or not readable text")
        if not names.key(self.name):
            raise DataFormatError(f"class {self.name!r} has no letters or digits; give it a name")
        if not np.isfinite(self.vector).all():
            raise DataFormatError(f"class {self.name!r}: a value of its vector is not a number")

    @classmethod
    def of(cls, name: str, vector: Matrix, texts: Sequence[str] = (), made: Made = "", meant: str = "") -> Self:
        """Return the entry of a vector, (A,)."""
        # Adding 0 turns -0 into 0, which is one value and must be one file.
        return cls(name, (np.asarray(vector, "<f4") + np.float32(0)).tobytes(), tuple(texts), made, meant)

    @property
    def vector(self) -> Matrix:
        """phi of the class, (A,) float32."""
        return np.frombuffer(self.data, "<f4").astype(np.float32, copy=False)

    def to_json(self, columns: Sequence[str]) -> dict[str, Any]:
        """Return the entry as a JSON value.

        Args:
            columns: names of the A attributes, of which those above or below 0 are written; none for a dense vector.
        """
        value: dict[str, Any] = {"class": self.name}
        if columns:
            vector = self.vector
            # The shortest decimal that reads back as the same float32.
            value["values"] = {columns[int(i)]: float(str(vector[i])) for i in np.flatnonzero(vector)}
        else:
            value["vector"] = base64.b64encode(self.data).decode("ascii")
        spoken: dict[str, Any] = {"texts": list(self.texts), "made": self.made, "meant": self.meant}
        return value | {key: said for key, said in spoken.items() if said}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], columns: Sequence[str]) -> Self:
        """Return the entry that `to_json` wrote."""
        if columns:
            of_column = {column: i for i, column in enumerate(columns)}
            vector = np.zeros(len(columns), np.float32)
            for column, number in value["values"].items():
                vector[of_column[column]] = number
            data = vector.astype("<f4").tobytes()
        else:
            data = base64.b64decode(value["vector"], validate=True)
        return cls(value["class"], data, tuple(value.get("texts", ())), value.get("made", ""), value.get("meant", ""))


@dataclass(frozen=True, eq=False)
class Recipe:
    """What all classes of a bank share: the columns of their vectors, and how a vector is made.

    Attributes:
        kind, columns, groups, prompts: as in a class table.
        provenance: of the table, without what it says of single classes.
    """

    kind: Kind
    columns: tuple[str, ...]
    groups: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=lambda: {"source": "unknown"})
    prompts: Prompts | None = None

    @property
    def source(self) -> str:
        """Where the vectors come from: `text`, `knowledge`, `images`, `user file`, ..."""
        return str(self.provenance.get("source", "unknown"))

    @property
    def encoder(self) -> EncoderIdentity | None:
        """The text encoder that a new class's words go through; None where there is none."""
        if self.prompts is not None:
            return self.prompts.encoder
        said = self.provenance.get("encoder")
        return EncoderIdentity.from_json(dict(said)) if self.source == "text" and isinstance(said, Mapping) else None

    @property
    def templates(self) -> tuple[str, ...]:
        """The prompts that texts are put into."""
        return tuple(self.provenance.get("templates", ("{}",)))

    @cached_property
    def space(self) -> str:
        """The vector space of `ClassTable.space`."""
        nothing = np.zeros((0, len(self.columns)), np.float32)
        return ClassTable((), nothing, self.columns, self.kind, provenance=self.provenance).space

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The columns, where each has a meaning: their values are written with their names."""
        return self.columns if self.kind == "attributes" else ()

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The recipe as the first lines of the file: a header, and the columns where they have names."""
        header = {
            "format": FORMAT, "kind": self.kind, "width": len(self.columns), "provenance": _sorted(self.provenance),
            "prompts": self.prompts.encoder.to_json() if self.prompts else None,
        }  # fmt: skip
        return (line(header), *(line(column) for column in self._columns()))

    def _columns(self) -> list[dict[str, str]]:
        if self.columns == _numbered(len(self.columns)) and self.prompts is None and not self.groups:
            return []
        columns = [{"column": name} for name in self.columns]
        for column, group in zip(columns, self.groups, strict=False):
            column["group"] = group
        for column, prompt in zip(columns, self.prompts.vectors if self.prompts else (), strict=False):
            column["prompt"] = base64.b64encode(np.asarray(prompt, "<f4").tobytes()).decode("ascii")
        return columns

    @classmethod
    def from_json(cls, header: Mapping[str, Any], columns: Sequence[Mapping[str, str]]) -> Self:
        """Return the recipe whose `lines` hold these values."""
        if columns and len(columns) != header["width"]:
            raise DataFormatError(f"{len(columns)} columns of {header['width']}")
        prompts = None
        if header["prompts"] is not None:
            vectors = [np.frombuffer(base64.b64decode(column["prompt"], validate=True), "<f4") for column in columns]
            prompts = Prompts(np.array(vectors, np.float32), EncoderIdentity.from_json(header["prompts"]))
        return cls(
            "attributes" if header["kind"] == "attributes" else "embedding",
            tuple(column["column"] for column in columns) or _numbered(header["width"]),
            tuple(column["group"] for column in columns if "group" in column),
            header["provenance"],
            prompts,
        )


def line(value: Mapping[str, Any]) -> str:
    """Return a value as a line of the file."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _numbered(width: int) -> tuple[str, ...]:
    return tuple(f"dim{i}" for i in range(width))


def _sorted(provenance: Mapping[str, Any]) -> Any:
    """Return provenance with its keys in one order: equal banks are equal files."""
    return json.loads(json.dumps(dict(provenance), sort_keys=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
