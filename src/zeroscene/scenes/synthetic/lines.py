"""Linear things: roads, rails, runways, piers, and the ways they run through a scene."""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from zeroscene.scenes.synthetic.scene import Scene, Track
from zeroscene.scenes.synthetic.shapes import Shape, box, circle, sideways, straight, walk, winding

LINE_LAYOUTS: Final = MappingProxyType(
    {
        "straight": ("single_band",),
        "winding": ("single_band", "curved_lines"),
        "parallel": ("parallel_lines",),
        "crossing": ("crossing_lines",),
        "net": ("street_grid", "crossing_lines"),
        "circle": ("loops", "round_shapes"),
    }
)
"""How a line can run, and the attributes that this gives it."""


@dataclass(frozen=True)
class Line:
    """A linear thing: its attribute, its width in metres and how it is painted."""

    attribute: str
    width: tuple[float, float]
    paint: Callable[[Scene, Shape, float], tuple[float, ...]]


def run(scene: Scene, name: str, layout: str) -> None:
    """Draw a line in a layout and leave its tracks for what follows."""
    line = LINES[name]
    width = scene.random.uniform(*line.width)
    scene.tracks = []
    with scene.carrying(LINE_LAYOUTS[layout]):
        for path in _paths(scene, layout, width):
            scene.tracks.append(Track(path, width, line.paint(scene, path, width)))


def _paths(scene: Scene, layout: str, width: float) -> list[Shape]:
    random, metres = scene.random, scene.metres
    offset = complex(0, random.uniform(-0.12, 0.12) * metres)
    if layout == "straight":
        return [straight(metres, offset, 1)]
    if layout == "winding":
        return [winding(random, metres, offset, 1, random.uniform(0.08, 0.17) * metres / (1 + width / 16))]
    if layout == "parallel":
        count = random.randint(2, 4)
        gap = max(width * random.uniform(1.5, 2.4), metres / (count + 1.2) * random.uniform(0.6, 0.9))
        first = -gap * (count - 1) / 2
        return [straight(metres, complex(0, first + i * gap) + offset / 2, 1) for i in range(count)]
    if layout == "crossing":
        across = cmath.rect(1, random.uniform(0.36, 0.64) * math.pi)
        middle = scene.around(0.25)
        return [straight(metres, middle, 1), straight(metres, middle, across)]
    if layout == "net":
        paths = []
        for heading in (1 + 0j, 1j):
            gap = random.uniform(0.27, 0.42) * metres
            start = random.uniform(-0.5, 0.5) * gap
            paths += [straight(metres, heading * 1j * (start + k * gap), heading) for k in (-2, -1, 0, 1, 2)]
        return paths
    middle = scene.around(0.2)
    radius = max(width * 1.4, random.uniform(0.14, 0.2) * metres)
    arms = random.choice((3, 4, 4, 5))
    start = random.uniform(0, 2 * math.pi)
    rays = [cmath.rect(1, start + 2 * math.pi * k / arms + random.uniform(-0.15, 0.15)) for k in range(arms)]
    scene.middle, scene.reach = middle, radius - width
    return [*([middle + ray * radius, middle + ray * metres] for ray in rays), circle(middle, radius)]


def _dashes(scene: Scene, path: Shape, offset: float, dash: float, gap: float, number: int, width: float) -> None:
    line = sideways(path, offset) if offset else path
    for at, heading in walk(line, dash + gap, gap / 2):
        if scene.canvas.inside(at, -4):
            scene.canvas.line([at - heading * dash / 2, at + heading * dash / 2], width, number)


