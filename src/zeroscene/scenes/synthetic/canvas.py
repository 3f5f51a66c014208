"""The drawing surface: shapes in metres onto an index raster, and from there to colours and to the truth.

Every pixel first holds the number of an `Entry` (a material, with the attributes of what lies there). Colours, textures
and attribute masks are all looked up from that one raster, so the picture and its truth cannot disagree. Positions are
complex numbers: metres from the middle of the scene, real part to the right, imaginary part down.
"""

import cmath
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from zeroscene.scenes.synthetic.materials import DIRECTED, MATERIALS, TEXTURES, TILE, Colour, tiles, wave
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX

Role = Literal["ground", "area", "line", "thing", "sky"]
Bytes = npt.NDArray[np.uint8]

_OVERSAMPLING: Final = 2
_MOST_ENTRIES: Final = 254
_DRY: Final = (176, 156, 98)
_AUTUMN: Final = (172, 112, 52)
# Grey levels from which on a colour is white, and below which it is dark.
_WHITE, _DARK = 195, 92


@dataclass(frozen=True)
class Light:
    """Season, sun and sensor of one picture.

    Attributes:
        sun: direction and length of the shadow of something one metre high, in metres of the picture's frame.
        gain: brightness of the light in 1/256.
        warmth: grey levels added to red and taken from blue.
        haze: share of white in 1/256.
        dryness: share of dry yellow in living plants in 1/256.
        autumn: share of autumn brown in broadleaf crowns in 1/256.
        noise: amplitude of the sensor's noise in grey levels.
    """

    sun: complex
    gain: int
    warmth: int
    haze: int
    dryness: int
    autumn: int
    noise: int

    @classmethod
    def draw(cls, random: Random) -> "Light":
        """Return the light of one picture."""
        season = random.random()
        return cls(
            sun=cmath.rect(random.uniform(0.3, 1.1), random.uniform(0, 2 * math.pi)),
            gain=random.randint(205, 282),
            warmth=random.randint(-7, 9),
            haze=random.randint(0, 26),
            dryness=random.randint(70, 150) if season < 0.22 else random.randint(0, 40),
            autumn=random.randint(60, 170) if season > 0.85 else 0,
            noise=random.randint(1, 6),
        )


@dataclass(frozen=True)
class Entry:
    """One kind of pixel of a picture.

    Attributes:
        material: key of `materials.MATERIALS`.
        role: what it is part of.
        attributes: attributes of what is drawn with it, those of the material not included.
        tone: brightness steps from the material's mean.
        direction: angle of rows or waves in the scene's frame, radians.
    """

    material: str
    role: Role
    attributes: frozenset[str] = frozenset()
    tone: int = 0
    direction: float = 0.0


