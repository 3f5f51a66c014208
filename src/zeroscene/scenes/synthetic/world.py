"""The synthetic benchmark: pictures of forty classes with labels, true attributes and true places of everything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.files import replacing
from zeroscene.scenes.synthetic.canvas import Drawing
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX

CLASSES: Final = tuple(sorted(RULES))
"""Names of the classes, as in RSSDIVCS and the attribute knowledge base."""

SMALLEST: Final = 16
"""Least side of a picture in pixels."""


@dataclass(frozen=True)
class Picture:
    """One scene of a class and the truth about it.

    Attributes:
        label: its class.
        pixels: (H, W, 3) uint8.
        attributes: (A,) float32, 1 where an attribute is present, in the order of `vocabulary.ATTRIBUTES`.
        gsd: ground sample distance, metres a pixel.
    """

    label: str
    pixels: npt.NDArray[np.uint8]
    attributes: npt.NDArray[np.float32]
    gsd: float
    _drawing: Drawing

    def mask(self, attribute: str) -> npt.NDArray[np.bool_]:
        """Return the pixels that show an attribute, (H, W) bool; none where the picture does not have it.

        Raises:
            UnknownNameError: there is no such attribute; the nearest ones are named.
        """
        return self._drawing.mask(INDEX[_found(attribute, tuple(INDEX), "attributes of the synthetic world")])

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the pixels of every attribute that is present."""
        present = zip(ATTRIBUTES, self.attributes, strict=True)
        return {attribute.name: self.mask(attribute.name) for attribute, there in present if there}


def draw(name: str, seed: int, index: int, size: int = 128) -> Picture:
    """Draw picture number `index` of a class: the same for the same arguments, on every machine.

    The scene depends on class, seed and index only; a larger size shows the same scene at a finer ground sample
    distance.

    Args:
        name: a class, in any spelling.
        seed: which of endlessly many worlds; an integer.
        index: which picture of the class in it, from 0.
        size: side of the picture in pixels, 16 or more.

    Raises:
        UnknownNameError: there is no such class; the nearest ones are named.
        OptionError: seed or index is not an integer, or the size is too small.
    """
    label = _found(name, CLASSES, "classes of the synthetic world")
    random = Random(f"zeroscene class/{label}/{_integer('seed', seed)}/{_integer('index', index)}")
    if _integer("size", size) < SMALLEST:
        raise OptionError(f"size {size} is too small to draw a scene; give {SMALLEST} pixels or more")
    drawing = RULES[label].compose(random).draw(random, size)
    return Picture(label, drawing.pixels, drawing.present().astype(np.float32), drawing.gsd, drawing)


def class_attributes(
    classes: Sequence[str] = CLASSES, seed: int = 0, count: int = 50, size: int = 96
) -> npt.NDArray[np.float32]:
    """Return how often each attribute is present in pictures of each class, (C, A) in [0, 1].

    Draws `count` pictures a class; use a seed of which no picture is in a test set.

    Raises:
        UnknownNameError, OptionError: as for `draw`.
    """
    rows = [np.mean([draw(name, seed, i, size).attributes for i in range(count)], axis=0) for name in classes]
    return np.asarray(rows, np.float32)


def write_folder(
    folder: Path, classes: Sequence[str] = CLASSES, seed: int = 0, first: int = 0, count: int = 30, size: int = 128
) -> None:
    """Write pictures `first` ... `first + count - 1` of each class as PNG, one folder a class.

    Pictures that are there already are kept, so that a run that was interrupted goes on where it stopped.

    Raises:
        UnknownNameError, OptionError: as for `draw`.
    """
    for name in [_found(name, CLASSES, "classes of the synthetic world") for name in classes]:
        for index in range(first, first + count):
            path = folder / name / f"{name}_{index:05d}.png"
            if not path.exists():
                write(path, draw(name, seed, index, size).pixels)


def write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a picture as PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def _found(name: str, known: tuple[str, ...], what: str) -> str:
    by_key = {names.key(one): one for one in known}
    if names.key(name) not in by_key:
        raise names.unknown([name], known, what)
    return by_key[names.key(name)]


def _integer(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise OptionError(f"{what} {value!r} is not an integer; pictures are numbered by whole numbers")
    return int(value)
