"""Values of a raster to 8-bit RGB: one stretch for all of it, a palette, and where there is no data."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

PERCENTILES = (2.0, 98.0)
"""Values that are not 8-bit are stretched between these percentiles of a sample of the raster's valid values."""

Values = npt.NDArray[np.generic]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Palette = npt.NDArray[np.uint8]


def valid_values(values_BHW: Values, nodata: Sequence[float | None]) -> tuple[Mask, Mask]:
    """Return where a pixel has data, (H, W), and where each band of it has, (B, H, W).

    A pixel has none where all its bands hold their nodata value, or any is NaN or infinite: one dark channel that
    happens to hold the nodata value of an 8-bit picture is no hole.
    """
    known = np.ones(values_BHW.shape, np.bool_)
    for band, value in enumerate(nodata):
        if value is not None and (own := _as_stored(value, values_BHW.dtype)) is not None:
            known[band] = values_BHW[band] != own
    valid: Mask = np.logical_or.reduce(known, axis=0)
    if np.issubdtype(values_BHW.dtype, np.floating):
        finite = np.isfinite(values_BHW)
        known &= finite
        valid &= finite.all(axis=0)
    return valid, known


def _as_stored(value: float, dtype: np.dtype[np.generic]) -> np.generic | None:
    """Return a nodata value in the raster's own type, or None where that type cannot hold it."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        if value != round(value) if np.isfinite(value) else True:
            return None
        return dtype.type(int(value)) if limits.min <= value <= limits.max else None
    with np.errstate(over="ignore"):
        return dtype.type(value)


def range_of(known: Values) -> tuple[float, float]:
    """Return (low, high) of a stretch from a sample: `PERCENTILES`, or least and greatest where these are one value.

    Args:
        known: valid values, of any shape; both are 0 where there are none.
    """
    if not known.size:
        return 0.0, 0.0
    low, high = (float(v) for v in np.percentile(known.astype(np.float64), PERCENTILES))
    return (low, high) if high > low else (float(known.min()), float(known.max()))


def stretched(values: Values, low: float, high: float) -> Picture:
    """Return values as bytes, `low` to 0 and `high` to 255; all 0 where there is nothing between them."""
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    kind = np.result_type(values, np.float32).type  # 32-bit integers need double precision
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = values.astype(kind)
        scaled -= kind(low)
        scaled *= kind(255 / (high - low))
        if np.issubdtype(values.dtype, np.floating):
            np.nan_to_num(scaled, copy=False)
        np.clip(scaled, 0, 255, out=scaled)
        found: Picture = np.rint(scaled, out=scaled).astype(np.uint8)
    return found


def palette_of(colours: Mapping[int, tuple[int, int, int, int]]) -> Palette:
    """Return a palette as (65536, 4) RGBA; an index without a colour is black and opaque."""
    table = np.zeros((1 << 16, 4), np.uint8)
    table[:, 3] = 255
    for index, colour in colours.items():
        table[index] = colour
    return table


def as_picture(values_BHW: Values, valid_HW: Mask, stretch: tuple[float, float] | None, bits: int = 8) -> Picture:
    """Return values as (H, W, 3) bytes, black where there is no data; a single band becomes grey.

    Args:
        values_BHW: one band or three.
        valid_HW: where there is data.
        stretch: (low, high), or None for bytes that are taken as they are.
        bits: of a byte that hold a value.
    """
    if stretch is not None:
        values_BHW = stretched(values_BHW, *stretch)
    elif bits < 8:
        values_BHW = stretched(values_BHW, 0, 2**bits - 1)
    picture = np.empty((*valid_HW.shape, 3), np.uint8)
    for channel in range(3):
        picture[..., channel] = values_BHW[min(channel, len(values_BHW) - 1)]
    return blackened(picture, valid_HW)


def blackened(picture_HW3: Picture, valid_HW: Mask) -> Picture:
    """Return the picture itself, made black where there is no data."""
    if not valid_HW.all():
        picture_HW3 *= valid_HW[..., None]
    return picture_HW3
