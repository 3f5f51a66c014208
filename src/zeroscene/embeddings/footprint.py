"""The outline of a georeferenced picture on the ground, and the GeoParquet 1.1 metadata of a column of outlines."""

import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GEOREFERENCED = frozenset((".tif", ".tiff"))
_LITTLE_ENDIAN, _POLYGON, _MULTIPOLYGON = 1, 3, 6


@dataclass(frozen=True)
class Footprint:
    """Bounds of a picture in degrees (OGC:CRS84); `west` exceeds `east` when it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    @property
    def crosses(self) -> bool:
        """Whether it crosses the antimeridian."""
        return self.west > self.east

    @property
    def wkb(self) -> bytes:
        """The outline as well-known binary: a polygon, or two where it crosses the antimeridian."""
        if not self.crosses:
            return self._polygon(self.west, self.east)
        halves = self._polygon(self.west, 180.0) + self._polygon(-180.0, self.east)
        return struct.pack("<BII", _LITTLE_ENDIAN, _MULTIPOLYGON, 2) + halves

    def _polygon(self, west: float, east: float) -> bytes:
        ring = ((west, self.south), (east, self.south), (east, self.north), (west, self.north), (west, self.south))
        header = struct.pack("<BIII", _LITTLE_ENDIAN, _POLYGON, 1, len(ring))
        return header + b"".join(struct.pack("<dd", *point) for point in ring)


def footprint(path: Path) -> Footprint | None:
    """Return the outline of a GeoTIFF, or None for a picture without a georeference that can be read."""
    if path.suffix.lower() not in _GEOREFERENCED:
        return None
    import rasterio
    from rasterio.warp import transform_bounds

    from zeroscene.scenes.geo_ground import of_gdal

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with rasterio.open(path) as raster:
                if raster.crs is None:
                    return None
                bounds = transform_bounds(raster.crs, "OGC:CRS84", *raster.bounds)
        except Exception as error:
            if not of_gdal(error):
                raise
            return None
    west, south, east, north = (float(value) for value in bounds)
    return Footprint(west, south, east, north) if all(abs(v) <= 360 for v in (west, south, east, north)) else None


def geo_metadata(footprints: Sequence[Footprint]) -> dict[str, Any]:
    """Return the value of the `geo` key of a GeoParquet 1.1 file with these outlines in its column `geometry`.

    The absent `crs` stands for OGC:CRS84, longitude before latitude.
    """
    kinds = {"MultiPolygon" if f.crosses else "Polygon" for f in footprints}
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": sorted(kinds),
        "orientation": "counterclockwise",
        "edges": "planar",
    }
    if footprints:
        crossing = any(f.crosses for f in footprints)
        column["bbox"] = [
            -180.0 if crossing else min(f.west for f in footprints),
            min(f.south for f in footprints),
            180.0 if crossing else max(f.east for f in footprints),
            max(f.north for f in footprints),
        ]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
