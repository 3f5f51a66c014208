"""The areas of a map as polygons: neighbouring cells of a class dissolved, exactly along the edges of cells.

Cells that touch at a corner only are two areas. Every corner of a cell on an outline is a point of the polygon, so that
an outline follows the cells also in another reference system than that of the map.
"""

import json
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.features import rasterize, shapes

from zeroscene.errors import MissingExtraError
from zeroscene.maps.cells import NODATA, NONE, REJECTED, Cells
from zeroscene.maps.ground import placed
from zeroscene.scenes.geo_ground import LONLAT, converted

LAYER: Final = "areas"
_LITTLE_ENDIAN, _POLYGON = 1, 3
# GDAL writes this moment into a GeoPackage in place of the present one, so that equal maps are equal files.
_MOMENT = "1970-01-01T00:00:00Z"

_PIXELS = 'LOCAL_CS["pixels of the raster, which has no reference system",UNIT["pixel",1]]'
_UNITS = 'LOCAL_CS["coordinates of the raster, which has no reference system",UNIT["unknown",1]]'

Ring = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Area:
    """Cells of one class that hang together.

    Attributes:
        name: the class, or "none of these".
        rings: outline and holes in (column, row) of cells, (P, 2) each, closed.
        cells: number of cells.
        area: on the ground in m2, or None where it cannot be known.
        confidence: mean of the cells.
    """

    name: str
    rings: tuple[Ring, ...]
    cells: int
    area: float | None
    confidence: float

    def properties(self) -> dict[str, Any]:
        """Return the attributes that are written with the polygon."""
        area = None if self.area is None else round(self.area, 2)
        return {"class": self.name, "cells": self.cells, "area_m2": area, "confidence": round(self.confidence, 6)}


def areas_of(cells: Cells) -> list[Area]:
    """Return the areas of a map, by class and the largest first; cells without data are in none."""
    found = [
        (int(code), geometry)
        for geometry, code in shapes(cells.klass, mask=~cells.nodata, connectivity=4)
        if code != NODATA
    ]
    if not found:
        return []
    labels = rasterize(
        ((geometry, i + 1) for i, (_, geometry) in enumerate(found)), out_shape=cells.shape, fill=0, dtype=np.int32
    ).ravel()
    count = len(found) + 1
    sizes = np.bincount(labels, minlength=count)
    surer = np.bincount(labels, np.nan_to_num(cells.confidence).ravel().astype(np.float64), count)
    ground = None if cells.ground is None else np.bincount(labels, cells.ground.ravel(), count)
    areas = []
    for i, (code, geometry) in enumerate(found, start=1):
        rings = tuple(_every_corner(np.asarray(ring, np.float64)) for ring in geometry["coordinates"])
        name = NONE if code == REJECTED else cells.classes[code]
        area = None if ground is None else float(ground[i])
        areas.append(
            (code % (len(cells.classes) + 2), Area(name, rings, int(sizes[i]), area, float(surer[i] / sizes[i])))
        )
    areas.sort(key=lambda a: (a[0], -a[1].cells, a[1].rings[0][:, 1].min(), a[1].rings[0][0].tolist()))
    return [area for _, area in areas]


def _every_corner(ring: Ring) -> Ring:
    """Return a ring along the grid with a point at every corner of a cell, (P, 2), closed."""
    steps = np.diff(ring, axis=0)
    lengths = np.abs(steps).max(axis=1).astype(np.int64)
    along = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    dense = np.repeat(ring[:-1], lengths, axis=0) + np.repeat(np.sign(steps), lengths, axis=0) * along[:, None]
    return np.concatenate([dense, ring[:1]])


def write_geojson(areas: Sequence[Area], transform: Affine, crs: Any, path: Path, in_pixels: bool) -> None:
    """Write areas as GeoJSON: longitude and latitude (RFC 7946), or coordinates as they are where there is no system.

    Outlines run counterclockwise. Of an area over the antimeridian, longitudes go on beyond 180 degrees.

    Args:
        areas: what to write.
        transform: from (column, row) of cells to x and y.
        crs: the reference system of the map, or None.
        path: the file.
        in_pixels: whether a map without a reference system counts in pixels.
    """
    rings_of = [_on_map(area, transform) for area in areas]
    known = crs is not None and _to_degrees(rings_of, crs)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection",\n')
        if not known:
            # GDAL takes an absent system, and `null`, for longitude and latitude.
            name = (_PIXELS if in_pixels else _UNITS) if crs is None else crs.to_wkt()
            file.write(f'"crs": {json.dumps({"type": "name", "properties": {"name": name}})},\n')
        file.write('"features": [')
        for i, (area, rings) in enumerate(zip(areas, rings_of, strict=True)):
            feature = {
                "type": "Feature",
                "id": i + 1,
                "properties": area.properties(),
                "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in _wound(rings)]},
            }
            file.write(("," if i else "") + "\n" + json.dumps(feature, ensure_ascii=False))
        file.write("\n]}\n")


