"""Class vectors from words: names or descriptions through a text encoder, averaged over a prompt ensemble."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from zeroscene import names
from zeroscene.encoders.base import TextEncoder
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError, UnknownNameError
from zeroscene.files import json_digest
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import Vocabulary

Texts = Literal["names", "descriptions"] | Mapping[str, str | Sequence[str]]

AERIAL_TEMPLATES: tuple[str, ...] = (
    "a satellite photo of {}.",
    "an aerial photograph of {}.",
    "an overhead view of {}.",
    "a remote sensing image of {}.",
    "{} seen from above.",
    "a high-resolution aerial image showing {}.",
)
"""Prompts for encoders that were trained on captions (CLIP and its kin); sentence encoders do well without."""


def text_table(
    classes: Sequence[str],
    encoder: TextEncoder,
    *,
    texts: Texts = "names",
    templates: Sequence[str] = ("{}",),
) -> ClassTable:
    """Return the text vectors of classes: the mean of unit vectors over texts and templates, scaled to unit length.

    Args:
        classes: class names; they keep their spelling.
        encoder: a sentence encoder, or the text tower of an image-text model.
        texts: `names` writes each name as an ordinary phrase; `descriptions` takes the sentences of the knowledge
            base; a mapping gives one or several texts for each class.
        templates: prompts with one `{}`, where the text stands.

    Returns:
        A table of kind `embedding`, (C, D); its space is the encoder with the templates.

    Raises:
        OptionError: a template without exactly one `{}`, no template, or a class with an empty text.
        UnknownNameError: a class without a text; every such class is named.
        EncoderError: a text is longer than the encoder reads.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise OptionError(f"template {template!r} must hold {{}} exactly once, where the class stands")
    if not templates:
        raise OptionError("at least one template is needed; '{}' is the text itself")
    of_class = _texts(classes, texts)
    prompts = [template.replace("{}", text) for own in of_class for text in own for template in templates]
    vectors_PD = encoder.encode_texts(prompts)
    matrix_CD = np.empty((len(classes), encoder.width), np.float32)
    start = 0
    for row, own in enumerate(of_class):
        stop = start + len(own) * len(templates)
        mean_D = vectors_PD[start:stop].mean(axis=0)
        matrix_CD[row] = mean_D / max(float(np.linalg.norm(mean_D)), 1e-12)
        start = stop
    return ClassTable(
        tuple(classes),
        matrix_CD,
        tuple(f"dim{i}" for i in range(encoder.width)),
        "embedding",
        provenance={
            "source": "text",
            "encoder": encoder.identity.to_json(),
            "templates": list(templates),
            "texts": dict(zip(classes, of_class, strict=True)),
            "space": json_digest([encoder.identity.fingerprint, list(templates)]),
        },
    )


def read_texts(given: str, base: Path = Path()) -> Texts:
    """Return `names` or `descriptions` as they are, anything else as the CSV of class and text that it names.

    Args:
        given: one of the two words, or a file.
        base: folder that the file is relative to.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: a row does not hold a class and a text.
    """
    if given == "names":
        return "names"
    if given == "descriptions":
        return "descriptions"
    path = base / given
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise DatasetNotFoundError(f"texts {given}: not names, not descriptions, and no such file") from error
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


def read_templates(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the prompts that a user named, `aerial` standing for the ensemble; the text itself where none."""
    if not given:
        return ("{}",)
    return tuple(one for word in given for one in (AERIAL_TEMPLATES if word == "aerial" else (word,)))


def attribute_texts(table: ClassTable, vocabulary: Vocabulary, least: float = 0.5) -> dict[str, list[str]]:
    """Return descriptions of classes made of their attributes, the class name withheld.

    A text lists the first prompt of each attribute that both the table and the vocabulary have and whose value is
    `least` or more, strongest first: "aircraft, concrete, mostly grey". Two classes may get the same text.

    Args:
        table: class table of kind `attributes`.
        vocabulary: the words for its attributes.
        least: value in [0, 1] from which on an attribute is said.

    Raises:
        OptionError: the table is not of attributes, or nothing can be said of a class.
    """
    if table.kind != "attributes":
        raise OptionError("texts can be made of a table of attributes only; this one holds embeddings")
    words = {names.key(a): own[0] for a, own in zip(vocabulary.attributes, vocabulary.prompts, strict=True)}
    texts = {}
    for name, row in zip(table.classes, table.matrix, strict=True):
        ranked = (table.columns[i] for i in np.argsort(-row, kind="stable") if row[i] >= least)
        said = [words[names.key(column)] for column in ranked if names.key(column) in words]
        if not said:
            raise OptionError(f"no attribute of class {name!r} reaches {least} and has words in the vocabulary")
        texts[name] = [", ".join(said)]
    return texts


def _texts(classes: Sequence[str], texts: Texts) -> list[list[str]]:
    if isinstance(texts, Mapping):
        given = {names.key(name): own for name, own in texts.items()}
        if any(names.key(name) not in given for name in classes):
            raise names.unknown(classes, list(texts), "classes in the given texts")
        found = [given[names.key(name)] for name in classes]
        lists = [[own] if isinstance(own, str) else list(own) for own in found]
    elif texts == "names":
        lists = [[_phrase(name)] for name in classes]
    else:
        from zeroscene.semantics import knowledge

        lists = [[knowledge.description(name)] for name in classes]
    for name, own in zip(classes, lists, strict=True):
        if not own or any(not text.strip() for text in own):
            raise OptionError(f"class {name!r} has an empty text; write what it looks like from above")
    return lists


def _phrase(name: str) -> str:
    from zeroscene.semantics import knowledge

    try:
        return knowledge.phrase(name)
    except UnknownNameError:
        return names.words(name)
