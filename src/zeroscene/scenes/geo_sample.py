"""A sample of a raster's content, spread evenly over it: for one stretch of all its values, and to know it again."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
from rasterio.windows import Window

from zeroscene.scenes.geo_source import Facts, read_values
from zeroscene.scenes.geo_values import Values

_SPOT: Final = 64  # side of a spot in pixels
_LATTICES: Final = (8, 32)  # spots a side; the second where the first meets too little data
_ENOUGH: Final = 20_000  # values
_AT_ONCE: Final = 1 << 21  # pixels


@dataclass(frozen=True)
class Sample:
    """What was seen of a raster.

    Attributes:
        digest: of the values at the first lattice of spots.
        known: values with data, flat; empty unless they were wanted.
    """

    digest: str
    known: Values


def sample(path: Path, source: Any, facts: Facts, wanted: bool) -> Sample:
    """Return a sample: 8 x 8 spots of 64 x 64 pixels from corner to corner, the whole of a raster smaller than that.

    Where they meet fewer than 20,000 values with data and values are wanted, 32 x 32 spots are taken; where those do
    not, the whole raster is read, and of each part of it so many rows and columns are left out that a million remain.

    Args:
        path: named in errors.
        source: the open raster.
        facts: of it.
        wanted: whether the values are wanted, or only the digest.

    Raises:
        PictureError: the file cannot be decoded.
    """
    content = hashlib.blake2b(digest_size=8)
    known: list[Values] = []
    for window in _spots(facts, _LATTICES[0]):
        values, valid, has = read_values(path, source, facts.bands, facts.nodata, facts.mask, window)
        content.update(values.tobytes())
        content.update(valid.tobytes())
        if wanted:
            known.append(values[has & valid])
    if wanted and _count(known) < _ENOUGH:
        known = [_known(path, source, facts, window, 1) for window in _spots(facts, _LATTICES[1])]
    if wanted and _count(known) < _ENOUGH:
        step = max(1, ceil(sqrt(facts.width * facts.height / 1e6)))
        known = [_known(path, source, facts, window, step) for window in _everything(facts)]
    return Sample(content.hexdigest(), np.concatenate(known) if known else np.empty(0, facts.dtype))


def _known(path: Path, source: Any, facts: Facts, window: Window, step: int) -> Values:
    values, valid, has = read_values(path, source, facts.bands, facts.nodata, facts.mask, window)
    kept: Values = values[:, ::step, ::step][(has & valid)[:, ::step, ::step]]
    return kept


def _count(known: list[Values]) -> int:
    return sum(len(values) for values in known)


def _spots(facts: Facts, side: int) -> Iterator[Window]:
    for top in _starts(facts.height, side):
        for left in _starts(facts.width, side):
            yield Window(left, top, min(_SPOT, facts.width), min(_SPOT, facts.height))


def _starts(length: int, count: int) -> list[int]:
    """Return where spots begin along a side, both ends included."""
    spots = min(count, ceil(length / _SPOT))
    return [i * max(length - _SPOT, 0) // max(spots - 1, 1) for i in range(spots)]


def _everything(facts: Facts) -> Iterator[Window]:
    high, wide = facts.block
    rows = max(high, _AT_ONCE // facts.width // high * high)
    columns = facts.width if rows > high or wide >= facts.width else max(wide, _AT_ONCE // high // wide * wide)
    for top in range(0, facts.height, rows):
        for left in range(0, facts.width, columns):
            yield Window(left, top, min(columns, facts.width - left), min(rows, facts.height - top))
