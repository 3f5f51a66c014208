"""Maps over the places an encoder sees, brought back to the pixels of the original picture.

An encoder resizes a picture and looks at its middle, in H x W cells. `Frame` is the part of the original that it saw;
everything here is in pixels of the original, x to the right and y down, where pixel i covers i ... i + 1.
"""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from zeroscene.errors import DataFormatError
from zeroscene.pixels import Geometry

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_GEOREFERENCED: Final = frozenset((".tif", ".tiff"))


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a picture; `right` and `bottom` are not part of it."""

    left: float
    top: float
    right: float
    bottom: float

    def to_json(self) -> list[float]:
        """Return [left, top, right, bottom]."""
        return [round(v, 2) for v in (self.left, self.top, self.right, self.bottom)]

    def slices(self) -> tuple[slice, slice]:
        """Return the rows and columns of the pixels whose middle lies in it, at least one of each."""
        return _pixels(self.top, self.bottom), _pixels(self.left, self.right)


@dataclass(frozen=True)
class Place:
    """A connected group of cells where a map is high.

    Attributes:
        peak: (x, y), the middle of its highest cell.
        value: of the map there.
        box: the rectangle around its cells.
        cells: how many.
    """

    peak: tuple[float, float]
    value: float
    box: Box
    cells: int

    def to_json(self, ground: "Georeference | None" = None) -> dict[str, Any]:
        """Return the place as a JSON value, with map coordinates where the picture has them."""
        value: dict[str, Any] = {
            "peak": [round(v, 2) for v in self.peak],
            "box": self.box.to_json(),
            "value": float(f"{self.value:.6g}"),
            "cells": self.cells,
        }
        if ground is not None:
            value["map"] = {
                "crs": ground.crs,
                "peak": list(ground.point(*self.peak)),
                "bounds": list(ground.bounds(self.box)),
            }
        return value


@dataclass(frozen=True)
class Frame:
    """The part of a picture that an encoder sees.

    Attributes:
        box: that part.
        height, width: of the picture.
    """

    box: Box
    height: int
    width: int

    @classmethod
    def of(cls, geometry: Geometry, height: int, width: int) -> Self:
        """Return what an encoder with this geometry sees of a picture of height x width pixels."""
        cut_top, cut_left, tall, wide = geometry.strip(height, width)
        target_height, target_width = geometry.resized(tall, wide)
        rows, columns = geometry.size
        down, right = tall / target_height, wide / target_width
        top = cut_top + (target_height - rows) // 2 * down
        left = cut_left + (target_width - columns) // 2 * right
        return cls(Box(left, top, left + columns * right, top + rows * down), height, width)

    def scaled(self, height: int, width: int) -> Self:
        """Return the frame of the same picture at another size."""
        down, right, box = height / self.height, width / self.width, self.box
        return type(self)(Box(box.left * right, box.top * down, box.right * right, box.bottom * down), height, width)

    def cell(self, row: int, column: int, grid: tuple[int, int]) -> Box:
        """Return the rectangle of a cell of an H x W grid."""
        down, right = (self.box.bottom - self.box.top) / grid[0], (self.box.right - self.box.left) / grid[1]
        top, left = self.box.top + row * down, self.box.left + column * right
        return Box(left, top, left + right, top + down)

    def spread(self, map_HW: Array) -> Array:
        """Return a map over the whole picture, (height, width) float32; NaN where the encoder did not see.

        Values are bilinear between the middles of cells, and constant from the outer middles to the frame's edge.
        """
        down = _between(self.height, self.box.top, self.box.bottom, map_HW.shape[0])
        right = _between(self.width, self.box.left, self.box.right, map_HW.shape[1])
        return np.asarray(down @ map_HW @ right.T, np.float32)


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of a picture lie on a map.

    Attributes:
        crs: the coordinate reference system, such as `EPSG:32632`.
        transform: (a, b, c, d, e, f): map x is a x + b y + c, map y is d x + e y + f.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]

    @classmethod
    def of_file(cls, path: Path, height: int, width: int) -> Self | None:
        """Return the georeference of a picture decoded as height x width pixels, or None for one without."""
        if path.suffix.lower() not in _GEOREFERENCED:
            return None
        import rasterio
        from rasterio.errors import RasterioError

        try:
            with rasterio.open(path) as raster:
                if raster.crs is None:
                    return None
                # A huge raster is decoded at reduced scale.
                right, down, own = raster.width / width, raster.height / height, raster.transform
                transform = (own.a * right, own.b * down, own.c, own.d * right, own.e * down, own.f)
                return cls(raster.crs.to_string(), transform)
        except (RasterioError, OSError, ValueError):
            return None

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return the map coordinates of a point of the picture."""
        a, b, c, d, e, f = self.transform
        return a * x + b * y + c, d * x + e * y + f

    def bounds(self, box: Box) -> tuple[float, float, float, float]:
        """Return (least x, least y, greatest x, greatest y) of a box on the map."""
        corners = [self.point(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def halfway(map_HW: Array) -> float:
    """Return the level above which a map counts as high: half way between its least and greatest value."""
    known = map_HW[np.isfinite(map_HW)]
    return (float(known.min()) + float(known.max())) / 2


def high(map_HW: Array) -> Mask:
    """Return where a map is high (`halfway`); nowhere on a map of one value, and not where it is NaN."""
    with np.errstate(invalid="ignore"):
        return np.asarray(map_HW > halfway(map_HW))


def places(map_HW: Array, frame: Frame) -> tuple[Place, ...]:
    """Return where a map is high (`halfway`), highest peak first; none for a map of one value.

    Cells that share a side belong together; boxes are whole cells, cut off at the picture's edge.

    Args:
        map_HW: the map.
        frame: the part of the picture that it covers.

    Raises:
        DataFormatError: not an H x W map of finite values.
    """
    if map_HW.ndim != 2 or not np.isfinite(map_HW).all():
        raise DataFormatError(f"a map is an H x W array of finite values, not of shape {map_HW.shape}")
    found = [_place(map_HW, cells, frame) for cells in _connected(high(map_HW))]
    return tuple(sorted(found, key=lambda place: -place.value))


def _place(map_HW: Array, cells: list[tuple[int, int]], frame: Frame) -> Place:
    grid = map_HW.shape[0], map_HW.shape[1]
    best = max(cells, key=lambda cell: map_HW[cell])
    corners = [frame.cell(row, column, grid) for row, column in cells]
    box = Box(
        max(0.0, min(c.left for c in corners)),
        max(0.0, min(c.top for c in corners)),
        min(float(frame.width), max(c.right for c in corners)),
        min(float(frame.height), max(c.bottom for c in corners)),
    )
    peak = frame.cell(*best, grid)
    middle = (peak.left + peak.right) / 2, (peak.top + peak.bottom) / 2
    return Place(middle, float(map_HW[best]), box, len(cells))


def _connected(mask: Mask) -> list[list[tuple[int, int]]]:
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    groups = []
    while left:
        waiting, group = [left.pop()], []
        while waiting:
            row, column = waiting.pop()
            group.append((row, column))
            for beside in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if beside in left:
                    left.remove(beside)
                    waiting.append(beside)
        groups.append(sorted(group))
    return groups


def _between(pixels: int, start: float, end: float, cells: int) -> npt.NDArray[np.float64]:
    """Return the weight of each cell at each pixel of a side, (pixels, cells); NaN rows outside of start ... end."""
    middles = np.arange(pixels) + 0.5
    at = np.clip((middles - start) / (end - start) * cells - 0.5, 0, cells - 1)
    lower = np.minimum(np.floor(at).astype(int), max(cells - 2, 0))
    weights = np.zeros((pixels, cells))
    rows = np.arange(pixels)
    weights[rows, np.minimum(lower + 1, cells - 1)] = at - lower
    weights[rows, lower] += 1 - (at - lower)
    weights[(middles < start) | (middles > end)] = np.nan
    return weights


def _pixels(start: float, end: float) -> slice:
    first = max(0, ceil(start - 0.5))
    return slice(first, max(ceil(end - 0.5), first + 1))
