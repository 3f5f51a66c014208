"""Small and middle-sized things: vehicles, plants, buildings, tanks. Each draws itself at a place and a heading."""

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from zeroscene.scenes.synthetic import sites
from zeroscene.scenes.synthetic.scene import Scene
from zeroscene.scenes.synthetic.shapes import blob, box, placed

_CARS: Final = ("white", "white", "dark", "silver", "silver", "red", "blue")
_PARTS: Final = ("orange", "blue", "red", "teal", "white", "silver")


@dataclass(frozen=True)
class Thing:
    """Something that stands somewhere.

    Attributes:
        attribute: what it is, an attribute of group objects.
        length: metres along its heading.
        width: metres across.
        draw: draws it at a position with a unit heading.
        few: how many make a handful of it.
        many: how many a picture holds at most.
        afloat: it belongs on water.
    """

    attribute: str
    length: float
    width: float
    draw: Callable[[Scene, complex, complex], None]
    few: int = 6
    many: int = 60
    afloat: bool = False


def _car(scene: Scene, at: complex, heading: complex) -> None:
    body = scene.ink(scene.random.choice(_CARS), "cars")
    scene.canvas.polygon(box(at, heading, 4.6, 2.1), body, height=1.5)
    scene.canvas.polygon(box(at + heading * 0.7, heading, 0.9, 1.8), scene.ink("dark", "cars"))


def _truck(scene: Scene, at: complex, heading: complex) -> None:
    kind = scene.random.choice(("white", "silver", "orange", "blue"))
    scene.canvas.polygon(box(at - heading, heading, 11, 2.9), scene.ink(kind, "large_vehicles"), height=3.5)
    scene.canvas.polygon(box(at + heading * 6, heading, 2.4, 2.7), scene.ink("red", "large_vehicles"), height=2.5)


_FUSELAGE = [18, 16 + 1.5j, 12 + 2j, -12 + 1.8j, -18 + 0.5j, -18 - 0.5j, -12 - 1.8j, 12 - 2j, 16 - 1.5j]
_WINGS = [5 + 1.5j, -4 + 17j, -7 + 17j, -3 + 1.5j, -3 - 1.5j, -7 - 17j, -4 - 17j, 5 - 1.5j]
_TAIL = [-13 + 0.5j, -17 + 6.5j, -19 + 6.5j, -17.5, -19 - 6.5j, -17 - 6.5j, -13 - 0.5j]


def _aircraft(scene: Scene, at: complex, heading: complex) -> None:
    canvas, size = scene.canvas, scene.random.uniform(0.62, 1.05)
    white, shaded = scene.ink("white", "aircraft"), scene.ink("silver", "aircraft", tone=1)
    canvas.polygon(placed(_WINGS, at, heading, size), shaded, height=3)
    canvas.polygon(placed(_TAIL, at, heading, size), shaded, height=4)
    canvas.polygon(placed(_FUSELAGE, at, heading, size), white, height=4)
    for side in (-1, 1):
        canvas.polygon(box(at + heading * complex(2, 6.5 * side) * size, heading, 4 * size, 1.8 * size),
                       scene.ink("dark", "aircraft", tone=2))  # fmt: skip


_HULL = [5, 3 + 1.1j, 0 + 1.5j, -5 + 1.3j, -5 - 1.3j, -1.5j, 3 - 1.1j]


def _boat(scene: Scene, at: complex, heading: complex) -> None:
    size = scene.random.uniform(0.75, 1.25)
    scene.canvas.polygon(placed(_HULL, at, heading, size), scene.ink("white", "small_boats"), height=1.5)
    deck = scene.ink(scene.random.choice(("silver", "blue", "stone", "orange")), "small_boats", tone=-1)
    scene.canvas.polygon(box(at - heading * size, heading, 4.2 * size, 1.5 * size), deck)


_SHIP = [36, 28 + 5j, 20 + 6j, -32 + 6j, -35 + 4j, -35 - 4j, -32 - 6j, 20 - 6j, 28 - 5j]


