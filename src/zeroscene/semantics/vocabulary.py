"""Attribute vocabularies: what can be asked of pictures and descriptions, in groups, with the words to ask it.

A vocabulary is a CSV that a person edits: `attribute,group,prompt`, one row an attribute; several wordings of a prompt
stand in one cell, separated by `|`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.encoders.base import TextEncoder
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError
from zeroscene.files import json_digest, write_text
from zeroscene.semantics import knowledge
from zeroscene.semantics.table import ClassTable, Prompts
from zeroscene.vectors import unit_rows

_HEADER: Final = ("attribute", "group", "prompt")
_SEPARATOR: Final = "|"


@dataclass(frozen=True)
class Vocabulary:
    """A attributes in groups.

    Attributes:
        attributes: names, unique after normalisation.
        groups: group of each attribute (objects, materials, ...).
        prompts: one or several phrases for each attribute, without class names.

    Raises:
        DataFormatError: an attribute without a group or a prompt, or no attribute at all.
        DuplicateNameError: two attributes have the same normalised name.
    """

    attributes: tuple[str, ...]
    groups: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not self.attributes:
            raise DataFormatError("attribute vocabulary: it names no attribute")
        names.index(self.attributes, "attribute vocabulary")
        if not len(self.attributes) == len(self.groups) == len(self.prompts):
            raise DataFormatError(
                f"attribute vocabulary: {len(self.attributes)} attributes, {len(self.groups)} groups and "
                f"{len(self.prompts)} prompts; each attribute needs one of each"
            )
        for attribute, group, prompts in zip(self.attributes, self.groups, self.prompts, strict=True):
            if not group.strip():
                raise DataFormatError(f"attribute vocabulary: {attribute!r} is in no group; every attribute needs one")
            if not prompts or not all(prompt.strip() for prompt in prompts):
                raise DataFormatError(f"attribute vocabulary: {attribute!r} has no prompt; write how one would say it")

    def __len__(self) -> int:
        return len(self.attributes)

    @property
    def fingerprint(self) -> str:
        """Digest of names, groups and prompts."""
        return json_digest([list(self.attributes), list(self.groups), [list(own) for own in self.prompts]])

    @classmethod
    def of_knowledge(cls) -> Self:
        """Return the vocabulary of the attribute knowledge base."""
        known = knowledge.vocabulary()
        return cls(tuple(a.name for a in known), tuple(a.group for a in known), tuple((a.prompt,) for a in known))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a vocabulary from CSV.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: not such a CSV; the line is named.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise DatasetNotFoundError(f"no such attribute vocabulary: {path}") from error
        except UnicodeDecodeError as error:
            raise DataFormatError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from error
        rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if any(cell.strip() for cell in row)]
        if not rows or tuple(cell.strip().lower() for cell in rows[0][1]) != _HEADER:
            raise DataFormatError(f"{path}: the first line must be {','.join(_HEADER)}")
        for number, row in rows[1:]:
            if len(row) != len(_HEADER):
                raise DataFormatError(
                    f"{path}, line {number}: {len(row)} cells; a row holds attribute, group and prompt "
                    "(quote a prompt with commas)"
                )
        cells = [[cell.strip() for cell in row] for _, row in rows[1:]]
        prompts = tuple(tuple(one.strip() for one in row[2].split(_SEPARATOR)) for row in cells)
        try:
            return cls(tuple(row[0] for row in cells), tuple(row[1] for row in cells), prompts)
        except DataFormatError as error:
            raise DataFormatError(f"{path}: {error}") from error

    def write(self, path: Path) -> None:
        """Write the vocabulary as CSV."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_HEADER)
        for attribute, group, prompts in zip(self.attributes, self.groups, self.prompts, strict=True):
            rows.writerow([attribute, group, _SEPARATOR.join(prompts)])
        write_text(path, text.getvalue())

    def vectors(self, encoder: TextEncoder, templates: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return unit vectors of the attributes, (A, D): means over wordings and templates.

        Raises:
            EncoderError: a prompt is longer than the encoder reads, or in words it does not know.
        """
        said = [[t.replace("{}", prompt) for prompt in own for t in templates] for own in self.prompts]
        encoded = encoder.encode_texts([text for own in said for text in own])
        ends = np.cumsum([len(own) for own in said])
        means = np.stack([part.mean(axis=0) for part in np.split(encoded, ends[:-1])])
        return unit_rows(means)


def with_prompts(
    table: ClassTable, vocabulary: Vocabulary, encoder: TextEncoder, templates: Sequence[str] = ("{}",)
) -> ClassTable:
    """Return a table with the words that an image-text model has for its attributes; no value changes.

    Args:
        table: an attribute table, from wherever its values come.
        vocabulary: words for attributes; one that the table does not have is passed over, and an attribute of the
            table that is not in it gets zeros.
        encoder: text tower of the model.
        templates: prompts, each with one `{}`.

    Raises:
        OptionError: no attribute of the table is in the vocabulary.
        EncoderError: a prompt is longer than the encoder reads, or in words it does not know.
    """
    columns = names.index(table.columns, "class table columns")
    rows = [row for row, attribute in enumerate(vocabulary.attributes) if names.key(attribute) in columns]
    if not rows:
        raise OptionError(
            f"none of the {len(table.columns)} attributes of the class table ({table.columns[0]}, ...) is in the "
            f"vocabulary ({vocabulary.attributes[0]}, ...); give words for the attributes of this table"
        )
    shared = Vocabulary(
        tuple(vocabulary.attributes[row] for row in rows),
        tuple(vocabulary.groups[row] for row in rows),
        tuple(vocabulary.prompts[row] for row in rows),
    )
    vectors = np.zeros((len(table.columns), encoder.width), np.float32)
    vectors[[columns[names.key(attribute)] for attribute in shared.attributes]] = shared.vectors(encoder, templates)
    return replace(table, prompts=Prompts(vectors, encoder.identity))
