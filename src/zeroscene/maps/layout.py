"""Layout: where the windows of a raster lie, and the cells that they share.

A window's side is a whole number of strides. The raster is divided, from its upper left corner on, into cells of one
stride by one stride, of which a window covers `steps` x `steps`; with an overlap, a cell is seen by several windows.
The last row and column of cells may reach beyond the raster.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from rasterio import Affine

from zeroscene.errors import OptionError
from zeroscene.files import json_digest
from zeroscene.scenes.geo import GeoRaster

_METRES = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(m|km|px|pixels?)?\s*", re.ASCII)
_LARGEST: Final = 8192  # side of a window: its pixels take 256 MiB
_TOLD: Final = 0.01  # a window that differs from the wish by more than this share is told

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Windows and cells of a raster.

    Attributes:
        height: of the raster in pixels.
        width: of the raster in pixels.
        stride: (down, across) side of a cell in pixels, the step from one window to the next.
        steps: cells along the side of a window; 1 without overlap.
        notes: what differs from the wish, one line each.
    """

    height: int
    width: int
    stride: tuple[int, int]
    steps: int = 1
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        raster: GeoRaster,
        window: str | float,
        overlap: float = 0.5,
        gsd: float | tuple[float, float] | None = None,
    ) -> Self:
        """Return the layout of a raster.

        The steps are the whole number n whose overlap 1 - 1/n is nearest to the wish (of two as near, the larger one).
        The stride is the wished window divided by n, rounded to whole pixels, the window n strides: its error is at
        most half a pixel a stride. Windows in metres are square on the ground, whatever the pixels are.

        Args:
            raster: the raster.
            window: side of a window: metres ("110 m", "1.2 km"), or pixels (128, "128 px").
            overlap: share of its side by which a window overlaps the next, from 0 to less than 1.
            gsd: metres a pixel, (across, down) or one for both, for a raster whose own is not known or wrong.

        Raises:
            OptionError: an overlap or a side out of range, or metres of a raster whose pixels have no known size.
        """
        if not 0 <= overlap < 1:
            raise OptionError(f"overlap {overlap:g} is out of range; give 0 to less than 1, such as 0.5")
        side, unit = side_of(window)
        if gsd is not None:
            _require_scale(*_pair(gsd))
        down, across = (side, side) if unit == "px" else _pixels(raster, side, gsd)
        steps = _steps(overlap, min(down, across))
        if max(down, across) > _LARGEST:
            raise OptionError(
                f"windows of {across:.0f} x {down:.0f} pixels are too large to be held ({raster.path} has "
                f"{raster.width} x {raster.height}); give {_LARGEST:,} pixels at most"
            )
        stride = max(1, round(down / steps)), max(1, round(across / steps))
        notes = _notes(raster, (down, across), stride, steps, overlap)
        return cls(raster.height, raster.width, stride, steps, tuple(notes))

    def __post_init__(self) -> None:
        if min(self.height, self.width, *self.stride, self.steps) < 1:
            raise OptionError(f"layout: sizes must be positive, not {self}")

    @property
    def window(self) -> tuple[int, int]:
        """(height, width) of a window in pixels."""
        return self.stride[0] * self.steps, self.stride[1] * self.steps

    @property
    def overlap(self) -> float:
        """Share of its side by which a window overlaps the next."""
        return 1 - 1 / self.steps

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of cells."""
        return -(-self.height // self.stride[0]), -(-self.width // self.stride[1])

    @property
    def covered(self) -> tuple[float, float]:
        """(rows, columns) of cells that lie in the raster, with the fractions of those that reach over its edges."""
        return self.height / self.stride[0], self.width / self.stride[1]

    @property
    def windows(self) -> tuple[int, int]:
        """(rows, columns) of windows: as many as cover every cell, one along a side that is shorter than a window.

        Window (i, j) covers cells (i .. i + steps - 1, j .. j + steps - 1).
        """
        rows, columns = self.shape
        return max(1, rows - self.steps + 1), max(1, columns - self.steps + 1)

    @property
    def count(self) -> int:
        """Number of windows."""
        rows, columns = self.windows
        return rows * columns

    @property
    def fingerprint(self) -> str:
        """Digest of all that decides where windows lie."""
        return json_digest([self.height, self.width, self.stride, self.steps])

    def at(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return (row, column, height, width) in pixels of a window."""
        return row * self.stride[0], column * self.stride[1], *self.window

    def covering(self, row: int, column: int) -> tuple[range, range]:
        """Return the rows and columns of the windows that cover a cell."""
        (rows, columns), last = self.windows, self.steps - 1
        return range(max(0, row - last), min(row + 1, rows)), range(max(0, column - last), min(column + 1, columns))

    def cells(self, row: int, column: int) -> tuple[slice, slice]:
        """Return the rows and columns of the cells that a window covers, for an array of all cells."""
        (rows, columns) = self.shape
        return slice(row, min(row + self.steps, rows)), slice(column, min(column + self.steps, columns))

    def cell_pixels(self) -> Indices:
        """Return the number of the raster's pixels in each cell, (rows, columns); fewer where cells reach beyond."""
        sides = []
        for length, stride, count in zip((self.height, self.width), self.stride, self.shape, strict=True):
            starts = np.arange(count, dtype=np.int64) * stride
            sides.append(np.minimum(starts + stride, length) - starts)
        return np.outer(sides[0], sides[1])

    def transform(self, of_raster: Affine) -> Affine:
        """Return the transform from (column, row) of cells, given the raster's own."""
        t, (down, across) = of_raster, self.stride
        return Affine(t.a * across, t.b * down, t.c, t.d * across, t.e * down, t.f)

    def to_json(self) -> dict[str, Any]:
        """Return the layout as a JSON value."""
        return {
            "raster": [self.height, self.width],
            "window": list(self.window),
            "stride": list(self.stride),
            "overlap": self.overlap,
            "windows": list(self.windows),
            "cells": list(self.shape),
        }


