"""What surfaces of the synthetic world look like: colour, texture, and the attributes they carry.

Everything is integer arithmetic, so that a picture has the same bytes on every machine.
"""

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]
Texture = Literal["plain", "fine", "lumpy", "crowns", "rows", "waves", "ridges"]

TEXTURES: Final[tuple[Texture, ...]] = ("plain", "fine", "lumpy", "crowns", "rows", "waves", "ridges")
DIRECTED: Final = frozenset({"rows", "waves"})
TILE: Final = 256
"""Side of a texture tile in texture cells; a power of two."""

# Lattice cells a side of the tile, and weight.
_LUMPS = ((64, 1), (16, 2), (4, 3))
_RIDGES = ((4, 16), (8, 9), (16, 4), (32, 2), (64, 1))


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        colour: mean RGB in full light.
        spread: how far the mean of one picture may lie from it, in grey levels.
        texture: pattern laid over the colour.
        strength: amplitude of the pattern in grey levels.
        period: size of the pattern in metres.
        attributes: attributes of every surface of this material.
        living: plants, whose colour follows the season.
        uneven: amplitude of slow changes over the picture in grey levels.
    """

    colour: Colour
    spread: int
    texture: Texture
    strength: int
    period: float
    attributes: tuple[str, ...]
    living: bool = False
    uneven: int = 6


_GREEN, _WATER, _PAVED = "tree_cover", "water_cover", "paved_cover"

MATERIALS: Final = MappingProxyType(
    {
        "asphalt": Material((84, 84, 88), 14, "fine", 7, 1.0, ("asphalt", _PAVED)),
        "concrete": Material((166, 164, 158), 14, "fine", 5, 1.4, ("concrete", _PAVED), uneven=5),
        "lawn": Material((88, 138, 66), 12, "plain", 4, 1.0, ("lawn",), living=True, uneven=7),
        "rough grass": Material((134, 140, 84), 14, "lumpy", 13, 2.2, ("rough_grass",), living=True, uneven=12),
        "crops": Material((104, 146, 62), 20, "rows", 15, 4.0, ("crops",), living=True),
        "bare soil": Material((140, 104, 74), 16, "lumpy", 9, 2.0, ("bare_soil",), uneven=9),
        "ploughed soil": Material((122, 90, 64), 14, "rows", 13, 3.6, ("bare_soil",)),
        "sand": Material((216, 192, 146), 12, "waves", 10, 11.0, ("sand",), uneven=8),
        "gravel": Material((150, 144, 138), 10, "fine", 22, 1.0, ("gravel",)),
        "rock": Material((122, 114, 108), 12, "ridges", 44, 12.0, ("rock", "relief"), uneven=14),
        "snow": Material((226, 232, 240), 6, "ridges", 34, 14.0, ("snow_ice",), uneven=7),
        "ice": Material((224, 236, 242), 8, "lumpy", 8, 4.0, ("snow_ice",)),
        "broadleaf": Material((62, 98, 48), 12, "crowns", 40, 8.0, ("broadleaf_foliage", _GREEN), living=True),
        "needle": Material((36, 66, 48), 8, "crowns", 30, 4.5, ("needle_foliage", _GREEN), living=True),
        "clear water": Material((34, 82, 124), 14, "waves", 7, 5.0, ("clear_water", _WATER)),
        "murky water": Material((92, 104, 78), 14, "waves", 5, 6.0, ("murky_water", _WATER)),
        "pool water": Material((84, 190, 214), 10, "plain", 3, 1.0, ("clear_water",), uneven=2),
        "foam": Material((238, 242, 240), 6, "lumpy", 12, 2.0, ("surf",)),
        "metal": Material((196, 200, 204), 22, "rows", 5, 2.0, ("metal_roof",), uneven=2),
        "tile": Material((172, 82, 58), 18, "fine", 7, 1.0, ("tile_roof",), uneven=2),
        "shingle": Material((112, 100, 94), 18, "fine", 7, 1.0, ("shingle_roof",), uneven=2),
        "coating": Material((60, 110, 132), 34, "plain", 3, 1.0, ("court_coating",), uneven=2),
        "paint": Material((236, 236, 230), 8, "plain", 0, 1.0, (), uneven=0),
        "yellow paint": Material((226, 190, 60), 10, "plain", 0, 1.0, (), uneven=0),
        "steel": Material((88, 82, 80), 12, "plain", 0, 1.0, (), uneven=0),
        "cell": Material((28, 36, 76), 8, "rows", 10, 1.6, (), uneven=2),
        "stone": Material((176, 174, 170), 14, "plain", 3, 1.0, (), uneven=0),
        "white": Material((240, 240, 238), 8, "plain", 2, 1.0, (), uneven=2),
        "dark": Material((48, 48, 54), 14, "plain", 2, 1.0, (), uneven=0),
        "red": Material((186, 44, 40), 20, "plain", 2, 1.0, (), uneven=0),
        "blue": Material((48, 84, 160), 22, "plain", 2, 1.0, (), uneven=0),
        "silver": Material((176, 180, 186), 16, "plain", 2, 1.0, (), uneven=0),
        "orange": Material((214, 130, 50), 18, "plain", 2, 1.0, (), uneven=0),
        "teal": Material((56, 140, 128), 18, "plain", 2, 1.0, (), uneven=0),
        "seats": Material((128, 136, 150), 40, "rows", 16, 2.4, ("stripes",), uneven=2),
        "track": Material((178, 84, 62), 12, "plain", 3, 1.0, ("court_coating",), uneven=3),
        "vapour": Material((242, 244, 248), 6, "lumpy", 12, 16.0, ("clouds",), uneven=8),
    }
)
"""Every surface by name; the grounds a scene can lie on are those of `GROUNDS`."""

GROUNDS: Final = (
    "asphalt", "concrete", "lawn", "rough grass", "crops", "bare soil", "ploughed soil", "sand", "gravel", "rock",
    "snow", "broadleaf", "needle", "clear water", "murky water",
)  # fmt: skip
"""Surfaces that a scene can lie on."""

WATER: Final = frozenset({"clear water", "murky water"})
PLANTED: Final = frozenset({"lawn", "rough grass", "crops", "broadleaf", "needle"})


@cache
def wave() -> npt.NDArray[np.int16]:
    """Return one period of a wave, (256,) int16 in -127 ... 127: a triangle with rounded tops."""
    t = np.arange(TILE, dtype=np.int64)
    ramp = np.abs(((t + 64) % 256) - 128) - 64
    rounded = (ramp * (3 * 64 * 64 - ramp * ramp)) // (2 * 64 * 64)
    return np.asarray(rounded * 127 // 64, np.int16)


@cache
def tiles() -> npt.NDArray[np.int8]:
    """Return the undirected textures as tiles that repeat without a seam, (textures, 256, 256) int8 in -127 ... 127."""
    rng = np.random.Generator(np.random.PCG64(20230609))
    made = np.zeros((len(TEXTURES), TILE, TILE), np.int8)
    made[TEXTURES.index("fine")] = _levelled(rng.integers(-127, 128, (TILE, TILE), dtype=np.int64))
    made[TEXTURES.index("lumpy")] = _levelled(sum(weight * _octave(rng, cells) for cells, weight in _LUMPS))
    made[TEXTURES.index("crowns")] = _levelled(_crowns(rng))
    ridged = -np.sum([weight * np.abs(_octave(rng, cells)) for cells, weight in _RIDGES], axis=0)
    made[TEXTURES.index("ridges")] = _levelled(ridged - np.roll(ridged, (2, 3), (0, 1)))
    return made


def _octave(rng: np.random.Generator, cells: int) -> npt.NDArray[np.int64]:
    """Smooth periodic noise: a lattice of `cells` random values a side, interpolated in fixed point."""
    lattice = rng.integers(-127, 128, (cells, cells), dtype=np.int64)
    step = TILE // cells
    at = np.arange(TILE)
    low = at // step
    high = (low + 1) % cells
    # 3 t^2 - 2 t^3 in 1/256: no creases at the lattice's lines.
    ramp = np.asarray(at % step * 256 // step, np.int64)
    part = np.asarray(ramp * ramp * (768 - 2 * ramp) >> 16, np.int64)
    rows = lattice[low] * (256 - part)[:, None] + lattice[high] * part[:, None]
    smooth = np.asarray(rows[:, low] * (256 - part) + rows[:, high] * part, np.int64)
    return smooth >> 8


def _crowns(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Heights of round crowns side by side, lit from one side."""
    height = np.zeros((TILE, TILE), np.int64)
    reach = 20
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    for _ in range(620):
        radius = int(rng.integers(8, 18))
        top = int(rng.integers(60, 100))
        crown = np.maximum(0, top - (x * x + y * y) * top // (radius * radius)) + (crown_base := top // 3)
        crown[(x * x + y * y) > radius * radius] = 0
        row, column = rng.integers(0, TILE, 2)
        rows, columns = (np.arange(-reach, reach + 1) + row) % TILE, (np.arange(-reach, reach + 1) + column) % TILE
        window = np.ix_(rows, columns)
        height[window] = np.maximum(height[window], crown + crown_base // 4)
    return height + 3 * (height - np.roll(height, (2, 2), (0, 1)))


def _levelled(values: npt.NDArray[np.int64] | int) -> npt.NDArray[np.int8]:
    """Shift and scale so that the mean is 0 and about 3 deviations fill -127 ... 127."""
    array = np.asarray(values, np.int64) * 256
    array = array - int(array.sum()) // array.size
    deviation = max(1, int(np.abs(array).sum()) // array.size)
    return np.asarray(np.clip(array * 50 // deviation, -127, 127), np.int8)
