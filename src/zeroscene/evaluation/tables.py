"""Class tables that an evaluation may use: one that is given, or one made anew from each training set.

Attributes that an image-text model annotates from pictures may look at training pictures only. So an evaluation does
not take such a table; it takes a source and asks it for the table of the training set in hand: that of plain zero-shot,
that of generalised zero-shot, that of each validation fold. A source looks its pictures up by the ids of the training
set and takes the labels from there, so a picture that is not trained on cannot reach a table.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, OptionError, SplitError
from zeroscene.files import digest, json_digest
from zeroscene.methods.contract import TrainingSet
from zeroscene.scenes.splits import Split
from zeroscene.semantics.annotate import Words, class_means
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import VIEWS, join

Matrix = npt.NDArray[np.float32]

IMAGES = "images"
_ROWS = 1 << 16


class TableSource(Protocol):
    """Where an evaluation takes its class vectors from."""

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides the tables, beside the training set."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the vectors are made; holds `source`."""
        ...

    def of(self, train: TrainingSet, classes: Sequence[str]) -> ClassTable:
        """Return the table of the given classes that goes with a training set.

        Tables of two training sets may be of different vector spaces: fit and score with one table.

        Raises:
            UnknownNameError: nothing is known of a class.
            OptionError: no column tells one class from another.
        """
        ...

    def within(self, train: TrainingSet) -> "TableSource":
        """Return the source without any picture that is not in a training set."""
        ...

    def check(self, split: Split) -> None:
        """Refuse a split whose test pictures went into the tables in another way than by `of`.

        Raises:
            SplitError: the model that looked at the pictures was fine-tuned under another split.
        """
        ...


