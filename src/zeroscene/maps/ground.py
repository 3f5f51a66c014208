"""From map coordinates to the ground: longitude and latitude, true areas of cells, and where north is."""

from itertools import pairwise
from math import atan2, degrees
from typing import Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as reproject

LONLAT: Final = "OGC:CRS84"

Array = npt.NDArray[np.float64]

# WGS84: semi-major axis in metres, flattening.
_A, _F = 6_378_137.0, 1 / 298.257223563
_STRIP = 1 << 18  # corners of cells that are transformed at once


def placed(transform: Affine, column: Array, row: Array) -> tuple[Array, Array]:
    """Return x and y of places in the grid, as `transform * (column, row)` does to the bit."""
    a, b, c, d, e, f = transform[:6]
    return column * a + row * b + c, column * d + row * e + f


def converted(source: CRS | str, target: CRS | str, x: Array, y: Array) -> tuple[Array, Array] | None:
    """Return points of one reference system in another, or None where one of them cannot be converted.

    Args:
        source: the system of the points.
        target: the wanted one.
        x: (N,) or of any shape; longitude before latitude in geographic systems.
        y: of the same shape.
    """
    here, there = CRS.from_user_input(source), CRS.from_user_input(target)
    if here == there or {_epsg(here), _epsg(there)} <= {4326}:
        return x, y
    try:
        with rasterio.Env():
            moved = reproject(here, there, x.ravel(), y.ravel())[:2]
    except (RasterioError, ValueError, OSError):
        return None
    except Exception as error:  # GDAL's own errors have a base class that rasterio does not publish
        if type(error).__module__ != "rasterio._err":
            raise
        return None
    across, up = (np.asarray(v, np.float64).reshape(x.shape) for v in moved)
    return (across, up) if np.isfinite(across).all() and np.isfinite(up).all() else None


def _epsg(crs: CRS) -> int | None:
    return 4326 if crs == CRS.from_user_input(LONLAT) else crs.to_epsg()


def cell_areas(
    transform: Affine, crs: CRS | None, shape: tuple[int, int], covered: tuple[float, float] | None = None
) -> Array | None:
    """Return the area of each cell on the WGS84 ellipsoid in m2, (rows, columns), or None where it cannot be known.

    The corners of a cell are taken to longitude and latitude; between them its edges are straight there. With the
    area from the equator to a latitude, for one radian of longitude, e the eccentricity, s = sin(latitude):

        F = b^2 / 2 * (s / (1 - e^2 s^2) + artanh(e s) / e)

    the area is the sum over the edges of -dlon times the mean of F along the edge (Simpson). Right in every
    projection, also where planar areas are far off (Web Mercator).

    Args:
        transform: from (column, row) of cells to the system.
        crs: the reference system, or None.
        shape: rows and columns of cells.
        covered: rows and columns, with fractions, beyond which cells do not count; None for all.
    """
    if crs is None:
        return None
    rows, columns = shape
    areas = np.empty(shape)
    step = max(1, _STRIP // (columns + 1))
    for top in range(0, rows, step):
        stop = min(rows, top + step)
        row, column = np.mgrid[top : stop + 1, : columns + 1].astype(np.float64)
        if covered is not None:
            row, column = np.minimum(row, covered[0]), np.minimum(column, covered[1])
        if (corners := converted(crs, LONLAT, *placed(transform, column, row))) is None:
            return None
        areas[top:stop] = _quadrilaterals(*corners)
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
    here = converted(crs, LONLAT, np.array([x]), np.array([y]))
    if here is None or abs(here[1][0]) > 89.9:
        return None
    there = converted(LONLAT, crs, here[0].repeat(2), here[1] + np.array([0, 1e-3]))
    if there is None:
        return None
    return degrees(atan2(there[0][1] - there[0][0], there[1][1] - there[1][0]))