def _road(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    canvas = scene.canvas
    canvas.line(path, width + 2.2, scene.ink("concrete", "paved_road", role="line", tone=-1))
    canvas.line(path, width, scene.ink("asphalt", "paved_road", role="line"))
    paint = scene.ink("paint", "paved_road", "lane_markings", role="line")
    _dashes(scene, path, 0, 3, 3.5, paint, 0.45)
    return (-width / 4, width / 4)


def _wide_road(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    canvas = scene.canvas
    own = ("paved_road", "multi_lane_road")
    canvas.line(path, width + 3, scene.ink("gravel", *own, role="line"))
    canvas.line(path, width, scene.ink("asphalt", *own, role="line"))
    paint = scene.ink("paint", *own, "lane_markings", role="line")
    half = width / 2
    lane = (half - 2) / 3
    for side in (-1, 1):
        canvas.line(sideways(path, side * (half - 0.8)), 0.5, paint)
        canvas.line(sideways(path, side * 1.6), 0.5, paint)
        for k in (1, 2):
            _dashes(scene, path, side * (1.6 + k * lane), 4, 6, paint, 0.45)
    canvas.line(path, 1.8, scene.ink(scene.random.choice(("lawn", "concrete")), *own, role="line"))
    return tuple(side * (1.6 + (k + 0.5) * lane) for side in (-1, 1) for k in range(3))


def _dirt(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    rut = scene.ink("bare soil", "dirt_tracks", role="line", tone=1)
    canvas = scene.canvas
    canvas.line(path, width, scene.ink("bare soil", "dirt_tracks", role="line", tone=-1))
    for side in (-1, 1):
        canvas.line(sideways(path, side * width / 4), width / 5, rut)
    return (0.0,)


def _rails(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    canvas = scene.canvas
    canvas.line(path, width, scene.ink("gravel", "rail_tracks", role="line", tone=-1))
    offsets = (0.0,) if width < 7 else (-width / 4, width / 4)
    sleeper, rail = (
        scene.ink("dark", "rail_tracks", role="line", tone=1),
        scene.ink("steel", "rail_tracks", role="line"),
    )
    for offset in offsets:
        track = sideways(path, offset)
        for at, heading in walk(track, 1.9):
            if canvas.inside(at, -2):
                canvas.line([at - heading * 1.4j, at + heading * 1.4j], 0.5, sleeper)
        for side in (-0.75, 0.75):
            canvas.line(sideways(track, side), 0.3, rail)
    return offsets


def _runway(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    canvas, random = scene.canvas, scene.random
    surface = random.choice(("asphalt", "asphalt", "concrete"))
    canvas.line(path, width + 5, scene.ink("concrete", "runway_markings", role="line", tone=-2))
    canvas.line(path, width, scene.ink(surface, role="line", tone=-1 if surface == "concrete" else 0))
    paint = scene.ink("paint", "runway_markings", role="line")
    for side in (-1, 1):
        canvas.line(sideways(path, side * (width / 2 - 1.2)), 0.7, paint)
    _dashes(scene, path, 0, 9, 7, paint, 0.8)
    spots = [s for s in walk(path, 6, 3) if canvas.inside(s[0], 9)]
    if spots:
        at, heading = random.choice(spots)
        for k in range(-4, 5):
            if k:
                canvas.polygon(box(at + heading * complex(0, k * width / 10), heading, 15, width / 20), paint)
    return (0.0,)


def _pier(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    scene.canvas.line(path, width, scene.ink("concrete", "piers", role="line"), height=1.5)
    scene.canvas.line(path, width / 3, scene.ink("concrete", "piers", role="line", tone=-1))
    return (0.0,)


def _footway(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    scene.canvas.line(path, width, scene.ink("stone", "footpaths", role="line"))
    return (0.0,)


def _deck(scene: Scene, path: Shape, width: float) -> tuple[float, ...]:
    canvas = scene.canvas
    own = ("elevated_deck", "paved_road", "multi_level")
    canvas.line(path, width + 3, scene.ink("concrete", *own, role="line", tone=1), height=7)
    canvas.line(path, width, scene.ink("asphalt", *own, role="line"))
    paint = scene.ink("paint", *own, "lane_markings", role="line")
    _dashes(scene, path, 0, 3, 3.5, paint, 0.45)
    return (-width / 4, width / 4)


LINES: Final = MappingProxyType(
    {
        "road": Line("paved_road", (6.0, 9.5), _road),
        "wide road": Line("multi_lane_road", (22.0, 29.0), _wide_road),
        "dirt track": Line("dirt_tracks", (2.6, 4.5), _dirt),
        "rails": Line("rail_tracks", (4.0, 10.0), _rails),
        "runway": Line("runway_markings", (26.0, 38.0), _runway),
        "pier": Line("piers", (2.4, 4.5), _pier),
        "footway": Line("footpaths", (1.6, 3.0), _footway),
        "deck": Line("elevated_deck", (8.0, 13.0), _deck),
    }
)
"""Every linear thing by name."""
