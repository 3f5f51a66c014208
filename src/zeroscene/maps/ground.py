"""From map coordinates to the ground: longitude and latitude, true areas of cells, and where north is."""

from itertools import pairwise
from math import atan2, ceil, degrees, hypot
from typing import Final

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError

from zeroscene.scenes.geo_ground import LONLAT, converted

Array = npt.NDArray[np.float64]

# WGS84: semi-major axis in metres, flattening.
_A, _F = 6_378_137.0, 1 / 298.257223563
_STRIP: Final = 1 << 18  # corners of cells that are transformed at once
_WIDEST: Final = 2_000_000.0  # metres; cells that are longer are cut
_MOST_CUTS: Final = 64


def placed(transform: Affine, column: Array, row: Array) -> tuple[Array, Array]:
    """Return x and y of places in the grid, as `transform * (column, row)` does to the bit."""
    a, b, c, d, e, f = transform[:6]
    return column * a + row * b + c, column * d + row * e + f


def cell_areas(
    transform: Affine, crs: CRS | None, shape: tuple[int, int], covered: tuple[float, float] | None = None
) -> Array | None:
    """Return the area of each cell on the WGS84 ellipsoid in m2, (rows, columns), or None where it cannot be known.

    The corners of a cell are taken to longitude and latitude; between them its edges are straight there. With the
    area from the equator to a latitude, for one radian of longitude, e the eccentricity, s = sin(latitude):

        F = b^2 / 2 * (s / (1 - e^2 s^2) + artanh(e s) / e)

    the area is the sum over the edges of -dlon times the mean of F along the edge (Simpson). Right in every
    projection, also where planar areas are far off (Web Mercator). Which way an edge goes around the earth is known as
    long as it is shorter than half of it: cells of more than 2,000 km are cut into smaller ones.

    Args:
        transform: from (column, row) of cells to the system.
        crs: the reference system, or None.
        shape: rows and columns of cells.
        covered: rows and columns, with fractions, beyond which cells do not count; None for all.
    """
    if crs is None:
        return None
    if (cuts := _cuts(transform, crs)) > 1:
        a, b, c, d, e, f = transform[:6]
        fine = Affine(a / cuts, b / cuts, c, d / cuts, e / cuts, f)
        inside = None if covered is None else (covered[0] * cuts, covered[1] * cuts)
        parts = _areas(fine, crs, (shape[0] * cuts, shape[1] * cuts), inside)
        return None if parts is None else parts.reshape(shape[0], cuts, shape[1], cuts).sum(axis=(1, 3))
    return _areas(transform, crs, shape, covered)


def _cuts(transform: Affine, crs: CRS) -> int:
    a, b, _, d, e, _ = transform[:6]
    try:
        unit = float(crs.units_factor[1]) * (_A if crs.is_geographic else 1)
    except RasterioError:
        return 1
    return min(_MOST_CUTS, max(1, ceil(max(hypot(a, d), hypot(b, e)) * unit / _WIDEST)))


def _areas(transform: Affine, crs: CRS, shape: tuple[int, int], covered: tuple[float, float] | None) -> Array | None:
    rows, columns = shape
    areas = np.empty(shape)
    step = max(1, _STRIP // (columns + 1))
    for top in range(0, rows, step):
        stop = min(rows, top + step)
        row, column = np.mgrid[top : stop + 1, : columns + 1].astype(np.float64)
        if covered is not None:
            row, column = np.minimum(row, covered[0]), np.minimum(column, covered[1])
        longitude, latitude = converted(crs, LONLAT, *placed(transform, column, row))
        if np.isnan(longitude).any():
            return None
        areas[top:stop] = _quadrilaterals(longitude, latitude)
    return areas


def _quadrilaterals(longitude: Array, latitude: Array) -> Array:
    ring = [np.s_[:-1, :-1], np.s_[1:, :-1], np.s_[1:, 1:], np.s_[:-1, 1:], np.s_[:-1, :-1]]
    near = _area_below(latitude[:-1, :-1])  # what all four edges share, taken off: it would cost half the digits
    total = np.zeros_like(near)
    for one, other in pairwise(ring):
        step = (longitude[other] - longitude[one] + 180) % 360 - 180
        middle = _area_below((latitude[one] + latitude[other]) / 2)
        mean = (_area_below(latitude[one]) + 4 * middle + _area_below(latitude[other])) / 6
        total -= np.radians(step) * (mean - near)
    return np.abs(total)


def _area_below(latitude: Array) -> Array:
    e2 = _F * (2 - _F)
    e, sine = np.sqrt(e2), np.sin(np.radians(latitude))
    half: Array = (_A * (1 - _F)) ** 2 / 2 * (sine / (1 - e2 * sine**2) + np.arctanh(e * sine) / e)
    return half


def north(crs: CRS, x: float, y: float) -> float | None:
    """Return the direction of north at a point of a map in degrees clockwise from up, or None where it is not known.

    Args:
        crs: the reference system of the map.
        x: of the point.
        y: of the point.
    """
    longitude, latitude = converted(crs, LONLAT, [x], [y])
    if not abs(latitude[0]) <= 89.9:
        return None
    across, up = converted(LONLAT, crs, longitude.repeat(2), latitude + np.array([0, 1e-3]))
    if np.isnan(across).any():
        return None
    return degrees(atan2(across[1] - across[0], up[1] - up[0]))
