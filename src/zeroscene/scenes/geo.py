"""GeoRaster: a georeferenced raster of any kind, its facts read once, its pixels read window by window as 8-bit RGB."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from zeroscene.errors import OptionError
from zeroscene.files import digest, json_digest
from zeroscene.scenes import geo_source
from zeroscene.scenes.geo_ground import metres_of_pixel
from zeroscene.scenes.geo_sample import Sample, sample
from zeroscene.scenes.geo_values import Mask, Palette, Picture, as_picture, blackened, palette_of, range_of

Stretch = Literal["percentiles"] | tuple[float, float]

_FORMAT: Final = "zeroscene-raster-1"


@dataclass(frozen=True)
class GeoRaster:
    """What is known of a raster, and how its values become pixels; opened with `GeoRaster.open`.

    Attributes:
        path: the file.
        width: columns of pixels.
        height: rows of pixels.
        crs: the reference system, or None for a raster that lies nowhere: its map is in pixels.
        transform: from (column, row) to coordinates of the system; the identity where there is none.
        bands: the bands that are red, green and blue, or the one that is grey or has a palette; from 1.
        dtype: type of the values.
        stretch: (low, high) value that become 0 and 255, one range for the whole raster and all its bands; None where
            bytes are taken as they are.
        gsd: ground sample distance, metres a pixel (across, down), or None where it cannot be known.
        block: (height, width) of the blocks that are decoded as one.
        fingerprint: digest of the facts, of how values become pixels, and of the content: of a sample, and of the
            length of each block of a compressed TIFF, which tells changes anywhere without reading it, or of all bytes
            of another file. Name, place and time of the file do not count: a raster that moves stays the same.
    """

    path: Path
    width: int
    height: int
    crs: CRS | None
    transform: Affine
    bands: tuple[int, ...]
    dtype: str
    stretch: tuple[float, float] | None
    gsd: tuple[float, float] | None
    block: tuple[int, int]
    fingerprint: str
    bits: int = 8
    nodata: tuple[float | None, ...] = ()
    mask: geo_source.MaskKind = None
    palette: Palette | None = field(default=None, repr=False, compare=False)
    driver: str = "GTiff"

    @classmethod
    def open(cls, path: str | Path, bands: Sequence[int] | None = None, stretch: Stretch | None = None) -> Self:
        """Return a raster: GeoTIFF (tiled, striped, BigTIFF, COG), VRT, JPEG 2000, PNG, JPEG or Erdas HFA.

        Args:
            path: the file.
            bands: three bands that are shown as red, green and blue, or one that is shown as grey; from 1. None for
                those the file itself calls red, green and blue, else the first three, of two bands the first. An alpha
                band is never among them.
            stretch: None for bytes as they are and other values between `geo_values.PERCENTILES` of a sample of the
                valid ones; "percentiles" for bytes too; (low, high) for a range of one's own.

        Raises:
            DatasetNotFoundError: there is no such file.
            PictureError: it is no raster, is cut off, has no bands, complex values, blocks too large to be held, a
                transform without extent, or is placed by control points only.
            OptionError: there is no such band, neither one nor three are given, or a range without extent.
        """
        path = Path(path)
        with geo_source.opened(path) as source:
            facts = geo_source.read_facts(path, source, bands)
            given = _given_range(stretch, facts)
            seen = sample(path, source, facts, wanted=given is None and _needs_range(stretch, facts))
            crs, transform = geo_source.georeference(path, source)
            palette = palette_of(source.colormap(facts.bands[0])) if facts.paletted else None
        found = given or (range_of(seen.known) if _needs_range(stretch, facts) else None)
        return cls(
            path, facts.width, facts.height, crs, transform, facts.bands, facts.dtype, found,
            metres_of_pixel(crs, transform, facts.width, facts.height),
            facts.block, _fingerprint(facts, crs, transform, found, palette, seen),
            facts.bits, facts.nodata, facts.mask, palette, facts.driver,
        )  # fmt: skip

    def read(self, window: tuple[int, int, int, int]) -> tuple[Picture, Mask]:
        """Return the pixels of a window, (h, w, 3) uint8, and which of them have data, (h, w).

        Pixels without data, and those beyond the raster, are black.

        Args:
            window: (row, column, height, width) in pixels; it may reach beyond the raster on any side.

        Raises:
            PictureError: the file cannot be decoded there.
        """
        with closing(self.reader()) as reader:
            return reader.read(window)

    def reader(self) -> "Reader":
        """Return a reader that keeps the file open until it is closed, for one thread at a time.

        Raises:
            DatasetNotFoundError: the file is no longer there.
            PictureError: it is no longer a raster.
        """
        return Reader(self)


class Reader:
    """An open raster; readers of one raster are independent, and each is for one thread at a time."""

    def __init__(self, raster: GeoRaster):
        self.raster = raster
        self._source = geo_source.opened(raster.path)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def read(self, window: tuple[int, int, int, int]) -> tuple[Picture, Mask]:
        """Return the pixels of a window and which of them have data, as `GeoRaster.read` does."""
        row, column, height, width = window
        raster = self.raster
        top, left = min(max(row, 0), raster.height), min(max(column, 0), raster.width)
        bottom, right = min(max(row + height, top), raster.height), min(max(column + width, left), raster.width)
        if (top, left, bottom, right) == (row, column, row + height, column + width):
            return self._inside(top, left, height, width)
        pixels, valid = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.bool_)
        if bottom > top and right > left:
            there = slice(top - row, bottom - row), slice(left - column, right - column)
            pixels[there], valid[there] = self._inside(top, left, bottom - top, right - left)
        return pixels, valid

    def _inside(self, top: int, left: int, height: int, width: int) -> tuple[Picture, Mask]:
        raster = self.raster
        values, valid, _ = geo_source.read_values(
            raster.path, self._source, raster.bands, raster.nodata, raster.mask, Window(left, top, width, height)
        )
        if raster.palette is None:
            return as_picture(values, valid, raster.stretch, raster.bits), valid
        colours = raster.palette[values[0]]
        valid &= colours[..., 3] > 0
        return blackened(np.ascontiguousarray(colours[..., :3]), valid), valid


def _needs_range(stretch: Stretch | None, facts: geo_source.Facts) -> bool:
    return not facts.paletted and (stretch is not None or facts.dtype != "uint8")


def _given_range(stretch: Stretch | None, facts: geo_source.Facts) -> tuple[float, float] | None:
    if stretch is None or stretch == "percentiles" or facts.paletted:
        return None
    if isinstance(stretch, str):
        raise OptionError(f"stretch {stretch!r} is not known; give 'percentiles', or a lowest and a highest value")
    low, high = (float(value) for value in stretch)
    if not (np.isfinite([low, high]).all() and low < high):
        raise OptionError(f"stretch from {low:g} to {high:g} has no extent; give a lowest and a highest value")
    return low, high


def _fingerprint(
    facts: geo_source.Facts,
    crs: CRS | None,
    transform: Affine,
    stretch: tuple[float, float] | None,
    palette: Palette | None,
    seen: Sample,
) -> str:
    return json_digest(
        [
            _FORMAT, facts.width, facts.height, facts.dtype, facts.bits, list(facts.bands), repr(facts.nodata),
            facts.mask, None if crs is None else crs.to_wkt(), list(transform)[:6], stretch,
            None if palette is None else digest(palette.tobytes()), seen.digest, facts.content,
        ]
    )  # fmt: skip
