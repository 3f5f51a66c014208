"""Pictures that an image-text model must match with their texts: drawn here, and said in the plainest words.

Two sets: plain pictures and drawn scenes in English, for models trained on captions of the world; and drawn scenes in
the vocabulary of captions of the synthetic world, for an encoder that reads no other words (`tiny`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from zeroscene.scenes.synthetic import world
from zeroscene.scenes.synthetic.captions import phrases
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES

_SIDE = 224
_SEED = 20_000  # a world that no test set is drawn from
_SAID = 6

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Probes:
    """Pictures and the texts that they must find.

    Attributes:
        pictures: (H, W, 3) uint8 each.
        texts: one a kind of picture.
        right: (N,) position of the text of each picture.
    """

    pictures: tuple[Picture, ...]
    texts: tuple[str, ...]
    right: npt.NDArray[np.int64]


COLOURS: Final = {
    "red": (220, 30, 30), "green": (30, 160, 50), "blue": (30, 60, 220), "yellow": (245, 225, 40),
    "orange": (245, 140, 20), "purple": (130, 40, 160), "black": (8, 8, 8), "white": (250, 250, 250),
}  # fmt: skip

_DRAWN: Final = {
    "airplane": "airplanes", "baseball_field": "a baseball field", "beach": "a beach",
    "football_field": "a football field", "harbor": "boats in a harbor", "parking_lot": "a parking lot",
    "storage_tank": "storage tanks", "tennis_court": "a tennis court",
}  # fmt: skip
_NARROW: Final = (
    "airplane", "baseball_field", "basketball_court", "beach", "bridge", "circular_farmland", "cloud",
    "dense_residential", "football_field", "freeway", "golf_course", "harbor", "intersection", "lake",
    "parking_lot", "railway", "sea_ice", "shipping_yard", "solar_panel", "storage_tank", "swimming_pool",
    "tennis_court", "terrace", "waste_water_plant",
)  # fmt: skip


@cache
def english() -> Probes:
    """Return probes in plain English: colours, shapes, patterns and scenes from above."""
    kinds: dict[str, list[Picture]] = {
        f"a plain {name} picture": [_plain(colour), _grainy(colour)] for name, colour in COLOURS.items()
    }
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    for text, mask in _shapes(rows - _SIDE / 2, columns - _SIDE / 2).items():
        kinds[text] = [_on_white(mask(70.0)), _on_white(mask(45.0))]
    kinds["horizontal black and white stripes"] = [_on_white(rows // wide % 2 == 0) for wide in (14, 28)]
    kinds["vertical black and white stripes"] = [_on_white(columns // wide % 2 == 0) for wide in (14, 28)]
    kinds["a checkerboard"] = [_on_white((rows // wide + columns // wide) % 2 == 0) for wide in (28, 56)]
    for name, text in _DRAWN.items():
        kinds[f"an aerial photo of {text}"] = [world.draw(name, _SEED, index, _SIDE).pixels for index in range(2)]
    return _gathered(kinds)


@cache
def narrow() -> Probes:
    """Return probes in the words of the synthetic world's captions: what the scenes of a class show."""
    kinds: dict[str, list[Picture]] = {}
    for name in _NARROW:
        drawn = [world.draw(name, _SEED, index, 128) for index in range(2)]
        shares = np.mean([one.attributes for one in drawn], axis=0)
        often = [ATTRIBUTES[i].name for i in np.argsort(-shares, kind="stable")[:_SAID] if shares[i] > 0]
        kinds[", ".join(phrases(attribute)[0] for attribute in often)] = [one.pixels for one in drawn]
    return _gathered(kinds)


def _gathered(kinds: dict[str, list[Picture]]) -> Probes:
    pictures = tuple(picture for own in kinds.values() for picture in own)
    right = np.repeat(np.arange(len(kinds)), [len(own) for own in kinds.values()])
    return Probes(pictures, tuple(kinds), right.astype(np.int64))


def _plain(colour: tuple[int, int, int]) -> Picture:
    return np.full((_SIDE, _SIDE, 3), colour, np.uint8)


def _grainy(colour: tuple[int, int, int]) -> Picture:
    noise = np.random.default_rng(0).normal(0, 12, (_SIDE, _SIDE, 1))
    return np.clip(_plain(colour) + noise, 0, 255).astype(np.uint8)


def _on_white(mask: npt.NDArray[np.bool_]) -> Picture:
    return np.where(mask[..., None], np.uint8(0), np.uint8(255)) * np.ones(3, np.uint8)


def _shapes(
    y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]
) -> dict[str, Callable[[float], npt.NDArray[np.bool_]]]:
    """Return the masks of shapes of a given half width around the middle."""
    distance = np.hypot(x, y)
    return {
        "a black circle": lambda half: distance < half,
        "a black square": lambda half: np.maximum(abs(x), abs(y)) < half,
        "a black triangle": lambda half: (abs(y) < half) & (abs(x) < (y + half) / 2),
        "a black ring": lambda half: abs(distance - half) < half / 5,
        "a black cross": lambda half: (np.minimum(abs(x), abs(y)) < half / 4) & (np.maximum(abs(x), abs(y)) < half),
    }
