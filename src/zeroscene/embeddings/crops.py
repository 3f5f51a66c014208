"""Crops: a closer look at parts of pictures that are embedded already.

Shapes in names: B pictures, C channels, H and W of a picture or a token grid, D width.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import EncoderIdentity, ImageEncoder
from zeroscene.errors import EncoderError
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder

_BATCH = 32


def cut(pictures_BCHW: Tensor, boxes_B4: Tensor) -> Tensor:
    """Return the box of each picture, brought to the size of the picture by bilinear interpolation.

    Args:
        pictures_BCHW: pictures, uint8 or floating.
        boxes_B4: left, top, right, bottom in parts of the picture.
    """
    left, top, right, bottom = boxes_B4.to(pictures_BCHW.device, torch.float32).unbind(1)
    zero = torch.zeros_like(left)
    theta = torch.stack(
        [
            torch.stack([right - left, zero, left + right - 1], 1),
            torch.stack([zero, bottom - top, top + bottom - 1], 1),
        ],
        1,
    )
    where = F.affine_grid(theta, list(pictures_BCHW.shape), align_corners=False)
    seen = F.grid_sample(pictures_BCHW.float(), where, padding_mode="border", align_corners=False)
    return seen if pictures_BCHW.is_floating_point() else seen.round_().to(pictures_BCHW.dtype)


@dataclass(frozen=True)
class Crops:
    """Pictures and the encoder that embedded them, for a second look; it can be sent to another process.

    Attributes:
        pictures: where they lie.
        open: loads the encoder when it is needed.
    """

    pictures: SceneFolder
    open: Callable[[], ImageEncoder]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.pictures, self.open)

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The encoder."""
        return self.open()

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder's identity."""
        return self.encoder.identity

    def grids(self, ids: Sequence[str], boxes_N4: Tensor) -> TokenGrids:
        """Return the token grids of a box of each picture, kept as float16 in a file without a name.

        Args:
            ids: the pictures.
            boxes_N4: left, top, right, bottom in parts of what the encoder sees of a picture.

        Raises:
            EncoderError: the encoder has no token grid.
            PictureError: a picture cannot be decoded.
        """
        if self.encoder.grid is None:
            raise EncoderError(f"{self.identity.name} has no token grid to focus with")
        with tempfile.TemporaryFile() as file:
            found = np.memmap(file, np.float16, "w+", shape=(len(ids), *self.encoder.grid))
        for first in range(0, len(ids), _BATCH):
            rows = slice(first, first + _BATCH)
            seen = torch.stack([self.encoder.prepare(decode(Path(self.pictures.path(i)))) for i in ids[rows]])
            grid_BHWD = self.encoder.encode(cut(seen, boxes_N4[rows]), grid=True).grid_BHWD
            assert grid_BHWD is not None
            found[rows] = grid_BHWD.numpy()
        return TokenGrids.of(found)
