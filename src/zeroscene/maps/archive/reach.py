"""How far rasters reach on the ground, roughly: which pairs of many can share none is known without looking at cells.

A raster lies in a cap of the sphere: the middle of some points of it, and the greatest angle from there to one of them,
with what may lie between points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeroscene.maps.archive.footprints import Mask
from zeroscene.maps.archive.source import Source
from zeroscene.scenes.geo_ground import LONLAT, converted

_SIDE: Final = 9  # points along a side
_LEAST: Final = 1e-3  # radians, 6 km: more than the datums of two systems differ

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reach:
    """The caps of N rasters.

    Attributes:
        middles: (N, 3) unit vectors.
        radii: (N,) radians; infinite for a raster that goes around the earth, or of which a point has no longitude and
            latitude.
    """

    middles: Array
    radii: Array

    @classmethod
    def of(cls, sources: Sequence[Source]) -> "Reach":
        """Return the caps that rasters lie in."""
        found = [_cap(source) for source in sources]
        return cls(np.array([m for m, _ in found]).reshape(-1, 3), np.array([r for _, r in found]))

    def meets(self, one: int, others: "Reach") -> Mask:
        """Return which of other rasters, (M,), may share ground with the raster at a position of these."""
        apart = np.arccos(np.clip(others.middles @ self.middles[one], -1, 1))
        return np.asarray(apart <= self.radii[one] + others.radii)


def _cap(source: Source) -> tuple[Array, float]:
    height, width = source.layout.height, source.layout.width
    nowhere = np.array([0.0, 0.0, 1.0]), np.inf
    if source.crs is None:
        return nowhere
    row, column = np.meshgrid(np.linspace(0, height, _SIDE), np.linspace(0, width, _SIDE), indexing="ij")
    t = source.transform
    x, y = t.a * column + t.b * row + t.c, t.d * column + t.e * row + t.f
    longitude, latitude = (np.radians(v) for v in converted(source.crs, LONLAT, x, y))
    if np.isnan(longitude).any():
        return nowhere
    flat = np.cos(latitude)
    points = np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=-1)
    between = max(_angles(points[1:], points[:-1]).max(), _angles(points[:, 1:], points[:, :-1]).max())
    middle = points.mean(axis=(0, 1))
    length = float(np.linalg.norm(middle))
    if length < _LEAST:  # it goes around the earth
        return nowhere
    middle /= length
    return middle, float(_angles(points, middle).max() + 2 * between + _LEAST)


def _angles(one: Array, other: Array) -> Array:
    return np.asarray(2 * np.arcsin(np.clip(np.linalg.norm(one - other, axis=-1) / 2, 0, 1)))
