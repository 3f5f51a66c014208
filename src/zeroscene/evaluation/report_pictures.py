"""The pictures of the report as data addresses: thumbnails, and pictures with the map of their reasons over them."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from zeroscene import names
from zeroscene.errors import ZeroSceneError
from zeroscene.evaluation.examples import Example
from zeroscene.evaluation.report_data import Series
from zeroscene.explain.card import Pixels, shaded
from zeroscene.explain.maps import Box, Frame
from zeroscene.scenes.decode import decode

THUMBNAIL: Final = 128
SIDE: Final = 192
"""Of a picture with its reasons."""

_ABSENT: Final = 118
"""Grey level under the map of a picture that is not at hand."""


@dataclass(frozen=True)
class Picture:
    """An example of the report.

    Attributes:
        example: which picture, and what was said.
        source: the picture as a data address, None where it is not at hand; its middle square where it is explained.
        heat: the same square with the map of the reasons over it; None without a map.
    """

    example: Example
    source: str | None
    heat: str | None = None

    @property
    def shown(self) -> str:
        """What the map shows, in words."""
        why = self.example.why
        if why is None or why.map_of is None:
            return f"what speaks for {names.words(self.example.predicted)}"
        return names.words(why.map_of)


def examples(series: Series, folders: Sequence[Path]) -> dict[str, list[Picture]]:
    """Return the examples of the first cell of a series, `right` and `wrong`; pictures are looked up in the folders."""
    cell = series.cells[0]
    return {kind: [_picture(e, folders) for e in getattr(cell.examples, kind)] for kind in ("right", "wrong")}


def _picture(example: Example, folders: Sequence[Path]) -> Picture:
    image = _find(example.id, folders)
    if example.why is None:
        if image is not None:
            image.thumbnail((THUMBNAIL, THUMBNAIL))
        return Picture(example, None if image is None else _address(image))
    middle = None if image is None else _middle(image)
    heat = None
    if example.why.map is not None:
        under = np.full((SIDE, SIDE, 3), _ABSENT, np.uint8) if middle is None else np.asarray(middle)
        heat = _address(Image.fromarray(_glowing(under, example.why.map)))
    return Picture(example, None if middle is None else _address(middle), heat)


def _glowing(under: Pixels, levels: Sequence[Sequence[int]]) -> Pixels:
    # A result does not keep the encoder's crop: the middle square is what most of them see, or nearly.
    return shaded(under, Frame(Box(0, 0, SIDE, SIDE), SIDE, SIDE), np.asarray(levels, np.float32))


def _middle(image: Image.Image) -> Image.Image:
    """Return the middle square of a picture, `SIDE` wide."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def _find(picture: str, folders: Sequence[Path]) -> Image.Image | None:
    """Return a picture, or None where no folder holds a readable one of this id."""
    for folder in folders:
        try:
            return Image.fromarray(decode(folder / picture))
        except (ZeroSceneError, OSError):
            continue
    return None


def _address(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
