"""Scores of all pictures of a store, a block of pictures at a time: never all of them in memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.flat import FlatStore
from zeroscene.errors import DataFormatError
from zeroscene.methods.contract import Indices, Matrix, Scores, ZeroShotMethod
from zeroscene.semantics.table import ClassTable

_BLOCK: Final = 16_384
"""Pictures whose best class is looked for at once: the running best of a block stays in the processor's cache."""

_SPENT: Final = 128 << 20
"""Bytes of vectors, at least, that a method without columns of its own scores at once."""

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Best:
    """The best class of each of N pictures.

    Attributes:
        classes: the C classes that could be chosen.
        best: (N,) column of the best class, the first one among equals.
        second: (N,) column of the runner-up, -1 where there is but one class.
        score: (N,) score of the best class.
        margin: (N,) its lead over the runner-up; NaN where there is none.
        probability: (N,) softmax probability of the best class at the temperature that was given, or None.
    """

    classes: tuple[str, ...]
    best: Indices
    second: Indices
    score: Vector
    margin: Vector
    probability: Vector | None = None


class StoreScores(ABC):
    """Scores of the N pictures of a store against C classes.

    Attributes:
        flat: the store; `flat.ids` are the ids of the pictures, in the order of all that is returned.
        classes: class names, one a column.
        computed: the classes whose scores were worked out for this; those of the others were there.
    """

    def __init__(self, flat: FlatStore, classes: tuple[str, ...], computed: tuple[str, ...]):
        self.flat = flat
        self.classes = classes
        self.computed = computed

    @abstractmethod
    def blocks(self) -> Iterator[Matrix]:
        """Yield the scores of one block of pictures after the other, (n, C) float32."""

    def read(self) -> Scores:
        """Return all of them in memory, with the ids as Python strings: 4 N C bytes and more."""
        none = np.empty((0, len(self.classes)), np.float32)
        return Scores(tuple(self.flat.ids.to_pylist()), self.classes, np.concatenate([none, *self.blocks()]))

    def best(self, minus: Sequence[float] | Vector | None = None, temperature: float | None = None) -> Best:
        """Return the best class of every picture, as `argmax` of all scores would.

        Args:
            minus: (C,) what is subtracted from the scores of each class first, such as the calibration of seen ones.
            temperature: T of softmax(score / T), where probabilities are wanted.
        """
        offsets = np.zeros(len(self.classes), np.float32) if minus is None else np.asarray(minus, np.float32)
        if offsets.shape != (len(self.classes),):
            raise DataFormatError(f"{offsets.shape} values to subtract for {len(self.classes)} classes")
        return _joined(self.classes, [*self._best_of_blocks(offsets, temperature)])

    def _best_of_blocks(self, offsets: Vector, temperature: float | None) -> Iterator[Best]:
        for values in self.blocks():
            for first in range(0, len(values), _BLOCK):
                yield best_of(self.classes, values[first : first + _BLOCK].T, offsets, temperature)


class KeptScores(StoreScores):
    """Scores whose columns lie on disk, mapped into memory.

    Attributes:
        columns: (N,) float32 for each class.
    """

    def __init__(self, flat: FlatStore, columns: dict[str, Vector], computed: tuple[str, ...]):
        super().__init__(flat, tuple(columns), computed)
        self.columns = columns

    def __len__(self) -> int:
        """Return N."""
        return len(next(iter(self.columns.values())))

    def blocks(self) -> Iterator[Matrix]:
        """Yield the scores of one block of pictures after the other, (n, C) float32."""
        for rows in self._rows():
            yield np.stack([column[rows] for column in self.columns.values()], axis=1)

    def _rows(self) -> list[slice]:
        return [slice(first, first + _BLOCK) for first in range(0, len(self), _BLOCK)]

    def _best_of_blocks(self, offsets: Vector, temperature: float | None) -> Iterator[Best]:
        columns = list(self.columns.values())

        def of(rows: slice) -> Best:
            return best_of(self.classes, [column[rows] for column in columns], offsets, temperature)

        with ThreadPoolExecutor(torch.get_num_threads(), "best") as pool:
            yield from pool.map(of, self._rows())


class PassingScores(StoreScores):
    """Scores of a method that weighs the classes of a table against each other: worked out anew, and not kept.

    Every call of `blocks`, `best` or `read` scores all pictures.
    """

    def __init__(self, flat: FlatStore, method: ZeroShotMethod[Any], table: ClassTable):
        super().__init__(flat, table.classes, table.classes)
        self._method = method
        self._table = table

    def blocks(self) -> Iterator[Matrix]:
        """Yield the scores of one block of pictures after the other, (n, C) float32."""
        for pictures in batches(self.flat, self._method):
            yield self._method.scores(pictures, self._table).values


def batches(flat: FlatStore, method: ZeroShotMethod[Any]) -> Iterator[Embeddings]:
    """Yield the pictures of a store in pieces that a method can score in bounded memory.

    Vectors come in pieces of about 128 MB, for a method may begin with work for the classes alone; pictures with token
    grids come part by part.
    """
    if method.reads == "grids":
        yield from flat.store.iter_parts(grids=True)
        return
    waiting: list[Embeddings] = []
    for part in flat.store.iter_parts():
        waiting.append(part)
        if sum(p.x.nbytes for p in waiting) >= _SPENT:
            yield _as_one(waiting)
            waiting = []
    if waiting:
        yield _as_one(waiting)


def best_of(
    classes: tuple[str, ...], columns: Sequence[Vector] | Matrix, offsets: Vector, temperature: float | None
) -> Best:
    """Return the best class of n pictures from their scores, one (n,) column a class."""
    score = columns[0] - offsets[0]
    best = np.zeros(len(score), np.int64)
    second = np.full(len(score), -1, np.int64)
    runner_up = np.full(len(score), -np.inf, np.float32)
    for c in range(1, len(classes)):
        values = columns[c] - offsets[c]
        ahead = values > score
        np.copyto(second, c, where=values > runner_up)
        np.copyto(second, best, where=ahead)
        np.copyto(best, c, where=ahead)
        runner_up = np.maximum(runner_up, np.minimum(values, score))
        score = np.maximum(score, values)
    margin = score - runner_up if len(classes) > 1 else np.full(len(score), np.nan, np.float32)
    probability = None
    if temperature is not None:
        total = np.zeros(len(score), np.float32)
        for c in range(len(classes)):
            total += np.exp((columns[c] - offsets[c] - score) / np.float32(temperature))
        probability = np.float32(1) / total
    return Best(classes, best, second, score, margin, probability)


def _joined(classes: tuple[str, ...], blocks: Sequence[Best]) -> Best:
    if not blocks:
        none, nothing = np.empty(0, np.int64), np.empty(0, np.float32)
        return Best(classes, none, none, nothing, nothing)
    probabilities = [b.probability for b in blocks if b.probability is not None]
    return Best(
        classes,
        np.concatenate([b.best for b in blocks]),
        np.concatenate([b.second for b in blocks]),
        np.concatenate([b.score for b in blocks]),
        np.concatenate([b.margin for b in blocks]),
        np.concatenate(probabilities) if probabilities else None,
    )


def _as_one(parts: Sequence[Embeddings]) -> Embeddings:
    ids = tuple(picture for part in parts for picture in part.ids)
    return Embeddings(ids, np.concatenate([part.x for part in parts]), parts[0].encoder)
