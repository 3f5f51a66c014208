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
from zeroscene.errors import OptionError, StoreError
from zeroscene.files import replacing
from zeroscene.progress import progress
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
        return self._drawing.mask(INDEX[_found([attribute], tuple(INDEX), "attributes of the synthetic world")[0]])

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return the pixels of every attribute that is present."""
        present = zip(ATTRIBUTES, self.attributes, strict=True)
        return {attribute.name: self.mask(attribute.name) for attribute, there in present if there}


def draw(name: str, seed: int, index: int, size: int = 128) -> Picture:
    """Draw picture number `index` of a class: the same for the same arguments, on every machine.

    Composition, light and place of the scene depend on class, seed and index only; a larger size shows it at a finer
    ground sample distance. Where room for small things is short, it is decided on the raster: crowded scenes differ in
    detail and in shade from size to size.

    Args:
        name: a class, in any spelling.
        seed: which of endlessly many worlds; an integer.
        index: which picture of the class in it, from 0.
        size: side of the picture in pixels, 16 or more.

    Raises:
        UnknownNameError: there is no such class; the nearest ones are named.
        OptionError: seed or index is not an integer, or the size is too small.
    """
    label = known_classes([name])[0]
    random = Random(f"zeroscene class/{label}/{whole('seed', seed)}/{whole('index', index)}")
    drawing = RULES[label].compose(random).draw(random, drawable(size))
    return picture(label, drawing)


def picture(label: str, drawing: Drawing) -> Picture:
    """Return what was drawn as a picture of a class."""
    return Picture(label, drawing.pixels, drawing.present().astype(np.float32), drawing.gsd, drawing)


def class_attributes(
    classes: Sequence[str] = CLASSES, seed: int = 0, count: int = 50, size: int = 96
) -> npt.NDArray[np.float32]:
    """Return how often each attribute is present in pictures of each class, (C, A) in [0, 1].

    Draws `count` pictures a class; use a seed of which no picture is in a test set.

    Raises:
        UnknownNameError, OptionError: as for `draw`.
    """
    shares = np.zeros((len(classes), len(ATTRIBUTES)), np.float64)
    with progress("drawing", len(classes) * count) as advance:
        for row, name in enumerate(classes):
            for index in range(count):
                shares[row] += draw(name, seed, index, size).attributes
                advance(1)
    return np.asarray(shares / count, np.float32)


def write_folder(
    folder: Path, classes: Sequence[str] = CLASSES, seed: int = 0, first: int = 0, count: int = 30, size: int = 128
) -> None:
    """Write pictures `first` ... `first + count - 1` of each class as PNG, one folder a class.

    Pictures that are there already are kept, so that a run that was interrupted goes on where it stopped. The first
    of them in each class is looked at, so that no folder holds pictures of two worlds.

    Raises:
        UnknownNameError, OptionError: as for `draw`.
        StoreError: the folder holds pictures of another seed or size under the same names.
    """
    labels = known_classes(classes)
    numbers = range(whole("first", first), first + whole("count", count))
    paths = {(name, i): folder / name / f"{name}_{i:05d}.png" for name in labels for i in numbers}
    missing = {key: path for key, path in paths.items() if not path.exists()}
    for name in labels:
        if there := [i for i in numbers if (name, i) not in missing]:
            _require_same(paths[name, there[0]], draw(name, seed, there[0], size))
    with progress("drawing", len(paths), done=len(paths) - len(missing)) as advance:
        for (name, index), path in missing.items():
            write(path, draw(name, seed, index, size).pixels)
            advance(1)


def _require_same(path: Path, drawn: Picture) -> None:
    """Refuse to mix worlds in one folder."""
    try:
        with Image.open(path) as opened:
            there = np.asarray(opened.convert("RGB"))
    except OSError as error:
        raise StoreError(f"{path} is no picture; remove it, or write into another folder") from error
    if not np.array_equal(there, drawn.pixels):
        raise StoreError(f"{path} is a picture of another seed or size; write into another folder")


def write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write a picture as PNG, whole or not at all."""
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def known_classes(given: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that names in any spelling stand for.

    Raises:
        UnknownNameError: there are no such classes; each is listed with the nearest ones.
    """
    return _found(given, CLASSES, "classes of the synthetic world")


def drawable(size: int) -> int:
    """Return a side in pixels if a scene can be drawn at it.

    Raises:
        OptionError: it is not an integer, or too small.
    """
    if whole("size", size) < SMALLEST:
        raise OptionError(f"size {size} is too small to draw a scene; give {SMALLEST} pixels or more")
    return int(size)


def whole(what: str, value: int) -> int:
    """Return a whole number.

    Args:
        what: its name, for the message.
        value: what was given.

    Raises:
        OptionError: it is not an integer.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise OptionError(f"{what} {value!r} is not an integer; give a whole number")
    return int(value)


def _found(given: Sequence[str], known: tuple[str, ...], what: str) -> tuple[str, ...]:
    by_key = {names.key(one): one for one in known}
    if any(names.key(name) not in by_key for name in given):
        raise names.unknown(given, known, what)
    return tuple(by_key[names.key(name)] for name in given)
