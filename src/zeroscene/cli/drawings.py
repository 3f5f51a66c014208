"""Scenes drawn from above with a few lines of arithmetic: what the demo and the documentation's tests look at.

They are toys, drawn the same on every machine from a class name and a number, and say nothing about real accuracy.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.files import digest, replacing

SIZE = 96
Canvas = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Colour = tuple[float, float, float]
Generator = np.random.Generator

_Y, _X = (grid.astype(np.float32) for grid in np.mgrid[0:SIZE, 0:SIZE])

GRASS, LAWN, LEAF, CANOPY = (0.42, 0.52, 0.28), (0.36, 0.56, 0.27), (0.20, 0.36, 0.16), (0.13, 0.27, 0.12)
SAND, SOIL, CLAY = (0.82, 0.73, 0.55), (0.56, 0.45, 0.32), (0.68, 0.44, 0.30)
DEEP, SHALLOW, MUDDY = (0.08, 0.22, 0.38), (0.20, 0.45, 0.52), (0.25, 0.34, 0.30)
ASPHALT, CONCRETE, WHITE = (0.34, 0.34, 0.36), (0.62, 0.61, 0.59), (0.93, 0.93, 0.91)
ROOFS: tuple[Colour, ...] = ((0.62, 0.33, 0.26), (0.50, 0.42, 0.38), (0.70, 0.66, 0.62), (0.38, 0.36, 0.40))
CARS: tuple[Colour, ...] = ((0.90, 0.90, 0.92), (0.15, 0.16, 0.20), (0.65, 0.12, 0.12), (0.20, 0.30, 0.60))


def draw(name: str, number: int) -> npt.NDArray[np.uint8]:
    """Return one picture of a class: (96, 96, 3) uint8, the same for the same name and number."""
    rng = np.random.default_rng(int(digest(f"{names.key(name)} {number}"), 16))
    canvas = _PAINTERS[names.key(name)](rng)
    light = np.float32(rng.uniform(0.88, 1.1))
    noisy = canvas * light + rng.normal(0, 0.012, canvas.shape)
    return np.asarray(np.clip(noisy * 255, 0, 255), np.uint8)


def draw_folder(folder: Path, classes: Sequence[str], first: int, count: int) -> None:
    """Write pictures `first` ... `first + count - 1` of each class as PNG, one folder a class."""
    for name in classes:
        for number in range(first, first + count):
            write(folder / name / f"{names.key(name)}{number:03d}.png", draw(name, number))


def write(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a picture as PNG, whole or not at all."""
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def _noise(rng: Generator, coarse: int) -> Canvas:
    """Smooth noise with mean 0 and deviation about 1, of `coarse` cells a side."""
    knots = rng.normal(size=(coarse + 2, coarse + 2)).astype(np.float32)
    position = np.linspace(0, coarse, SIZE, dtype=np.float32)
    cell = np.minimum(position.astype(int), coarse)
    part = position - cell
    part = part * part * (3 - 2 * part)
    rows = knots[cell] * (1 - part)[:, None] + knots[cell + 1] * part[:, None]
    return np.asarray(rows[:, cell] * (1 - part) + rows[:, cell + 1] * part, np.float32)


def _ground(rng: Generator, colour: Colour, rough: float = 0.03, fine: float = 0.02) -> Canvas:
    tint = np.asarray(colour, np.float32) + rng.normal(0, 0.02, 3).astype(np.float32)
    shade = rough * _noise(rng, 4) + fine * _noise(rng, 32)
    return np.asarray(tint + shade[..., None], np.float32)


def _paint(canvas: Canvas, mask: Mask, colour: Colour) -> None:
    if mask.any():
        canvas[mask] = np.asarray(colour, np.float32) + 0.35 * (canvas[mask] - canvas[mask].mean(axis=0))


def _box(x: float, y: float, width: float, height: float, angle: float = 0.0) -> Mask:
    c, s = np.cos(angle), np.sin(angle)
    u, v = c * (_X - x) + s * (_Y - y), -s * (_X - x) + c * (_Y - y)
    return np.asarray((np.abs(u) <= width / 2) & (np.abs(v) <= height / 2))


def _disc(x: float, y: float, radius: float) -> Mask:
    return np.asarray((_X - x) ** 2 + (_Y - y) ** 2 <= radius**2)


def _raised(canvas: Canvas, mask: Mask, colour: Colour, height: int = 2) -> None:
    """Paint something that stands above the ground: its shadow falls to the lower right."""
    shadow = np.roll(mask, (height, height), axis=(0, 1)) & ~mask
    canvas[shadow] *= 0.55
    _paint(canvas, mask, colour)


def _trees(canvas: Canvas, rng: Generator, count: int, low: float = 2, high: float = 5) -> None:
    for _ in range(count):
        x, y = rng.uniform(0, SIZE, 2)
        shade = rng.uniform(0.8, 1.25)
        _raised(canvas, _disc(x, y, rng.uniform(low, high)), (LEAF[0] * shade, LEAF[1] * shade, LEAF[2] * shade), 1)


