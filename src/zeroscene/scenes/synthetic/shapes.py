"""Geometry in metres: outlines and paths as lists of complex numbers."""

import cmath
import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

Shape = list[complex]


def box(at: complex, heading: complex, length: float, width: float) -> Shape:
    """Return a rectangle with its length along a unit heading."""
    along, across = heading * (length / 2), heading * complex(0, width / 2)
    return [at - along - across, at + along - across, at + along + across, at - along + across]


def placed(outline: Sequence[complex], at: complex, heading: complex, scale: float = 1.0) -> Shape:
    """Return an outline that was drawn around 0 and heading 1, moved, turned and scaled."""
    turn = heading * scale
    return [at + point * turn for point in outline]


def blob(random: Random, at: complex, radius: float, raggedness: float, corners: int = 28) -> Shape:
    """Return a closed natural outline; raggedness is the deviation of its radius as a share."""
    waves = [(k, random.uniform(0, 2 * math.pi), random.uniform(0.4, 1.0) / k**0.7) for k in (1, 2, 3, 4, 6)]
    shape = []
    for i in range(corners):
        angle = 2 * math.pi * i / corners
        swing = sum(weight * math.cos(k * angle + phase) for k, phase, weight in waves)
        shape.append(at + cmath.rect(radius * max(0.25, 1 + raggedness * swing / 1.4), angle))
    return shape


def oval(at: complex, heading: complex, length: float, width: float, corners: int = 36) -> Shape:
    """Return a stadium shape: two straights and two half circles."""
    r, half = width / 2, max(0.0, (length - width) / 2)
    shape = []
    for i in range(corners):
        angle = -math.pi / 2 + 2 * math.pi * i / corners
        end = half if math.cos(angle) >= 0 else -half
        shape.append(at + heading * (end + cmath.rect(r, angle)))
    return shape


def straight(metres: float, offset: complex, heading: complex) -> Shape:
    """Return a line through `offset` that is longer than the picture on both sides."""
    reach = heading * metres
    return [offset - reach, offset, offset + reach]


def winding(random: Random, metres: float, offset: complex, heading: complex, swing: float) -> Shape:
    """Return a curve along a heading that leaves the picture on both sides; swing in metres."""
    phase, second = random.uniform(0, 2 * math.pi), random.uniform(0, 2 * math.pi)
    wave = random.uniform(0.75, 1.4) * metres
    shape = []
    for i in range(-20, 21):
        t = i / 20 * 0.85 * metres
        side = swing * (math.sin(2 * math.pi * t / wave + phase) + 0.4 * math.sin(4.6 * math.pi * t / wave + second))
        shape.append(offset + heading * complex(t, side))
    return shape


def circle(at: complex, radius: float, corners: int = 40) -> Shape:
    """Return a closed circle whose first point is repeated at its end."""
    return [at + cmath.rect(radius, 2 * math.pi * i / corners) for i in range(corners + 1)]


def sideways(path: Sequence[complex], offset: float) -> Shape:
    """Return a path moved to its left by an offset in metres."""
    moved = []
    for i, point in enumerate(path):
        step = path[min(i + 1, len(path) - 1)] - path[max(i - 1, 0)]
        moved.append(point + step / (abs(step) or 1.0) * complex(0, offset))
    return moved


def walk(path: Sequence[complex], gap: float, start: float = 0.0) -> list[tuple[complex, complex]]:
    """Return (position, unit heading) every `gap` metres along a path."""
    found, ahead = [], start
    for here, there in pairwise(path):
        step = there - here
        length = abs(step)
        if not length:
            continue
        heading = step / length
        while ahead <= length:
            found.append((here + heading * ahead, heading))
            ahead += gap
        ahead -= length
    return found
