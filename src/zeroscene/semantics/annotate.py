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
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity, TextEncoder, require_same_model
from zeroscene.errors import DataFormatError, OptionError, SplitError
from zeroscene.files import json_digest
from zeroscene.semantics.table import ClassTable, Prompts
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

    @property
    def classes(self) -> set[str]:
        """Normalised names of the classes that have pictures."""
        return {names.key(label) for label in set(self.labels)}


@dataclass(frozen=True)
class Words:
    """What the text tower of an image-text model makes of attributes and classes: all of it that annotation needs.

    Made once, it annotates the classes from any set of pictures without the text tower.

    Attributes:
        vocabulary: the attributes.
        prompts: (A, D) unit vectors of the attributes.
        descriptions: text of each described class.
        spoken: (C, A) cosines of the descriptions and the attributes.
        encoder: the text tower.
        templates: prompts for descriptions and attributes.
    """

    vocabulary: Vocabulary
    prompts: Matrix
    descriptions: Mapping[str, Sequence[str]]
    spoken: Matrix
    encoder: EncoderIdentity
    templates: tuple[str, ...]

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        vocabulary: Vocabulary,
        encoder: TextEncoder,
        *,
        texts: Texts = "descriptions",
        templates: Sequence[str] = ("{}",),
    ) -> Self:
        """Encode the attributes, and the descriptions of classes.

        Args:
            classes: those that are to be annotated from descriptions, and those whose pictures are shown beside;
                none where every class is shown.
            vocabulary, encoder, texts, templates: as for `annotate_pictures`.

        Raises:
            OptionError: a template without exactly one `{}`, or a class with an empty text.
            UnknownNameError: a class without a text.
            EncoderError: a text is too long, or in words that the encoder does not know.
        """
        prompts_AD = vocabulary.vectors(encoder, templates)
        described: Mapping[str, Sequence[str]] = {}
        spoken_CA = np.zeros((0, len(vocabulary)), np.float32)
        if classes:
            table = text_table(classes, encoder, texts=texts, templates=templates)
            described = table.provenance["texts"]
            spoken_CA = np.asarray(table.matrix @ prompts_AD.T, np.float32)
        return cls(vocabulary, prompts_AD, described, spoken_CA, encoder.identity, tuple(templates))

    @property
    def fingerprint(self) -> str:
        """Digest of all that was said, and of the tower that read it."""
        texts = [[names.key(name), list(own)] for name, own in self.descriptions.items()]
        return json_digest([self.vocabulary.fingerprint, texts, self.encoder.fingerprint, list(self.templates)])

    def similarities(self, x: Matrix, encoder: EncoderIdentity) -> Matrix:
        """Return the cosines of pictures and attributes, (N, A).

        Args:
            x: (N, D) vectors in the common space.
            encoder: the image tower that made them.

        Raises:
            EncoderMismatchError: it is not the other tower of this model, or its vectors are not in the common space.
        """
        require_same_model(encoder, self.encoder)
        return np.asarray(unit_rows(x) @ self.prompts.T, np.float32)

    def annotate(
        self, classes: Sequence[str], shown: Sequence[str], seen_SA: Matrix, exemplars: Sequence[str] = ()
    ) -> ClassTable:
        """Return the attributes of classes, (C, A) in [0, 1].

        Args:
            classes: the rows of the table.
            shown: those of them that have pictures; the others are annotated from their descriptions.
            seen_SA: mean similarity of each shown class's pictures with each attribute.
            exemplars: shown classes that are unseen; the table is marked with them.

        Raises:
            OptionError: fewer than two classes are shown, or no attribute differs between them.
            UnknownNameError: a class was neither shown nor described.
        """
        if len(shown) < 2:
            raise OptionError(
                f"attributes from pictures need two classes with pictures or more; there are {len(shown)}"
            )
        known = {names.key(name) for name in shown}
        told = [name for name in classes if names.key(name) not in known]
        rows, trust = seen_SA, np.ones(len(self.vocabulary), np.float32)
        if told:
            carried, trust = carry_over(self._spoken_of(shown), seen_SA, self._spoken_of(told))
            rows = np.concatenate([seen_SA, carried])
        how: dict[str, Any] = {
            "source": "images",
            "encoder": self.encoder.to_json(),
            "templates": list(self.templates),
            "exemplars": sorted(exemplars),
            "from_pictures": list(shown),
            "from_description": told,
            "description_trust": [round(float(one), 4) for one in trust],
        }
        return _normalised([*shown, *told], rows, self, how, slice(0, len(shown))).select(classes)

    def _spoken_of(self, wanted: Sequence[str]) -> Matrix:
        positions = names.index(tuple(self.descriptions), "descriptions")
        if any(names.key(name) not in positions for name in wanted):
            raise names.unknown(wanted, tuple(self.descriptions), "classes in the given texts")
        return self.spoken[[positions[names.key(name)] for name in wanted]]


