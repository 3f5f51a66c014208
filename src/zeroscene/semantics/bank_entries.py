"""How a new class of a bank gets its vector: from the knowledge base, attribute values, a table's row, or its words.

Words become a text vector in a bank of text vectors. In a bank of attributes that an image-text model knows (their
prompts are kept with them) the words are compared with those of the attributes, as `semantics.annotate` does it, and
the similarities are carried over to values: by the range that was noted where all values came from texts, and otherwise
by a line for each attribute, fitted on the classes of the bank that have texts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity, TextEncoder
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError, UnknownNameError
from zeroscene.semantics import knowledge
from zeroscene.semantics.annotate import carry_over
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_parts import Entry, Recipe
from zeroscene.semantics.prompts import NEAR
from zeroscene.semantics.table import ClassTable, Matrix
from zeroscene.semantics.text import Texts, class_texts, text_table
from zeroscene.semantics.views import is_joined, labels, view
from zeroscene.vectors import mapped, unit_rows

Teller = Callable[[ClassBank, Sequence[str], TextEncoder], Texts]
"""Returns what is said of classes to an encoder, for a bank."""

_LEAST: Final = 5
"""Classes with texts that a line from words to attribute values needs."""


def make(
    bank: ClassBank,
    wanted: Sequence[str],
    open_encoder: Callable[[EncoderIdentity], TextEncoder],
    *,
    texts: Texts | None = None,
    values: Mapping[str, float] | None = None,
    said: Teller | None = None,
) -> list[Entry]:
    """Return classes made as the bank's recipe says; in a bank of several views, each view of them its own way.

    Args:
        bank: into which they are to go.
        wanted: names of the classes.
        open_encoder: returns the text encoder of an identity; asked only where words are needed.
        texts: what the classes look like; without it and without values, the knowledge base or their names say it.
        values: attribute values of the one class.
        said: returns what is said of classes of which no text is given, where words are needed.

    Raises:
        OptionError: the bank cannot be told so; the message says what it needs.
        UnknownNameError: a class is not in the knowledge base, or an attribute not in the bank.
        EncoderMismatchError, EncoderError: as for `from_words`.
    """
    if is_joined(bank.table):
        return _joined(bank, wanted, open_encoder, texts, values, said)
    named = ", ".join(map(repr, wanted))
    if values is not None and texts is not None:
        raise OptionError(
            f"{named}: a bank of source {bank.recipe.source!r} has one vector a class; give its attributes "
            "(--attributes) or describe it in words (--describe), not both"
        )
    if values is not None:
        return [from_attributes(bank, name, values) for name in wanted]
    if texts is None and is_knowledge(bank):
        return from_knowledge(bank, wanted)
    if bank.recipe.encoder is None and texts is not None:
        raise OptionError(
            f"{named}: no words lead to a bank of source {bank.recipe.source!r}; describing (--describe) needs one of "
            f"text vectors, or of attributes with the words of an image-text model; {remedy(bank)}"
        )
    if bank.recipe.encoder is None:
        raise OptionError(
            f"{named}: a name alone says nothing to a bank of source {bank.recipe.source!r}; {remedy(bank)}"
        )
    return from_words(bank, wanted, open_encoder(bank.recipe.encoder), texts, said)


def made_anew(
    bank: ClassBank,
    name: str,
    open_encoder: Callable[[EncoderIdentity], TextEncoder],
    *,
    texts: Sequence[str] | None = None,
    values: Mapping[str, float] | None = None,
    said: Teller | None = None,
) -> Entry:
    """Return a class of the bank, described anew.

    Attributes that are not named keep their values. In a bank of several views, those of which nothing is said stay:
    words leave the attributes that a class was given by values, where another view takes the words.

    Args:
        bank: holds the class.
        name: of the class.
        open_encoder, said: as for `make`.
        texts: what it looks like.
        values: attribute values.

    Raises:
        UnknownNameError: no such class, or an attribute is not in the bank.
        OptionError, EncoderMismatchError, EncoderError: as for `make`.
    """
    old = bank.entry(name)
    spoken = None if texts is None else {old.name: texts}
    if not is_joined(bank.table):
        if values is not None and texts is None:
            return from_attributes(bank, old.name, values, base=old)
        return make(bank, [old.name], open_encoder, texts=spoken, values=values, said=said)[0]
    views = _views(bank)
    speaks = any(one.recipe.kind == "embedding" and one.recipe.encoder is not None for one in views)
    composed = values is not None or (old.made == "attributes" and speaks)
    made = [
        one.entry(name)
        if not worded and given is None
        else made_anew(one, name, open_encoder, texts=texts if worded else None, values=given, said=said)
        for one, (worded, given) in zip(
            views, _shares(views, old.name, texts is not None, values, composed), strict=True
        )
    ]
    return _side_by_side(made, old.texts if texts is None else tuple(texts), composed)


def _joined(
    bank: ClassBank,
    wanted: Sequence[str],
    open_encoder: Callable[[EncoderIdentity], TextEncoder],
    texts: Texts | None,
    values: Mapping[str, float] | None,
    said: Teller | None,
) -> list[Entry]:
    views, composed = _views(bank), values is not None
    shares = _shares(views, ", ".join(wanted), texts is not None, values, composed)
    made = [
        make(one, wanted, open_encoder, texts=texts if worded else None, values=given, said=said)
        for one, (worded, given) in zip(views, shares, strict=True)
    ]
    return [
        _side_by_side(own, next((one.texts for one in own if one.texts), ()), composed)
        for own in zip(*made, strict=True)
    ]


def _views(bank: ClassBank) -> list[ClassBank]:
    return [ClassBank.of(view(bank.table, label)) for label in labels(bank.table.provenance)]


def _shares(
    views: Sequence[ClassBank], name: str, words: bool, values: Mapping[str, float] | None, composed: bool
) -> list[tuple[bool, Mapping[str, float] | None]]:
    """Return for each view whether it is told the words, and the values that it is told.

    Args:
        views: of the bank.
        name: of the class, for errors.
        words: whether there are words.
        values: attribute values.
        composed: whether the attributes of the class are given by values, so that words leave them.

    Raises:
        OptionError: no view takes the words, or the values.
    """
    of_attributes = [one.recipe.kind == "attributes" for one in views]
    spoken = [
        words and one.recipe.encoder is not None and not (attributes and composed)
        for one, attributes in zip(views, of_attributes, strict=True)
    ]
    if words and not any(spoken):
        raise OptionError(f"class {name!r}: no view of the bank takes its words; leave them out")
    if values is not None and not any(of_attributes):
        raise OptionError(f"class {name!r}: no view of the bank holds attributes; describe it in words (--describe)")
    return [(worded, values if attributes else None) for worded, attributes in zip(spoken, of_attributes, strict=True)]


def _side_by_side(views: Sequence[Entry], texts: Sequence[str], composed: bool) -> Entry:
    vector = np.concatenate([one.vector for one in views])
    return Entry.of(views[0].name, vector, texts, "attributes" if composed else "")


def from_knowledge(bank: ClassBank, wanted: Sequence[str]) -> list[Entry]:
    """Return classes with their rows of the knowledge base.

    Raises:
        UnknownNameError: classes are not known there; the nearest names and what to do are given.
        OptionError: the bank does not hold the attributes of the knowledge base.
    """
    if not is_knowledge(bank):
        raise OptionError(f"the bank is of source {bank.recipe.source!r}, not of the knowledge base; {remedy(bank)}")
    table = knowledge.knowledge_table(wanted)
    meant = table.provenance["meant"]
    rows = zip(table.classes, table.matrix, strict=True)
    return [Entry.of(name, row, meant=meant.get(name, "")) for name, row in rows]


def from_attributes(bank: ClassBank, name: str, values: Mapping[str, float], base: Entry | None = None) -> Entry:
    """Return a class of single attribute values.

    Args:
        bank: whose attributes can be named.
        name: of the class.
        values: a number in [0, 1] for each named attribute.
        base: the class whose values the attributes that are not named keep; they are 0 without it.

    Raises:
        UnknownNameError: an attribute is not in the bank; the nearest names are listed.
        DuplicateNameError: one attribute is given twice.
        OptionError: the bank holds no attributes, a value is outside [0, 1], or none is above 0.
    """
    columns = _columns(bank, name)
    names.index(list(values), f"attributes of {name!r}")
    if any(names.key(given) not in columns for given in values):
        raise names.unknown(values, bank.recipe.columns, f"attributes of {name!r}")
    vector = np.zeros(len(columns), np.float32) if base is None else base.vector.copy()
    for attribute, value in values.items():
        if not 0 <= value <= 1:
            raise OptionError(f"attribute {attribute!r} of class {name!r} is {value!r}; give a number from 0 to 1")
        vector[columns[names.key(attribute)]] = value
    if not vector.any():
        raise OptionError(f"class {name!r} has no attribute above 0; name at least one")
    return Entry.of(name, vector, made="attributes")


def from_table(bank: ClassBank, table: ClassTable, wanted: Sequence[str] | None = None) -> list[Entry]:
    """Return classes with their rows of a table, such as one that was edited in a spreadsheet.

    Args:
        bank: into which they are to go.
        table: vectors of the bank's space; or attributes, all of which the bank has (those that it lacks are 0).
        wanted: the classes; all of the table without it.

    Raises:
        UnknownNameError: a class is not in the table, or one of its attributes is not in the bank.
        DataFormatError: the table is of another vector space.
        OptionError: an attribute's value is outside [0, 1], or none is above 0.
    """
    rows = ClassBank.of(table if wanted is None else table.select(wanted))
    if rows.space == bank.space:
        return list(rows.entries)
    if table.kind != "attributes" or bank.recipe.kind != "attributes":
        raise DataFormatError(
            f"a table of source {rows.recipe.source!r} does not fit a bank of source {bank.recipe.source!r}: their "
            "vectors are of different spaces; make the table in the way of the bank"
        )
    columns = rows.recipe.columns
    return [
        from_attributes(bank, one.name, dict(zip(columns, map(float, one.vector), strict=True))) for one in rows.entries
    ]


def from_words(
    bank: ClassBank,
    wanted: Sequence[str],
    encoder: TextEncoder,
    texts: Texts | None = None,
    said: Teller | None = None,
) -> list[Entry]:
    """Return classes made of their words, each encoded on its own: no class's vector depends on the others named.

    Args:
        bank: whose recipe says how words become a vector.
        wanted: names of the classes.
        encoder: the text encoder of the bank.
        texts: what the classes look like.
        said: returns what is said of classes of which no text is given, in `texts` or in the bank; without it that is
            their name in a bank of text vectors, and their description in the knowledge base in one of attributes.

    Raises:
        EncoderMismatchError: the bank was made for another encoder; both are named.
        OptionError: the bank's vectors are not made of words, or an empty text.
        UnknownNameError: a class without a text.
        EncoderError: a text is longer than the encoder reads, or in words that it does not know.
    """
    expected = bank.recipe.encoder
    if expected is None:
        raise OptionError(f"the bank is of source {bank.recipe.source!r}, which no words lead to; {remedy(bank)}")
    if encoder.identity.fingerprint != expected.fingerprint:
        raise EncoderMismatchError(
            f"the bank was made for text encoder {expected.name!r} (weights {expected.weights}, {expected.output}); "
            f"{encoder.identity.name!r} is another one (weights {encoder.identity.weights}, {encoder.identity.output})"
        )
    told = said or (lambda bank, *_: "descriptions" if bank.recipe.kind == "attributes" else "names")
    spoken = class_texts(wanted, texts or told(bank, wanted, encoder))
    vectors = [_spoken(bank.recipe, name, own, encoder) for name, own in zip(wanted, spoken, strict=True)]
    if bank.recipe.kind == "embedding":
        return [Entry.of(name, row, own) for name, row, own in zip(wanted, vectors, spoken, strict=True)]
    values = _values(bank, np.stack(vectors), encoder, told)
    return [Entry.of(name, row, own, "words") for name, row, own in zip(wanted, values, spoken, strict=True)]


def alike(bank: ClassBank, entries: Sequence[Entry]) -> list[tuple[str, str, float]]:
    """Return pairs of one of these classes and another of the bank that hardly differ, with the cosine, closest first.

    Args:
        bank: holds the entries.
        entries: the classes to compare with all others.
    """
    unit = unit_rows(bank.table.matrix)
    found: dict[tuple[str, str], float] = {}
    for entry in entries:
        i = bank.position(entry.name)
        cosines = unit @ unit[i]
        for j in map(int, np.flatnonzero(cosines >= NEAR)):
            if i != j:
                found[bank.classes[min(i, j)], bank.classes[max(i, j)]] = round(float(cosines[j]), 4)
    return sorted(((one, other, cosine) for (one, other), cosine in found.items()), key=lambda pair: -pair[2])


def is_knowledge(bank: ClassBank) -> bool:
    """Return whether the bank holds the attributes of the knowledge base, on its scale."""
    return bank.space == knowledge.compose({knowledge.vocabulary()[0].name: 1.0}, "any").space


def can_be_named(bank: ClassBank) -> bool:
    """Return whether a name alone may make a class: the knowledge base or a text encoder is behind the bank."""
    if is_joined(bank.table):
        return all(can_be_named(ClassBank.of(view(bank.table, one))) for one in labels(bank.table.provenance))
    return is_knowledge(bank) or bank.recipe.encoder is not None


def remedy(bank: ClassBank) -> str:
    """Return how a class can be added to the bank."""
    if bank.recipe.kind == "attributes":
        words = ", or describe it in words (--describe)" if bank.recipe.encoder is not None else ""
        return f"give its attributes (--attributes NAME=VALUE,...){words}, or a table with its row (--table)"
    if bank.recipe.encoder is not None:
        return "describe it in words (--describe)"
    return "give a table of the same kind with its row (--table)"


def _columns(bank: ClassBank, name: str) -> dict[str, int]:
    if bank.recipe.kind != "attributes":
        raise OptionError(f"class {name!r}: the bank holds vectors without named attributes; {remedy(bank)}")
    return names.index(bank.recipe.columns, "attributes of the bank")


def _spoken(recipe: Recipe, name: str, texts: Sequence[str], encoder: TextEncoder) -> Matrix:
    row: Matrix = text_table([name], encoder, texts={name: texts}, templates=recipe.templates).matrix[0]
    return row


def _values(bank: ClassBank, spoken_UD: Matrix, encoder: TextEncoder, told: Teller) -> Matrix:
    """Return attribute values of classes from the text vectors of their descriptions, (U, A) in [0, 1]."""
    prompts = bank.recipe.prompts
    if prompts is None:
        raise OptionError(f"the bank keeps no words for its attributes; {remedy(bank)}")
    new_UA = mapped(spoken_UD, prompts.vectors.T)
    if bank.recipe.source == "text" and "range" in bank.recipe.provenance:
        low, high = np.array(bank.recipe.provenance["range"], np.float32).T
        found: Matrix = np.clip((new_UA - low) / np.where(high > low, high - low, np.inf), 0, 1, dtype=np.float32)
        return found
    known = [(one, texts) for one in bank.entries if (texts := one.texts or _told(bank, one, encoder, told))]
    if len(known) < _LEAST:
        raise OptionError(
            f"only {len(known)} of the {len(bank)} classes of the bank have texts, and {_LEAST} are needed to find "
            "out what words say about its attributes; give --attributes NAME=VALUE,..., or describe more classes"
        )
    said_SD = np.stack([_spoken(bank.recipe, entry.name, texts, encoder) for entry, texts in known])
    shown_SA = np.stack([entry.vector for entry, _ in known])
    values, _ = carry_over(said_SD @ prompts.vectors.T, shown_SA, new_UA)
    return np.clip(values, 0, 1)


def _told(bank: ClassBank, entry: Entry, encoder: TextEncoder, told: Teller) -> tuple[str, ...]:
    try:
        return class_texts([entry.name], told(bank, [entry.name], encoder))[0]
    except UnknownNameError:
        return ()
