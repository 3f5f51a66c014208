"""Marked grounds: pools, courts, pitches, stands and parking bays, with their lines."""

import cmath
import math

from zeroscene.scenes.synthetic.scene import Scene
from zeroscene.scenes.synthetic.shapes import Shape, box, oval


def _outline(scene: Scene, shape: Shape, width: float, number: int) -> None:
    scene.canvas.line([*shape, shape[0]], width, number)


def pool(scene: Scene, at: complex, heading: complex) -> None:
    """Turquoise water in a paved rim; rectangular or rounded."""
    random, canvas = scene.random, scene.canvas
    length, width = random.uniform(8, 13), random.uniform(4.5, 7)
    rim, water = scene.ink("stone", "pools", tone=1), scene.ink("pool water", "pools")
    shape = box if random.random() < 0.6 else oval
    canvas.polygon(shape(at, heading, length + 3, width + 3), rim)
    canvas.polygon(shape(at, heading, length, width), water)


def net_court(scene: Scene, at: complex, heading: complex) -> None:
    """A coated court with service boxes and a net across its middle."""
    canvas, random = scene.canvas, scene.random
    own = ("tennis_courts", "rectangles")
    around, inner = random.choice(
        (("coating", "coating"), ("lawn", "coating"), ("coating", "track"), ("track", "track"))
    )
    canvas.polygon(box(at, heading, 34.7, 17.1), scene.ink(around, *own, tone=-1))
    canvas.polygon(box(at, heading, 23.8, 11), scene.ink(inner, *own, tone=1))
    paint = scene.ink("paint", *own)
    _outline(scene, box(at, heading, 23.8, 11), 0.45, paint)
    _outline(scene, box(at, heading, 23.8, 8.2), 0.4, paint)
    _outline(scene, box(at, heading, 12.8, 8.2), 0.4, paint)
    canvas.line([at - heading * 6.4, at + heading * 6.4], 0.4, paint)
    canvas.line([at - heading * 6.3j, at + heading * 6.3j], 0.7, scene.ink("dark", *own), height=1.2)


def hoop_court(scene: Scene, at: complex, heading: complex) -> None:
    """A coated court with a centre circle, keys and arcs at both ends."""
    canvas, random = scene.canvas, scene.random
    own = ("basketball_courts", "rectangles")
    floor, key = random.choice((("coating", "track"), ("track", "coating"), ("coating", "orange"), ("stone", "red")))
    canvas.polygon(box(at, heading, 30, 17), scene.ink(floor, *own, tone=-1))
    canvas.polygon(box(at, heading, 27, 14), scene.ink(floor, *own))
    paint = scene.ink("paint", *own)
    for end in (-1, 1):
        canvas.polygon(box(at + heading * 10.6 * end, heading, 5.8, 4.9), scene.ink(key, *own))
        hoop = at + heading * 12 * end
        arc = [hoop - end * heading * cmath.rect(6.7, math.pi * (k / 10 - 0.5)) for k in range(11)]
        canvas.line(arc, 0.45, paint)
    _outline(scene, box(at, heading, 27, 14), 0.5, paint)
    canvas.line([at - heading * 7j, at + heading * 7j], 0.45, paint)
    canvas.disc(at, 2.2, paint)
    canvas.disc(at, 1.7, scene.ink(key, *own))


def pitch(scene: Scene, at: complex, heading: complex) -> None:
    """Mown turf in stripes with halfway line, centre circle and boxes."""
    canvas = scene.canvas
    own = ("sports_pitch", "rectangles")
    length, width = 84.0, 54.0
    canvas.polygon(box(at, heading, length + 4, width + 4), scene.ink("lawn", *own, tone=-1))
    for k in range(8):
        stripe = at + heading * length * ((k + 0.5) / 8 - 0.5)
        canvas.polygon(box(stripe, heading, length / 8, width), scene.ink("lawn", *own, tone=k % 2))
    paint = scene.ink("paint", *own)
    _outline(scene, box(at, heading, length, width), 0.7, paint)
    canvas.line([at - heading * 1j * width / 2, at + heading * 1j * width / 2], 0.7, paint)
    canvas.ring(at, 7.5, 0.7, paint)
    for end in (-1, 1):
        _outline(scene, box(at + heading * end * (length / 2 - 7), heading, 14, 30), 0.6, paint)
        _outline(scene, box(at + heading * end * (length / 2 - 2.4), heading, 4.8, 14), 0.6, paint)