@dataclass(frozen=True)
class FixedTable:
    """A class table that is the same for every training set.

    Attributes:
        table: the table.
    """

    table: ClassTable

    @property
    def fingerprint(self) -> str:
        """Digest of the table."""
        return self.table.fingerprint

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Provenance of the table."""
        return self.table.provenance

    def of(self, train: TrainingSet, classes: Sequence[str]) -> ClassTable:
        """Return the rows of the classes.

        Raises:
            UnknownNameError: a class is absent from the table.
            OptionError: every column is the same for all of the classes.
        """
        chosen = self.table.select(classes)
        if len(chosen) > 1 and (chosen.matrix == chosen.matrix[0]).all():
            raise OptionError(
                f"class table: each of its {len(chosen.columns)} columns is the same for all {len(chosen)} classes, so "
                "it tells no class from another; take another table"
            )
        return chosen

    def within(self, train: TrainingSet) -> "FixedTable":
        """Return the table itself: it holds no pictures."""
        return self

    def check(self, split: Split) -> None:
        """Refuse a table from the pictures of a model that was fine-tuned under another split.

        Raises:
            SplitError: it is one.
        """
        for part in _parts(self.table.provenance):
            if part.get("from_pictures") and (annotator := part.get("encoder")):
                refuse_fine_tuned(EncoderIdentity.from_json(annotator), split)


@dataclass(frozen=True)
class AnnotatedTable:
    """Attributes annotated by an image-text model from the pictures of each training set (`semantics.annotate`).

    Seen classes are annotated from their training pictures, the others from their descriptions. The text tower has said
    all it has to say when a source is made, and the pictures are kept as similarities: `of` takes milliseconds.

    Attributes:
        ids: pictures of the data set.
        similarities: (N, A) cosines of the pictures and the attributes.
        words: attributes and descriptions of all classes.
        exemplars: unseen classes of which all pictures are shown; every table with one of them is marked.
        exemplar_rows: positions of the pictures of each exemplar.
        of_pictures: digest of pictures and labels, and of the image tower.
        encoder: the image tower; None where the source was made of similarities.
    """

    ids: tuple[str, ...]
    similarities: Matrix
    words: Words
    exemplars: tuple[str, ...] = ()
    exemplar_rows: tuple[tuple[int, ...], ...] = ()
    of_pictures: str = ""
    encoder: EncoderIdentity | None = None

    @classmethod
    def make(cls, pictures: Embeddings, words: Words, exemplars: Sequence[str] = ()) -> "AnnotatedTable":
        """Return the source for a data set.

        Args:
            pictures: of the data set, through the image tower of the model. Their labels are read for exemplars only.
            words: attributes, and the descriptions of all classes.
            exemplars: unseen classes of which pictures are shown all the same.

        Raises:
            EncoderMismatchError: pictures and words come from different models.
            SplitError: an exemplar without pictures.
        """
        similarities = words.similarities(pictures.x, pictures.encoder)
        rows: tuple[tuple[int, ...], ...] = ()
        if exemplars:
            names.index(exemplars, "exemplars")
            of_exemplar = pictures.label_indices(exemplars)
            rows = tuple(tuple(np.flatnonzero(of_exemplar == i).tolist()) for i in range(len(exemplars)))
            if missing := [name for name, own in zip(exemplars, rows, strict=True) if not own]:
                raise SplitError(f"exemplars without a picture: {', '.join(missing)}")
        of_pictures = embeddings_fingerprint(pictures)
        return cls(pictures.ids, similarities, words, tuple(exemplars), rows, of_pictures, pictures.encoder)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of pictures, words and exemplars."""
        return json_digest([IMAGES, self.of_pictures, self.words.fingerprint, sorted(map(names.key, self.exemplars))])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What is the same for all tables; each of them adds its own (`semantics.annotate.annotate_pictures`)."""
        return {
            "source": IMAGES,
            "encoder": self.words.encoder.to_json(),
            "templates": list(self.words.templates),
            "vocabulary": self.words.vocabulary.fingerprint,
            "exemplars": sorted(self.exemplars),
            "pictures": "those of each training set",
        }

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {picture: row for row, picture in enumerate(self.ids)}

    def of(self, train: TrainingSet, classes: Sequence[str]) -> ClassTable:
        """Return the attributes of the classes, annotated from the pictures of a training set.

        The values of a class do not depend on which other classes are asked for, exemplars excepted.

        Raises:
            DataFormatError: a training picture was not embedded by the image-text model.
            OptionError: fewer than two seen classes, or no attribute differs between them.
            UnknownNameError: a class that is not seen has no description.
        """
        if len(train.seen) < 2:
            raise OptionError(
                "attributes from pictures need two seen classes or more, in each validation fold too; there is "
                f"{len(train.seen)}: take a split with more seen classes"
            )
        assert train.pictures.labels is not None
        if absent := [picture for picture in train.pictures.ids if picture not in self._positions]:
            raise DataFormatError(
                f"attributes from pictures: {len(absent)} of {len(train.pictures)} training pictures, such as "
                f"{absent[0]!r}, are not among those that {self.words.encoder.name!r} embedded; embed the same folder"
            )
        rows = [self._positions[picture] for picture in train.pictures.ids]
        labels = list(train.pictures.labels)
        seen, asked = ({names.key(name) for name in part} for part in (train.seen, classes))
        marked = []
        for name, own in zip(self.exemplars, self.exemplar_rows, strict=True):
            if names.key(name) in asked - seen:
                marked.append(name)
                rows.extend(own)
                labels.extend([name] * len(own))
        shown = [*train.seen, *marked]
        known = {names.key(name) for name in shown}
        told = [name for name in classes if names.key(name) not in known]
        means = class_means(self.similarities[rows], labels, shown)
        return self.words.annotate([*shown, *told], shown, means, marked).select(classes)

    def within(self, train: TrainingSet) -> "AnnotatedTable":
        """Return the source of the pictures of a training set alone, without exemplars."""
        kept = set(train.pictures.ids)
        rows = [row for row, picture in enumerate(self.ids) if picture in kept]
        return replace(
            self,
            ids=tuple(self.ids[row] for row in rows),
            similarities=self.similarities[rows],
            exemplars=(),
            exemplar_rows=(),
        )

    def check(self, split: Split) -> None:
        """Refuse a split under which the image tower was not fine-tuned, if it was.

        Raises:
            SplitError: it was fine-tuned under another one.
        """
        if self.encoder is not None:
            refuse_fine_tuned(self.encoder, split)


@dataclass(frozen=True)
class JoinedTables:
    """Several sources as one, whose tables are views of the table of a training set (`semantics.views`).

    Attributes:
        parts: label -> source.
    """

    parts: Mapping[str, TableSource]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of labels and sources."""
        return json_digest([VIEWS, [[label, part.fingerprint] for label, part in self.parts.items()]])

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The labels, and among the `parts` the provenance of each source."""
        return {"source": VIEWS, "labels": list(self.parts), "parts": [dict(p.provenance) for p in self.parts.values()]}

    def of(self, train: TrainingSet, classes: Sequence[str]) -> ClassTable:
        """Return the tables of the classes that go with a training set, joined.

        Raises:
            UnknownNameError, OptionError, DataFormatError: as for the sources.
        """
        return join({label: part.of(train, classes) for label, part in self.parts.items()})

    def within(self, train: TrainingSet) -> "JoinedTables":
        """Return the sources without any picture that is not in a training set."""
        return JoinedTables({label: part.within(train) for label, part in self.parts.items()})

    def check(self, split: Split) -> None:
        """Refuse what one of the sources refuses.

        Raises:
            SplitError: a model that looked at the pictures was fine-tuned under another split.
        """
        for part in self.parts.values():
            part.check(split)


def source_of(classes: ClassTable | TableSource) -> TableSource:
    """Return a source as it is, and a table as the source that always gives it."""
    return FixedTable(classes) if isinstance(classes, ClassTable) else classes


def exemplars_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the unseen classes whose pictures went into a table, or into a table that it was made of."""
    found = {str(name) for name in provenance.get("exemplars", ())}
    for part in provenance.get("parts", ()):
        found |= set(exemplars_of(part))
    return tuple(sorted(found))


