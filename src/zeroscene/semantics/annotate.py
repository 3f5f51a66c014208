"""RSMM-Attributes: class attributes without human labels, from an image-text model (Xu et al. 2023, section 3.2).

An attribute's prompts and a class's pictures (or its description) meet in the model's common space; the value of an
attribute for a class is their mean similarity, normalised over the classes:

    s_ck = mean over pictures x of class c of cos(x, p_k)
    value_ck = (s_ck - m_k) / (max_c s_ck - m_k), cut off at 0 and 1,        m_k = median_c s_ck

Zero is the median and not the minimum: most attributes are absent from most classes, and what varies below the median
is noise that a minimum would spread over half the scale.

The public recipe takes the pictures of every class, unseen ones included, which leaks. Here a class whose pictures may
not be looked at is annotated from its description: its similarities in the space of texts are carried over to those
of pictures by a line for each attribute, fitted on the seen classes. Classes that are annotated from their pictures
although they are unseen must be named as exemplars, and the table says so for ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity, TextEncoder
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError, SplitError
from zeroscene.files import json_digest
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import Texts, text_table
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.vectors import unit_rows

Matrix = npt.NDArray[np.float32]

_LEAST: Final = 1e-6
"""A range of similarities below this is no difference."""


@dataclass(frozen=True)
class Pictures:
    """Vectors of labelled pictures in an image-text model's common space.

    Attributes:
        x: (N, D) vectors.
        labels: class of each picture.
        encoder: the image tower that made them.
    """

    x: Matrix
    labels: tuple[str, ...]
    encoder: EncoderIdentity

    def means(self, wanted: Sequence[str]) -> Matrix:
        """Return the mean unit vector of each class's pictures, (C, D)."""
        unit = unit_rows(self.x)
        keys = np.array([names.key(label) for label in self.labels])
        return np.stack([unit[keys == names.key(name)].mean(axis=0) for name in wanted]).astype(np.float32)

    @property
    def classes(self) -> set[str]:
        """Normalised names of the classes that have pictures."""
        return {names.key(label) for label in set(self.labels)}


def annotate_texts(
    classes: Sequence[str],
    vocabulary: Vocabulary,
    encoder: TextEncoder,
    *,
    texts: Texts = "descriptions",
    templates: Sequence[str] = ("{}",),
) -> ClassTable:
    """Return attributes annotated from the classes' descriptions, (C, A) in [0, 1].

    Args:
        classes: class names.
        vocabulary: the attributes, with their prompts.
        encoder: a sentence encoder, or the text tower of an image-text model.
        texts: as for `semantics.text.text_table`.
        templates: prompts for descriptions and attributes, each with one `{}`.

    Raises:
        OptionError: fewer than two classes, whose values could not be normalised.
        EncoderError: a text is too long, or in words that the encoder does not know.
    """
    similarity = _of_texts(classes, vocabulary, encoder, texts, templates)
    how = {"source": "text", "encoder": encoder.identity.to_json(), "templates": list(templates)}
    return _normalised(classes, similarity, vocabulary, how, rows=slice(None))


def annotate_pictures(
    classes: Sequence[str],
    vocabulary: Vocabulary,
    encoder: TextEncoder,
    pictures: Pictures,
    *,
    exemplars: Sequence[str] = (),
    texts: Texts = "descriptions",
    templates: Sequence[str] = ("{}",),
) -> ClassTable:
    """Return attributes annotated from pictures of seen classes, (C, A) in [0, 1].

    Classes without pictures are annotated from their descriptions (see the head of this file).

    Args:
        classes: class names; the rows of the table.
        vocabulary: the attributes, with their prompts.
        encoder: text tower of the model whose image tower made the vectors.
        pictures: training pictures of seen classes, and of the exemplars; no others may be given.
        exemplars: unseen classes of which pictures are given all the same. The table is marked: its provenance, and
            that of everything made from it, names them.
        texts: descriptions of the classes without pictures.
        templates: prompts for descriptions and attributes, each with one `{}`.

    Raises:
        EncoderMismatchError: pictures and prompts were encoded by different models.
        OptionError: fewer than two classes with pictures.
        SplitError: an exemplar without pictures.
    """
    _check_same_model(pictures.encoder, encoder.identity)
    shown = [name for name in classes if names.key(name) in pictures.classes]
    told = [name for name in classes if names.key(name) not in pictures.classes]
    if missing := [name for name in exemplars if names.key(name) not in pictures.classes]:
        raise SplitError(f"exemplars without a picture: {', '.join(missing)}")
    if len(shown) < 2:
        raise OptionError(f"attributes from pictures need two classes with pictures or more; there are {len(shown)}")
    prompts_AD = vocabulary.vectors(encoder, templates)
    seen_SA = pictures.means(shown) @ prompts_AD.T
    rows = dict(zip(shown, seen_SA, strict=True))
    trust = np.ones(len(vocabulary), np.float32)
    if told:
        spoken = _of_texts([*shown, *told], vocabulary, encoder, texts, templates)
        carried, trust = _carry_over(spoken[: len(shown)], seen_SA, spoken[len(shown) :])
        rows |= dict(zip(told, carried, strict=True))
    how: dict[str, Any] = {
        "source": "images",
        "encoder": encoder.identity.to_json(),
        "templates": list(templates),
        "exemplars": sorted(exemplars),
        "from_description": told,
        "description_trust": [round(float(one), 4) for one in trust],
    }
    known = slice(0, len(shown))
    ordered = [*shown, *told]
    table = _normalised(ordered, np.stack([rows[name] for name in ordered]), vocabulary, how, known)
    return table.select(classes)


