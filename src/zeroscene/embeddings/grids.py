"""TokenGrids: what an encoder sees in each place of a picture, for any number of pictures, left on disk until read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.grid_files import damaged
from zeroscene.errors import DataFormatError

_MEMORY = 1 << 30
"""Bytes of vectors worked out from grids that are kept in memory."""

Rows = npt.NDArray[np.int64] | npt.NDArray[np.bool_] | Sequence[int]

_BLOCK = 1 << 22
"""Numbers in memory at once when all grids are gone through: 16 MiB of float32."""


class _Source(Protocol):
    @property
    def memory(self) -> "dict[str, _Known]":
        """What was worked out from the grids of all pictures."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, V, H, W, D)."""
        ...

    def gather(self, rows: npt.NDArray[np.int64], view: int) -> npt.NDArray[Any]:
        """Return a copy of the grids of some pictures, (n, H, W, D)."""
        ...


@dataclass(frozen=True, eq=False)
class TokenGrids:
    """Token grids of N pictures in V views; rows run from the top of the picture.

    View 0 is the picture as the encoder prepares it; the others are augmented (`embeddings.views`). Pictures are chosen
    without reading, and read without the rest. It can be sent to another process: paths go, not numbers.
    """

    _source: _Source
    _rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, grids: npt.NDArray[Any]) -> Self:
        """Wrap an array in memory: (N, V, H, W, D), or (N, H, W, D) for one view.

        Raises:
            DataFormatError: it has another number of axes.
        """
        if grids.ndim not in (4, 5):
            raise DataFormatError(f"token grids: array of shape {grids.shape}, not (N, V, H, W, D) or (N, H, W, D)")
        return cls(_InMemory(grids if grids.ndim == 5 else grids[:, None]), np.arange(len(grids)))

    @classmethod
    def of_files(cls, files: Sequence[Path], counts: Sequence[int], shape: tuple[int, int, int, int]) -> Self:
        """Return the grids in files of `grid_files`, one after the other; nothing is read yet.

        Args:
            files: the files.
            counts: pictures in each.
            shape: (V, H, W, D) of all.
        """
        return cls(_OnDisk(tuple(files), tuple(counts), shape), np.arange(sum(counts)))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, D) of one grid."""
        height, width, depth = self._source.shape[2:]
        return height, width, depth

    @property
    def views(self) -> int:
        """V, the number of views of each picture."""
        return self._source.shape[1]

    def take(self, rows: Rows) -> Self:
        """Return the pictures at the given positions (or under a mask), in that order; nothing is read."""
        return type(self)(self._source, self._rows[_positions(rows)])

    def read(self, rows: Rows, view: int = 0) -> npt.NDArray[np.float32]:
        """Return the grids of some pictures in one view, (n, H, W, D), in the order of `rows`.

        Raises:
            IndexError: a picture or a view is out of range.
            StoreError: a file is damaged or gone.
        """
        if not 0 <= view < self.views:
            raise IndexError(f"view {view} of {self.views}")
        # torch widens float16 with vector instructions, NumPy one number at a time.
        gathered = torch.from_numpy(self._source.gather(self._rows[_positions(rows)], view))
        return gathered.to(torch.float32).numpy()

    def means(self, view: int = 0) -> npt.NDArray[np.float32]:
        """Return the mean token of each picture, (N, D), in the memory of one block of pictures.

        Raises:
            StoreError: a file is damaged or gone.
        """
        block = max(1, _BLOCK // max(1, int(np.prod(self.shape))))
        means = np.empty((len(self), self.shape[2]), np.float32)
        for start in range(0, len(self), block):
            rows = np.arange(start, min(start + block, len(self)))
            means[rows] = self.read(rows, view).mean((1, 2))
        return means

    def reduced(
        self, name: str, reduce: Callable[[torch.Tensor], torch.Tensor], view: int = 0
    ) -> npt.NDArray[np.float32]:
        """Return a vector worked out from each picture's tokens in one view, (N, K); read-only.

        A picture is worked out once in a process, whatever is taken of the grids later, as long as the vectors of all
        pictures fit in 1 GiB.

        Args:
            name: of the function; another function needs another name.
            reduce: (n, R, D) float32 tokens to (n, K).
            view: number of the view.

        Raises:
            StoreError: a file is damaged or gone.
        """
        name = f"{name}, view {view}"
        known = self._source.memory.get(name)
        if known is None:
            width = reduce(torch.from_numpy(self.read(np.arange(min(1, len(self))))).flatten(1, 2)).shape[-1]
            known = _Known(np.empty((0, width), np.float32), np.zeros(0, np.bool_))
            if self._source.shape[0] * width * 4 <= _MEMORY:
                total = self._source.shape[0]
                known = _Known(np.empty((total, width), np.float32), np.zeros(total, np.bool_))
                self._source.memory[name] = known
        if not len(known.done):
            return np.concatenate([found for _, found in self._reducing(np.arange(len(self)), reduce, view)])
        missing = np.flatnonzero(~known.done[self._rows])
        for rows, found in self._reducing(missing, reduce, view):
            known.vectors[self._rows[rows]] = found
            known.done[self._rows[rows]] = True
        return known.vectors[self._rows]

    def _reducing(
        self, rows: npt.NDArray[np.int64], reduce: Callable[[torch.Tensor], torch.Tensor], view: int
    ) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        block = max(1, _BLOCK // max(1, int(np.prod(self.shape))))
        for start in range(0, len(rows), block):
            part = rows[start : start + block]
            with torch.no_grad():
                yield part, reduce(torch.from_numpy(self.read(part, view)).flatten(1, 2)).numpy()


@dataclass(frozen=True)
class _Known:
    """Vectors of pictures, and which of them are worked out."""

    vectors: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _InMemory:
    grids_NVHWD: npt.NDArray[Any]
    memory: dict[str, _Known] = field(default_factory=dict, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.grids_NVHWD,)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.grids_NVHWD.shape

    def gather(self, rows: npt.NDArray[np.int64], view: int) -> npt.NDArray[Any]:
        gathered: npt.NDArray[Any] = self.grids_NVHWD[rows, view]
        return gathered


@dataclass(frozen=True)
class _OnDisk:
    files: tuple[Path, ...]
    counts: tuple[int, ...]
    each: tuple[int, int, int, int]
    maps: dict[int, npt.NDArray[np.float16]] = field(default_factory=dict, compare=False, repr=False)
    memory: dict[str, _Known] = field(default_factory=dict, compare=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(self.counts), *self.each)

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.files, self.counts, self.each)

    def gather(self, rows: npt.NDArray[np.int64], view: int) -> npt.NDArray[np.float16]:
        gathered = np.empty((len(rows), *self.each[1:]), np.float16)
        parts = np.searchsorted(self.starts, rows, side="right") - 1
        for part in np.unique(parts):
            chosen = np.flatnonzero(parts == part)
            gathered[chosen] = self._map(int(part))[rows[chosen] - self.starts[part], view]
        return gathered

    def _map(self, part: int) -> npt.NDArray[np.float16]:
        if part not in self.maps:
            path = self.files[part]
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise damaged(path) from error
            if mapped.dtype != np.float16 or mapped.shape != (self.counts[part], *self.each):
                raise damaged(path)
            self.maps[part] = mapped
        return self.maps[part]


def _positions(rows: Rows) -> npt.NDArray[np.int64]:
    positions = np.asarray(rows)
    return np.flatnonzero(positions) if positions.dtype == np.bool_ else positions.astype(np.int64)
