"""Do two pictures show the same ground? Found by laying one over the other, in all eight orientations and shifts.

Pictures are compared by their structure (`thumbnails.structure`), so that light and compression do not count. A long
straight road fits a long straight road, also another one, wherever it is pushed along itself; the same ground fits in
one place only. What counts is therefore by how much the fit beats that of places a little aside.

Shapes in names: P pairs, O orientations, S side of a coarse picture, F side of its transform, H and W of a picture.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.thumbnails import SIDE, Thumbnail, resized, structure

DISTINCT: Final = 0.3
"""Two pictures show the same ground from this distinction on; `docs/results/overlap.md` says what it was chosen by."""

LIKENESS: Final = 0.97
"""Or from this likeness on: furrows fit themselves aside too, but two fields never fit each other so well."""

LEAST_SHARED: Final = 0.2
"""Least share of the smaller picture that the two have in common to be found."""

_COARSE, _FACTOR = 32, SIDE // 32
_TRANSFORM = 2 * _COARSE
_REACH_COARSE, _REACH_FINE = 2.0, 3.0
# Pairs below this coarse fit are different: of overlapping pictures of UC Merced none came near it.
_PROMISING = 0.28
# Pixels by which the fit must fall when one picture is pushed aside: more than compression and resizing blur it.
_ASIDE = 9
_SMALLEST = 8
_BATCH = 128

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Alignment:
    """How two pictures fit best.

    Attributes:
        likeness: correlation of structure in the part that they have in common, -1 to 1.
        distinct: how much of it is lost when one is pushed aside; `DISTINCT` or more where the ground is the same.
        orientation: of the first picture, 0-7: quarter turns to the left, the last four mirrored after them.
        shift: largest distance between the two middles in a direction, as a share of the larger picture's side.
        shared: share of the smaller picture that lies in the common part.
        decoy: `distinct` of the best fit in another orientation, which is chance.
    """

    likeness: float
    distinct: float
    orientation: int
    shift: float
    shared: float
    decoy: float

    @property
    def same_ground(self) -> bool:
        """Whether the two pictures show the same ground."""
        return self.distinct >= DISTINCT or self.likeness >= LIKENESS


NOTHING = Alignment(0.0, 0.0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Fit:
    likeness: float
    distinct: float
    down: int
    right: int


def turned(picture_HW: npt.NDArray[np.float32], orientation: int) -> npt.NDArray[np.float32]:
    """Return a picture in one of the eight orientations (see `Alignment`)."""
    quarter = np.rot90(picture_HW, orientation % 4)
    return np.ascontiguousarray(quarter[:, ::-1] if orientation >= 4 else quarter)


def align(pairs: Sequence[tuple[Thumbnail, Thumbnail]]) -> list[Alignment]:
    """Return the best fit of each pair.

    Pictures of different sizes are tried twice: as the same extent, and at the same ground sample distance, as a part
    that was cut out has it.
    """
    batches = [pairs[first : first + _BATCH] for first in range(0, len(pairs), _BATCH)]
    # Each thread takes pairs of its own: sharing one small transform among threads costs more than it gives.
    with ThreadPoolExecutor(os.cpu_count() or 1, "align", torch.set_num_threads, (1,)) as pool:
        return [one for batch in pool.map(_align_batch, batches) for one in batch]


def _align_batch(pairs: Sequence[tuple[Thumbnail, Thumbnail]]) -> list[Alignment]:
    best = _aligned(pairs, [_SQUARES] * len(pairs))
    others = [(i, sizes) for i, pair in enumerate(pairs) if (sizes := _same_ground(*pair)) is not None]
    if others:
        again = _aligned([pairs[i] for i, _ in others], [sizes for _, sizes in others])
        for (i, _), one in zip(others, again, strict=True):
            best[i] = max(best[i], one, key=lambda fit: (fit.same_ground, fit.distinct))
    return best


_Sizes = tuple[tuple[int, int], tuple[int, int]]
_SQUARES: Final[_Sizes] = (SIDE, SIDE), (SIDE, SIDE)


def _same_ground(one: Thumbnail, other: Thumbnail) -> _Sizes | None:
    """Return the sizes of both at one scale, or None where that is nothing new or one would be too small to compare."""
    if one.size == other.size and one.size[0] == one.size[1]:
        return None
    scale = SIDE / max(*one.size, *other.size)
    sizes = tuple((round(h * scale), round(w * scale)) for h, w in (one.size, other.size))
    return None if min(min(size) for size in sizes) < _SMALLEST * _FACTOR else (sizes[0], sizes[1])


def _aligned(pairs: Sequence[tuple[Thumbnail, Thumbnail]], sizes: Sequence[_Sizes]) -> list[Alignment]:
    coarse = [
        (_coarse(one, *size), _coarse(other, *other_size))
        for (one, other), (size, other_size) in zip(pairs, sizes, strict=True)
    ]
    fits_PO, down_PO, right_PO = _coarse_fits(coarse)
    found = []
    for pair, size, fits, down, right in zip(pairs, sizes, fits_PO, down_PO, right_PO, strict=True):
        order = np.argsort(-fits, kind="stable")[:2]
        if fits[order[0]] < _PROMISING:
            found.append(NOTHING)
            continue
        one, other = (_fine(thumbnail, *own) for thumbnail, own in zip(pair, size, strict=True))
        best, second = (
            _fine_fit(turned(one, int(o)), other, int(down[o]) * _FACTOR, int(right[o]) * _FACTOR) for o in order
        )
        winner = int(order[0])
        if best.likeness < LIKENESS and second.distinct > best.distinct:
            best, second, winner = second, best, int(order[1])
        found.append(_alignment(best, second, winner, turned(one, winner).shape, other.shape))
    return found


def _alignment(best: _Fit, second: _Fit, orientation: int, one: tuple[int, ...], other: tuple[int, ...]) -> Alignment:
    common = _overlap(one[0], other[0], best.down) * _overlap(one[1], other[1], best.right)
    middles = (best.down + (one[0] - other[0]) / 2, best.right + (one[1] - other[1]) / 2)
    return Alignment(
        best.likeness,
        best.distinct,
        orientation,
        max(abs(middles[0]), abs(middles[1])) / SIDE,
        int(common) / min(one[0] * one[1], other[0] * other[1]),
        second.distinct,
    )


@lru_cache(maxsize=1 << 16)
def _coarse(thumbnail: Thumbnail, height: int, width: int) -> Map:
    """Return the coarse structure of a picture, of mean square 1 where there is any."""
    found = _structure(thumbnail, height // _FACTOR, width // _FACTOR, _REACH_COARSE)
    return found / max(float(np.sqrt(np.square(found).mean())), 1e-3)


@lru_cache(maxsize=1 << 11)
def _fine(thumbnail: Thumbnail, height: int, width: int) -> Map:
    return _structure(thumbnail, height, width, _REACH_FINE)


def _structure(thumbnail: Thumbnail, height: int, width: int, reach: float) -> Map:
    found: Map = structure(resized(torch.from_numpy(thumbnail.grey)[None], height, width), reach)[0].numpy()
    return found


def _coarse_fits(
    maps: Sequence[tuple[Map, Map]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the best fit of each pair in each orientation, (P, O), and its shift down and to the right.

    A fit is the correlation in the common part times the square root of its share: chance fits better where the
    common part is small, by just so much.
    """
    one_POSS = torch.zeros(len(maps), 8, _COARSE, _COARSE)
    other_P1SS = torch.zeros(len(maps), 1, _COARSE, _COARSE)
    for p, (one, other) in enumerate(maps):
        other_P1SS[p, 0, : other.shape[0], : other.shape[1]] = torch.from_numpy(other)
        plane = torch.from_numpy(one)
        for o in range(8):
            now = torch.rot90(plane, o % 4)
            one_POSS[p, o, : now.shape[0], : now.shape[1]] = now.flip(1) if o >= 4 else now
    square = (_TRANSFORM, _TRANSFORM)
    spectrum = torch.fft.rfft2(one_POSS, s=square).conj() * torch.fft.rfft2(other_P1SS, s=square)
    fits_POFF = torch.fft.irfft2(spectrum, s=square)
    for p, (one, other) in enumerate(maps):
        (h, w), there = one.shape, other.shape
        upright, sideways = _weights((h, w), there), _weights((w, h), there)
        fits_POFF[p, 0::2] *= upright
        fits_POFF[p, 1::2] *= sideways
    best = fits_POFF.flatten(2).max(2)
    down, right = ((index + _COARSE) % _TRANSFORM - _COARSE for index in divmod(best.indices.numpy(), _TRANSFORM))
    return best.values.numpy(), down, right


