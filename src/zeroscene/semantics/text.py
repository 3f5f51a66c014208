"""Class vectors from words: names, synonyms or descriptions through a text encoder, averaged over a prompt ensemble.

Shapes in names: T templates, C classes, D width, P prompts (every text of every class in every template).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity, TextEncoder
from zeroscene.errors import DataFormatError, DatasetNotFoundError, OptionError, UnknownNameError
from zeroscene.files import json_digest
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.semantics.withheld import names_in
from zeroscene.vectors import unit_rows

Said = Literal["names", "synonyms", "descriptions"]
Texts = Said | Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class PromptEnsemble:
    """What a text encoder makes of classes, template by template: what a class table averages over.

    Attributes:
        classes: class names, as the user spells them.
        texts: the texts of each class.
        templates: T prompts, each with one `{}`.
        vectors_TCD: (T, C, D) float32, the mean of the unit vectors of a class's texts in one template.
        encoder: what encoded them.
    """

    classes: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    templates: tuple[str, ...]
    vectors_TCD: npt.NDArray[np.float32]
    encoder: EncoderIdentity

    def table(self) -> ClassTable:
        """Return the class table of the whole ensemble, (C, D) of unit length; its space is encoder and templates."""
        templates = list(self.templates)
        return ClassTable(
            self.classes,
            unit_rows(self.vectors_TCD.mean(axis=0)),
            tuple(f"dim{i}" for i in range(self.vectors_TCD.shape[2])),
            "embedding",
            provenance={
                "source": "text",
                "encoder": self.encoder.to_json(),
                "templates": templates,
                "texts": {name: list(own) for name, own in zip(self.classes, self.texts, strict=True)},
                "space": json_digest([self.encoder.fingerprint, templates]),
            },
        )


def encode_prompts(
    classes: Sequence[str],
    encoder: TextEncoder,
    *,
    texts: Texts = "names",
    templates: Sequence[str] = ("{}",),
) -> PromptEnsemble:
    """Return the vectors of all texts of all classes in all templates, encoded in one call.

    Args:
        classes: class names; they keep their spelling.
        encoder: a sentence encoder, or the text tower of an image-text model.
        texts: `names` writes each name as an ordinary phrase; `synonyms` adds the other words that the knowledge base
            has for the class; `descriptions` takes its sentences; a mapping gives one or several texts for each class.
        templates: prompts with one `{}`, where the text stands.

    Raises:
        OptionError: no class, no template or one without exactly one `{}`, or a class with an empty text.
        DuplicateNameError: two class names are the same.
        UnknownNameError: a class without a text; every such class is named.
        EncoderError: a text is longer than the encoder reads, or in words that it does not know.
    """
    if not classes:
        raise OptionError("no class is named; name at least one")
    names.index(classes, "classes")
    check_templates(templates)
    said = class_texts(classes, texts)
    prompts = [template.replace("{}", text) for own in said for text in own for template in templates]
    vectors_PD = encoder.encode_texts(prompts)
    parts = np.split(vectors_PD, np.cumsum([len(own) * len(templates) for own in said])[:-1])
    of_class = [part.reshape(-1, len(templates), encoder.width).mean(axis=0) for part in parts]
    return PromptEnsemble(
        tuple(classes), said, tuple(templates), np.stack(of_class, axis=1).astype(np.float32), encoder.identity
    )


def text_table(
    classes: Sequence[str],
    encoder: TextEncoder,
    *,
    texts: Texts = "names",
    templates: Sequence[str] = ("{}",),
) -> ClassTable:
    """Return the text vectors of classes: the mean of unit vectors over texts and templates, scaled to unit length.

    Args and errors are those of `encode_prompts`.

    Returns:
        A table of kind `embedding`, (C, D); its space is the encoder with the templates.
    """
    return encode_prompts(classes, encoder, texts=texts, templates=templates).table()


def check_templates(templates: Sequence[str]) -> None:
    """Refuse templates that have no place for the text.

    Raises:
        OptionError: no template, or one without exactly one `{}`.
    """
    for template in templates:
        if template.count("{}") != 1:
            raise OptionError(f"template {template!r} must hold {{}} exactly once, where the class stands")
    if not templates:
        raise OptionError("at least one template is needed; '{}' is the text itself")


def class_texts(classes: Sequence[str], texts: Texts) -> tuple[tuple[str, ...], ...]:
    """Return the texts of each class, in the order of the classes.

    Raises:
        UnknownNameError: a class without a text; every such class is named.
        OptionError: a class with an empty text.
    """
    if isinstance(texts, Mapping):
        given = {names.key(name): own for name, own in texts.items()}
        if any(names.key(name) not in given for name in classes):
            raise names.unknown(classes, list(texts), "classes in the given texts")
        found = [given[names.key(name)] for name in classes]
        lists = [(own,) if isinstance(own, str) else tuple(own) for own in found]
    else:
        lists = [_said(name, texts) for name in classes]
    for name, own in zip(classes, lists, strict=True):
        if not own or any(not text.strip() for text in own):
            raise OptionError(f"class {name!r} has an empty text; write what it looks like from above")
    return tuple(lists)


def read_texts(given: str, base: Path = Path()) -> Texts:
    """Return `names`, `synonyms` or `descriptions` as they are, anything else as the CSV that it names.

    Args:
        given: one of the three words, or a CSV of class and text.
        base: folder that the file is relative to.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: a row does not hold a class and a text.
    """
    for word in get_args(Said):
        if given == word:
            said: Said = word
            return said
    path = base / given
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise DatasetNotFoundError(
            f"texts {given}: not one of {', '.join(get_args(Said))}, and no such file"
        ) from error
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


def attribute_texts(
    table: ClassTable, vocabulary: Vocabulary, least: float = 0.5, *, withheld: bool = False
) -> dict[str, list[str]]:
    """Return descriptions of classes made of their attributes.

    A text lists the first prompt of each attribute that both the table and the vocabulary have and whose value is
    `least` or more, strongest first: "aircraft, concrete, mostly grey". Two classes may get the same text.

    Args:
        table: class table of kind `attributes`.
        vocabulary: the words for its attributes.
        least: value in [0, 1] from which on an attribute is said.
        withheld: leave out what says the class's name or a synonym of it: "tennis courts" of a tennis court.

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
        if withheld:
            said = [phrase for phrase in said if not names_in(phrase, name)]
        if not said:
            raise OptionError(f"no attribute of class {name!r} reaches {least} and has words in the vocabulary")
        texts[name] = [", ".join(said)]
    return texts


def _said(name: str, texts: Said) -> tuple[str, ...]:
    from zeroscene.semantics import knowledge

    if texts == "descriptions":
        return (knowledge.description(name),)
    try:
        return knowledge.synonyms(name) if texts == "synonyms" else (knowledge.phrase(name),)
    except UnknownNameError:
        return (names.words(name),)