def _on_map(area: Area, transform: Affine) -> list[Ring]:
    return [np.stack(placed(transform, *ring.T), axis=1) for ring in area.rings]


def _to_degrees(rings_of: list[list[Ring]], crs: Any) -> bool:
    """Replace the rings by those in longitude and latitude, all in one conversion; False where there is none."""
    rings = [ring for area in rings_of for ring in area]
    if not rings:
        return True
    points = np.concatenate(rings)
    moved = np.stack(converted(crs, LONLAT, *points.T), axis=1)
    if np.isnan(moved).any():
        return False
    parts = iter(np.split(moved, np.cumsum([len(ring) for ring in rings])[:-1]))
    for area in rings_of:
        area[:] = [next(parts) for _ in area]
        west = min(ring[:, 0].min() for ring in area)
        if max(ring[:, 0].max() for ring in area) - west > 180:
            area[:] = [np.stack([ring[:, 0] + 360 * (ring[:, 0] < 0), ring[:, 1]], axis=1) for ring in area]
    return True


def _wound(rings: Sequence[Ring]) -> Iterator[Ring]:
    """Yield rings as RFC 7946 wants them: the outline counterclockwise, holes clockwise."""
    for i, ring in enumerate(rings):
        x, y = (ring - ring[0]).T
        left = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) > 0
        yield ring if left == (i == 0) else ring[::-1]


def can_write_geopackage() -> bool:
    """Return whether the extra that writes GeoPackages is installed."""
    try:
        _ = _pyogrio()
    except MissingExtraError:
        return False
    return True


def write_geopackage(areas: Sequence[Area], transform: Affine, crs: Any, style: str, path: Path) -> None:
    """Write areas as GeoPackage in the reference system of the map, with the style that QGIS opens it with.

    The same areas give the same bytes.

    Args:
        areas: what to write.
        transform: from (column, row) of cells to x and y.
        crs: the reference system of the map, or None.
        style: QGIS style.
        path: the file, `.gpkg`.

    Raises:
        MissingExtraError: the extra `gis` is not installed.
    """
    pyogrio = _pyogrio()
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _MOMENT})
    try:
        with warnings.catch_warnings():
            # A map without a reference system says so itself.
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            _write_layers(pyogrio.raw.write, areas, transform, crs, style, path)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _write_layers(write: Any, areas: Sequence[Area], transform: Affine, crs: Any, style: str, path: Path) -> None:
    geometry = np.empty(len(areas), object)
    geometry[:] = [_wkb(list(_wound(_on_map(area, transform)))) for area in areas]
    rows = [area.properties() for area in areas]
    known = all(row["area_m2"] is not None for row in rows)
    columns = {
        "class": np.array([row["class"] for row in rows], object),
        "cells": np.array([row["cells"] for row in rows], np.int64),
        "area_m2": np.array([row["area_m2"] if known else np.nan for row in rows], np.float64),
        "confidence": np.array([row["confidence"] for row in rows], np.float64),
    }
    form = {"driver": "GPKG", "encoding": "UTF-8"}
    write(
        path, geometry, list(columns.values()), list(columns), layer=LAYER, geometry_type="Polygon",
        crs=None if crs is None else crs.to_wkt(), promote_to_multi=False, **form,
    )  # fmt: skip
    # The table that QGIS keeps styles in, and reads the one in use from.
    styles: dict[str, Any] = {
        "f_table_catalog": "", "f_table_schema": "", "f_table_name": LAYER, "f_geometry_column": "geom",
        "styleName": "classes", "styleQML": style, "styleSLD": "", "useAsDefault": True, "description": "",
        "owner": "", "ui": "", "update_time": _MOMENT,
    }  # fmt: skip
    values = [np.array([v], bool if isinstance(v, bool) else object) for v in styles.values()]
    write(path, None, values, list(styles), layer="layer_styles", geometry_type=None, crs=None, append=True, **form)


def _wkb(rings: Sequence[Ring]) -> bytes:
    parts = [struct.pack("<BII", _LITTLE_ENDIAN, _POLYGON, len(rings))]
    for ring in rings:
        parts += [struct.pack("<I", len(ring)), np.ascontiguousarray(ring, "<f8").tobytes()]
    return b"".join(parts)


def _pyogrio() -> Any:
    try:
        import pyogrio
        import pyogrio.raw
    except ImportError as error:
        raise MissingExtraError(
            "GeoPackages need the extra 'gis': pip install 'zeroscene[gis]'; areas.geojson needs nothing more"
        ) from error
    return pyogrio
