"""The contract every method keeps: fit on seen classes, score against any class table, save, load.

A method of vectors implements three things in its own file: its `Options`, `_fit` (arrays in, fitted arrays out) and
`_scores` (arrays in, an (N, C) matrix out). A method that looks at more than one vector a picture implements
`_fit_pictures` and `_score_pictures` instead. All checks of what a user can get wrong stand here, once.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import (
    DataFormatError,
    DatasetNotFoundError,
    EncoderMismatchError,
    NotFittedError,
    SplitError,
)
from zeroscene.files import read_json, replacing, write_json, write_text
from zeroscene.options import Options
from zeroscene.provenance import environment
from zeroscene.semantics.table import ClassTable

Matrix = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
State = dict[str, npt.NDArray[Any]]
O = TypeVar("O", bound=Options)  # noqa: E741

_FORMAT = "zeroscene-method-1"
_ARRAYS, _RECORD, _CARD = "method.safetensors", "method.json", "card.md"


@dataclass(frozen=True)
class TrainingSet:
    """Labelled pictures of the seen classes: all that a fit, or a choice of options, may look at.

    Attributes:
        pictures: embeddings whose labels are all among `seen`.
        seen: the seen classes, each with at least one picture.

    Raises:
        SplitError: a picture of another class, a seen class without pictures, or no classes.
    """

    pictures: Embeddings
    seen: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.seen:
            raise SplitError("a training set needs at least one seen class")
        counts = np.bincount(self.y[self.y >= 0], minlength=len(self.seen))
        if (self.y < 0).any():
            assert self.pictures.labels is not None
            stranger = self.pictures.labels[int(np.argmin(self.y))]
            raise SplitError(f"training set: a picture of class {stranger!r}, which is not a seen class")
        if (counts == 0).any():
            empty = [name for name, count in zip(self.seen, counts, strict=True) if count == 0]
            raise SplitError(f"training set: no pictures of the seen classes {', '.join(empty)}")

    @cached_property
    def y(self) -> Indices:
        """(N,) position of each picture's class in `seen`."""
        return self.pictures.label_indices(self.seen)


