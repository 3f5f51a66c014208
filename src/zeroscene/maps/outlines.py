"""The outlines of windows on the ground, as they stand beside their vectors."""

import numpy as np
import numpy.typing as npt

from zeroscene.embeddings.footprint import Footprint
from zeroscene.maps.layout import Indices, Layout
from zeroscene.scenes.geo import GeoRaster
from zeroscene.scenes.geo_ground import LONLAT, converted


def footprints(raster: GeoRaster, layout: Layout, rows: Indices, columns: Indices) -> list[Footprint | None]:
    """Return the bounds in degrees of windows, as far as they lie in the raster.

    Args:
        raster: the raster.
        layout: where its windows lie.
        rows: (n,) of windows.
        columns: (n,) of windows.

    Returns:
        A footprint for each window; None where it does not lie on the earth as a whole: all windows of a raster without
        a reference system, or with one that leads nowhere, and those over the rim of a picture of the whole earth.
    """
    if raster.crs is None or not len(rows):
        return [None] * len(rows)
    top, left = rows * layout.stride[0], columns * layout.stride[1]
    bottom = np.minimum(top + layout.window[0], raster.height)
    right = np.minimum(left + layout.window[1], raster.width)
    across, down, t = np.stack([left, right, right, left]), np.stack([top, top, bottom, bottom]), raster.transform
    x, y = t.a * across + t.b * down + t.c, t.d * across + t.e * down + t.f
    return _bounds(*converted(raster.crs, LONLAT, x, y))


def _bounds(longitudes: npt.NDArray[np.float64], latitudes: npt.NDArray[np.float64]) -> list[Footprint | None]:
    # A window is small: its corners lie within half a world of the first, whatever side of the antimeridian they are
    # said to be on.
    first = np.where(np.abs(longitudes[0]) > 180, (longitudes[0] + 180) % 360 - 180, longitudes[0])
    steps = longitudes - longitudes[0]
    corners = first + np.where(np.abs(steps) > 180, (steps + 180) % 360 - 180, steps)
    west, east = corners.min(axis=0), corners.max(axis=0)
    west, east = np.where(west < -180, west + 360, west), np.where(east > 180, east - 360, east)
    south, north = latitudes.min(axis=0), latitudes.max(axis=0)
    bounds = np.stack([west, south, east, north], axis=1)
    known = np.isfinite(bounds).all(axis=1) & (np.abs(bounds) <= 360).all(axis=1)
    return [Footprint(*map(float, b)) if ok else None for b, ok in zip(bounds, known, strict=True)]
