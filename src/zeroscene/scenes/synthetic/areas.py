"""Areal things: how a second ground lies in a scene, from coasts and rivers to plots and terraces."""

import cmath
import math
from types import MappingProxyType
from typing import Final

from zeroscene.scenes.synthetic.materials import GROUNDS, WATER
from zeroscene.scenes.synthetic.scene import Scene, Track
from zeroscene.scenes.synthetic.shapes import Shape, blob, box, winding

AREA_LAYOUTS: Final = MappingProxyType(
    {
        "side": ("irregular_borders",),
        "band": ("irregular_borders", "single_band", "curved_lines"),
        "patch": ("irregular_borders",),
        "patches": ("irregular_borders",),
        "quay": (),
        "plots": ("patchwork", "rectangles"),
        "discs": ("patchwork", "round_shapes"),
        "steps": ("contour_steps", "curved_lines", "parallel_lines"),
    }
)
"""How an area can lie on the ground, and the attributes that this gives it."""

AREAS: Final = (*GROUNDS, "ice")
_BANKS: Final = ("sand", "bare soil", "rock", "rough grass")
_PLOTS: Final = ("crops", "crops", "ploughed soil", "bare soil", "lawn", "rough grass")


def spread(scene: Scene, material: str, layout: str) -> None:
    """Lay an area of a material over the ground."""
    tags = AREA_LAYOUTS[layout]
    with scene.carrying(tags):
        if layout in ("plots", "discs"):
            (_plots if layout == "plots" else _discs)(scene, material)
        elif layout == "steps":
            _steps(scene, material)
        else:
            _region(scene, material, layout)


def _region(scene: Scene, material: str, layout: str) -> None:
    """One connected area, or a few; where water meets land there is a shore."""
    random = scene.random
    shore = (material in WATER) != (scene.ground in WATER)
    scene.mixed = scene.mixed or shore
    island = shore and scene.ground in WATER and layout in ("patch", "patches")
    ink = scene.ink(
        material, *(("encircled_by_water",) if island else ()), role="area", direction=random.uniform(0, math.pi)
    )
    bank = scene.ink(random.choice(_BANKS), *(("shore_edge",) if shore else ()), role="area")
    edge = random.uniform(2.5, 6.0) if shore else 0.0
    if layout == "band":
        _band(scene, ink, bank, edge)
        return
    foam = scene.ink("foam", "shore_edge", role="area")
    surf = shore and "clear water" in (material, scene.ground) and layout != "quay" and random.random() < 0.6
    for shape in _outlines(scene, layout):
        if edge:
            closed = [*shape, shape[0]]
            if surf:
                scene.canvas.line(closed, edge * 2 + 5, foam)
            if layout == "quay":
                bank = scene.ink("concrete", "shore_edge", role="area", tone=1)
            scene.canvas.line(closed, edge * 2, bank)
        scene.canvas.polygon(shape, ink)


def _outlines(scene: Scene, layout: str) -> list[Shape]:
    random, metres = scene.random, scene.metres
    if layout == "patches":
        radius = random.uniform(0.08, 0.16) * metres
        return [
            blob(random, scene.around(0.95), radius * random.uniform(0.7, 1.3), 0.3)
            for _ in range(random.randint(3, 7))
        ]
    if layout == "patch":
        return [blob(random, scene.around(0.25), random.uniform(0.24, 0.34) * metres, random.uniform(0.15, 0.4))]
    if layout == "quay":
        far, level = metres * 1.2, random.uniform(0.16, 0.32) * metres
        return [[complex(-far, level), complex(far, level), complex(far, far), complex(-far, far)]]
    shore = winding(
        random, metres, complex(0, random.uniform(-0.12, 0.2) * metres), 1, random.uniform(0.03, 0.09) * metres
    )
    return [[*shore, complex(1.2, 1.2) * metres, complex(-1.2, 1.2) * metres]]


def _band(scene: Scene, ink: int, bank: int, edge: float) -> None:
    random, metres = scene.random, scene.metres
    path = winding(
        random, metres, complex(0, random.uniform(-0.1, 0.1) * metres), 1, random.uniform(0.05, 0.16) * metres
    )
    width = random.uniform(0.13, 0.26) * metres
    if edge:
        scene.canvas.line(path, width + 2 * edge, bank)
    scene.canvas.line(path, width, ink)
    scene.tracks = [Track(path, width, (-width / 4, width / 5))]


def _plots(scene: Scene, material: str) -> None:
    """Rectangular plots side by side, some of the named material."""
    random, metres = scene.random, scene.metres
    y = -0.75 * metres
    while y < 0.75 * metres:
        height = random.uniform(0.16, 0.34) * metres
        x = random.uniform(-1.0, -0.75) * metres
        while x < 0.75 * metres:
            width = random.uniform(0.2, 0.5) * metres
            kind = material if random.random() < 0.45 else random.choice(_PLOTS)
            ink = scene.ink(kind, role="area", tone=random.randint(-1, 1), direction=random.choice((0.0, math.pi / 2)))
            gap = random.uniform(0, 2.5)
            middle = complex(x + width / 2, y + height / 2)
            scene.canvas.polygon(box(middle, 1, width - gap, height - gap), ink)
            x += width
        y += height


def _discs(scene: Scene, material: str) -> None:
    """Round plots on a grid, as irrigated from their middle."""
    random, metres = scene.random, scene.metres
    pitch = random.uniform(0.32, 0.52) * metres
    start = complex(random.uniform(-0.5, 0.5), random.uniform(-0.5, 0.5)) * pitch
    for row in range(-2, 3):
        for column in range(-2, 3):
            if random.random() < 0.12:
                continue
            kind = material if random.random() < 0.55 else random.choice(_PLOTS)
            at = start + complex(column, row) * pitch
            ink = scene.ink(kind, role="area", tone=random.randint(-1, 1), direction=random.uniform(0, 3))
            scene.canvas.disc(at, pitch * random.uniform(0.42, 0.48), ink)
            arm = cmath.rect(pitch * 0.42, random.uniform(0, 2 * math.pi))
            scene.canvas.line([at, at + arm], 0.8, scene.ink("steel", role="area"))


def _steps(scene: Scene, material: str) -> None:
    """Bands of two tones that follow the height lines of a slope."""
    random, metres = scene.random, scene.metres
    path = winding(random, metres, complex(0, -0.8 * metres), 1, random.uniform(0.06, 0.14) * metres)
    step = random.uniform(0.045, 0.08) * metres
    wall = scene.ink("rock", role="area", tone=-1)
    level = 0.0
    while level < 1.6 * metres:
        kind = material if random.random() < 0.7 else random.choice(_PLOTS)
        lower = [point + complex(0, level) for point in path]
        scene.canvas.line(lower, step * 1.1, scene.ink(kind, role="area", tone=random.randint(-1, 1)))
        scene.canvas.line([point - complex(0, step / 2) for point in lower], step * 0.2, wall)
        level += step