def _ship(scene: Scene, at: complex, heading: complex) -> None:
    canvas, size = scene.canvas, scene.random.uniform(0.55, 0.85)
    hull = scene.ink(scene.random.choice(("red", "dark", "steel", "blue")), "large_ships")
    deck = scene.ink(scene.random.choice(("steel", "red", "silver", "teal")), "large_ships", tone=1)
    canvas.polygon(placed(_SHIP, at, heading, size), hull, height=5)
    canvas.polygon(placed(_SHIP, at, heading, size * 0.82), deck)
    for k in range(3):
        hatch = scene.ink(scene.random.choice(_PARTS), "large_ships", tone=-1)
        canvas.polygon(box(at + heading * size * (15 - 13 * k), heading, 9 * size, 8 * size), hatch)
    canvas.polygon(
        box(at - heading * 27 * size, heading, 8 * size, 10 * size), scene.ink("white", "large_ships"), height=8
    )


def _train(scene: Scene, at: complex, heading: complex) -> None:
    body = scene.ink(scene.random.choice(("red", "blue", "silver", "teal", "orange")), "rail_vehicles")
    roof = scene.ink("silver", "rail_vehicles", tone=-1)
    for k in range(-2, 3):
        wagon = at + heading * (15.5 * k)
        scene.canvas.polygon(box(wagon, heading, 14.5, 3.2), body, height=3)
        scene.canvas.polygon(box(wagon, heading, 13.5, 1.4), roof)


def _tree(scene: Scene, at: complex, heading: complex) -> None:
    radius = scene.random.uniform(2.0, 4.2)
    _crown(scene, at, radius, "broadleaf")


def _conifer(scene: Scene, at: complex, heading: complex) -> None:
    _crown(scene, at, scene.random.uniform(1.6, 2.4), "needle")


def _crown(scene: Scene, at: complex, radius: float, material: str) -> None:
    own = ("single_trees", "tree_cover")
    tone = scene.random.randint(-1, 0)
    scene.canvas.disc(at, radius, scene.ink(material, *own, tone=tone), height=radius * 1.6)
    lit = at - cmath.rect(radius * 0.3, cmath.phase(scene.canvas.light.sun) - scene.canvas.angle)
    scene.canvas.disc(lit, radius * 0.55, scene.ink(material, *own, tone=tone + 1))


def _shrub(scene: Scene, at: complex, heading: complex) -> None:
    ink = scene.ink(scene.random.choice(("broadleaf", "rough grass")), "shrubs", tone=-2)
    scene.canvas.disc(at, scene.random.uniform(0.8, 1.7), ink, height=0.8)


def _house(scene: Scene, at: complex, heading: complex) -> None:
    random, canvas = scene.random, scene.canvas
    length, width = random.uniform(10, 14), random.uniform(7.5, 9.5)
    roof = random.choice(("tile", "tile", "shingle", "shingle", "metal"))
    own = ("detached_houses", "building_cover")
    light, dark = scene.ink(roof, *own), scene.ink(roof, *own, tone=-2)
    if random.random() < 0.4:
        wing = at + heading * complex(length / 4, width / 2)
        canvas.polygon(box(wing, heading * 1j, width, 5.5), dark, height=4)
    canvas.polygon(box(at, heading, length, width), light, height=5)
    canvas.polygon(box(at + heading * complex(0, width / 4), heading, length, width / 2), dark)


def _block(scene: Scene, at: complex, heading: complex) -> None:
    random, canvas = scene.random, scene.canvas
    length, width = random.uniform(30, 42), random.uniform(11, 14)
    roof = random.choice(("concrete", "shingle", "tile"))
    own = ("apartment_blocks", "building_cover")
    canvas.polygon(box(at, heading, length, width), scene.ink(roof, *own), height=13)
    canvas.polygon(box(at, heading, length - 2, width - 2), scene.ink(roof, *own, tone=-1))
    for k in (-1, 0, 1):
        canvas.polygon(box(at + heading * k * length / 3.4, heading, 4, 3.5), scene.ink("stone", *own), height=2)


