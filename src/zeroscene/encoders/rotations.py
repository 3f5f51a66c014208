"""An encoder that looks at a picture in all four orientations: from above, no direction is up."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.encoders.base import Encoded, EncoderIdentity, ImageEncoder
from zeroscene.errors import EncoderError
from zeroscene.pixels import Geometry

TURNS = 4


class RotationAveraged:
    """The mean of another encoder's vectors over the four quarter turns of a picture.

    A turned picture gets the same vector, up to rounding, and costs four times the work. Satisfies
    `encoders.base.ImageEncoder`; the identity says so, and its vectors are not mixed with those of the encoder alone.
    """

    def __init__(self, encoder: ImageEncoder):
        self._encoder = encoder
        for name in ("precision", "backend"):
            if hasattr(encoder, name):
                setattr(self, name, getattr(encoder, name))

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        inner = self._encoder.identity
        return replace(inner, output=f"{inner.output}, mean of {TURNS} rotations")

    @property
    def width(self) -> int:
        """D, the length of a pooled vector."""
        return self._encoder.width

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """(H, W, D) of the token grid, or None for an encoder without one."""
        return self._encoder.grid

    @property
    def geometry(self) -> Geometry:
        """How pictures become the size that the model sees."""
        return self._encoder.geometry

    def prepare(self, picture_HWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return one decoded RGB picture (H, W, 3) resized and cropped: (3, height, width) uint8."""
        return self._encoder.prepare(picture_HWC)

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        """Return vectors of prepared pictures, (B, 3, height, width) uint8; grids are turned back before the mean.

        Raises:
            EncoderError: the encoder's pictures are not square, or a grid is asked of an encoder that has none.
        """
        height, width = pictures_BCHW.shape[2:]
        if height != width:
            raise EncoderError(
                f"{self.identity.name} takes pictures of {height} x {width} pixels; "
                "only square ones can be turned: embed without rotations"
            )
        seen = [self._encoder.encode(_turned(pictures_BCHW, turn), grid) for turn in range(TURNS)]
        pooled_BD = torch.stack([one.pooled_BD for one in seen]).mean(dim=0)
        grids = [
            torch.rot90(one.grid_BHWD, -turn, (1, 2)) for turn, one in enumerate(seen) if one.grid_BHWD is not None
        ]
        return Encoded(pooled_BD, torch.stack(grids).mean(dim=0) if grids else None)


def _turned(pictures_BCHW: torch.Tensor, turn: int) -> torch.Tensor:
    turned = torch.rot90(pictures_BCHW, turn, (2, 3))
    return turned.contiguous(memory_format=torch.channels_last)
