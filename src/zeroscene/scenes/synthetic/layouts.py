"""How many of a thing stand in a scene: alone, in rows, on a grid, in a ring, packed, scattered, along a line."""

import cmath
import math
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from zeroscene.scenes.synthetic.materials import WATER
from zeroscene.scenes.synthetic.scene import Scene
from zeroscene.scenes.synthetic.things import THINGS, Thing

THING_LAYOUTS: Final = MappingProxyType(
    {
        "single": ("central_object",),
        "row": ("rows",),
        "grid": ("rows",),
        "ring": ("round_shapes",),
        "packed": ("rows", "dense_packing", "repetition"),
        "scattered": ("scattered",),
        "along": ("rows",),
        "on": (),
    }
)
"""How things can stand, and the attributes that this gives them; `along` and `on` refer to the last line drawn."""

_Spot = tuple[complex, complex]


def arrange(scene: Scene, name: str, layout: str) -> None:
    """Draw things in a layout."""
    thing = THINGS[name]
    spots = [
        (at, heading)
        for at, heading in _SPOTS[layout](scene, thing)
        if scene.canvas.inside(at, -0.4 * max(thing.length, thing.width)) and _stands(scene, thing, layout, at)
    ]
    tags = set(THING_LAYOUTS[layout])
    if len(spots) >= 12:
        tags.add("repetition")
    with scene.carrying(tags):
        for at, heading in spots:
            thing.draw(scene, at, heading)


def _stands(scene: Scene, thing: Thing, layout: str, at: complex) -> bool:
    """Whether a place is one for the thing: free, and on land or water as it needs where there are both."""
    if layout == "on":
        return True
    if scene.mixed and (scene.canvas.material(at) in WATER) != thing.afloat:
        return False
    return layout == "single" or scene.canvas.role(at) in ("ground", "area")


def _single(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    """In the middle; a second one shares the first one's place and heading, as a pitch lies in an oval."""
    if not scene.reach:
        scene.middle = scene.around(0.15)
        scene.heading = cmath.rect(1, scene.random.uniform(0, 2 * math.pi))
    scene.reach = max(scene.reach, thing.length * 0.62, thing.width * 0.62)
    yield scene.middle, scene.heading


def _row(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    random = scene.random
    lengthwise = random.random() < 0.3
    extent = thing.length if lengthwise else thing.width
    pitch = extent * random.uniform(1.12, 1.6)
    count = max(2, min(thing.many, int(scene.metres * random.uniform(0.6, 1.0) / pitch)))
    start = scene.around(0.2) - pitch * (count - 1) / 2
    flip = random.choice((1, -1))
    for i in range(count):
        yield start + pitch * i, (1 if lengthwise else 1j) * flip


def _grid(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    yield from _lattice(scene, thing, scene.random.uniform(1.3, 1.9), 0.9)


def _packed(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    """Side by side on a lattice; where lines run, two deep along them."""
    if not scene.tracks:
        yield from _lattice(scene, thing, scene.random.uniform(1.04, 1.18), 1.25)
        return
    gap = thing.width * scene.random.uniform(1.04, 1.15)
    yielded = 0
    for at, heading, track in scene.spots(gap):
        for side in (-1, 1):
            for depth in (0, 1):
                spot = at + heading * 1j * side * (track.width / 2 + thing.length * (0.5 + 1.06 * depth) + 1.5)
                if yielded < 2 * thing.many and scene.canvas.role(spot) in ("ground", "area"):
                    yielded += 1
                    yield spot, heading * 1j * side


def _lattice(scene: Scene, thing: Thing, room: float, share: float) -> Iterator[_Spot]:
    random = scene.random
    along, across = thing.length * room, thing.width * room
    columns = max(2, min(14, int(scene.metres * share / along)))
    rows = max(2, min(14, int(scene.metres * share / across)))
    while rows * columns > thing.many and (rows > 2 or columns > 2):
        if rows >= columns:
            rows -= 1
        else:
            columns -= 1
    middle, gaps = scene.around(0.15), random.uniform(0, 0.15)
    turned = random.random() < 0.5
    for row in range(rows):
        for column in range(columns):
            if random.random() < gaps:
                continue
            at = complex((column - (columns - 1) / 2) * along, (row - (rows - 1) / 2) * across)
            yield middle + (at * 1j if turned else at), 1j if turned else 1 + 0j


def _ring(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    random = scene.random
    if not scene.reach:
        scene.middle = scene.around(0.12)
    side = min(thing.length, thing.width)
    radius = max(scene.reach + thing.width, random.uniform(0.22, 0.36) * scene.metres)
    count = max(4, min(thing.many, int(2 * math.pi * radius / (side * random.uniform(1.3, 2.2)))))
    start = random.uniform(0, 2 * math.pi)
    for i in range(count):
        ray = cmath.rect(1, start + 2 * math.pi * i / count)
        yield scene.middle + ray * radius, ray if thing.length > 2 * thing.width else ray * 1j


def _scattered(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    random, taken = scene.random, list[complex]()
    count = random.randint(thing.few, max(thing.few + 1, min(thing.many, thing.few * 3)))
    apart = max(thing.length, thing.width) * 1.1
    for _ in range(count * 3):
        at = scene.around(1.0)
        if scene.canvas.role(at) in ("ground", "area") and all(abs(at - other) > apart for other in taken[-60:]):
            taken.append(at)
            yield at, cmath.rect(1, random.uniform(0, 2 * math.pi))
        if len(taken) == count:
            return


def _along(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    """On both sides of the last lines; without one, along the middle of the scene."""
    random = scene.random
    gap = thing.width * random.uniform(1.15, 1.8)
    half = thing.length / 2
    if not scene.tracks:
        yield from _row(scene, thing)
        return
    yielded = 0
    for at, heading, track in scene.spots(gap):
        for side in (-1, 1):
            spot = at + heading * 1j * side * (track.width / 2 + half + 0.8)
            if yielded < thing.many and scene.canvas.role(spot) in ("ground", "area"):
                yielded += 1
                yield spot, heading * 1j * side


def _on(scene: Scene, thing: Thing) -> Iterator[_Spot]:
    """On the last lines, each in its lane; without one, scattered."""
    random = scene.random
    if not scene.tracks:
        yield from _scattered(scene, thing)
        return
    gap = thing.length * random.uniform(1.4, 4.5)
    yielded = 0
    for at, heading, track in scene.spots(gap):
        lane = random.choice(track.lanes)
        if yielded < thing.many and random.random() < 0.8:
            yielded += 1
            yield at + heading * 1j * lane, heading if lane >= 0 else -heading


_SPOTS: Final = MappingProxyType(
    {
        "single": _single,
        "row": _row,
        "grid": _grid,
        "ring": _ring,
        "packed": _packed,
        "scattered": _scattered,
        "along": _along,
        "on": _on,
    }
)