def side_of(window: str | float) -> tuple[float, str]:
    """Return the side of a window as a user says it: the number, and whether it is of metres (`m`) or pixels (`px`).

    Raises:
        OptionError: it is no length.
    """
    if isinstance(window, str):
        found = _METRES.fullmatch(window)
        if found is None:
            raise OptionError(f"window {window!r} is no length; give metres ('110 m') or pixels ('128 px', 128)")
        side, unit = float(found[1]), found[2] or "px"
        if unit == "km":
            side, unit = side * 1000, "m"
    else:
        side, unit = float(window), "px"
    if not (isfinite(side) and side > 0) or (unit != "m" and side < 1):
        raise OptionError(f"window {window!r} is out of range; give a side of a pixel or more")
    return side, "m" if unit == "m" else "px"


def _pixels(raster: GeoRaster, metres: float, gsd: float | Sequence[float] | None) -> tuple[float, float]:
    """Return (down, across) of a length in pixels."""
    known = raster.gsd if gsd is None else _pair(gsd)
    if known is None:
        why = "has no reference system" if raster.crs is None else "has a reference system without a known scale"
        raise OptionError(
            f"{raster.path} {why}, so {metres:g} m are no number of pixels; give the window in pixels, or the metres "
            "of a pixel (gsd)"
        )
    across, down = known
    _require_scale(across, down)
    if metres / max(across, down) < 1:
        raise OptionError(
            f"a window of {metres:g} m is smaller than a pixel of {raster.path} ({across:g} x {down:g} m); give a "
            "larger one"
        )
    return metres / down, metres / across


def _pair(gsd: float | Sequence[float]) -> tuple[float, float]:
    """Return (across, down) of metres a pixel that were given as one number or two."""
    across, down = (gsd, gsd) if isinstance(gsd, int | float) else gsd
    return across, down


def _require_scale(across: float, down: float) -> None:
    if not all(isfinite(v) and v > 0 for v in (across, down)):
        raise OptionError(f"gsd {across:g} x {down:g} m is out of range; give metres a pixel, more than 0")


def _steps(overlap: float, side: float) -> int:
    low = max(1, int(1 / (1 - overlap) + 1e-9))
    nearest = min((low + 1, low), key=lambda n: round(abs(1 - 1 / n - overlap), 9))
    return max(1, min(nearest, int(side)))


def _notes(
    raster: GeoRaster, wished: tuple[float, float], stride: tuple[int, int], steps: int, overlap: float
) -> list[str]:
    notes = []
    window = stride[0] * steps, stride[1] * steps
    if abs((got := 1 - 1 / steps) - overlap) > 1e-6:
        notes.append(f"overlap {got:.3g} instead of {overlap:.3g}: windows are a whole number of strides")
    if any(abs(w / v - 1) > _TOLD for w, v in zip(window, wished, strict=True)):
        notes.append(
            f"windows of {window[1]} x {window[0]} pixels instead of {wished[1]:.4g} x {wished[0]:.4g}: "
            "strides are whole pixels"
        )
    if window[0] > raster.height or window[1] > raster.width:
        notes.append(
            f"windows of {window[1]} x {window[0]} pixels are larger than the raster "
            f"({raster.width} x {raster.height}); what lies beyond it is without data"
        )
    return notes
