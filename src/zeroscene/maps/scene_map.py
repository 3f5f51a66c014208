"""SceneMap: a wall-to-wall map of scene classes that one can index, ask, plot, write and read."""

import operator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

import numpy as np
from rasterio import Affine

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.maps import outputs, preview
from zeroscene.maps.cells import NODATA, NONE, REJECTED, Cells, Mask
from zeroscene.scenes.geo_ground import LONLAT, converted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NODATA", "NONE", "REJECTED", "Cell", "SceneMap"]

Index = int | slice


@dataclass(frozen=True)
class Cell:
    """One cell of a map.

    Attributes:
        row: from the top of the map it was taken from.
        column: from its left.
        name: the class; "none of these", or None for a cell without data.
        confidence: probability of the class, 0 to 1, or None.
        margin: lead of the class before the runner-up, or None.
        share: share of the cell that has data, 0 to 1.
    """

    row: int
    column: int
    name: str | None
    confidence: float | None
    margin: float | None
    share: float

    def __str__(self) -> str:
        if self.name is None:
            return f"no class: {100 * self.share:.0f} % of the cell has data"
        return f"{self.name} ({self.confidence:.2f})"


@dataclass(frozen=True, eq=False, repr=False)
class SceneMap(Cells):
    """A map of scene classes: `Cells` and what one does with them.

    `map[row, column]` is a `Cell`, `map[rows, columns]` with slices the map of that part; `map.at(x, y)` is the cell
    at a place. In a notebook a map shows itself.
    """

    def __repr__(self) -> str:
        return f"<SceneMap: {self.summary}>"

    @property
    def summary(self) -> str:
        """The map in one line: how many cells, how large, which system, which share has a class."""
        rows, columns = self.shape
        across, down = self.cell_size
        unit = ("pixels" if self.in_pixels else "units") if self.crs is None else preview.unit(self.crs)
        size = f"{across:g}" if np.isclose(across, down) else f"{across:g} x {down:g}"
        filled = 100 * float((self.klass >= 0).mean())
        return f"{rows} x {columns} cells of {size} {unit}, {self.place}; {filled:.0f} % have a class"

    @property
    def cell_size(self) -> tuple[float, float]:
        """Length of the edges of a cell along a row and along a column, in units of the reference system."""
        a, b, _, d, e, _ = self.transform[:6]
        return float(np.hypot(a, d)), float(np.hypot(b, e))

    @overload
    def __getitem__(self, place: tuple[int, int]) -> Cell: ...
    @overload
    def __getitem__(self, place: tuple[slice, Index] | tuple[int, slice]) -> Self: ...
    def __getitem__(self, place: tuple[Index, Index]) -> Cell | Self:
        """Return a cell by its row and column, or the map of a part by slices.

        Raises:
            IndexError: the map has no such row or column, or no cell is left.
            OptionError: not two indices, or a slice that leaves out cells.
        """
        if not isinstance(place, tuple) or len(place) != 2:
            raise OptionError("a map is indexed by row and column: map[3, 5] or map[:10, 20:]")
        if not any(isinstance(index, slice) for index in place):
            row, column = (_position(i, n, w) for i, n, w in zip(place, self.shape, ("row", "column"), strict=True))
            return self._cell(row, column)
        rows, columns = (_range(i, n, w) for i, n, w in zip(place, self.shape, ("row", "column"), strict=True))
        part = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        return replace(
            self,
            klass=self.klass[part],
            confidence=self.confidence[part],
            margin=self.margin[part],
            share=self.share[part],
            transform=_moved(self.transform, rows.start, columns.start),
            covered=self.covered and (_within(self.covered[0], rows), _within(self.covered[1], columns)),
        )

    def _cell(self, row: int, column: int) -> Cell:
        code, share = int(self.klass[row, column]), float(self.share[row, column])
        if code == NODATA:
            return Cell(row, column, None, None, None, share)
        name = NONE if code == REJECTED else self.classes[code]
        return Cell(row, column, name, float(self.confidence[row, column]), float(self.margin[row, column]), share)

    def at(self, x: float, y: float) -> Cell:
        """Return the cell at a point, in the reference system of the map.

        A point on an edge between cells belongs to the one with the higher row and column.

        Raises:
            OptionError: the point lies outside the map, or is no number.
        """
        a, b, c, d, e, f = (~self.transform)[:6]
        column, row = a * x + b * y + c, d * x + e * y + f
        rows, columns = self.shape
        if not (0 <= row < rows and 0 <= column < columns):
            left, bottom, right, top = self.bounds
            raise OptionError(
                f"({x:.10g}, {y:.10g}) is outside the map: x from {min(left, right):.10g} to {max(left, right):.10g}, "
                f"y from {min(bottom, top):.10g} to {max(bottom, top):.10g}, "
                f"{self.place}"
            )
        return self._cell(int(row), int(column))

    def at_lonlat(self, longitude: float, latitude: float) -> Cell:
        """Return the cell at a place in degrees (WGS84).

        Raises:
            OptionError: the place lies outside the map, or the map does not know where on earth it is.
        """
        nowhere = np.array([np.nan])
        x, y = (nowhere, nowhere) if self.crs is None else converted(LONLAT, self.crs, [longitude], [latitude])
        if np.isnan(x[0]):
            why = "the map has no reference system" if self.crs is None else f"{self.crs_name} does not reach there"
            raise OptionError(f"no cell at longitude {longitude:g}, latitude {latitude:g}: {why}; use at(x, y)")
        return self.at(float(x[0]), float(y[0]))

    def where(self, name: str) -> Mask:
        """Return which cells are of a class, (rows, columns), whatever the spelling of its name.

        Raises:
            UnknownNameError: the map knows no such class; the nearest names are given.
        """
        position = names.index(self.classes, "classes of the map").get(names.key(name))
        if position is None:
            raise names.unknown([name], self.classes, "class of the map")
        return np.asarray(self.klass == position)

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the map with its legend and return the axes.

        Args:
            axes: where to draw; a new figure where not given.
        """
        return preview.plot(self, axes)

    def _repr_png_(self) -> bytes:
        return preview.png(self)

    def write(self, folder: str | Path) -> list[Path]:
        """Write the map as files (`outputs.write_folder`) and return their paths.

        Raises:
            StoreError: the folder cannot be written, or holds other things.
        """
        return outputs.write_folder(self, Path(folder))

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the map that `write` wrote into a folder, to the bit.

        Raises:
            DatasetNotFoundError: there is no map, or writing it was interrupted.
            DataFormatError: a file is damaged, or not of a map.
        """
        cells = outputs.read_folder(Path(folder))
        return cls(
            cells.classes, cells.klass, cells.confidence, cells.margin, cells.share, cells.transform, cells.crs,
            cells.provenance, cells.covered,
        )  # fmt: skip


def _position(index: Index, count: int, what: str) -> int:
    position = operator.index(index)  # type: ignore[arg-type]  # slices are dealt with before
    if not -count <= position < count:
        raise IndexError(f"the map has no {what} {position}: it has {count}, counted from 0")
    return position % count


def _range(index: Index, count: int, what: str) -> range:
    if not isinstance(index, slice):
        position = _position(index, count, what)
        return range(position, position + 1)
    chosen = range(*index.indices(count))
    if chosen.step != 1:
        raise OptionError(f"slices of a map leave out no cells; {index.step} is no step of {what}s")
    if not chosen:
        raise IndexError(f"no {what} of the map is in {index.start}:{index.stop}: it has {count}, counted from 0")
    return chosen


def _within(covered: float, part: range) -> float:
    return min(covered, part.stop) - part.start


def _moved(transform: Affine, row: int, column: int) -> Affine:
    """Return the transform of a part of the grid; its origin is the corner of a cell, to the bit."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a, b, column * a + row * b + c, d, e, column * d + row * e + f)
