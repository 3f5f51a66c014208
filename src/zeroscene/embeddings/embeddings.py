"""Embeddings in memory: vectors of pictures with their ids, labels if known, and the encoder that made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.embeddings.grids import Rows, TokenGrids
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DuplicateNameError, EncoderMismatchError

if TYPE_CHECKING:
    from zeroscene.embeddings.crops import Crops

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Embeddings:
    """Vectors of N pictures.

    Attributes:
        ids: picture ids, unique; paths relative to the data set.
        x: (N, D) float32, finite.
        encoder: the encoder that made them.
        labels: class name of each picture, or None when unknown.
        grids: token grids of the pictures, or None when they were not asked for.
        crops: looks at parts of the pictures again, or None where the pictures themselves are not at hand.
        views: (N, V - 1, D) vectors of the augmented views whose grids there are, or None when there are none.

    Raises:
        DataFormatError: shapes disagree or a value is not finite (the picture is named).
        DuplicateNameError: an id stands twice.
    """

    ids: tuple[str, ...]
    x: Matrix
    encoder: EncoderIdentity
    labels: tuple[str, ...] | None = None
    grids: TokenGrids | None = None
    crops: "Crops | None" = None
    views: Matrix | None = None

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or len(self.x) != len(self.ids):
            raise DataFormatError(f"embeddings: array of shape {self.x.shape} for {len(self.ids)} pictures")
        if self.labels is not None and len(self.labels) != len(self.ids):
            raise DataFormatError(f"embeddings: {len(self.labels)} labels for {len(self.ids)} pictures")
        if self.grids is not None and len(self.grids) != len(self.ids):
            raise DataFormatError(f"embeddings: token grids of {len(self.grids)} for {len(self.ids)} pictures")
        if self.views is not None and self.views.shape[::2] != self.x.shape:
            raise DataFormatError(f"embeddings: views of shape {self.views.shape} beside vectors of {self.x.shape}")
        finite = np.isfinite(self.x).all(axis=1)
        if not finite.all():
            raise DataFormatError(f"embeddings: the vector of {self.ids[int(np.argmin(finite))]!r} is not finite")
        if len(set(self.ids)) != len(self.ids):
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise DuplicateNameError(f"embeddings: picture {twice!r} stands twice")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return int(self.x.shape[1])

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names in order of first appearance, one spelling a class.

        Raises:
            DataFormatError: the labels are not known.
        """
        if self.labels is None:
            raise DataFormatError("these embeddings carry no labels")
        spelled: dict[str, str] = {}
        for label in dict.fromkeys(self.labels):
            spelled.setdefault(names.key(label), label)
        return tuple(spelled.values())

    def label_indices(self, classes: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the position of each picture's label in `classes`, -1 where it is not among them."""
        if self.labels is None:
            raise DataFormatError("these embeddings carry no labels")
        positions = names.index(classes, "classes")
        of_label = {label: positions.get(names.key(label), -1) for label in set(self.labels)}
        return np.array([of_label[label] for label in self.labels], np.int64)

    def take(self, rows: Rows) -> Self:
        """Return the pictures at the given positions (or under a mask), in that order."""
        positions = np.asarray(rows)
        if positions.dtype == np.bool_:
            positions = np.flatnonzero(positions)
        labels = None if self.labels is None else tuple(self.labels[i] for i in positions)
        grids = None if self.grids is None else self.grids.take(positions)
        views = None if self.views is None else self.views[positions]
        return type(self)(
            tuple(self.ids[i] for i in positions), self.x[positions], self.encoder, labels, grids, self.crops, views
        )

    def of_classes(self, classes: Sequence[str]) -> Self:
        """Return the pictures whose label is one of `classes`."""
        return self.take(self.label_indices(classes) >= 0)

    def check_encoder(self, expected: EncoderIdentity, what: str) -> None:
        """Refuse embeddings that another encoder made.

        Raises:
            EncoderMismatchError: the encoders differ; both are named.
        """
        if self.encoder.fingerprint != expected.fingerprint:
            wanted, given = (f"{e.name!r} ({e.output}; {e.fingerprint})" for e in (expected, self.encoder))
            raise EncoderMismatchError(
                f"{what} was made with encoder {wanted}, these embeddings with {given}; "
                "embed the pictures with the first one"
            )
