"""An image encoder without learned weights: colour, gradient and texture statistics of a grid of cells.

It exists so that everything runs where no weights are: the demo, the documentation, the tests. It sees colours, edges
and textures but no objects; any pretrained encoder is far better. It ships nothing and fetches nothing.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.files import digest
from zeroscene.pixels import Geometry, resize_crop

SIZE: Final = 96
CELLS: Final = 6
ORIENTATIONS: Final = 8
NAME: Final = "handmade"
# Changes whenever a number changes, so that vectors of two versions are never mixed.
_VERSION = "1"
_GEOMETRY = Geometry(resize=SIZE, crop=(SIZE, SIZE), interpolation="bilinear")
_COLOURS = ((1 / 3, 1 / 3, 1 / 3), (0.5, -0.5, 0.0), (-0.25, -0.25, 0.5), (-0.5, 0.5, 0.0))
_FREQUENCIES = (2, 4, 8, 16, 32)
_SECTORS = 6


class HandmadeEncoder:
    """Statistics of a 6 x 6 grid: 20 a cell, and their mean, deviation, spectrum and colour histogram a picture."""

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        return EncoderIdentity(
            NAME, digest(f"handmade {_VERSION}"), digest(f"short edge {SIZE}, bilinear, centre crop"), "statistics"
        )

    @property
    def width(self) -> int:
        """D, the length of a pooled vector."""
        return 2 * self.grid[2] + len(_FREQUENCIES[1:]) * _SECTORS + 64

    @property
    def grid(self) -> tuple[int, int, int]:
        """(H, W, D) of the grid of cells."""
        return CELLS, CELLS, 2 * len(_COLOURS) + ORIENTATIONS + 1 + 3

    def prepare(self, picture_HWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return one picture resized to 96 x 96: (3, 96, 96) uint8."""
        return resize_crop(picture_HWC, _GEOMETRY)

    @torch.inference_mode()
    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        """Return vectors of prepared pictures, (B, 3, 96, 96) uint8."""
        pixels = pictures_BCHW.float() / 255
        grey = pixels.mean(dim=1, keepdim=True)
        cells = torch.cat([_colours(pixels), _gradients(grey), _roughness(grey)], dim=1)
        pooled = torch.cat(
            [cells.mean(dim=(2, 3)), cells.std(dim=(2, 3)), _spectrum(grey[:, 0]), _histogram(pixels)], dim=1
        )
        return Encoded(pooled, cells.permute(0, 2, 3, 1).contiguous() if grid else None)


def _cells(maps: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(maps, CELLS)


def _colours(pixels: torch.Tensor) -> torch.Tensor:
    """Mean and deviation of brightness and three colour opponents: (B, 8, 6, 6)."""
    opponents = torch.einsum("oc,bchw->bohw", torch.tensor(_COLOURS), pixels)
    mean = _cells(opponents)
    return torch.cat([mean, (_cells(opponents**2) - mean**2).clamp_min(0).sqrt()], dim=1)


def _gradients(grey: torch.Tensor) -> torch.Tensor:
    """Share of gradient energy in each of 8 orientations, and the energy: (B, 9, 6, 6)."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    dy = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    strength = torch.hypot(dx, dy)
    position = torch.atan2(dy, dx).remainder(torch.pi) * (ORIENTATIONS / torch.pi)
    bins = torch.arange(ORIENTATIONS).view(1, -1, 1, 1)
    distance = (position - bins + ORIENTATIONS / 2).remainder(ORIENTATIONS) - ORIENTATIONS / 2
    energy = _cells(strength * (1 - distance.abs()).clamp_min(0))
    total = _cells(strength)
    return torch.cat([energy / (total + 1e-3), total], dim=1)


def _roughness(grey: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of blurs at three scales, fine to coarse: (B, 3, 6, 6)."""
    blurred = [grey]
    for size in (3, 7, 15):
        padded = F.pad(grey, (size // 2,) * 4, mode="replicate")
        blurred.append(F.avg_pool2d(padded, size, stride=1))
    return torch.cat([_cells((fine - coarse).abs()) for fine, coarse in pairwise(blurred)], dim=1)


def _spectrum(grey: torch.Tensor) -> torch.Tensor:
    """Mean log amplitude in 4 rings and 6 sectors of the Fourier plane: (B, 24)."""
    window = torch.hann_window(SIZE, periodic=False)
    centred = (grey - grey.mean(dim=(1, 2), keepdim=True)) * window[:, None] * window
    amplitude = torch.fft.rfft2(centred).abs().log1p()
    fy, fx = torch.fft.fftfreq(SIZE, 1 / SIZE)[:, None], torch.fft.rfftfreq(SIZE, 1 / SIZE)[None]
    radius = torch.hypot(fy, fx)
    sector = (torch.atan2(fy, fx) / torch.pi + 0.5).mul(_SECTORS).long().clamp_max(_SECTORS - 1)
    parts = []
    for low, high in pairwise(_FREQUENCIES):
        for s in range(_SECTORS):
            inside = (radius >= low) & (radius < high) & (sector == s)
            parts.append(amplitude[:, inside].mean(dim=1))
    return torch.stack(parts, dim=1) / 4


def _histogram(pixels: torch.Tensor) -> torch.Tensor:
    """Square root of the share of pixels in each of 4 x 4 x 4 colours: (B, 64)."""
    level = (pixels * 4).long().clamp_max(3)
    code = (level[:, 0] * 16 + level[:, 1] * 4 + level[:, 2]).flatten(1)
    counts = torch.zeros(len(pixels), 64).scatter_add_(1, code, torch.ones_like(code, dtype=torch.float32))
    return (counts / code.shape[1]).sqrt()
