"""Raster files through GDAL: opened with care, checked, and read as plain values with their mask."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from zeroscene.errors import DatasetNotFoundError, OptionError, PictureError
from zeroscene.files import digest, file_digest
from zeroscene.scenes.geo_values import Mask, Values, valid_values

# Set once for the process because `warnings.catch_warnings` is not safe in the threads that decode.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

MaskKind = Literal["alpha", "mask"] | None

# The driver follows from the content; no other is tried, so that no file can name one that asks the network.
_SIGNATURES: Final = (
    (b"II*\0", "GTiff"), (b"MM\0*", "GTiff"), (b"II+\0", "GTiff"), (b"MM\0+", "GTiff"), (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"), (b"\0\0\0\x0cjP", "JP2OpenJPEG"), (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
    (b"EHFA_HEADER_TAG", "HFA"),
)  # fmt: skip
_HEAD: Final = 1024
_ENVIRONMENT: Final = {
    # GDAL's block cache would grow to a share of the machine's memory while a huge raster streams through it.
    "GDAL_CACHEMAX": 64,
    # A VRT can name any address and any code: nothing is downloaded or run because a file says so.
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_VRT_ENABLE_PYTHON": "NO",
}
_LARGEST_BLOCK = 256 * 2**20  # bytes
# A VRT has no blocks: those it states are far smaller than those of its sources, each of which would be decoded often.
_VRT_BLOCK = 1024
_ASIDE = (".aux.xml", ".ovr")


@dataclass(frozen=True)
class Facts:
    """What a file says of itself and of the bands that are read.

    Attributes:
        width: columns of pixels.
        height: rows of pixels.
        bands: the bands that are read, one or three.
        dtype: type of their values.
        bits: of a byte that hold a value.
        nodata: value of each of the bands that stands for none.
        mask: whether an alpha band or a mask says where there is data.
        paletted: whether the values are positions in a palette.
        block: (height, width) of a block.
        driver: GDAL's name of the format.
        content: digest that a change of the content anywhere moves: of the lengths of all blocks of a compressed TIFF,
            else of all bytes of the file, and of those that a VRT is made of.
    """

    width: int
    height: int
    bands: tuple[int, ...]
    dtype: str
    bits: int
    nodata: tuple[float | None, ...]
    mask: MaskKind
    paletted: bool
    block: tuple[int, int]
    driver: str
    content: str


def opened(path: Path) -> Any:
    """Return the open raster, to be closed by the caller.

    Raises:
        DatasetNotFoundError: there is no such file.
        PictureError: it is no raster, or a part of it cannot be read.
    """
    if not path.is_file():
        what = "is a folder; give one raster file" if path.is_dir() else "does not exist"
        raise DatasetNotFoundError(f"{path} {what}")
    driver = _driver(path)
    with rasterio.Env(**_ENVIRONMENT):
        try:
            return rasterio.open(path.absolute(), driver=driver)
        except RasterioError as error:
            if driver == "VRT" and b"<VRTRasterBand" not in path.read_bytes():
                raise PictureError(f"{path}: the raster has no bands; give one that holds pixels") from error
            raise PictureError(f"{path}: the file ({driver}) is cut off or damaged; copy or write it again") from error


def _driver(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    if not head:
        raise PictureError(f"{path}: the file is empty (0 bytes)")
    if b"<VRTDataset" in head:
        return "VRT"
    for signature, driver in _SIGNATURES:
        if head.startswith(signature):
            return driver
    raise PictureError(f"{path}: not a raster that can be read (GeoTIFF, VRT, JPEG 2000, PNG, JPEG or Erdas HFA)")


def read_facts(path: Path, source: Any, bands: Sequence[int] | None) -> Facts:
    """Return the facts of an open raster.

    Raises:
        PictureError: no bands, complex values, inks, blocks too large to be held, or a TIFF that is cut off.
        OptionError: there is no such band, or neither one nor three are given.
    """
    if source.count == 0 or source.width == 0 or source.height == 0:
        raise PictureError(f"{path}: the raster has no bands; give one that holds pixels{_parts_of(source)}")
    chosen = _chosen(path, source, bands)
    types = {np.dtype(source.dtypes[band - 1]) for band in chosen}
    if any(np.issubdtype(kind, np.complexfloating) for kind in types):
        raise PictureError(f"{path}: the values are complex numbers; write amplitudes or decibels to a raster first")
    dtype = np.result_type(*types)
    height, width = source.block_shapes[chosen[0] - 1]
    if height * width * len(chosen) * dtype.itemsize > _LARGEST_BLOCK:
        raise PictureError(
            f"{path}: blocks of {width} x {height} pixels are too large to be held; store it tiled "
            "(gdal_translate -co TILED=YES)"
        )
    if source.driver == "VRT":
        height, width = min(max(height, _VRT_BLOCK), source.height), min(max(width, _VRT_BLOCK), source.width)
    paletted = len(chosen) == 1 and source.colorinterp[chosen[0] - 1] == ColorInterp.palette
    lengths = _block_lengths(path, source, chosen) if source.driver == "GTiff" else ""
    content = lengths if lengths and source.compression is not None else _contents(path, source)
    return Facts(
        source.width, source.height, chosen, dtype.name, _bits(source, chosen[0], dtype),
        tuple(source.nodatavals[band - 1] for band in chosen), _mask_kind(source, chosen[0]), paletted,
        (height, width), source.driver, content,
    )  # fmt: skip


def _parts_of(source: Any) -> str:
    return f" (one of its parts: {source.subdatasets[0]})" if source.subdatasets else ""


def _chosen(path: Path, source: Any, bands: Sequence[int] | None) -> tuple[int, ...]:
    kinds = source.colorinterp
    if bands is not None:
        if len(bands) not in (1, 3):
            raise OptionError(f"{len(bands)} bands are given; give three for red, green and blue, or one for grey")
        for band in bands:
            if not 1 <= band <= source.count:
                has = "one band" if source.count == 1 else f"bands 1 to {source.count}"
                raise OptionError(f"there is no band {band}: {path} has {has}")
        return tuple(int(band) for band in bands)
    if ColorInterp.cyan in kinds and source.count >= 4:
        raise PictureError(f"{path}: the bands are inks (CMYK); convert it to red, green and blue first")
    colours = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(colour in kinds for colour in colours):
        return tuple(kinds.index(colour) + 1 for colour in colours)
    shown = [band for band, kind in enumerate(kinds, 1) if kind != ColorInterp.alpha]
    if not shown:
        raise PictureError(f"{path}: its only band is an alpha band, which shows nothing")
    return tuple(shown[:3]) if len(shown) >= 3 else (shown[0],)


def _bits(source: Any, band: int, dtype: np.dtype[Any]) -> int:
    return int(source.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", 8)) if dtype == np.uint8 else 8


def _mask_kind(source: Any, band: int) -> MaskKind:
    if ColorInterp.alpha in source.colorinterp:
        return "alpha"
    return "mask" if MaskFlags.per_dataset in source.mask_flag_enums[band - 1] else None


def _block_lengths(path: Path, source: Any, bands: Sequence[int]) -> str:
    """Return the digest of the lengths of all blocks, which a change anywhere in a compressed file moves."""
    height, width = source.block_shapes[bands[0] - 1]
    end = path.stat().st_size
    pixelwise = source.interleaving is not None and source.interleaving.value.lower() == "pixel"
    lengths: list[str] = []
    for band in bands[:1] if pixelwise else bands:
        for row in range(-(-source.height // height)):
            for column in range(-(-source.width // width)):
                length = source.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band)
                lengths.append(length or "")
                offset = length and source.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=band)
                if offset and int(offset) + int(length) > end:
                    raise PictureError(
                        f"{path}: the TIFF is cut off: pixels from row {row * height} on are missing; copy or write "
                        "it again"
                    )
    return digest(" ".join(lengths))


def _contents(path: Path, source: Any) -> str:
    """Return the digest of a file, and of the files that it is made of, but for what others write beside them."""
    parts = [Path(name) for name in source.files if not name.endswith(_ASIDE)] or [path]
    return digest(*(file_digest(part) for part in parts if part.is_file()))


def georeference(path: Path, source: Any) -> tuple[CRS | None, Affine]:
    """Return the reference system and the transform; without both together there is no system.

    Raises:
        PictureError: a transform without extent, or a place known only from control points or polynomials.
    """
    crs, transform = source.crs or None, source.transform
    if transform == Affine.identity():
        kind = "ground control points" if source.gcps[0] else "rational polynomials (RPC)" if source.rpcs else ""
        if kind:
            raise PictureError(
                f"{path}: the raster is placed by {kind} only; warp it to a map projection first "
                "(gdalwarp -t_srs EPSG:... in.tif out.tif)"
            )
        return None, transform
    if not all(isfinite(v) for v in transform) or transform.determinant == 0:
        raise PictureError(
            f"{path}: its transform {tuple(transform)[:6]} gives pixels a size of zero; set the bounds again "
            "(gdal_edit.py -a_ullr)"
        )
    return crs, transform


def read_values(
    path: Path,
    source: Any,
    bands: Sequence[int],
    nodata: Sequence[float | None],
    mask: MaskKind,
    window: Window,
) -> tuple[Values, Mask, Mask]:
    """Return the values of a window inside the raster, (B, h, w), where pixels have data, and where each band has.

    Raises:
        PictureError: the file cannot be decoded there.
    """
    try:
        with rasterio.Env(**_ENVIRONMENT):
            # With the bands, not after them: its blocks are theirs, and would be decoded twice.
            alpha = [source.colorinterp.index(ColorInterp.alpha) + 1] if mask == "alpha" else []
            read = source.read([*bands, *alpha], window=window)
            values = read[: len(bands)]
            valid, known = valid_values(values, nodata)
            if alpha:
                valid &= read[-1] > 0
            elif mask == "mask":
                valid &= source.read_masks(bands[0], window=window) > 0
    except (RasterioError, OSError, ValueError) as error:
        first, last = window.row_off, window.row_off + window.height - 1
        raise PictureError(
            f"{path}: rows {first} to {last} cannot be decoded, the file (or one it refers to) is cut off or damaged: "
            f"{_innermost(error)}"
        ) from error
    return values, valid, known


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