@lru_cache(maxsize=1 << 10)
def _weights(one: tuple[int, int], other: tuple[int, int]) -> torch.Tensor:
    """Return what makes a fit of a sum of products at each shift, (F, F); 0 where too little is in common."""
    shifts_F = np.fft.ifftshift(np.arange(-_COARSE, _COARSE))
    common_FF = _overlap(one[0], other[0], shifts_F)[:, None] * _overlap(one[1], other[1], shifts_F)
    least = min(one[0] * one[1], other[0] * other[1])
    weights_FF = np.where(common_FF >= LEAST_SHARED * least, 1 / np.sqrt(np.maximum(common_FF * least, 1)), 0.0)
    return torch.from_numpy(weights_FF.astype(np.float32))


def _overlap(one: npt.ArrayLike, other: npt.ArrayLike, shift: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the length that two intervals share when the second starts `shift` before the first."""
    ends = np.minimum(one, np.subtract(other, shift))
    return np.asarray(np.maximum(0, ends - np.maximum(0, np.negative(shift))), np.int64)


def _fine_fit(one: Map, other: Map, down: int, right: int) -> _Fit:
    """Return the best fit near a coarse one, and how much it is worse all around it."""
    tried = {(y, x): _correlation(one, other, y, x) for y in _near(down, 6, 2) for x in _near(right, 6, 2)}
    y0, x0 = max(tried, key=tried.__getitem__)
    tried |= {(y, x): _correlation(one, other, y, x) for y in _near(y0, 1, 1) for x in _near(x0, 1, 1)}
    y0, x0 = max(tried, key=tried.__getitem__)
    angles = np.arange(16) * np.pi / 8
    around = zip(np.rint(_ASIDE * np.sin(angles)), np.rint(_ASIDE * np.cos(angles)), strict=True)
    aside = max(_correlation(one, other, y0 + int(y), x0 + int(x)) for y, x in around)
    return _Fit(tried[y0, x0], tried[y0, x0] - aside, y0, x0)


def _near(middle: int, reach: int, step: int) -> range:
    return range(middle - reach, middle + reach + 1, step)


def _correlation(one: Map, other: Map, down: int, right: int) -> float:
    """Return the correlation of two pictures where they overlap when a place of the first is `down` and `right` on."""
    top, left = max(0, -down), max(0, -right)
    bottom, end = min(one.shape[0], other.shape[0] - down), min(one.shape[1], other.shape[1] - right)
    if bottom <= top or end <= left:
        return 0.0
    a = one[top:bottom, left:end].ravel()
    b = other[top + down : bottom + down, left + right : end + right].ravel()
    return float(a @ b) / max(float(np.sqrt((a @ a) * (b @ b))), 1e-3)
