"""Augmented views of a picture, decided by its id and the number of the view alone."""

import numpy as np

from zeroscene.files import digest
from zeroscene.pixels import Picture

WINDOW = 224 / 256
"""Side of the window of an augmented view, as a part of the side of the picture."""


def view(picture_HWC: Picture, name: str, number: int) -> Picture:
    """Return one view of a decoded picture, (height, width, 3) uint8.

    View 0 is the picture itself; another is a window of `WINDOW` of each side at a uniform place, turned by one of the
    eight symmetries of the square: a scene seen from above has no up and no handedness.

    Args:
        picture_HWC: (H, W, 3) uint8 RGB.
        name: id of the picture.
        number: number of the view, from 0.
    """
    if number == 0:
        return picture_HWC
    # 64 bits of a hash rather than a generator of numpy, whose streams may change between versions.
    bits = int(digest(name, str(number)), 16)
    turn, down, right = bits % 8, (bits >> 3) % (1 << 30), bits >> 33
    height, width = (max(1, round(side * WINDOW)) for side in picture_HWC.shape[:2])
    top = down * (picture_HWC.shape[0] - height + 1) >> 30
    left = right * (picture_HWC.shape[1] - width + 1) >> 31
    turned = np.rot90(picture_HWC[top : top + height, left : left + width], turn % 4)
    return np.ascontiguousarray(turned if turn < 4 else turned[:, ::-1])