def refuse_shown(table: ClassTable, unseen: Sequence[str]) -> None:
    """Refuse a table in which unseen classes were annotated from their pictures without being named as exemplars.

    Raises:
        SplitError: it is one; the classes are named.
    """
    for part in _parts(table.provenance):
        shown, named = ({names.key(name) for name in part.get(what, ())} for what in ("from_pictures", "exemplars"))
        if leaked := [name for name in unseen if names.key(name) in shown - named]:
            raise SplitError(
                f"the class table was annotated from pictures of classes that are unseen in this split: "
                f"{', '.join(leaked)}; let the benchmark annotate for each split (annotate: images), or name them as "
                "exemplars"
            )


def refuse_fine_tuned(encoder: EncoderIdentity, split: Split) -> None:
    """Refuse an encoder that was fine-tuned on pictures which a split may keep for its test.

    Args:
        encoder: of pictures, or of attributes taken from them.
        split: the split in hand, with its held-out pictures.

    Raises:
        SplitError: it was fine-tuned under another split.
    """
    tuned = encoder.fine_tuned
    if tuned is None or tuned.split == split.fingerprint:
        return
    trained = {names.key(name) for name in tuned.seen}
    leaked = [name for name in split.unseen if names.key(name) in trained]
    why = f"has seen pictures of {', '.join(leaked)}" if leaked else "may have seen pictures of this test"
    raise SplitError(
        f"encoder {encoder.name!r} was fine-tuned on {tuned.dataset!r} under another split than {split.name!r} and "
        f"{why}; use the split.json that lies beside its weights, or an encoder fine-tuned under this split"
    )


def _parts(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [provenance, *(inner for part in provenance.get("parts", ()) for inner in _parts(part))]


def embeddings_fingerprint(pictures: Embeddings) -> str:
    """Return the digest of ids, labels, vectors and encoder."""
    rows: Sequence[bytes | str] = [
        digest(pictures.x[start : start + _ROWS].tobytes()) for start in range(0, len(pictures), _ROWS)
    ]
    return digest(pictures.encoder.fingerprint, json.dumps(pictures.ids), json.dumps(pictures.labels), *rows)
