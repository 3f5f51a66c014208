"""WindowVectors: the vectors of a raster's windows in a work folder, with what is known of each window and cell.

`windows.json` says which raster and layout they belong to; `vectors/` is an embedding store whose ids are "row/column"
of the window and whose outlines are theirs; `cells/part-00000.parquet` ... hold the number of pixels with data of the
cells that the windows of a part cover.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.flat import Parted
from zeroscene.embeddings.parts import read_part
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import StoreError
from zeroscene.files import replacing
from zeroscene.maps.layout import Indices, Layout
from zeroscene.maps.windows import Rectangle

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WindowPart:
    """Vectors of some windows.

    Attributes:
        rows: (n,) of windows, from north-west to south-east by rows.
        columns: (n,) of windows.
        share: (n,) float32, share of each window that has data; beyond the raster there is none.
        x: (n, D) float32.
    """

    rows: Indices
    columns: Indices
    share: Vectors
    x: Vectors

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class WindowVectors:
    """Vectors of all windows of a raster that have data.

    Attributes:
        layout: where the windows lie.
        store: the vectors on disk, with ids "row/column" and outlines.
        cell_pixels: (rows, columns) number of pixels with data of each cell.
    """

    layout: Layout
    store: Parted
    cell_pixels: Indices

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder that made the vectors."""
        return self.store.identity

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.store.width

    def __len__(self) -> int:
        return len(self.store)

    @cached_property
    def cell_share(self) -> Vectors:
        """(rows, columns) share of each cell that has data, of its part inside the raster."""
        return (self.cell_pixels / self.layout.cell_pixels()).astype(np.float32)

    @cached_property
    def window_share(self) -> Vectors:
        """(rows, columns) share of each window that has data; what lies beyond the raster has none."""
        (rows, columns), steps = self.layout.windows, self.layout.steps
        sums = np.zeros((rows + steps, columns + steps), np.int64)
        high, wide = self.cell_pixels.shape
        sums[1 : high + 1, 1 : wide + 1] = self.cell_pixels
        sums = sums.cumsum(axis=0).cumsum(axis=1)
        inside = sums[steps:, steps:] - sums[:-steps, steps:] - sums[steps:, :-steps] + sums[:-steps, :-steps]
        height, width = self.layout.window
        return (inside / (height * width)).astype(np.float32)

    def parts(self) -> Iterator[WindowPart]:
        """Yield the vectors part by part, in the memory of one part.

        Raises:
            StoreError: a file is damaged.
        """
        return (self._part(part) for part in self.store.iter_parts())

    def read(self) -> WindowPart:
        """Return all vectors in memory, part after part.

        Raises:
            StoreError: a file is damaged.
        """
        return self._part(self.store.read())

    def _part(self, part: Embeddings) -> WindowPart:
        places = np.array([name.split("/") for name in part.ids], np.int64).reshape(-1, 2)
        rows, columns = places[:, 0], places[:, 1]
        return WindowPart(rows, columns, self.window_share[rows, columns], part.x)


def window_id(row: int, column: int) -> str:
    """Return the id of a window in a store."""
    return f"{row}/{column}"


def cells_path(work: Path, part: int) -> Path:
    """Return the file of the cells of a part."""
    return work / "cells" / f"part-{part:05d}.parquet"


def cells_of(layout: Layout, rectangle: Rectangle) -> tuple[slice, slice]:
    """Return the rows and columns of the cells that the windows of a rectangle cover."""
    (rows, columns), beyond = layout.shape, layout.steps - 1
    return (
        slice(rectangle.rows[0], min(rectangle.rows[-1] + beyond + 1, rows)),
        slice(rectangle.columns[0], min(rectangle.columns[-1] + beyond + 1, columns)),
    )


def write_cells(path: Path, pixels: Indices) -> None:
    """Write the pixels with data of the cells of a part, whole or not at all; equal cells give equal bytes.

    Raises:
        StoreError: it cannot be written.
    """
    table = pa.table({"pixels": pa.array(pixels.reshape(-1), pa.int64())})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_statistics=False, write_page_checksum=True)


def read_cells(path: Path, shape: tuple[int, int]) -> Indices:
    """Return what `write_cells` wrote.

    Raises:
        StoreError: the file is damaged, or of another shape.
    """
    pixels = read_part(path, ("pixels",))["pixels"].to_numpy()
    if len(pixels) != shape[0] * shape[1]:
        raise StoreError(f"{path} holds {len(pixels)} cells instead of {shape[0]} x {shape[1]}; delete it and go on")
    counts: Indices = pixels.reshape(shape)
    return counts
