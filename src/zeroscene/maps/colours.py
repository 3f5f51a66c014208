"""Colours of classes: the same class has the same colour in every map.

`data/colours.csv` holds a colour for each class of the knowledge base and, without a class, the colours that are free.
Any two of them are `APART` or more apart in the OKLab space (Ottosson 2020, "A perceptual color space for image
processing"). Classes of a kind have colours of a kind: water blue, woods dark green, grassland light green, fields
yellow, bare ground brown, housing red, public buildings pink, industry violet, traffic dark, sport turquoise.
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.files import digest
from zeroscene.semantics.knowledge import find

APART: Final = 0.05
"""Least distance of two colours in OKLab; about 0.02 is just visible side by side."""
REJECTED_COLOUR: Final = "#cfcfcf"

_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the channels of a colour like `#2b7dda`, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def oklab(colours: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return lightness, green-red and blue-yellow of colours, (N, 3)."""
    values = np.array([rgb(colour) for colour in colours], np.float64).reshape(-1, 3) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    lab: npt.NDArray[np.float64] = np.cbrt(linear @ _LMS.T) @ _LAB.T
    return lab


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Return the colour of each class, in their order, all different as long as there are colours.

    A class of the knowledge base has its own; of several names for one class in a map the first has it. For another
    name whose words end in such a class (`pine forest`), it is a free colour near that of the class, for others one
    that its spelling decides. Only where two such names meet on a colour, one gives way, and has another colour than
    in a map without the other.
    """
    return dict(zip(classes, _colours(tuple(classes)), strict=True))


@cache
def _colours(classes: tuple[str, ...]) -> tuple[str, ...]:
    own, _ = _palette()
    known = {name: found for name in classes if (found := find(name)) is not None}
    given: dict[str, str] = {}
    for name in sorted(classes, key=lambda n: (names.key(known.get(n, "")) != names.key(n), names.key(n))):
        if name in known and own[known[name]] not in given.values():
            given[name] = own[known[name]]
    for name in sorted(set(classes) - set(given), key=names.key):
        wanted = _wish_list(name, known.get(name) or _kind(name))
        left = [colour for colour in wanted if colour not in given.values()]
        given[name] = (left or wanted)[0]
    return tuple(given[name] for name in classes)


@cache
def _palette() -> tuple[dict[str, str], tuple[str, ...]]:
    text = (resources.files("zeroscene.maps") / "data" / "colours.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {r["class"]: r["colour"] for r in rows if r["class"]}, tuple(r["colour"] for r in rows if not r["class"])


def _kind(name: str) -> str | None:
    """Return the class of the knowledge base that the last words of a name are, the longest that is one."""
    parts = names.words(name).split()
    tails = (find(" ".join(parts[i:])) for i in range(1, len(parts)))
    return next((found for found in tails if found is not None), None)


def _wish_list(name: str, kind: str | None) -> list[str]:
    """Return the free colours as a name would have them, the best first."""
    own, free = _palette()
    if kind is None:
        return sorted(free, key=lambda colour: digest(names.key(name), colour))
    far = np.linalg.norm(oklab(free) - oklab([own[kind]]), axis=1)
    return [free[i] for i in np.argsort(far, kind="stable")]
