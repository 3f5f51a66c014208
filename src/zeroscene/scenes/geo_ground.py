"""How large a pixel is on the ground: metres across and down, from a raster's transform and reference system."""

from math import cos, hypot, isfinite, pi, radians, sin, sqrt

import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform as reproject

_A, _F = 6_378_137.0, 1 / 298.257223563  # WGS84: semi-major axis in metres, flattening
_LONGITUDE_LATITUDE = "OGC:CRS84"
# Projections of surveyors keep lengths within a thousandth or so; beyond this, their unit is no measure of the ground.
_TRUSTED = 0.02


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
    try:
        with rasterio.Env():
            longitudes, latitudes = reproject(crs, _LONGITUDE_LATITUDE, *zip(*points, strict=True))[:2]
    except (RasterioError, ValueError, OSError):
        return None
    except Exception as error:  # GDAL's own errors have a base class that rasterio does not publish
        if type(error).__module__ != "rasterio._err":
            raise
        return None
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