class Canvas:
    """One scene being drawn.

    Args:
        metres: side of the scene.
        size: side of the finished picture in pixels.
        turn: rotation of the scene in the picture, radians.
        light: season, sun and sensor.
        random: source of chance for colours.
    """

    def __init__(self, metres: float, size: int, turn: float, light: Light, random: Random):
        self.metres = metres
        self.size = size
        self.light = light
        self.random = random
        self.entries: list[Entry] = []
        self._numbers: dict[Entry, int] = {}
        side = size * _OVERSAMPLING
        self._scale = side / metres
        self._turn = cmath.rect(self._scale, turn)
        self.angle = turn
        self._middle = complex(side / 2, side / 2)
        self._side = side
        self._index = Image.new("L", (side, side))
        self._shade = Image.new("L", (side, side))
        self._draw = ImageDraw.Draw(self._index)
        self._shadow = ImageDraw.Draw(self._shade)
        # Drawing through ImageDraw does not make a loaded pixel access stale.
        self._pixels = self._index.load()
        self.texture_start = random.randrange(TILE), random.randrange(TILE)
        self.noise_seed = random.getrandbits(32)
        self._means: dict[str, Colour] = {}

    def entry(
        self,
        material: str,
        role: Role = "thing",
        attributes: Iterable[str] = (),
        tone: int = 0,
        direction: float = 0.0,
    ) -> int:
        """Return the number of a kind of pixel, a new one if it was not used before.

        Raises:
            ValueError: the picture has too many kinds for a byte.
        """
        wanted = Entry(material, role, frozenset(attributes), tone, round(direction, 3))
        if wanted not in self._numbers:
            if len(self.entries) >= _MOST_ENTRIES:
                raise ValueError(f"a picture has at most {_MOST_ENTRIES} kinds of pixels")
            self._numbers[wanted] = len(self.entries)
            self.entries.append(wanted)
        return self._numbers[wanted]

    def fill(self, number: int) -> None:
        """Cover everything."""
        self._index.paste(number, (0, 0, self._side, self._side))

    def polygon(self, points: Iterable[complex], number: int, height: float = 0.0) -> None:
        """Fill a polygon; with a height in metres it throws a shadow."""
        at = self._place(points)
        if height:
            self._cast(at, height)
        self._draw.polygon(at, fill=number)

    def disc(self, centre: complex, radius: float, number: int, height: float = 0.0) -> None:
        """Fill a circle; with a height in metres it throws a shadow."""
        z = centre * self._turn + self._middle
        r = max(0.5, radius * self._scale)
        if height:
            reach = self.light.sun * height * self._scale
            for part in (0.5, 1.0):
                self._shadow.ellipse(_box(z + reach * part, r), fill=255)
            self._shadow.ellipse(_box(z, r), fill=0)
        self._draw.ellipse(_box(z, r), fill=number)

    def ring(self, centre: complex, radius: float, width: float, number: int) -> None:
        """Draw a circle line of a width in metres, `radius` to its middle."""
        z = centre * self._turn + self._middle
        r, w = (radius + width / 2) * self._scale, max(1, round(width * self._scale))
        self._draw.ellipse(_box(z, r), outline=number, width=w)

    def line(self, points: Sequence[complex], width: float, number: int, height: float = 0.0) -> None:
        """Draw a line of a width in metres through points; with a height it throws a shadow."""
        at, w = self._place(points), max(1, round(width * self._scale))
        joint = "curve" if len(at) > 2 and w > 2 else None
        if height:
            reach = self.light.sun * height * self._scale
            moved = [(round(x + reach.real), round(y + reach.imag)) for x, y in at]
            self._shadow.line(moved, fill=255, width=w, joint=joint)
            self._shadow.line(at, fill=0, width=w, joint=joint)
        self._draw.line(at, fill=number, width=w, joint=joint)

    def role(self, point: complex) -> Role:
        """Return what lies at a point; outside the picture it is ground."""
        z = point * self._turn + self._middle
        x, y = int(z.real), int(z.imag)
        if 0 <= x < self._side and 0 <= y < self._side:
            return self.entries[self._pixels[x, y]].role  # type: ignore[index]
        return "ground"

    def material(self, point: complex) -> str:
        """Return the material at a point; outside the picture that of its first entry, the ground."""
        z = point * self._turn + self._middle
        x, y = int(z.real), int(z.imag)
        inside = 0 <= x < self._side and 0 <= y < self._side
        return self.entries[self._pixels[x, y] if inside else 0].material  # type: ignore[index]

    def inside(self, point: complex, margin: float = 0.0) -> bool:
        """Return whether a point lies in the picture, at least `margin` metres from its border."""
        z = point * self._turn + self._middle
        m = margin * self._scale
        return m <= z.real < self._side - m and m <= z.imag < self._side - m

    def _place(self, points: Iterable[complex]) -> list[tuple[int, int]]:
        turn, middle = self._turn, self._middle
        placed = []
        for point in points:
            z = point * turn + middle
            placed.append((round(z.real), round(z.imag)))
        return placed

    def _cast(self, at: list[tuple[int, int]], height: float) -> None:
        reach = self.light.sun * height * self._scale
        for part in (0.5, 1.0):
            dx, dy = round(reach.real * part), round(reach.imag * part)
            self._shadow.polygon([(x + dx, y + dy) for x, y in at], fill=255)
        self._shadow.polygon(at, fill=0)

    def finish(self) -> "Drawing":
        """Return the colours and the truth."""
        return Drawing(*_develop(self, np.asarray(self._index), self._shade), self.metres / self.size)

    def colour(self, entry: Entry) -> Colour:
        """Return the colour of an entry before textures; one material has one mean in a picture."""
        if entry.material not in self._means:
            material = MATERIALS[entry.material]
            shift = self.random.randint(-material.spread, material.spread)
            tints = [self.random.randint(-material.spread // 3, material.spread // 3) for _ in range(3)]
            mean = [level + shift + tint for level, tint in zip(material.colour, tints, strict=True)]
            if material.living:
                mean = _blend(mean, _DRY, self.light.dryness)
            if entry.material == "broadleaf":
                mean = _blend(mean, _AUTUMN, self.light.autumn)
            self._means[entry.material] = (mean[0], mean[1], mean[2])
        red, green, blue = (min(255, max(0, level + 16 * entry.tone)) for level in self._means[entry.material])
        return red, green, blue


@dataclass(frozen=True)
class Drawing:
    """A finished picture and the truth about it.

    Attributes:
        pixels: (H, W, 3) uint8.
        index: (H, W) uint8, number of the entry at each pixel.
        shadow: (H, W) bool, pixels in a cast shadow.
        carriers: (entries, A) bool, which entries carry which attribute.
        gsd: metres a pixel.
    """

    pixels: Bytes
    index: Bytes
    shadow: npt.NDArray[np.bool_]
    carriers: npt.NDArray[np.bool_]
    gsd: float

    def shares(self) -> npt.NDArray[np.float64]:
        """Return the share of pixels that each attribute covers, (A,)."""
        counts = np.bincount(self.index.ravel(), minlength=len(self.carriers)).astype(np.float64)
        covered = counts @ self.carriers
        covered[INDEX["cast_shadows"]] = np.count_nonzero(self.shadow)
        return np.asarray(covered / self.index.size, np.float64)

    def present(self) -> npt.NDArray[np.bool_]:
        """Return which attributes count as present, (A,)."""
        return np.asarray(self.shares() >= [attribute.least for attribute in ATTRIBUTES], np.bool_)

    def mask(self, column: int) -> npt.NDArray[np.bool_]:
        """Return the pixels of one attribute, (H, W)."""
        if column == INDEX["cast_shadows"]:
            return self.shadow
        return np.asarray(self.carriers[:, column][self.index], np.bool_)


def _box(z: complex, r: float) -> tuple[int, int, int, int]:
    return round(z.real - r), round(z.imag - r), round(z.real + r), round(z.imag + r)


def _blend(colour: Sequence[int], other: Sequence[int], share: int) -> list[int]:
    return [(a * (256 - share) + b * share) >> 8 for a, b in zip(colour, other, strict=True)]


def _develop(
    canvas: Canvas, fine: Bytes, shade: Image.Image
) -> tuple[Bytes, Bytes, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Look up colours, add textures, shadow, light and noise; all in integers."""
    light, size = canvas.light, canvas.size
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(canvas.entries)] = [canvas.colour(entry) for entry in canvas.entries]
    painted = Image.fromarray(fine, "P")
    painted.putpalette(colours.tobytes())
    picture = np.asarray(painted.convert("RGB").reduce(_OVERSAMPLING)).astype(np.int16)
    index = np.ascontiguousarray(fine[1::_OVERSAMPLING, 1::_OVERSAMPLING])
    picture += _textures(canvas, index)[:, :, None]
    dark = np.asarray(shade.reduce(_OVERSAMPLING)).astype(np.int32)
    # Shadows keep 45 % of the light, and a little blue from the sky.
    picture = (picture.astype(np.int32) * (256 - (dark * 140 >> 8))[:, :, None]) >> 8
    picture = (picture * light.gain >> 8) + np.asarray([light.warmth, 0, -light.warmth])
    picture += ((232 - picture) * light.haze) >> 8
    noise = np.random.Generator(np.random.PCG64(canvas.noise_seed))
    picture += noise.integers(-light.noise, light.noise + 1, (size, size, 3), dtype=np.int8)
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels, index, dark >= 96, _carriers(canvas.entries, colours)


def _textures(canvas: Canvas, index: Bytes) -> npt.NDArray[np.int16]:
    """Return the grey levels that textures add at each pixel, (H, W)."""
    pixels_a_metre = canvas.size / canvas.metres
    table = np.zeros((256, 7), np.int32)  # texture, step, strength, directed strength, cx, cy, unevenness
    for number, entry in enumerate(canvas.entries):
        material = MATERIALS[entry.material]
        period = material.period * pixels_a_metre
        directed = material.texture in DIRECTED
        visible = min(1.0, max(0.0, (period - 1.6) / 2)) if directed else 1.0
        step = 256 if material.texture == "fine" else min(4096, round(256 * 24 / period))
        angle = entry.direction + canvas.angle
        table[number] = (
            TEXTURES.index(material.texture), step, 0 if directed else material.strength,
            round(material.strength * visible * 4) if directed else 0,
            round(65536 / period * math.cos(angle)), round(65536 / period * math.sin(angle)), material.uneven,
        )  # fmt: skip
    at = table[index]
    y, x = np.ogrid[: canvas.size, : canvas.size]
    down, right = canvas.texture_start
    tile = tiles()
    rows = ((y * at[..., 1] >> 8) + down) & (TILE - 1)
    columns = ((x * at[..., 1] >> 8) + right) & (TILE - 1)
    level = (tile[at[..., 0], rows, columns].astype(np.int32) * at[..., 2]) >> 7
    # Waves and rows bend a little, as wind and tractors do.
    slow = _slow(canvas)
    phase = ((at[..., 4] * x + at[..., 5] * y) >> 8) + slow
    level += (wave()[phase & 255].astype(np.int32) * at[..., 3]) >> 9
    level += (slow * at[..., 6]) >> 7
    return np.asarray(level, np.int16)


def _slow(canvas: Canvas) -> npt.NDArray[np.int32]:
    """Return slow changes over the picture, (H, W) in about -127 ... 127."""
    rng = np.random.Generator(np.random.PCG64(canvas.noise_seed + 1))
    lattice = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8), "L")
    smooth = lattice.resize((canvas.size, canvas.size), Image.Resampling.BICUBIC)
    return np.asarray(smooth).astype(np.int32) - 128


def _carriers(entries: Sequence[Entry], colours: Bytes) -> npt.NDArray[np.bool_]:
    """Return which entries carry which attribute, (entries, A)."""
    carried = np.zeros((256, len(ATTRIBUTES)), np.bool_)
    for number, entry in enumerate(entries):
        material = MATERIALS[entry.material]
        found = {*material.attributes, *entry.attributes, *_tint(colours[number])}
        if material.texture == "crowns":
            found.add("coarse_grained")
        if material.texture == "rows" and material.period > 3:
            found.add("stripes")
        if entry.role in ("ground", "area") and material.texture != "crowns":
            found.add("empty_expanse")
        carried[number, [INDEX[name] for name in found]] = True
    return carried


def _tint(colour: npt.NDArray[np.uint8]) -> list[str]:
    """Return the colour attributes of a colour in full light."""
    red, green, blue = (int(level) for level in colour)
    bright, grey = max(red, green, blue), max(red, green, blue) - min(red, green, blue)
    found = ["mostly_dark"] if bright < _DARK else []
    if min(red, green, blue) > _WHITE:
        found.append("mostly_white")
    elif grey < 26:
        found.append("mostly_grey")
    elif green >= red and green > blue + 8:
        found.append("mostly_green")
    elif blue >= green and blue > red:
        found.append("mostly_blue")
    elif red > green >= blue:
        found.append("mostly_tan" if red > 165 and red - blue < 100 else "mostly_brown")
    if red > 120 and red > 1.5 * green and red > 1.5 * blue:
        found.append("red_accents")
    return found