def running_oval(scene: Scene, at: complex, heading: complex) -> None:
    """Reddish lanes around a lawn."""
    canvas = scene.canvas
    own = ("running_track", "round_shapes")
    canvas.polygon(oval(at, heading, 104, 70), scene.ink("track", *own))
    paint = scene.ink("paint", *own)
    for k in range(1, 4):
        _outline(scene, oval(at, heading, 104 - 4.4 * k, 70 - 4.4 * k), 0.4, paint)
    canvas.polygon(oval(at, heading, 86, 52), scene.ink("lawn", "running_track"))


def infield(scene: Scene, at: complex, heading: complex) -> None:
    """A clay fan with a turf diamond, in a larger fan of turf."""
    canvas = scene.canvas
    own = ("baseball_infield", "round_shapes")
    home = at - heading * 30

    def fan(radius: float, spread: float = 0.25) -> Shape:
        rim = [home + heading * cmath.rect(radius, math.pi * spread * (k / 6 - 1)) for k in range(13)]
        return [home, *rim]

    canvas.polygon(fan(66), scene.ink("lawn", *own, tone=1))
    canvas.polygon(fan(34), scene.ink("track", *own, tone=1))
    corner = cmath.rect(20, math.pi / 4)
    diamond = [home + heading * p for p in (4, 4 + corner.conjugate(), 4 + 28.3, 4 + corner)]
    canvas.polygon(diamond, scene.ink("lawn", *own, tone=1))
    canvas.disc(home + heading * 17, 2.6, scene.ink("track", *own, tone=1))
    canvas.disc(home + heading * 2, 4.5, scene.ink("track", *own, tone=1))
    paint = scene.ink("paint", *own)
    for side in (-1, 1):
        canvas.line([home, home + heading * cmath.rect(66, side * math.pi / 4)], 0.5, paint)


def stands(scene: Scene, at: complex, heading: complex) -> None:
    """A straight block of seats under a part of a roof."""
    canvas = scene.canvas
    seats = scene.ink("seats", "grandstand", direction=cmath.phase(heading) + math.pi / 2)
    canvas.polygon(box(at, heading, 40, 13), seats, height=8)
    canvas.polygon(box(at + heading * 4.5j, heading, 40, 4), scene.ink("metal", "grandstand"), height=2)


def bowl(scene: Scene, at: complex, heading: complex) -> None:
    """Tiers of seats all around an open middle, with a roof along their rim."""
    canvas = scene.canvas
    own = ("grandstand", "round_shapes", "building_cover")
    canvas.polygon(oval(at, heading, 128, 98), scene.ink("white", *own, tone=-1), height=16)
    canvas.polygon(oval(at, heading, 122, 92), scene.ink("metal", *own, tone=1))
    for k in range(3):
        canvas.polygon(oval(at, heading, 112 - 6 * k, 82 - 6 * k), scene.ink("seats", *own, tone=k - 1))
    aisle = scene.ink("stone", *own)
    for k in range(0, 36, 3):
        outer, inner = oval(at, heading, 112, 82)[k], oval(at, heading, 94, 64)[k]
        canvas.line([outer, inner], 1.2, aisle)
    canvas.polygon(oval(at, heading, 94, 64), scene.ink("lawn", "grandstand"))


def bays(scene: Scene, at: complex, heading: complex) -> None:
    """Two facing rows of painted bays, most of them taken."""
    canvas, random = scene.canvas, scene.random
    paint = scene.ink("paint", "bay_markings")
    canvas.polygon(box(at, heading, 36, 11), scene.ink("asphalt", "bay_markings", tone=1))
    canvas.line([at - heading * 18, at + heading * 18], 0.35, paint)
    filled = random.uniform(0.3, 0.95)
    for k in range(14):
        x = -18 + 36 * k / 13
        canvas.line([at + heading * complex(x, -5.2), at + heading * complex(x, 5.2)], 0.35, paint)
        for side in (-1, 1):
            if k < 13 and random.random() < filled:
                spot = at + heading * complex(x + 1.38, 2.8 * side)
                body = scene.ink(random.choice(("white", "white", "dark", "silver", "red", "blue")), "cars")
                canvas.polygon(box(spot, heading * 1j, 4.4, 1.95), body, height=1.4)
