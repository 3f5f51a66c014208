"""Scores of all pictures of a store, a block of pictures at a time: never all of them in memory."""

import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.flat import HEAD, FlatStore, write_head
from zeroscene.errors import DataFormatError, StoreError
from zeroscene.methods.contract import Indices, Matrix, Scores, ZeroShotMethod
from zeroscene.semantics.table import ClassTable

_BLOCK: Final = 16_384
"""Pictures whose best class is looked for at once: the running best of a block stays in the processor's cache."""

_TOGETHER: Final = 32 << 20
"""Bytes of scores, about, that a thread reads at once."""

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
    """Scores whose columns lie on disk, one file a class.

    The files are opened as they are read: there may be more classes than files that a process may hold open.
    """

    def __init__(self, flat: FlatStore, paths: Mapping[str, Path], computed: tuple[str, ...]):
        super().__init__(flat, tuple(paths), computed)
        self._paths = tuple(paths.values())
        self._count = (self._paths[0].stat().st_size - HEAD) // 4

    def __len__(self) -> int:
        """Return N."""
        return self._count

    def column(self, name: str) -> Vector:
        """Return the (N,) scores of one class.

        Raises:
            UnknownNameError: it is none of the classes.
            StoreError: another run, or another question, has removed the file meanwhile.
        """
        positions = names.index(self.classes, "scores")
        if names.key(name) not in positions:
            raise names.unknown([name], self.classes, "classes in the scores")
        return _read(self._paths[positions[names.key(name)]], 0, len(self))

    def blocks(self) -> Iterator[Matrix]:
        """Yield the scores of one block of pictures after the other, (n, C) float32.

        Raises:
            StoreError: another run, or another question, has removed a file meanwhile.
        """
        for first in self._starts():
            yield np.stack(self._columns(first), axis=1)

    def _starts(self) -> range:
        return range(0, len(self), max(_TOGETHER // (4 * len(self.classes)), _BLOCK))

    def _columns(self, first: int) -> list[Vector]:
        starts = self._starts()
        return [_read(path, first, min(starts.step, len(self) - first)) for path in self._paths]

    def _best_of_blocks(self, offsets: Vector, temperature: float | None) -> Iterator[Best]:
        def of(first: int) -> list[Best]:
            columns = self._columns(first)
            cuts = range(0, len(columns[0]), _BLOCK)
            return [
                best_of(self.classes, [column[cut : cut + _BLOCK] for column in columns], offsets, temperature)
                for cut in cuts
            ]

        with ThreadPoolExecutor(torch.get_num_threads(), "best") as pool:
            for found in pool.map(of, self._starts()):
                yield from found


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


def is_column(path: Path) -> bool:
    """Return whether a file holds a whole column."""
    try:
        with path.open("rb", buffering=0) as file:
            count, rest = divmod(os.fstat(file.fileno()).st_size - HEAD, 4)
            return count >= 0 and not rest and file.read(HEAD) == _head(count)
    except OSError:
        return False


@cache
def _head(count: int) -> bytes:
    head = io.BytesIO()
    write_head(head, count)
    return head.getvalue()


def _read(path: Path, first: int, count: int) -> Vector:
    try:
        values = np.fromfile(path, np.float32, count, offset=HEAD + 4 * first)
    except OSError as error:
        raise StoreError(f"{path} was removed to make room for other scores; ask again") from error
    if len(values) < count:
        raise StoreError(f"{path} was cut short; ask again, it is computed anew")
    return values


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
