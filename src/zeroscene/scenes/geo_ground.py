"""From reference systems to the ground: points of one system in another, and how large a pixel is in metres."""

from math import cos, hypot, isfinite, pi, radians, sin, sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as reproject

LONLAT: Final = "OGC:CRS84"

Array = npt.NDArray[np.float64]

_A, _F = 6_378_137.0, 1 / 298.257223563  # WGS84: semi-major axis in metres, flattening
# Projections of surveyors keep lengths within a thousandth or so; beyond this, their unit is no measure of the ground.
_TRUSTED = 0.02
# GDAL refuses a batch for some of its points, but no more once a transformation has refused 20 points; one that goes on
# has no way from system to system.
_REFUSALS = 64


def converted(source: CRS | str, target: CRS | str, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Array, Array]:
    """Return points of one reference system in another; both coordinates NaN of those that cannot be converted.

    Args:
        source: the system of the points.
        target: the wanted one.
        x: (N,) or of any shape; longitude before latitude in geographic systems.
        y: of the same shape.
    """
    across, up = np.asarray(x, np.float64), np.asarray(y, np.float64)
    here, there = CRS.from_user_input(source), CRS.from_user_input(target)
    if here == there or {_epsg(here), _epsg(there)} <= {4326}:
        return across, up
    points = np.stack([across.ravel(), up.ravel()])
    found, todo, refused = np.full(points.shape, np.nan), [slice(0, points.shape[1])], 0
    with rasterio.Env():
        while todo and refused < _REFUSALS:
            part = todo.pop()
            moved = _moved(here, there, points[:, part])
            if moved is not None:
                found[:, part] = moved
                continue
            refused += 1
            if part.stop - part.start > 1:
                middle = (part.start + part.stop) // 2
                todo += [slice(middle, part.stop), slice(part.start, middle)]
    found[:, ~np.isfinite(found).all(axis=0)] = np.nan
    return found[0].reshape(across.shape), found[1].reshape(across.shape)


def _moved(here: CRS, there: CRS, points: Array) -> Any:
    try:
        return reproject(here, there, *points)[:2]
    except Exception as error:
        if not of_gdal(error):
            raise
        return None


def of_gdal(error: Exception) -> bool:
    """Return whether GDAL refused something: its own errors have a base class that rasterio does not publish."""
    return isinstance(error, RasterioError | ValueError | OSError) or type(error).__module__ == "rasterio._err"


def _epsg(crs: CRS) -> int | None:
    return 4326 if crs == CRS.from_user_input(LONLAT) else crs.to_epsg()


def metres_of_pixel(crs: CRS | None, transform: Affine, width: int, height: int) -> tuple[float, float] | None:
    """Return metres on the ground of one pixel, (across, down), or None where they cannot be known.

    With transform x = a column + b row + c, y = d column + e row + f:

    - Projected: |(a, d)| and |(b, e)| times the metres of the system's unit. Where the projection's scale at the
      raster's centre is off by more than 2 % (Web Mercator: 1 / cos latitude), the lengths there are taken as below.
    - Geographic: the step of one pixel at the raster's centre, in longitude and latitude (radians), has the length
      hypot(N cos(lat) dlon, M dlat) with the radii of WGS84, e^2 = f (2 - f), w = 1 - e^2 sin^2(lat):
      N = a / sqrt(w), M = a (1 - e^2) / w^(3/2).

    Args:
        crs: the reference system, or None.
        transform: from pixels to the system.
        width: of the raster in pixels.
        height: of the raster in pixels.
    """
    if crs is None:
        return None
    true = _on_ellipsoid(crs, transform, width / 2, height / 2)
    if crs.is_geographic:
        return true
    try:
        unit = float(crs.linear_units_factor[1]) if crs.is_projected else float(crs.units_factor[1])
    except RasterioError:
        return true
    nominal = hypot(transform.a, transform.d) * unit, hypot(transform.b, transform.e) * unit
    if true is not None and any(abs(t / n - 1) > _TRUSTED for t, n in zip(true, nominal, strict=True)):
        return true
    return nominal if crs.is_projected and min(nominal) > 0 else true


def _on_ellipsoid(crs: CRS, transform: Affine, column: float, row: float) -> tuple[float, float] | None:
    x, y = (
        transform.a * column + transform.b * row + transform.c,
        transform.d * column + transform.e * row + transform.f,
    )
    points = ((x, y), (x + transform.a, y + transform.d), (x + transform.b, y + transform.e))
    longitudes, latitudes = (v.tolist() for v in converted(crs, LONLAT, *zip(*points, strict=True)))
    if not all(isfinite(v) for v in (*longitudes, *latitudes)) or abs(latitudes[0]) >= 90:
        return None
    latitude = radians(latitudes[0])
    across, down = (_metres(latitude, longitudes[i] - longitudes[0], latitudes[i] - latitudes[0]) for i in (1, 2))
    return (across, down) if min(across, down) > 0 else None


def _metres(latitude: float, east: float, north: float) -> float:
    """Return metres of a small step in degrees at a latitude in radians."""
    east = (east + 180) % 360 - 180  # a step over the antimeridian is as small as any
    square = _F * (2 - _F)
    w = 1 - square * sin(latitude) ** 2
    return hypot(_A / sqrt(w) * cos(latitude) * east, _A * (1 - square) / w**1.5 * north) * pi / 180
