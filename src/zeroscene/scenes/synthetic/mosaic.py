"""A georeferenced mosaic of scenes: a large GeoTIFF of which the class of every cell is known, for maps.

All cells have one ground sample distance and one light, as pictures of one flight have; cells of a class lie together
in regions. The place is arbitrary: nothing at those coordinates looks like this.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.windows import Window

from zeroscene import names
from zeroscene.errors import DataFormatError, OptionError
from zeroscene.files import read_json, replacing
from zeroscene.progress import Advance, progress
from zeroscene.scenes.synthetic.canvas import Light
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.world import CLASSES, Picture, drawable, known_classes, picture, whole

EPSG: Final = 32632
"""Code of the mosaic's reference system: UTM zone 32 north, metres."""

METRES: Final = 110.0
"""Side of a cell unless another is given: more classes have scenes of this size than of any other."""

NODATA: Final = 0

_WEST, _NORTH = 500_000.0, 5_400_000.0
_BLOCK = 256
# GDAL's block cache would grow to a share of the machine's memory.
_CACHE_MEGABYTES = 64
_FORMAT = "zeroscene-mosaic-1"
# Regions have as many cells as a square of this side on average; positions in them are counted in sixteenths of a cell.
_REGION, _FINE = 3, 16

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Mosaic:
    """A mosaic and the truth about it.

    Attributes:
        path: the GeoTIFF; the truth lies beside it under the same name with the suffix `.geojson`.
        classes: the classes that cells are drawn from.
        labels: (rows, columns) position of each cell's class in `classes`.
        seed: which of endlessly many mosaics.
        cell: side of a cell in pixels.
        border: width of the nodata border in pixels.
        metres: side of a cell in metres.
    """

    path: Path
    classes: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    seed: int
    cell: int
    border: int
    metres: float

    @property
    def truth(self) -> Path:
        """The file with class and outline of each cell."""
        return self.path.with_suffix(".geojson")

    @property
    def gsd(self) -> float:
        """Ground sample distance, metres a pixel."""
        return self.metres / self.cell

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the raster in pixels, border included."""
        rows, columns = self.labels.shape
        return 2 * self.border + rows * self.cell, 2 * self.border + columns * self.cell

    def label(self, row: int, column: int) -> str:
        """Return the class of a cell."""
        return self.classes[int(self.labels[row, column])]

    def window(self, row: int, column: int) -> tuple[slice, slice]:
        """Return the rows and columns of pixels that a cell covers."""
        top, left = self.border + row * self.cell, self.border + column * self.cell
        return slice(top, top + self.cell), slice(left, left + self.cell)

    def bounds(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return (west, south, east, north) of a cell in the reference system, metres."""
        down, right = self.window(row, column)
        return (
            _WEST + right.start * self.gsd,
            _NORTH - down.stop * self.gsd,
            _WEST + right.stop * self.gsd,
            _NORTH - down.start * self.gsd,
        )

    def draw(self, row: int, column: int) -> Picture:
        """Draw the scene of a cell again, with its attributes and their masks.

        Its pixels are those of the raster, except that the raster holds 1 where a channel is 0, which means no data.
        """
        label = self.label(row, column)
        random = Random(f"zeroscene mosaic/{self.seed}/{row}/{column}")
        composition = replace(RULES[label].compose(random), metres=self.metres)
        light = Light.draw(Random(f"zeroscene mosaic light/{self.seed}"))
        return picture(label, composition.draw(random, self.cell, light))

    @classmethod
    def read(cls, path: Path) -> "Mosaic":
        """Return the mosaic of a GeoTIFF that `write_mosaic` wrote, from the truth beside it.

        Raises:
            DatasetNotFoundError: there is no truth beside it.
            DataFormatError: the file beside it is not the truth about a mosaic.
        """
        value = read_json(path.with_suffix(".geojson"))
        try:
            given = value["zeroscene"]
            classes = tuple(given["classes"])
            labels = np.empty((given["rows"], given["columns"]), np.int64)
            for feature in value["features"]:
                cell = feature["properties"]
                labels[cell["row"], cell["column"]] = classes.index(cell["class"])
            return cls(path, classes, labels, given["seed"], given["cell"], given["border"], given["metres"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataFormatError(
                f"{path.with_suffix('.geojson')} is not the truth about a mosaic of scenes; write both again"
            ) from error


def fitting(metres: float) -> tuple[str, ...]:
    """Return the classes that have scenes of a side in metres."""
    return tuple(name for name in CLASSES if RULES[name].metres[0] <= metres <= RULES[name].metres[1])


def write_mosaic(
    path: Path,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    rows: int = 12,
    columns: int = 16,
    cell: int = 128,
    metres: float = METRES,
    border: int = 64,
) -> Mosaic:
    """Write a mosaic and the truth beside it, both whole or not at all; memory grows with the width alone.

    The file is a tiled GeoTIFF of three 8-bit bands in UTM. Nodata is 0 and stands in the border only: a channel of a
    scene that would be 0 is 1. The same arguments give the same bytes.

    Args:
        path: the file, `.tif`.
        classes: what cells show; all classes that have scenes of `metres` where none are given.
        seed: which of endlessly many mosaics.
        rows: number of cells from north to south.
        columns: number of cells from west to east.
        cell: side of a cell in pixels, 16 or more.
        metres: side of a cell in metres.
        border: width of the nodata border in pixels.

    Raises:
        OptionError: a number is not whole or out of range, another suffix, or a class has no scenes of this size.
        UnknownNameError: there is no such class; the nearest ones are named.
        DuplicateNameError: a class is given twice.
        StoreError: the place cannot be written.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OptionError(f"cannot write {path.name}: a mosaic is a GeoTIFF, .tif")
    for what, value, least in (("rows", rows, 1), ("columns", columns, 1), ("border", border, 0)):
        if whole(what, value) < least:
            raise OptionError(f"{what} {value} is out of range; give {least} or more")
    wanted = _wanted(classes, metres)
    labels = _regions(len(wanted), whole("seed", seed), rows, columns)
    mosaic = Mosaic(path, wanted, labels, int(seed), drawable(cell), int(border), float(metres))
    # The truth goes first: where there is a mosaic, there is its truth.
    with replacing(path) as raster, replacing(mosaic.truth) as truth:
        with truth.open("w", encoding="utf-8", newline="\n") as file:
            _write_truth(file, mosaic)
        with progress("drawing", rows * columns, "cells") as advance:
            _write_raster(raster, mosaic, advance)
    return mosaic


def _wanted(classes: Sequence[str] | None, metres: float) -> tuple[str, ...]:
    if classes is None:
        if not fitting(metres):
            raise OptionError(f"no class has scenes {metres:g} m wide; give a side like {METRES:g} m")
        return fitting(metres)
    wanted = known_classes(classes)
    names.index(wanted, "classes of the mosaic")
    if not wanted:
        raise OptionError("a mosaic needs at least one class")
    for name in wanted:
        if name not in fitting(metres):
            least, most = RULES[name].metres
            raise OptionError(
                f"scenes of class {name!r} are {least:g} to {most:g} m wide, the cells {metres:g} m; "
                "leave the class out, or give cells another side"
            )
    return wanted


def _regions(classes: int, seed: int, rows: int, columns: int) -> npt.NDArray[np.int64]:
    """Return the class of each cell, (rows, columns): that of the nearest of some sites, one in each square of cells.

    Whole numbers throughout, so that it is the same on every machine.
    """
    random = Random(f"zeroscene mosaic regions/{seed}")
    down, across, side = -(-rows // _REGION), -(-columns // _REGION), _REGION * _FINE
    count = down * across
    order: list[int] = []
    while len(order) < count:
        order += random.sample(range(classes), classes)
    site_class = np.array(order[:count]).reshape(down, across)
    shift = np.array([random.randrange(side) for _ in range(2 * count)]).reshape(2, down, across)
    y, x = np.mgrid[:rows, :columns]
    nearest = np.full((rows, columns), np.iinfo(np.int64).max)
    labels = np.zeros((rows, columns), np.int64)
    # Cell centres are odd multiples of half a cell; a nearer site than those of 5 x 5 squares there cannot be.
    for i in range(-2, 3):
        for j in range(-2, 3):
            sy, sx = y // _REGION + i, x // _REGION + j
            there = (sy >= 0) & (sy < down) & (sx >= 0) & (sx < across)
            sy, sx = sy.clip(0, down - 1), sx.clip(0, across - 1)
            dy = sy * side + shift[0, sy, sx] - (y * _FINE + _FINE // 2)
            dx = sx * side + shift[1, sy, sx] - (x * _FINE + _FINE // 2)
            distance = dy * dy + dx * dx
            closer = there & (distance < nearest)
            nearest[closer] = distance[closer]
            labels[closer] = site_class[sy, sx][closer]
    return labels


def _write_truth(file: TextIO, mosaic: Mosaic) -> None:
    rows, columns = mosaic.labels.shape
    known: dict[str, Any] = {
        "format": _FORMAT, "classes": list(mosaic.classes), "seed": mosaic.seed, "rows": rows, "columns": columns,
        "cell": mosaic.cell, "border": mosaic.border, "metres": mosaic.metres,
    }  # fmt: skip
    reference = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{EPSG}"}}
    file.write('{"type": "FeatureCollection",\n')
    file.write(f'"crs": {json.dumps(reference)},\n"zeroscene": {json.dumps(known)},\n"features": [')
    for row, column in np.ndindex(rows, columns):
        west, south, east, north = mosaic.bounds(row, column)
        outline = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        feature = {
            "type": "Feature",
            "properties": {"row": row, "column": column, "class": mosaic.label(row, column)},
            "geometry": {"type": "Polygon", "coordinates": [outline]},
        }
        file.write(("," if row or column else "") + "\n" + json.dumps(feature))
    file.write("\n]}\n")


def _write_raster(path: Path, mosaic: Mosaic, advance: Advance) -> None:
    height, width = mosaic.shape
    form = {
        "driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8", "crs": f"EPSG:{EPSG}",
        "transform": Affine(mosaic.gsd, 0, _WEST, 0, -mosaic.gsd, _NORTH), "nodata": NODATA, "tiled": True,
        "blockxsize": _BLOCK, "blockysize": _BLOCK, "compress": "deflate", "predictor": 2, "zlevel": 1,
        "interleave": "pixel", "photometric": "rgb", "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES), rasterio.open(path, "w", **form) as file:
        top = 0
        for strip in _strips(_bands(mosaic, advance)):
            file.write(strip.transpose(2, 0, 1), window=Window(0, top, width, len(strip)))
            top += len(strip)


def _bands(mosaic: Mosaic, advance: Advance) -> Iterator[Bytes]:
    """Yield the mosaic from top to bottom: the border, then one row of cells after the other."""
    rows, columns = mosaic.labels.shape
    width = mosaic.shape[1]
    yield np.full((mosaic.border, width, 3), NODATA, np.uint8)
    for row in range(rows):
        band = np.full((mosaic.cell, width, 3), NODATA, np.uint8)
        for column in range(columns):
            band[:, mosaic.window(row, column)[1]] = np.maximum(mosaic.draw(row, column).pixels, NODATA + 1)
            advance(1)
        yield band
    yield np.full((mosaic.border, width, 3), NODATA, np.uint8)


def _strips(bands: Iterator[Bytes]) -> Iterator[Bytes]:
    """Yield the same rows in strips as high as the file's blocks, so that each block is written once."""
    held: list[Bytes] = []
    count = 0
    for band in bands:
        held.append(band)
        count += len(band)
        while count >= _BLOCK:
            joined = np.concatenate(held)
            yield joined[:_BLOCK]
            held, count = [joined[_BLOCK:]], count - _BLOCK
    if count:
        yield np.concatenate(held)