def _across(rng: Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return distance along and across a line through the picture's middle, at a random angle."""
    angle = rng.uniform(0, np.pi)
    offset = rng.uniform(-14, 14)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = c * (_X - SIZE / 2) + s * (_Y - SIZE / 2)
    across = -s * (_X - SIZE / 2) + c * (_Y - SIZE / 2) - np.float32(offset)
    return along, across


def _forest(rng: Generator) -> Canvas:
    canvas = _ground(rng, CANOPY, 0.03, 0.03)
    _trees(canvas, rng, 190, 2.5, 6)
    return canvas


def _meadow(rng: Generator) -> Canvas:
    canvas = _ground(rng, GRASS, 0.05, 0.02)
    _trees(canvas, rng, int(rng.integers(0, 4)))
    return canvas


def _desert(rng: Generator) -> Canvas:
    _, across = _across(rng)
    canvas = _ground(rng, SAND, 0.04, 0.01)
    canvas += np.asarray(0.05 * np.sin(across / rng.uniform(2, 4) + 1.5 * _noise(rng, 4)), np.float32)[..., None]
    return canvas


def _sea(rng: Generator) -> Canvas:
    _, across = _across(rng)
    canvas = _ground(rng, DEEP, 0.02, 0.01)
    canvas += np.asarray(0.025 * np.sin(across / 1.6 + _noise(rng, 8)), np.float32)[..., None]
    return canvas


def _beach(rng: Generator) -> Canvas:
    _, across = _across(rng)
    shore = across + 5 * _noise(rng, 4)
    canvas, water = _ground(rng, SAND, 0.02, 0.015), _ground(rng, SHALLOW, 0.02, 0.02)
    deep = np.clip(shore / 40, 0, 1)[..., None]
    water = np.asarray(water * (1 - deep) + np.asarray(DEEP) * deep, np.float32)
    canvas = np.where((shore > 0)[..., None], water, canvas)
    canvas[(shore > 0) & (shore < 4 + 2 * _noise(rng, 10))] = WHITE
    return np.asarray(canvas, np.float32)


def _river(rng: Generator) -> Canvas:
    along, across = _across(rng)
    canvas = _ground(rng, GRASS, 0.04, 0.02)
    _trees(canvas, rng, 45)
    course = np.abs(across + 10 * np.sin(along / rng.uniform(12, 18) + rng.uniform(0, 6)))
    width = rng.uniform(7, 12)
    _paint(canvas, course < width + 2.5, SAND)
    _paint(canvas, course < width, MUDDY)
    return canvas


def _fields(rng: Generator) -> Canvas:
    canvas = _ground(rng, SOIL)
    along, across = _across(rng)
    width, length = rng.uniform(18, 30), rng.uniform(28, 46)
    plot = np.floor(across / width) * 31 + np.floor(along / length) * 17
    for code in np.unique(plot):
        colour = (GRASS, LAWN, SOIL, (0.72, 0.66, 0.40), LEAF)[int(rng.integers(5))]
        _paint(canvas, plot == code, colour)
    canvas += np.asarray(0.035 * np.sign(np.sin(across * 1.6)), np.float32)[..., None]
    return canvas


def _circular(rng: Generator) -> Canvas:
    canvas = _ground(rng, SAND, 0.03, 0.02)
    pitch = rng.uniform(30, 46)
    shift = rng.uniform(0, pitch, 2)
    for row in range(-1, 5):
        for column in range(-1, 5):
            colour = (GRASS, LAWN, LEAF, SOIL)[int(rng.integers(4))]
            _paint(canvas, _disc(shift[0] + column * pitch, shift[1] + row * pitch, pitch * 0.46), colour)
    return canvas


def _dense(rng: Generator) -> Canvas:
    canvas = _ground(rng, LAWN, 0.03, 0.03)
    _trees(canvas, rng, 35, 1.5, 3.5)
    pitch = rng.uniform(13, 16)
    street = int(rng.integers(3))
    for row in range(8):
        y = (row + 0.5) * pitch
        if row % 3 == street:
            _paint(canvas, np.abs(_Y - y) < 3.5, ASPHALT)
            continue
        for column in range(8):
            x = (column + 0.5) * pitch + rng.uniform(-1, 1)
            _raised(canvas, _box(x, y, pitch * 0.72, pitch * 0.66), ROOFS[int(rng.integers(4))])
    return canvas


def _sparse(rng: Generator) -> Canvas:
    canvas = _ground(rng, GRASS, 0.05, 0.02)
    _trees(canvas, rng, 40, 2, 5)
    _, across = _across(rng)
    _paint(canvas, np.abs(across) < 2.5, SOIL)
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(18, 78, 2)
        _raised(canvas, _box(x, y, 15, 11, rng.uniform(0, 3)), ROOFS[int(rng.integers(4))])
    return canvas


def _parking(rng: Generator) -> Canvas:
    canvas = _ground(rng, ASPHALT, 0.015, 0.015)
    pitch = rng.uniform(17, 21)
    for row in range(6):
        y = (row + 0.5) * pitch
        for x in np.arange(2, SIZE, 6.5):
            _paint(canvas, _box(float(x), y, 0.9, 11), WHITE)
            if rng.random() < 0.7:
                _raised(canvas, _box(float(x) + 3.2, y, 4.2, 8.5), CARS[int(rng.integers(4))], 1)
    return canvas


def _runway(rng: Generator) -> Canvas:
    along, across = _across(rng)
    canvas = _ground(rng, GRASS, 0.03, 0.015)
    width = rng.uniform(15, 20)
    _paint(canvas, np.abs(across) < width, (0.45, 0.45, 0.46))
    _paint(canvas, np.abs(np.abs(across) - width + 2) < 0.8, WHITE)
    _paint(canvas, (np.abs(across) < 1.1) & (along % 18 < 11), WHITE)
    return canvas


def _freeway(rng: Generator) -> Canvas:
    along, across = _across(rng)
    canvas = _ground(rng, GRASS, 0.04, 0.02)
    _trees(canvas, rng, 25)
    for side in (-1, 1):
        lane = across - side * 11
        _paint(canvas, np.abs(lane) < 9, CONCRETE)
        _paint(canvas, (np.abs(np.abs(lane) - 3) < 0.5) & (along % 9 < 4), WHITE)
        for _ in range(int(rng.integers(2, 7))):
            at, row = rng.uniform(-50, 50), rng.choice([-6, 0, 6])
            car = (np.abs(along - at) < 3.6) & (np.abs(lane - row) < 1.8)
            _raised(canvas, car, CARS[int(rng.integers(4))], 1)
    return canvas


def _tanks(rng: Generator) -> Canvas:
    canvas = _ground(rng, (0.52, 0.48, 0.42), 0.03, 0.02)
    pitch = rng.uniform(26, 36)
    shift = rng.uniform(-8, 8, 2)
    for row in range(4):
        for column in range(4):
            x, y = shift + pitch * (np.array([column, row]) + 0.5)
            radius = pitch * rng.uniform(0.32, 0.42)
            _raised(canvas, _disc(x, y, radius), WHITE if rng.random() < 0.8 else CONCRETE, 4)
            _paint(canvas, _disc(x, y, radius) & ~_disc(x, y, radius - 1.2), CONCRETE)
    return canvas


def _tennis(rng: Generator) -> Canvas:
    canvas = _ground(rng, LAWN, 0.03, 0.02)
    _trees(canvas, rng, 20)
    outside = ((0.20, 0.42, 0.30), CLAY, (0.24, 0.40, 0.30))[int(rng.integers(3))]
    inside = ((0.22, 0.36, 0.58), (0.30, 0.50, 0.36), CLAY)[int(rng.integers(3))]
    angle, count = rng.choice([0.0, np.pi / 2]), int(rng.integers(1, 4))
    for i in range(count):
        shift = (i - (count - 1) / 2) * 30
        x, y = (48 + shift, 48) if angle == 0 else (48, 48 + shift)
        _paint(canvas, _box(x, y, 29, 58, angle), outside)
        court = _box(x, y, 17, 40, angle)
        _paint(canvas, court, WHITE)
        _paint(canvas, _box(x, y, 15.2, 38, angle), inside)
        for part in (_box(x, y, 17, 1.2, angle), _box(x, y, 12, 22, angle) & ~_box(x, y, 10.4, 20.4, angle)):
            _paint(canvas, part, WHITE)
    return canvas


def _diamond(rng: Generator) -> Canvas:
    canvas = _ground(rng, LAWN, 0.02, 0.015)
    x, y = rng.uniform(36, 60, 2)
    turn = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2]) + np.pi / 4
    c, s = np.cos(turn), np.sin(turn)
    u, v = c * (_X - x) + s * (_Y - y) + 18, -s * (_X - x) + c * (_Y - y) + 18
    _paint(canvas, (u > -4) & (v > -4) & (u**2 + v**2 < 46**2), CLAY)
    _paint(canvas, (u > 4) & (v > 4) & (u < 27) & (v < 27), LAWN)
    _paint(canvas, (np.abs(u - 15) < 2.5) & (np.abs(v - 15) < 2.5), CLAY)
    return canvas


_PAINTERS: dict[str, Callable[[Generator], Canvas]] = {
    "forest": _forest,
    "meadow": _meadow,
    "desert": _desert,
    "sea": _sea,
    "beach": _beach,
    "river": _river,
    "rectangularfarmland": _fields,
    "circularfarmland": _circular,
    "denseresidential": _dense,
    "sparseresidential": _sparse,
    "parkinglot": _parking,
    "runway": _runway,
    "freeway": _freeway,
    "storagetank": _tanks,
    "tenniscourt": _tennis,
    "baseballdiamond": _diamond,
}

DRAWN_CLASSES = (
    "forest", "meadow", "desert", "sea", "beach", "river", "rectangular farmland", "circular farmland",
    "dense residential", "sparse residential", "parking lot", "runway", "freeway", "storage tank", "tennis court",
    "baseball diamond",
)  # fmt: skip