def _hall(scene: Scene, at: complex, heading: complex) -> None:
    random, canvas = scene.random, scene.canvas
    length, width = random.uniform(34, 48), random.uniform(20, 28)
    roof = random.choice(("metal", "metal", "concrete", "white"))
    own = ("large_flat_roofs", "building_cover")
    canvas.polygon(box(at, heading, length, width), scene.ink(roof, *own, tone=-2), height=9)
    direction = cmath.phase(heading)
    canvas.polygon(box(at, heading, length - 1.6, width - 1.6), scene.ink(roof, *own, direction=direction))
    strip = scene.ink("blue" if random.random() < 0.3 else "stone", *own, tone=1)
    for k in range(-2, 3):
        canvas.polygon(box(at + heading * k * length / 5.5, heading * 1j, width * 0.7, 1.6), strip)


def _trailer(scene: Scene, at: complex, heading: complex) -> None:
    own = ("trailer_homes", "building_cover")
    roof = scene.random.choice(("white", "metal", "stone"))
    scene.canvas.polygon(box(at, heading, 13, 4.4), scene.ink(roof, *own), height=3)
    scene.canvas.polygon(box(at + heading * complex(2, 3.2), heading, 5, 2), scene.ink("stone", *own, tone=-3))


def _tank(scene: Scene, at: complex, heading: complex) -> None:
    canvas, radius = scene.canvas, scene.random.uniform(7.0, 11.0)
    own = ("tanks", "round_shapes")
    roof = scene.random.choice(("white", "white", "silver", "stone"))
    canvas.disc(at, radius, scene.ink(roof, *own, tone=-3), height=9)
    canvas.disc(at, radius * 0.92, scene.ink(roof, *own))
    canvas.disc(at, radius * 0.12, scene.ink("steel", *own))
    canvas.line([at, at + heading * radius * 0.9], 0.8, scene.ink("steel", *own, tone=2))


def _basin(scene: Scene, at: complex, heading: complex) -> None:
    canvas, radius = scene.canvas, scene.random.uniform(8.0, 12.0)
    own = ("basins", "round_shapes")
    canvas.disc(at, radius, scene.ink("concrete", *own, tone=1))
    canvas.disc(at, radius * 0.86, scene.ink("murky water", *own, tone=-1))
    canvas.line([at - heading * radius * 0.9, at + heading * radius * 0.9], 1.2, scene.ink("concrete", *own))
    canvas.disc(at, radius * 0.2, scene.ink("concrete", *own, tone=1))


def _container(scene: Scene, at: complex, heading: complex) -> None:
    ink = scene.ink(scene.random.choice(_PARTS), "containers")
    scene.canvas.polygon(box(at, heading, 12, 2.6), ink, height=scene.random.choice((2.6, 5.2)))
    scene.canvas.polygon(box(at, heading, 11.4, 0.5), scene.ink("dark", "containers", tone=2))


def _crane(scene: Scene, at: complex, heading: complex) -> None:
    ink = scene.ink(scene.random.choice(("orange", "red", "blue")), "cranes")
    for side in (-6, 6):
        scene.canvas.polygon(box(at + heading * complex(0, side), heading, 34, 1.5), ink, height=16)
    for k in (-16, -4, 16):
        scene.canvas.polygon(box(at + heading * k, heading * 1j, 13, 1.3), ink, height=16)


def _module(scene: Scene, at: complex, heading: complex) -> None:
    ink = scene.ink("cell", "solar_modules", direction=cmath.phase(heading))
    scene.canvas.polygon(box(at, heading, 22, 4.4), ink, height=1.6)
    scene.canvas.polygon(box(at, heading, 22, 0.4), scene.ink("silver", "solar_modules"))


def _grave(scene: Scene, at: complex, heading: complex) -> None:
    ink = scene.ink("stone", "grave_markers", tone=scene.random.randint(-2, 2))
    scene.canvas.polygon(box(at, heading, 2.4, 1.3), ink, height=1.2)


def _floe(scene: Scene, at: complex, heading: complex) -> None:
    shape = blob(scene.random, at, scene.random.uniform(4, 10), 0.25, corners=9)
    scene.canvas.polygon(
        shape, scene.ink("ice", "ice_floes", role="thing", tone=scene.random.randint(-1, 0)), height=0.6
    )


