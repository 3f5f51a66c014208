"""Small grey pictures of many files: what near duplicates are looked for in.

Shapes in names: N pictures, S side of a thumbnail, K length of a sketch.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import conv2d, interpolate, pad

from zeroscene.errors import PictureError
from zeroscene.progress import progress
from zeroscene.scenes.decode import decode

SIDE = 128
"""Side of a thumbnail in pixels; the whole picture is squeezed into it."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_FREQUENCIES = 8
_LEVELS = 4
# Variance, in squared grey levels, that noise and compression leave in an even surface: it must not count as structure.
_NOISE = 9.0


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One picture.

    Attributes:
        grey: (SIDE, SIDE) uint8.
        size: (height, width) of the picture itself.
        colours: (_LEVELS ** 3,) shares of colours.
    """

    grey: npt.NDArray[np.uint8]
    size: tuple[int, int]
    colours: npt.NDArray[np.float32]


def read_thumbnail(path: Path) -> Thumbnail:
    """Return the thumbnail of a picture file.

    Raises:
        PictureError: it cannot be decoded.
    """
    picture_HWC = decode(path)
    planes_1CHW = torch.from_numpy(picture_HWC).permute(2, 0, 1)[None]
    small_SSC = interpolate(planes_1CHW, size=(SIDE, SIDE), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    bins = (small_SSC >> (8 - _LEVELS.bit_length() + 1)).reshape(-1, 3).astype(np.int64) @ [_LEVELS**2, _LEVELS, 1]
    colours = (np.bincount(bins, minlength=_LEVELS**3) / len(bins)).astype(np.float32)
    return Thumbnail((small_SSC @ _GREY).round().astype(np.uint8), picture_HWC.shape[:2], colours)


def read_thumbnails(
    ids: Sequence[str], path: Callable[[str], Path], title: str
) -> tuple[dict[str, Thumbnail], dict[str, str]]:
    """Return the thumbnails of pictures by id, and why each of the others cannot be read.

    Args:
        ids: picture ids.
        path: file of an id.
        title: of the progress bar.
    """
    found: dict[str, Thumbnail] = {}
    unreadable: dict[str, str] = {}

    def read(picture: str) -> Thumbnail | str:
        try:
            return read_thumbnail(path(picture))
        except PictureError as error:
            return " ".join(str(error).removeprefix(f"{path(picture)}: ").split())

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, progress(title, len(ids)) as advance:
        for picture, result in zip(ids, pool.map(read, ids), strict=True):
            if isinstance(result, Thumbnail):
                found[picture] = result
            else:
                unreadable[picture] = result
            advance(1)
    return found, unreadable


def sketches(thumbnails: Sequence[Thumbnail]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return two kinds of unit vectors that are the same for a picture turned or mirrored, (N, K) each.

    The first holds the lowest cosine frequencies of the grey picture without their signs and without the order of its
    axes, which is all that the eight orientations change; a brighter picture has the same. The second holds square
    roots of the shares of colours, so that a cosine compares histograms; a part of a picture has nearly the same.
    """
    waves_FS = _waves()
    grey_NSS = np.stack([one.grey for one in thumbnails]).astype(np.float32)
    frequencies_NFF = np.abs(waves_FS @ grey_NSS @ waves_FS.T)
    turned_NFF = frequencies_NFF.transpose(0, 2, 1)
    rows, columns = np.triu_indices(_FREQUENCIES)
    both = np.concatenate(
        [
            np.maximum(frequencies_NFF, turned_NFF)[:, rows, columns],
            np.minimum(frequencies_NFF, turned_NFF)[:, rows, columns],
        ],
        axis=1,
    )
    both[:, [0, len(rows)]] = 0.0
    colours = np.sqrt(np.stack([one.colours for one in thumbnails]))
    return _unit(both), _unit(colours)


@cache
def _waves() -> npt.NDArray[np.float32]:
    place = np.pi * (np.arange(SIDE) + 0.5) / SIDE
    return np.cos(np.arange(_FREQUENCIES)[:, None] * place).astype(np.float32)


def _unit(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)


def structure(grey_NHW: torch.Tensor, reach: float) -> torch.Tensor:
    """Return what stands out from its surroundings, in units of what stands out there on average.

    Light, haze and contrast are gone, and a faint texture counts as much as a bright line; even surfaces stay near 0.

    Args:
        grey_NHW: float grey levels.
        reach: standard deviation of the surroundings, pixels.
    """
    detail_NHW = grey_NHW - _blurred(grey_NHW, reach)
    return detail_NHW / (_blurred(detail_NHW.square(), 2 * reach).clamp_min(0) + _NOISE).sqrt()


def _blurred(grey_NHW: torch.Tensor, deviation: float) -> torch.Tensor:
    reach = min(round(3 * deviation), *(side - 1 for side in grey_NHW.shape[1:]))
    weights = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * deviation**2))
    weights /= weights.sum()
    padded = pad(grey_NHW[:, None], (reach, reach, reach, reach), mode="reflect")
    return conv2d(conv2d(padded, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))[:, 0]


def resized(grey_NHW: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return float pictures in another size, antialiased."""
    return interpolate(grey_NHW[:, None].float(), size=(height, width), mode="bilinear", antialias=True)[:, 0]
