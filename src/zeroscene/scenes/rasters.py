"""Raster files of any band count and value type to 8-bit RGB, read at the size that is wanted."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning

# Most benchmark TIFFs carry no coordinates and none are read here. The filter is set once for the process because
# `warnings.catch_warnings` is not safe in the threads that decode.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

STRETCH_PERCENTILES = (2.0, 98.0)
"""Values of more than 8 bits are stretched between these percentiles of the picture's own valid values."""

_LARGEST_BLOCK = 256 * 2**20
# GDAL's block cache would grow to a share of the machine's memory while a huge raster streams through it.
_CACHE_MEGABYTES = 64
# Without it, GDAL lists the folder at every open (half the time of a small TIFF), and sidecar files change pictures.
_NO_SIDECARS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


def read_rgb(path: Path, driver: str, reduction: Callable[[int, int], int]) -> npt.NDArray[np.uint8]:
    """Return a raster as (H, W, 3) uint8 RGB.

    The first three bands are taken as red, green and blue; of one or two bands the first is taken as grey. Values
    that are not 8-bit are stretched linearly between `STRETCH_PERCENTILES`, one range for all three bands, so that
    colours keep their ratios; where both percentiles are one value, between least and greatest value; a picture of a
    single value becomes black. Pixels without data (nodata, mask, alpha, NaN) become black.

    Args:
        path: the file.
        driver: the GDAL driver that must read it; no other is tried, so that no file can name another.
        reduction: tells from height and width by what both are divided.

    Raises:
        ValueError: complex values, or blocks too large to be held.
        rasterio.errors.RasterioError: not such a file, or truncated.
    """
    with rasterio.Env(**_NO_SIDECARS), rasterio.open(path.absolute(), driver=driver) as source:
        step = reduction(source.height, source.width)
        _refuse_unreadable(source, step)
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES) if step > 1 else nullcontext():
            return _read(source, step)


def _read(source: Any, step: int) -> npt.NDArray[np.uint8]:
    bands = list(range(1, _bands_needed(source) + 1))
    shape = (max(1, source.height // step), max(1, source.width // step))
    paletted = source.colorinterp[0] == ColorInterp.palette
    resampling = Resampling.nearest if paletted or step == 1 else Resampling.average
    values = source.read(bands, out_shape=(len(bands), *shape), resampling=resampling)
    valid = np.isfinite(values).all(axis=0)
    if not all(MaskFlags.all_valid in flags for flags in source.mask_flag_enums):
        valid &= source.dataset_mask(out_shape=shape) > 0
    picture = _look_up(values[0], source.colormap(1)) if paletted else _as_bytes(values, valid, source)
    if len(picture) == 4:
        picture = _from_inks(picture)
    picture = np.where(valid, picture, np.uint8(0))
    return np.ascontiguousarray(np.broadcast_to(picture, (3, *shape)).transpose(1, 2, 0))


def _refuse_unreadable(source: Any, step: int) -> None:
    if np.issubdtype(np.dtype(source.dtypes[0]), np.complexfloating):
        raise ValueError("the values are complex numbers; give amplitudes")
    height, width = source.block_shapes[0]
    if step > 1 and height * width * source.count * np.dtype(source.dtypes[0]).itemsize > _LARGEST_BLOCK:
        raise ValueError(f"blocks of {width} x {height} pixels are too large to be held; store it tiled")


def _bands_needed(source: Any) -> int:
    if ColorInterp.cyan in source.colorinterp and source.count >= 4:
        return 4
    return 3 if source.count >= 3 else 1


def _look_up(indices: npt.NDArray[Any], table: dict[int, tuple[int, int, int, int]]) -> npt.NDArray[np.uint8]:
    colours = np.zeros((max(256, int(indices.max()) + 1), 3), np.uint8)
    for index, colour in table.items():
        if index < len(colours):
            colours[index] = colour[:3]
    found: npt.NDArray[np.uint8] = colours[indices].transpose(2, 0, 1)
    return found


def _as_bytes(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_], source: Any) -> npt.NDArray[np.uint8]:
    if values.dtype != np.uint8:
        return _stretched(values, valid)
    bits = int(source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    return values if bits == 8 else (values.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)


def _stretched(values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    known = values[:, valid]
    if not known.size:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(known, STRETCH_PERCENTILES)
    if high <= low:
        low, high = float(known.min()), float(known.max())
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    kind = np.result_type(values, np.float32)  # 32-bit integers need double precision
    with np.errstate(invalid="ignore", over="ignore"):  # such pixels are masked by the caller
        scaled = (values.astype(kind) - kind.type(low)) * kind.type(255 / (high - low))
        stretched: npt.NDArray[np.uint8] = np.clip(np.nan_to_num(scaled), 0, 255).round().astype(np.uint8)
    return stretched


def _from_inks(cmyk: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    paper = 255 - cmyk.astype(np.uint16)
    picture: npt.NDArray[np.uint8] = (paper[:3] * paper[3] // 255).astype(np.uint8)
    return picture