def _veil(scene: Scene, at: complex, heading: complex) -> None:
    random = scene.random
    for _ in range(3):
        shift = cmath.rect(random.uniform(0, 12), random.uniform(0, 2 * math.pi))
        shape = blob(random, at + shift, random.uniform(11, 20), 0.3)
        scene.canvas.polygon(shape, scene.ink("vapour", "clouds", role="sky"), height=14)


def _bunker(scene: Scene, at: complex, heading: complex) -> None:
    shape = blob(scene.random, at, scene.random.uniform(3.5, 6.5), 0.3)
    scene.canvas.polygon(shape, scene.ink("sand", "sand_bunkers", tone=1))


def _zebra(scene: Scene, at: complex, heading: complex) -> None:
    bar = scene.ink("paint", "zebra_stripes")
    for k in range(-4, 5):
        scene.canvas.polygon(box(at + heading * complex(0, 1.15 * k), heading, 4.2, 0.6), bar)


THINGS: Final = MappingProxyType(
    {
        "car": Thing("cars", 4.6, 2.1, _car, 10, 60),
        "truck": Thing("large_vehicles", 13.5, 3.0, _truck, 4, 24),
        "aircraft": Thing("aircraft", 32.0, 30.0, _aircraft, 2, 7),
        "boat": Thing("small_boats", 10.0, 3.2, _boat, 7, 45, afloat=True),
        "ship": Thing("large_ships", 50.0, 10.0, _ship, 2, 5, afloat=True),
        "train": Thing("rail_vehicles", 78.0, 3.6, _train, 1, 4),
        "tree": Thing("single_trees", 7.0, 7.0, _tree, 10, 90),
        "conifer": Thing("single_trees", 4.8, 4.8, _conifer, 14, 120),
        "shrub": Thing("shrubs", 3.0, 3.0, _shrub, 18, 110),
        "house": Thing("detached_houses", 15.0, 12.5, _house, 4, 40),
        "block": Thing("apartment_blocks", 42.0, 14.0, _block, 2, 8),
        "hall": Thing("large_flat_roofs", 46.0, 27.0, _hall, 2, 6),
        "trailer": Thing("trailer_homes", 13.0, 8.0, _trailer, 8, 60),
        "tank": Thing("tanks", 21.0, 21.0, _tank, 4, 22),
        "basin": Thing("basins", 24.0, 24.0, _basin, 3, 14),
        "container": Thing("containers", 12.2, 2.8, _container, 14, 80),
        "crane": Thing("cranes", 34.0, 14.0, _crane, 2, 5),
        "module": Thing("solar_modules", 22.5, 5.0, _module, 8, 50),
        "grave": Thing("grave_markers", 2.4, 1.8, _grave, 40, 160),
        "floe": Thing("ice_floes", 15.0, 15.0, _floe, 8, 60, afloat=True),
        "veil": Thing("clouds", 40.0, 40.0, _veil, 3, 7),
        "bunker": Thing("sand_bunkers", 12.0, 12.0, _bunker, 4, 9),
        "zebra": Thing("zebra_stripes", 6.0, 10.0, _zebra, 2, 5),
        "pool": Thing("pools", 16.0, 11.0, sites.pool, 2, 6),
        "net court": Thing("tennis_courts", 37.0, 19.0, sites.net_court, 2, 8),
        "hoop court": Thing("basketball_courts", 31.0, 18.0, sites.hoop_court, 2, 8),
        "pitch": Thing("sports_pitch", 86.0, 56.0, sites.pitch, 1, 2),
        "oval": Thing("running_track", 104.0, 72.0, sites.running_oval, 1, 1),
        "infield": Thing("baseball_infield", 66.0, 66.0, sites.infield, 1, 3),
        "stands": Thing("grandstand", 40.0, 14.0, sites.stands, 2, 6),
        "bowl": Thing("grandstand", 124.0, 94.0, sites.bowl, 1, 1),
        "bays": Thing("bay_markings", 36.0, 11.0, sites.bays, 2, 12),
    }
)
"""Every thing by name."""
