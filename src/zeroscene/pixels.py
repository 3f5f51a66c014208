"""From a decoded picture to the pixels an encoder looks at: resize and centre crop, on uint8, without float copies.

The pixels agree with Pillow's antialiased resize to 2 grey levels, at four times its rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import interpolate

from zeroscene.errors import OptionError

Picture = npt.NDArray[np.uint8]

# Beyond this ratio of sides, a strip is cut to it before it is resized: scaling a 1 x 20,000 strip by its short edge
# would make a picture of gigabytes, of which the crop keeps one part in thousands.
_LONGEST_STRIP = 8


@dataclass(frozen=True)
class Geometry:
    """How pictures of any size become pictures of one size.

    Attributes:
        resize: length of the shorter edge after resizing, the ratio of sides kept; or (height, width).
        crop: (height, width) of the centre crop after resizing, or None for no crop.
        interpolation: the antialiased filter.

    Raises:
        OptionError: a size is not positive, the crop is larger than the resized picture, or a shorter edge is given
            without a crop, so that the outcome would have no fixed size.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        smallest = (self.resize, self.resize) if isinstance(self.resize, int) else self.resize
        if min(*smallest, *(self.crop or (1, 1))) < 1:
            raise OptionError(f"picture sizes must be positive, not resize {self.resize} and crop {self.crop}")
        if self.crop is None and isinstance(self.resize, int):
            raise OptionError(f"resizing the shorter edge to {self.resize} needs a crop: pictures must end in one size")
        if self.crop and (self.crop[0] > smallest[0] or self.crop[1] > smallest[1]):
            raise OptionError(f"the crop {self.crop} is larger than the picture after resize {self.resize}")
        if self.interpolation not in ("bilinear", "bicubic"):
            raise OptionError(f"interpolation must be bilinear or bicubic, not {self.interpolation!r}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every outcome."""
        if self.crop is not None:
            return self.crop
        if isinstance(self.resize, int):
            return self.resize, self.resize
        return self.resize

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of a picture after resizing and before the crop."""
        if not isinstance(self.resize, int):
            return self.resize
        short = min(height, width)
        return self.resize * height // short, self.resize * width // short

    def strip(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (top, left, height, width) of the part of a picture that is resized: all but the ends of a strip."""
        longest = _LONGEST_STRIP * min(height, width) if isinstance(self.resize, int) else max(height, width)
        top, left = max(height - longest, 0) // 2, max(width - longest, 0) // 2
        return top, left, min(height, longest), min(width, longest)


def resize_crop(picture_HWC: Picture, geometry: Geometry) -> torch.Tensor:
    """Return a picture resized and cropped: (3, height, width) uint8, laid out channels-last in memory.

    Args:
        picture_HWC: (H, W, 3) uint8 RGB.
        geometry: the sizes and the filter.
    """
    top, left, height, width = geometry.strip(*picture_HWC.shape[:2])
    picture_HWC = np.ascontiguousarray(picture_HWC[top : top + height, left : left + width])
    if not picture_HWC.flags.writeable:
        picture_HWC = picture_HWC.copy()
    picture_HW3 = torch.from_numpy(picture_HWC)
    target = geometry.resized(height, width)
    if target != (height, width):
        # permute keeps the memory channels-last, for which torch has a vectorised uint8 path
        picture_B3HW = picture_HW3.permute(2, 0, 1)[None]
        resized_B3HW = interpolate(picture_B3HW, size=target, mode=geometry.interpolation, antialias=True)
        picture_HW3 = resized_B3HW[0].permute(1, 2, 0)
    h, w = geometry.size
    top, left = (target[0] - h) // 2, (target[1] - w) // 2
    # A copy: a view of the crop would keep the whole resized picture alive in a batch that waits. By numpy: torch would
    # copy with threads of its own for each decoding thread, in the way of the encoder.
    crop_HWC = picture_HW3.numpy()[top : top + h, left : left + w].copy()
    return torch.from_numpy(crop_HWC).permute(2, 0, 1)


def batch_of(prepared: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return prepared pictures as a batch (B, 3, height, width) uint8, laid out channels-last in memory.

    By numpy: torch divides the copy among threads that then wait for each other, which on two busy cores takes a
    hundred times as long.

    Args:
        prepared: pictures (3, height, width) uint8 of one size.
    """
    return torch.from_numpy(np.stack([picture.permute(1, 2, 0).numpy() for picture in prepared])).permute(0, 3, 1, 2)