def blend(tables: Sequence[ClassTable], weights: Sequence[float]) -> ClassTable:
    """Return the weighted mean of attribute tables with the same attributes, for the classes of the first.

    Raises:
        OptionError: no tables, or weights that are negative or all zero.
        DataFormatError: a table holds other attributes.
        UnknownNameError: a class of the first table is absent from another.
    """
    if not tables or len(tables) != len(weights) or min(weights) < 0 or sum(weights) <= 0:
        raise OptionError("a blend takes one weight of 0 or more for each table, and at least one above 0")
    first = tables[0]
    for other in tables[1:]:
        if other.columns != first.columns or other.kind != first.kind:
            raise DataFormatError("class tables with different attributes cannot be blended")
    share = np.asarray(weights, np.float64) / sum(weights)
    stacked = np.stack([table.select(first.classes).matrix for table in tables])
    values = np.einsum("t,tca->ca", share, stacked).astype(np.float32)
    exemplars = sorted({name for table in tables for name in table.provenance.get("exemplars", ())})
    provenance = {
        "source": "blend",
        "weights": [float(w) for w in weights],
        "parts": [dict(table.provenance) for table in tables],
        "exemplars": exemplars,
        "space": json_digest(["blend", list(weights), [table.space for table in tables]]),
    }
    return ClassTable(
        first.classes, np.asarray(values, np.float32), first.columns, first.kind, first.groups, provenance
    )


def _of_texts(
    classes: Sequence[str], vocabulary: Vocabulary, encoder: TextEncoder, texts: Texts, templates: Sequence[str]
) -> Matrix:
    """Return cosines of descriptions and attribute prompts, (C, A)."""
    described = text_table(classes, encoder, texts=texts, templates=templates)
    return np.asarray(described.matrix @ vocabulary.vectors(encoder, templates).T, np.float32)


def _carry_over(spoken_SA: Matrix, shown_SA: Matrix, new_UA: Matrix) -> tuple[Matrix, Matrix]:
    """Carry similarities of descriptions over to those of pictures: the least-squares line of each attribute.

    Where description and pictures do not go together over the seen classes, the line is flat and the value is the
    mean: an attribute that descriptions say nothing true about says nothing.
    """
    ms, mp = spoken_SA.mean(axis=0), shown_SA.mean(axis=0)
    ds, dp = spoken_SA - ms, shown_SA - mp
    spread = np.sqrt((ds**2).sum(axis=0) * (dp**2).sum(axis=0))
    correlation = np.clip((ds * dp).sum(axis=0) / np.maximum(spread, 1e-12), 0.0, 1.0)
    slope = correlation * np.sqrt((dp**2).sum(axis=0) / np.maximum((ds**2).sum(axis=0), 1e-12))
    return np.asarray(mp + slope * (new_UA - ms), np.float32), np.asarray(correlation, np.float32)


def _normalised(
    classes: Sequence[str], similarity: Matrix, vocabulary: Vocabulary, how: Mapping[str, Any], rows: slice
) -> ClassTable:
    """Scale each attribute so that the median of the given rows is 0 and their greatest value 1."""
    if len(similarity[rows]) < 2:
        raise OptionError("attribute values are normalised over classes: give two classes or more")
    low, high = np.median(similarity[rows], axis=0), similarity[rows].max(axis=0)
    flat = high - low < _LEAST
    values = np.clip((similarity - low) / np.where(flat, 1.0, high - low), 0.0, 1.0)
    values[:, flat] = 0.0
    provenance = {
        **how,
        "vocabulary": vocabulary.fingerprint,
        "range": [[round(float(a), 6), round(float(b), 6)] for a, b in zip(low, high, strict=True)],
        "constant": [name for name, same in zip(vocabulary.attributes, flat, strict=True) if same],
    }
    provenance["space"] = json_digest([provenance[key] for key in ("source", "encoder", "vocabulary", "range")])
    return ClassTable(
        tuple(classes), values.astype(np.float32), vocabulary.attributes, "attributes", vocabulary.groups, provenance
    )


def _check_same_model(image: EncoderIdentity, text: EncoderIdentity) -> None:
    if image.weights != text.weights:
        raise EncoderMismatchError(
            f"pictures were encoded by {image.name!r}, prompts by {text.name!r}: similarities need the two towers of "
            "one image-text model"
        )
    if image.output != "projection":
        raise EncoderMismatchError(
            f"pictures were encoded by {image.name!r} with output {image.output!r}; similarities with text need the "
            "projection (embed with --pooling projection or auto)"
        )
