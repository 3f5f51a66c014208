"""Texts of classes: from the user's file, and for new classes in the way a model's own classes were written."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from zeroscene import names
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError, UnknownNameError
from zeroscene.semantics import knowledge
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import AERIAL_TEMPLATES, text_table

Given = Literal["names", "descriptions"] | dict[str, list[str]]


def read_texts(given: str) -> Given:
    """Return `names` or `descriptions` as they are, anything else as the CSV of class and text that it names.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: a row does not hold a class and a text.
    """
    if given == "names":
        return "names"
    if given == "descriptions":
        return "descriptions"
    path = Path(given)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise DatasetNotFoundError(f"--texts {given}: not names, not descriptions, and no such file") from error
    except UnicodeDecodeError as error:
        raise DataFormatError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from error
    texts: dict[str, list[str]] = {}
    spelled: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not row or [cell.strip().lower() for cell in row] == ["class", "text"]:
            continue
        if len(row) != 2 or not row[0].strip() or not row[1].strip():
            raise DataFormatError(f"{path}, line {number}: a row holds a class and a text (quote a text with commas)")
        texts.setdefault(spelled.setdefault(names.key(row[0]), row[0].strip()), []).append(row[1].strip())
    return texts


def templates(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the prompts that the user named, `aerial` standing for the ensemble; the text itself where none."""
    if not given:
        return ("{}",)
    return tuple(one for word in given for one in (AERIAL_TEMPLATES if word == "aerial" else (word,)))


def vectors_like(
    provenance: Mapping[str, Any], new: Sequence[str], source: str | None, download: bool = False
) -> ClassTable:
    """Return text vectors of new classes in the way a table was made: encoder, prompts, names or descriptions.

    Args:
        provenance: of a table that `text_table` made.
        new: class names.
        source: hub id or folder of the sentence encoder.
        download: allow it to be fetched.

    Raises:
        OptionError: the sentence encoder is not given.
        UnknownNameError: the table was made of descriptions, and the knowledge base has none of a new class.
    """
    if source is None:
        raise OptionError(
            f"{', '.join(map(repr, new))}: not in the model's own table, which sentence encoder "
            f"{provenance['encoder']['name']!r} made; give --text-encoder FOLDER_OR_ID to embed new names"
        )
    described = any(_is_description(name, texts) for name, texts in provenance["texts"].items())
    encoder = load_text_encoder(source, download=download)
    return text_table(new, encoder, texts="descriptions" if described else "names", templates=provenance["templates"])


def _is_description(name: str, texts: Sequence[str]) -> bool:
    try:
        return list(texts) == [knowledge.description(name)]
    except UnknownNameError:
        return False