def class_means(values_NK: Matrix, labels: Sequence[str], wanted: Sequence[str]) -> Matrix:
    """Return the mean row of each class, (C, K); every class must have a row."""
    positions = {names.key(name): i for i, name in enumerate(wanted)}
    of_label = {label: positions.get(names.key(label), -1) for label in set(labels)}
    row = np.array([of_label[label] for label in labels])
    means = [values_NK[row == i].mean(axis=0, dtype=np.float64) for i in range(len(wanted))]
    return np.asarray(means, np.float32)


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
        OptionError: fewer than two classes, whose values could not be normalised, or no attribute differs.
        EncoderError: a text is too long, or in words that the encoder does not know.
    """
    words = Words.of(classes, vocabulary, encoder, texts=texts, templates=templates)
    how = {"source": "text", "encoder": encoder.identity.to_json(), "templates": list(templates)}
    return _normalised(classes, words.spoken, words, how, rows=slice(None))


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
        OptionError: fewer than two classes with pictures, or no attribute differs between them.
        SplitError: an exemplar without pictures.
    """
    require_same_model(pictures.encoder, encoder.identity)
    shown = [name for name in classes if names.key(name) in pictures.classes]
    if missing := [name for name in exemplars if names.key(name) not in pictures.classes]:
        raise SplitError(f"exemplars without a picture: {', '.join(missing)}")
    described = classes if len(shown) < len(classes) else ()
    words = Words.of(described, vocabulary, encoder, texts=texts, templates=templates)
    similarity_NA = words.similarities(pictures.x, pictures.encoder)
    return words.annotate(classes, shown, class_means(similarity_NA, pictures.labels, shown), exemplars)


def blend(tables: Sequence[ClassTable], weights: Sequence[float]) -> ClassTable:
    """Return the weighted mean of attribute tables with the same attributes, for the classes of the first.

    Its prompts are those of the first table that has any.

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
    prompts = next((table.prompts for table in tables if table.prompts is not None), None)
    return ClassTable(
        first.classes, np.asarray(values, np.float32), first.columns, first.kind, first.groups, provenance, prompts
    )


def carry_over(spoken_SA: Matrix, shown_SA: Matrix, new_UA: Matrix) -> tuple[Matrix, Matrix]:
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
    classes: Sequence[str], similarity: Matrix, words: Words, how: Mapping[str, Any], rows: slice
) -> ClassTable:
    """Scale each attribute so that the median of the given rows is 0 and their greatest value 1."""
    vocabulary = words.vocabulary
    if len(similarity[rows]) < 2:
        raise OptionError("attribute values are normalised over classes: give two classes or more")
    low, high = np.median(similarity[rows], axis=0), similarity[rows].max(axis=0)
    flat = high - low < _LEAST
    if flat.all():
        raise OptionError(
            f"every one of the {len(vocabulary)} attributes is the same for all {len(similarity[rows])} classes, so "
            "they tell no class from another; say them in other words, or take another image-text model"
        )
    values = np.clip((similarity - low) / np.where(flat, 1.0, high - low), 0.0, 1.0)
    values[:, flat] = 0.0
    provenance = {
        **how,
        "texts": {name: list(own) for name, own in words.descriptions.items()},
        "vocabulary": vocabulary.fingerprint,
        "range": [[round(float(a), 6), round(float(b), 6)] for a, b in zip(low, high, strict=True)],
        "constant": [name for name, same in zip(vocabulary.attributes, flat, strict=True) if same],
    }
    provenance["space"] = json_digest([provenance[key] for key in ("source", "encoder", "vocabulary", "range")])
    return ClassTable(
        tuple(classes),
        values.astype(np.float32),
        vocabulary.attributes,
        "attributes",
        vocabulary.groups,
        provenance,
        Prompts(words.prompts, words.encoder),
    )