@dataclass(frozen=True)
class Scores:
    """What a method says about N pictures and C classes; higher is more likely, only rows are comparable.

    Attributes:
        ids: picture ids.
        classes: class names, one a column.
        values: (N, C) float32.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    values: Matrix

    def best(self) -> Indices:
        """Return the (N,) column of the highest score."""
        return np.asarray(self.values.argmax(axis=1), np.int64)

    def select(self, wanted: Sequence[str]) -> "Scores":
        """Return the columns of the wanted classes.

        Raises:
            UnknownNameError: a class has no column.
        """
        positions = names.index(self.classes, "scores")
        if any(names.key(name) not in positions for name in wanted):
            raise names.unknown(wanted, self.classes, "classes in the scores")
        return Scores(self.ids, tuple(wanted), self.values[:, [positions[names.key(n)] for n in wanted]])


@dataclass(frozen=True)
class Fitted:
    """What a fitted method remembers of its fit, beside its arrays."""

    seen: tuple[str, ...]
    encoder: EncoderIdentity
    space: str
    table: Mapping[str, Any]
    pictures: int


class ZeroShotMethod(ABC, Generic[O]):
    """Base of all methods.

    Options are keyword-only and frozen at construction. `fit` returns self; `scores` takes ANY class table of the
    vector space used in `fit`, also one with classes that did not exist then.

    Attributes:
        reads: what a picture must bring.
        apart: whether a class's scores depend on no other class, so that a class more or less leaves them equal to the
            bit. Where not, scores are worked out anew for every set of classes that is asked about.
        learns: whether `fit` looks at pictures. Where not, a seen class is like any other.

    Raises:
        OptionError: an unknown option or a value out of range.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    reads: ClassVar[Literal["vectors", "grids"]] = "vectors"
    apart: ClassVar[bool] = True
    learns: ClassVar[bool] = True
    Options: ClassVar[type[Options]]

    def __init__(self, **options: Any) -> None:
        self.options: O = self.Options.of(options, self.name)  # type: ignore[assignment]
        self.fitted_: Fitted | None = None
        self.state_: State = {}

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses; the first is the default."""
        return ({},)

    @abstractmethod
    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        """Return the fitted arrays.

        Args:
            train: pictures of seen classes.
            table: class vectors of the seen classes, in their order.
        """

    @abstractmethod
    def _score_pictures(self, x: Embeddings, table: ClassTable, seen: Indices) -> Matrix:
        """Return (N, C) scores.

        Args:
            x: N pictures.
            table: class vectors of the C candidate classes.
            seen: (C,) position among the seen classes of `fit`, -1 for a class that was not seen.
        """

    def fit(self, train: TrainingSet, classes: ClassTable) -> Self:
        """Fit on pictures of the seen classes.

        Args:
            train: labelled pictures of the seen classes.
            classes: class vectors; must hold every seen class.

        Raises:
            UnknownNameError: a seen class is absent from the table.
        """
        self.state_ = self._fit_pictures(train, classes.select(train.seen))
        self.fitted_ = Fitted(
            train.seen, train.pictures.encoder, classes.space, dict(classes.provenance), len(train.pictures)
        )
        return self

    def scores(self, x: Embeddings, classes: ClassTable) -> Scores:
        """Score pictures against the classes of any table.

        Args:
            x: N pictures embedded by the encoder used in `fit`.
            classes: C candidate classes, in the vector space used in `fit`.

        Raises:
            NotFittedError: `fit` or `load` comes first.
            EncoderMismatchError: the pictures or the class vectors come from another encoder.
        """
        fitted = self.require_fitted()
        x.check_encoder(fitted.encoder, f"the fitted {self.name}")
        self.check_table(classes)
        positions = names.index(fitted.seen, "seen classes")
        seen = np.array([positions.get(names.key(c), -1) for c in classes.classes], np.int64)
        values = self._score_pictures(x, classes, seen)
        return Scores(x.ids, classes.classes, values.astype(np.float32, copy=False))

    def check_table(self, table: ClassTable) -> None:
        """Refuse a table that the fitted method cannot score.

        Raises:
            NotFittedError: `fit` or `load` comes first.
            EncoderMismatchError: its class vectors mean something else than those of the fit.
            DataFormatError: it is empty.
        """
        self._check_table(table, self.require_fitted())
        if not len(table):
            raise DataFormatError("the class table is empty; name at least one class")

    def _check_table(self, table: ClassTable, fitted: Fitted) -> None:
        """Refuse class vectors that mean something else than those of the fit."""
        if table.space != fitted.space:
            raise EncoderMismatchError(
                f"the fitted {self.name} knows class vectors of source {fitted.table.get('source')!r}; this table is "
                f"of source {table.provenance.get('source')!r} with {len(table.columns)} columns; make both alike"
            )

    def require_fitted(self) -> Fitted:
        """Return what `fit` left.

        Raises:
            NotFittedError: the method was not fitted.
        """
        if self.fitted_ is None:
            raise NotFittedError(f"{self.name} is not fitted; call fit(train, classes) or load a fitted one")
        return self.fitted_

    def save(self, folder: Path) -> None:
        """Write the fitted method: arrays (safetensors), record (JSON), card (Markdown).

        Raises:
            NotFittedError: there is nothing to save.
            StoreError: the folder cannot be written.
        """
        from safetensors.numpy import save_file

        fitted = self.require_fitted()
        with replacing(folder / _ARRAYS) as temporary:
            save_file({k: np.ascontiguousarray(v) for k, v in self.state_.items()}, temporary)
        write_text(folder / _CARD, self.card())
        write_json(
            folder / _RECORD,
            {
                "format": _FORMAT,
                "method": self.name,
                "options": self.options.model_dump(mode="json"),
                "seen": list(fitted.seen),
                "encoder": fitted.encoder.to_json(),
                "space": fitted.space,
                "table": dict(fitted.table),
                "pictures": fitted.pictures,
                "environment": environment(),
            },
        )

    def card(self) -> str:
        """Return the model card, Markdown."""
        fitted = self.require_fitted()
        options = "\n".join(f"- {k}: {v}" for k, v in self.options.model_dump(mode="json").items())
        return (
            f"# {self.title}\n\n{self.reference}\n\n"
            f"Fitted on {fitted.pictures} pictures of {len(fitted.seen)} seen classes: {', '.join(fitted.seen)}.\n\n"
            f"Pictures must be embedded by {fitted.encoder.name} ({fitted.encoder.output}, weights "
            f"{fitted.encoder.weights}); class vectors are of source {fitted.table.get('source')!r}.\n\n"
            f"Options:\n{options}\n"
        )

    @classmethod
    def _load(cls, folder: Path, record: Mapping[str, Any]) -> Self:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        method = cls(**record["options"])
        try:
            method.state_ = load_file(folder / _ARRAYS)
        except (SafetensorError, FileNotFoundError) as error:
            raise DataFormatError(f"{folder / _ARRAYS} is missing or cut off; fit the method again") from error
        method.fitted_ = Fitted(
            tuple(record["seen"]),
            EncoderIdentity.from_json(record["encoder"]),
            record["space"],
            record["table"],
            record["pictures"],
        )
        return method


class VectorMethod(ZeroShotMethod[O]):
    """Base of the methods that know a picture by its one vector."""

    @abstractmethod
    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        """Return the fitted arrays.

        Args:
            x: (N, D) pictures of seen classes.
            y: (N,) class of each picture, 0 ... S-1.
            phi: (S, A) class vectors of the seen classes.
        """

    @abstractmethod
    def _scores(self, x: Matrix, phi: Matrix, seen: Indices) -> Matrix:
        """Return (N, C) scores.

        Args:
            x: (N, D) pictures.
            phi: (C, A) class vectors of the candidate classes.
            seen: (C,) position among the seen classes of `fit`, -1 for a class that was not seen.
        """

    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        return self._fit(np.ascontiguousarray(train.pictures.x, np.float32), train.y, table.matrix)

    def _score_pictures(self, x: Embeddings, table: ClassTable, seen: Indices) -> Matrix:
        return self._scores(np.ascontiguousarray(x.x, np.float32), table.matrix, seen)


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a saved method.

    Raises:
        DatasetNotFoundError: the folder holds no saved method.
        DataFormatError: the record is damaged.
    """
    if not (folder / _RECORD).is_file():
        raise DatasetNotFoundError(f"{folder} holds no fitted method (no {_RECORD})")
    record = read_json(folder / _RECORD)
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise DataFormatError(f"{folder / _RECORD} is not the record of a fitted method")
    return record
