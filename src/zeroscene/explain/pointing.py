"""Do maps point at the right place? The pointing game (Zhang et al., IJCV 2018) and IoU against true masks.

A map *hits* when its highest cell holds at least one pixel of the mask: the tolerance is the cell itself, so the peak
is off by half a cell at most, right or down. A *strict* hit has the middle of that cell in the mask: no tolerance at
all. IoU is that of the mask and of the pixels where the map, bilinear over the picture, is above the middle of its
least and greatest value: a threshold that no picture was asked for.

Two baselines play the same game on the same masks. *Centre* is a map that falls off from the middle of the picture: it
hits when a cell put there holds a pixel of the mask. *Random* is the expectation over all cells, and for IoU over maps
of noise; a map that knows nothing reaches that.

Masks of half the picture and more are left out, because whatever points anywhere hits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from zeroscene.errors import DataFormatError
from zeroscene.explain.maps import Array, Box, Frame, Mask, high
from zeroscene.files import digest

LARGEST: Final = 0.5
"""Masks of this share of the picture, or a greater one, are left out."""

FIGURES: Final = ("hit", "strict", "iou")


@dataclass(frozen=True)
class Pointed:
    """What a map and the baselines are worth on one mask.

    Attributes:
        attribute: what the mask shows.
        figures: by `map`, `centre` and `random`, the figures `FIGURES`, each 0 to 1.
    """

    attribute: str
    figures: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Row:
    """Means over masks.

    Attributes:
        masks: how many.
        figures: as of `Pointed`.
    """

    masks: int
    figures: Mapping[str, tuple[float, float, float]]

    @classmethod
    def of(cls, pointed: Sequence[Pointed]) -> "Row":
        """Return the means."""
        kinds = pointed[0].figures
        means = {kind: np.mean([one.figures[kind] for one in pointed], axis=0) for kind in kinds}
        return cls(len(pointed), {kind: (float(m[0]), float(m[1]), float(m[2])) for kind, m in means.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the means as a JSON value."""
        figures = {k: dict(zip(FIGURES, (round(v, 4) for v in own), strict=True)) for k, own in self.figures.items()}
        return {"masks": self.masks, **figures}


@dataclass(frozen=True)
class PointingTable:
    """The pointing game over many masks.

    Attributes:
        all: means over masks.
        attributes: means over the masks of each attribute, by name.
    """

    all: Row
    attributes: Mapping[str, Row]

    @classmethod
    def of(cls, pointed: Sequence[Pointed]) -> "PointingTable":
        """Return the table.

        Raises:
            DataFormatError: there is no mask to point at.
        """
        if not pointed:
            raise DataFormatError("the pointing game needs a mask that covers less than half of its picture")
        by_name: dict[str, list[Pointed]] = {}
        for one in pointed:
            by_name.setdefault(one.attribute, []).append(one)
        return cls(Row.of(pointed), {name: Row.of(by_name[name]) for name in sorted(by_name)})

    @property
    def mean(self) -> Row:
        """Means over attributes, each counting once; its number of masks is that of all."""
        rows = list(self.attributes.values())
        means = {k: np.mean([row.figures[k] for row in rows], axis=0) for k in self.all.figures}
        return Row(self.all.masks, {k: (float(m[0]), float(m[1]), float(m[2])) for k, m in means.items()})

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON value."""
        return {
            "masks": self.all.to_json(),
            "attributes": self.mean.to_json(),
            "by_attribute": {name: row.to_json() for name, row in self.attributes.items()},
        }


def point(attribute: str, map_HW: Array, mask: Mask, frame: Frame) -> Pointed | None:
    """Return what a map is worth on a mask, or None for a mask that is empty or too large.

    Args:
        attribute: what both are of.
        map_HW: the map.
        mask: (height, width) of the picture.
        frame: the part of the picture that the map covers; the mask counts inside it only.

    Raises:
        DataFormatError: the mask is of another size than the picture.
    """
    if mask.shape != (frame.height, frame.width):
        raise DataFormatError(f"a mask of {mask.shape} for a picture of {(frame.height, frame.width)}")
    seen = np.isfinite(frame.spread(map_HW))
    inside = mask & seen
    if not inside.any() or inside.sum() >= LARGEST * seen.sum():
        return None
    grid = map_HW.shape[0], map_HW.shape[1]
    cells = [frame.cell(row, column, grid) for row in range(grid[0]) for column in range(grid[1])]
    peak = cells[int(map_HW.argmax())]
    every = np.array([_hit(inside, cell) for cell in cells], np.float64).mean(0)
    middle = _middle(frame, grid)
    noise = np.random.default_rng(int(digest(attribute, inside.tobytes()), 16)).random(grid, np.float32)
    figures = {
        "map": (*_hit(inside, peak), _iou(inside, frame.spread(map_HW))),
        "centre": (*_hit(inside, middle), _iou(inside, frame.spread(_falling(grid)))),
        "random": (float(every[0]), float(every[1]), _iou(inside, frame.spread(noise))),
    }
    return Pointed(attribute, figures)


def _hit(mask: Mask, cell: Box) -> tuple[float, float]:
    rows, columns = cell.slices()
    middle = mask[int((cell.top + cell.bottom) / 2), int((cell.left + cell.right) / 2)]
    return float(mask[rows, columns].any()), float(middle)


def _iou(mask: Mask, spread: Array) -> float:
    found = high(spread)
    return float((found & mask).sum() / (found | mask).sum())


def _middle(frame: Frame, grid: tuple[int, int]) -> Box:
    x, y = (frame.box.left + frame.box.right) / 2, (frame.box.top + frame.box.bottom) / 2
    cell = frame.cell(0, 0, grid)
    right, down = (cell.right - cell.left) / 2, (cell.bottom - cell.top) / 2
    return Box(x - right, y - down, x + right, y + down)


def _falling(grid: tuple[int, int]) -> Array:
    """Return a map that falls off from the middle, as far as the sides count 1."""
    down, right = (np.abs(np.arange(n) + 0.5 - n / 2) / (n / 2) for n in grid)
    return np.asarray(-np.hypot(down[:, None], right[None, :]), np.float32)
