"""A map as one cloud optimised GeoTIFF: class, confidence, margin and valid share, with names and colours of classes.

All bands are float32, for a TIFF has one type and one nodata value: whole numbers are exact in it, and so a map that
is read is the map that was written. Band 1 holds codes: 0 is "none of these", 1 the first class, and so on; -1 is
nodata in the first three bands. A palette inside a TIFF is allowed in files of one band alone; the colours lie beside
it in GDAL's `.aux.xml`, and the names of the classes both there and inside.
"""

import json
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from zeroscene.errors import DataFormatError, DatasetNotFoundError
from zeroscene.maps.cells import NODATA, NONE, REJECTED, Cells, Codes
from zeroscene.maps.colours import REJECTED_COLOUR, class_colours
from zeroscene.maps.style import Entry, raster_attributes

BANDS: Final = ("class", "confidence", "margin", "share")
FORMAT: Final = "zeroscene-map-1"
ASIDE: Final = ".aux.xml"
_FILLED = -1.0
_BLOCK = 256
_FIRST = 1  # code of the first class


def legend(cells: Cells) -> list[Entry]:
    """Return the legend of all codes, "none of these" first."""
    colours = class_colours(cells.classes)
    known = [Entry(i + _FIRST, name, colours[name]) for i, name in enumerate(cells.classes)]
    return [Entry(0, NONE, REJECTED_COLOUR), *known]


def present(cells: Cells) -> list[Entry]:
    """Return the legend of the codes that cells have."""
    found = set(np.unique(_codes(cells)).tolist())
    return [entry for entry in legend(cells) if entry.code in found]


def _codes(cells: Cells) -> Codes:
    codes = cells.klass + np.int16(_FIRST)
    codes[cells.klass == REJECTED] = 0
    codes[cells.klass == NODATA] = _FILLED
    return codes


def write_raster(cells: Cells, path: Path) -> None:
    """Write a map as a GeoTIFF, and names and colours of its classes beside it; overviews keep one cell of four.

    The same map gives the same bytes.

    Args:
        cells: the map.
        path: the file, `.tif`.
    """
    rows, columns = cells.shape
    form = {
        "driver": "COG", "height": rows, "width": columns, "count": len(BANDS), "dtype": "float32", "nodata": _FILLED,
        "crs": cells.crs, "transform": cells.transform, "compress": "deflate", "predictor": "yes", "blocksize": _BLOCK,
        "overview_resampling": "nearest", "bigtiff": "if_safer",
    }  # fmt: skip
    bands = [np.nan_to_num(band, nan=_FILLED) for band in (cells.confidence, cells.margin)]
    entries = legend(cells)
    # Without a reference system the map counts in pixels, as it says itself.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **form) as file:
            file.write(np.stack([_codes(cells).astype(np.float32), *bands, cells.share]))
            file.descriptions = BANDS
            file.update_tags(FORMAT=FORMAT, CLASSES=json.dumps(list(cells.classes), ensure_ascii=False))
            file.update_tags(COVERED=json.dumps(cells.covered))
            file.update_tags(1, **{f"CLASS_{entry.code}": entry.name for entry in entries})
    path.with_name(path.name + ASIDE).write_text(raster_attributes(entries), encoding="utf-8", newline="\n")


def read_raster(path: Path) -> Cells:
    """Read a map that `write_raster` wrote, to the bit; without provenance.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: it is not the raster of a map, or damaged.
    """
    if not path.is_file():
        raise DatasetNotFoundError(f"no such file: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                if file.tags().get("FORMAT") != FORMAT or file.count != len(BANDS):
                    raise DataFormatError(f"{path} is a raster, but not the map of scene classes of this version")
                classes = tuple(json.loads(file.tags()["CLASSES"]))
                covered = json.loads(file.tags()["COVERED"])
                codes, confidence, margin, share = file.read()
                transform, crs = file.transform, file.crs
    except RasterioError as error:
        raise DataFormatError(f"{path} is damaged: {error}; make the map again") from error
    klass = codes.astype(np.int16) - np.int16(_FIRST)
    klass[codes == 0] = REJECTED
    data = codes != _FILLED
    klass[~data] = NODATA
    confidence, margin = (np.where(data, band, np.float32(np.nan)) for band in (confidence, margin))
    return Cells(classes, klass, confidence, margin, share, transform, crs, covered=covered and tuple(covered))
