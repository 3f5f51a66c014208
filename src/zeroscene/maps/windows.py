"""The windows of a raster in order, prepared for an encoder while it works, in memory that does not grow with it.

A raster is read in strips as high as its blocks, each strip in pieces that end at block borders: no block is decoded
twice. Two pools of threads run ahead of the encoder: one decodes the strips of the next row of windows while the other
cuts and prepares windows of this one. A strip is let go when the last window that needs it has been cut.

A row of windows of a very wide raster would take more memory than `_BAND` allows. It is then divided into swaths from
north to south, and the columns in which two swaths overlap are decoded twice; the ratio is counted.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import ceil
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from zeroscene.maps.layout import Layout
from zeroscene.scenes.geo import GeoRaster, Reader
from zeroscene.scenes.geo_values import Mask, Picture

if TYPE_CHECKING:
    import torch

_BAND: Final = 256 * 2**20  # bytes of decoded pixels that are held
_BYTES: Final = 4  # of a decoded pixel: three colours and whether there is data
_ROWS: Final = 128  # of a strip, at least
_PIECE: Final = 1 << 21  # pixels that a thread decodes at once, if blocks are not larger
_RUN: Final = 8  # windows that a thread cuts at once: handing each over alone costs as much as cutting it
_READERS: Final = 8  # of one file, at most
# Rows of these formats follow from the rows above: a second reader would decode the file from its beginning.
_SEQUENTIAL: Final = ("PNG", "JPEG")


@dataclass(frozen=True)
class Rectangle:
    """Windows that are read and kept together.

    Attributes:
        rows: of windows.
        columns: of windows.
    """

    rows: range
    columns: range

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Cut:
    """A window, ready for the encoder.

    Attributes:
        row: of windows.
        column: of windows.
        pixels: (steps, steps) number of pixels with data in each of its cells.
        picture: what `prepare` made of it, or None where not one pixel has data.
    """

    row: int
    column: int
    pixels: npt.NDArray[np.int64]
    picture: "torch.Tensor | None"


def rectangles(raster: GeoRaster, layout: Layout, least: int) -> list[Rectangle]:
    """Return all windows in rectangles of whole rows of a swath, of `least` windows or more where a swath has as many.

    The same raster and layout give the same rectangles; each window is in one of them.
    """
    rows, columns = layout.windows
    held = layout.window[0] + layout.stride[0] + 2 * _strip_rows(raster)
    widest = max(_BAND // (_BYTES * held), raster.block[1])
    fitting = max(1, 1 + (widest - layout.window[1]) // layout.stride[1])
    # A block as wide as the raster is decoded whole whatever is wanted of it.
    swaths = 1 if raster.block[1] >= raster.width else ceil(columns / fitting)
    found = []
    for k in range(swaths):
        swath = range(columns * k // swaths, columns * (k + 1) // swaths)
        high = ceil(least / len(swath))
        found += [Rectangle(range(top, min(top + high, rows)), swath) for top in range(0, rows, high)]
    return found


class WindowReader:
    """Cuts the windows of a raster, in order, ahead of who takes them.

    Attributes:
        decoded: pixels decoded so far, those of whole blocks.
    """

    def __init__(
        self,
        raster: GeoRaster,
        layout: Layout,
        prepare: "Callable[[Picture], torch.Tensor]",
        ahead: int,
        workers: int | None = None,
    ):
        """Make a reader.

        Args:
            raster: the raster.
            layout: where its windows lie.
            prepare: makes a picture (h, w, 3) what the encoder takes; runs in threads.
            ahead: windows that are being prepared or wait prepared, at most.
            workers: threads of either kind; None for one a core.
        """
        self.raster, self.layout, self.prepare, self.ahead = raster, layout, prepare, ahead
        self.workers = workers or os.cpu_count() or 1
        self.decoded = 0

    def windows(self, wanted: Sequence[Rectangle]) -> Generator[Cut, None, None]:
        """Yield the windows of each rectangle in order, row by row.

        Raises:
            PictureError: the file cannot be decoded.
        """
        readers = 1 if self.raster.driver in _SEQUENTIAL else min(self.workers, _READERS)
        with ExitStack() as stack:
            handles = _Handles(self.raster)
            stack.callback(handles.close)
            # Left in this order: windows that are being cut wait for pieces that may never come, and are told so.
            cutting = ThreadPoolExecutor(self.workers, thread_name_prefix="cut")
            stack.callback(cutting.shutdown, wait=True, cancel_futures=True)
            reading = ThreadPoolExecutor(readers, thread_name_prefix="read")
            stack.callback(reading.shutdown, wait=True, cancel_futures=True)
            running: deque[Future[list[Cut]]] = deque()
            for row, columns, strips in self._runs(wanted, reading, handles):
                running.append(cutting.submit(self._cut_run, row, columns, strips))
                if len(running) * _RUN >= self.ahead:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()

    def _runs(
        self, wanted: Sequence[Rectangle], reading: ThreadPoolExecutor, handles: "_Handles"
    ) -> "Iterator[tuple[int, range, list[_Strip]]]":
        """Yield windows side by side with the strips that they lie in, those of the next row of windows under way."""
        rows = [(row, rectangle.columns) for rectangle in wanted for row in rectangle.rows]
        held: dict[tuple[range, int], _Strip] = {}
        for (row, columns), following in zip(rows, [*rows[1:], rows[-1]], strict=True) if rows else ():
            now, soon = self._strips_of(row, columns), self._strips_of(*following)
            for key in (*now, *soon):
                if key not in held:
                    held[key] = self._begin(*key, reading, handles)
            held = {key: strip for key, strip in held.items() if key in now or key in soon}
            for k in range(0, len(columns), _RUN):
                yield row, columns[k : k + _RUN], [held[key] for key in now]

    def _strips_of(self, row: int, columns: range) -> list[tuple[range, int]]:
        top, _, height, _ = self.layout.at(row, columns[0])
        high = _strip_rows(self.raster)
        return [(columns, k) for k in range(top // high, ceil(min(top + height, self.raster.height) / high))]

    def _begin(self, columns: range, index: int, reading: ThreadPoolExecutor, handles: "_Handles") -> "_Strip":
        """Return a strip of which all pieces are being read."""
        high, (block_high, block_wide) = _strip_rows(self.raster), self.raster.block
        top, bottom = index * high, min((index + 1) * high, self.raster.height)
        left = columns[0] * self.layout.stride[1]
        right = min(columns[-1] * self.layout.stride[1] + self.layout.window[1], self.raster.width)
        strip = _Strip(top, left, np.empty((bottom - top, right - left, 3), np.uint8),
                       np.empty((bottom - top, right - left), np.bool_))  # fmt: skip
        wide = max(block_wide, _PIECE // high // block_wide * block_wide)
        for start in range(left // wide * wide, right, wide):
            begin, end = max(start, left), min(start + wide, right)
            strip.pieces.append(reading.submit(_read_piece, strip, begin, end, handles))
            ends = min(ceil(end / block_wide) * block_wide, self.raster.width)
            rows = min(ceil(bottom / block_high) * block_high, self.raster.height) - top
            self.decoded += rows * (ends - begin // block_wide * block_wide)
        return strip

    def _cut_run(self, row: int, columns: range, strips: "list[_Strip]") -> list[Cut]:
        for strip in strips:
            strip.wait()
        return [self._cut(row, column, strips) for column in columns]

    def _cut(self, row: int, column: int, strips: "list[_Strip]") -> Cut:
        picture, valid = _assembled(strips, *self.layout.at(row, column))
        (high, wide), steps = self.layout.stride, self.layout.steps
        if valid.all():
            return Cut(row, column, np.full((steps, steps), high * wide, np.int64), self.prepare(picture))
        pixels = valid.reshape(steps, high, steps, wide).sum(axis=(1, 3), dtype=np.int64)
        return Cut(row, column, pixels, self.prepare(picture) if pixels.any() else None)


@dataclass
class _Strip:
    """Decoded rows of a swath, filled piece by piece."""

    top: int
    left: int
    picture: Picture
    valid: Mask
    pieces: list[Future[None]] = field(default_factory=list)

    def wait(self) -> None:
        for piece in self.pieces:
            piece.result()


class _Handles:
    """Open readers of one raster, lent to one thread at a time."""

    def __init__(self, raster: GeoRaster):
        self._raster = raster
        self._idle: LifoQueue[Reader] = LifoQueue()

    def take(self) -> Reader:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._raster.reader()

    def give_back(self, reader: Reader) -> None:
        self._idle.put(reader)

    def close(self) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().close()


def _read_piece(strip: _Strip, left: int, right: int, handles: _Handles) -> None:
    reader = handles.take()
    try:
        picture, valid = reader.read((strip.top, left, len(strip.picture), right - left))
    finally:
        handles.give_back(reader)
    columns = slice(left - strip.left, right - strip.left)
    strip.picture[:, columns], strip.valid[:, columns] = picture, valid


def _assembled(strips: Sequence[_Strip], row: int, column: int, height: int, width: int) -> tuple[Picture, Mask]:
    """Return the pixels of a window and which have data, black and without data beyond the raster."""
    first = strips[0]
    left = column - first.left
    if row + height <= first.top + len(first.picture) and left + width <= first.picture.shape[1]:
        inside = slice(row - first.top, row - first.top + height), slice(left, left + width)
        return first.picture[inside], first.valid[inside]
    picture, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)
    for strip in strips:
        top, bottom = max(row, strip.top), min(row + height, strip.top + len(strip.picture))
        columns = slice(left, min(left + width, strip.picture.shape[1]))
        there = slice(top - row, bottom - row), slice(0, columns.stop - left)
        picture[there] = strip.picture[top - strip.top : bottom - strip.top, columns]
        valid[there] = strip.valid[top - strip.top : bottom - strip.top, columns]
    return picture, valid


def _strip_rows(raster: GeoRaster) -> int:
    high = raster.block[0]
    return high * ceil(_ROWS / high)
