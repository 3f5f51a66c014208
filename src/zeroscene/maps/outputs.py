"""The folder of a map: all of its files agree, and it never holds half of them under the look of a whole.

Files are made in a hidden folder beside their places and renamed when all are there. `run.json` goes first and comes
last: where it stands, the map is whole.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rasterio.errors import RasterioError

from zeroscene.errors import DataFormatError, DatasetNotFoundError, StoreError
from zeroscene.files import TEMPORARY_PREFIX, read_json, write_json, write_text
from zeroscene.maps import cog, preview, style, vector
from zeroscene.maps.cells import Cells
from zeroscene.maps.colours import class_colours

RASTER: Final = "map.tif"
RUN: Final = "run.json"
FILES: Final[Mapping[str, str]] = {
    RASTER: "cloud optimised GeoTIFF: class (0 is none of these, then the classes in order), confidence, margin, share",
    RASTER + cog.ASIDE: "names, colours and attribute table of the class band, read by GDAL with the GeoTIFF",
    "map.qml": "QGIS style of the GeoTIFF; QGIS finds it by itself",
    "areas.geojson": "areas of one class as polygons, longitude and latitude (WGS84)",
    "areas.gpkg": "areas of one class as polygons in the reference system of the map, with the QGIS style inside",
    "areas.qml": "QGIS style of the areas; QGIS finds it by itself",
    "preview.png": "picture of the map with its legend",
}
"""What the files of a map are, but for `run.json`; `areas.gpkg` needs the extra `gis`."""

_STAGE = TEMPORARY_PREFIX + "map"


def check_folder(folder: Path) -> None:
    """Make sure that a map can be written into a folder; make the folder.

    Hidden entries are passed over, and so is everything else in the folder of a map.

    Raises:
        StoreError: it is a file, cannot be written, or holds other things than a map.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        there = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise StoreError(
            f"cannot write the map into {folder}: {error.strerror or error}; give another folder"
        ) from error
    begun = (folder / _STAGE).is_dir()
    if there and not begun and not _is_map(folder):
        raise StoreError(f"{folder} holds other things than a map ({there[0]}, ...); give a new or empty folder")


def _is_map(folder: Path) -> bool:
    try:
        value = read_json(folder / RUN)
    except (DatasetNotFoundError, DataFormatError, OSError):
        return False
    return isinstance(value, dict) and value.get("format") == cog.FORMAT


def write_folder(cells: Cells, folder: Path) -> list[Path]:
    """Write all files of a map, whole or not at all; return the paths, `run.json` last.

    A map that is there is replaced. The same map gives the same bytes.

    Args:
        cells: the map.
        folder: a new or empty folder, or that of another map.

    Raises:
        StoreError: the folder holds other things, or cannot be written.
    """
    check_folder(folder)
    stage = folder / _STAGE
    try:
        stage.mkdir(exist_ok=True)  # never removed here: where it stands, a run that was killed meant this folder
        for leftover in stage.iterdir():
            leftover.unlink()
        _write_all(cells, stage)
        made = [name for name in FILES if (stage / name).exists()]
        for name in (*made, RUN):
            _flush(stage / name)
        (folder / RUN).unlink(missing_ok=True)
        for name in FILES:
            if name in made:
                (stage / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        (stage / RUN).replace(folder / RUN)
    except (OSError, RasterioError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StoreError(f"cannot write the map into {folder}: {reason}") from error
    finally:
        if (folder / RUN).exists() or not any((folder / name).exists() for name in FILES):
            shutil.rmtree(stage, ignore_errors=True)
    return [folder / name for name in (*made, RUN)]


def _write_all(cells: Cells, stage: Path) -> None:
    cog.write_raster(cells, stage / RASTER)
    shown = cog.present(cells)
    write_text(stage / "map.qml", style.raster_style(shown))
    write_text(stage / "areas.qml", style.area_style(shown))
    areas = vector.areas_of(cells)
    vector.write_geojson(areas, cells.transform, cells.crs, stage / "areas.geojson", cells.in_pixels)
    if vector.can_write_geopackage():
        qml = style.area_style(shown)
        vector.write_geopackage(areas, cells.transform, cells.crs, qml, stage / "areas.gpkg")
    preview.write_png(cells, stage / "preview.png")
    write_json(stage / RUN, _run(cells, {name: what for name, what in FILES.items() if (stage / name).exists()}))


def _run(cells: Cells, files: Mapping[str, str]) -> dict[str, Any]:
    known: dict[str, Any] = {
        "format": cog.FORMAT,
        "files": dict(files),
        "classes": list(cells.classes),
        "colours": class_colours(cells.classes),
        "rows": cells.shape[0],
        "columns": cells.shape[1],
        "transform": list(cells.transform[:6]),
        "crs": cells.crs_name,
        "cells": cells.counts(),
        "cells_without_data": int(cells.nodata.sum()),
        "area_m2": None if cells.ground is None else {k: round(v, 2) for k, v in cells.areas().items()},
        "provenance": json.loads(json.dumps(dict(cells.provenance))),
    }
    if cells.crs is None:
        units = "pixels of the raster" if cells.in_pixels else "what its transform gives, in units that have no name"
        known["note"] = f"the raster has no reference system: x and y of all files are {units}"
    return known


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def read_folder(folder: Path) -> Cells:
    """Read the map of a folder, to the bit.

    Raises:
        DatasetNotFoundError: there is no map, or writing it was interrupted.
        DataFormatError: a file is damaged, or not of a map.
    """
    if not folder.is_dir():
        raise DatasetNotFoundError(f"no such folder: {folder}")
    if not (folder / RUN).exists():
        halted = (folder / _STAGE).exists()
        what = "writing the map was interrupted; make it again" if halted else f"no map ({RUN} is absent)"
        raise DatasetNotFoundError(f"{folder} holds {what}" if not halted else f"{folder}: {what}")
    run = read_json(folder / RUN)
    if not isinstance(run, dict) or run.get("format") != cog.FORMAT:
        raise DataFormatError(f"{folder / RUN} is not about a map of scene classes of this version")
    cells = cog.read_raster(folder / RASTER)
    if list(cells.classes) != run.get("classes") or not isinstance(run.get("provenance"), dict):
        raise DataFormatError(f"{folder / RUN} is about another map than {RASTER} beside it; make the map again")
    return Cells(
        cells.classes, cells.klass, cells.confidence, cells.margin, cells.share, cells.transform, cells.crs,
        run["provenance"], cells.covered,
    )  # fmt: skip
