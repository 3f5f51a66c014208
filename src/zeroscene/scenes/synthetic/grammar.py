"""The grammar: a composition is a ground and parts; a rule is a set of compositions that has a name.

The pictures of a class and the freely composed pictures are drawn by the same code from the same parts. They differ in
one thing: a class's compositions are drawn from its rule, and a free composition is never one that a rule admits.
"""

import math
import re
from dataclasses import dataclass
from random import Random
from typing import Final

from zeroscene.scenes.synthetic.areas import AREA_LAYOUTS, AREAS, spread
from zeroscene.scenes.synthetic.canvas import Canvas, Drawing, Light
from zeroscene.scenes.synthetic.layouts import THING_LAYOUTS, arrange
from zeroscene.scenes.synthetic.lines import LINE_LAYOUTS, LINES, run
from zeroscene.scenes.synthetic.materials import GROUNDS
from zeroscene.scenes.synthetic.scene import Scene
from zeroscene.scenes.synthetic.things import THINGS

_PARTS: Final = frozenset({*AREAS, *LINES, *THINGS})
_LAYOUTS: Final = frozenset({*AREA_LAYOUTS, *LINE_LAYOUTS, *THING_LAYOUTS})
_SLOT: Final = re.compile(r"([^:]+): ([^(]+?)(?: \((\d+) %\))?")


@dataclass(frozen=True)
class Part:
    """One kind of thing in one layout.

    Attributes:
        what: name of an area's material, a line or a thing.
        layout: how it lies, runs or stands.
    """

    what: str
    layout: str

    @property
    def attribute(self) -> str | None:
        """The attribute of group objects that the part shows; None for an area."""
        if self.what in LINES:
            return LINES[self.what].attribute
        return THINGS[self.what].attribute if self.what in THINGS else None

    def draw(self, scene: Scene) -> None:
        """Draw the part into a scene."""
        if self.layout in AREA_LAYOUTS:
            spread(scene, self.what, self.layout)
        elif self.layout in LINE_LAYOUTS:
            run(scene, self.what, self.layout)
        else:
            arrange(scene, self.what, self.layout)


@dataclass(frozen=True)
class Composition:
    """What a picture is made of.

    Attributes:
        ground: material under everything.
        parts: in the order in which they are drawn.
        metres: side of the scene.
    """

    ground: str
    parts: tuple[Part, ...]
    metres: float

    def draw(self, random: Random, size: int, light: Light | None = None) -> Drawing:
        """Draw the composition as a picture of size x size pixels; chance decides all that it leaves open.

        Args:
            random: source of chance.
            size: side in pixels.
            light: season, sun and sensor; drawn too where it is not given.
        """
        canvas = Canvas(self.metres, size, random.uniform(0, 2 * math.pi), light or Light.draw(random), random)
        canvas.fill(canvas.entry(self.ground, "ground", direction=random.uniform(0, math.pi)))
        scene = Scene(canvas, random, self.ground)
        for part in self.parts:
            part.draw(scene)
        return canvas.finish()


@dataclass(frozen=True)
class Slot:
    """A place in a rule.

    Attributes:
        what: any of these.
        layouts: in any of these layouts.
        chance: how often it is filled; 1 is required.
    """

    what: frozenset[str]
    layouts: frozenset[str]
    chance: float = 1.0

    def admits(self, part: Part) -> bool:
        """Return whether a part can fill the slot."""
        return part.what in self.what and part.layout in self.layouts


@dataclass(frozen=True)
class Rule:
    """The compositions of one class.

    Attributes:
        grounds: any of these.
        slots: parts in drawing order, required and optional.
        metres: least and greatest side of the scene.
    """

    grounds: tuple[str, ...]
    slots: tuple[Slot, ...]
    metres: tuple[float, float]

    def compose(self, random: Random) -> Composition:
        """Draw a composition from the rule."""
        parts = []
        for slot in self.slots:
            if slot.chance >= 1 or random.random() < slot.chance:
                parts.append(Part(random.choice(sorted(slot.what)), random.choice(sorted(slot.layouts))))
        return Composition(random.choice(self.grounds), tuple(parts), random.uniform(*self.metres))

    def admits(self, composition: Composition) -> bool:
        """Return whether a composition falls under the rule.

        It does when its ground is one of the rule's and every required slot is filled, whatever else it holds; a rule
        without required parts admits compositions of its ground that hold nothing foreign.
        """
        if composition.ground not in self.grounds:
            return False
        required = [slot for slot in self.slots if slot.chance >= 1]
        if required:
            return all(any(slot.admits(part) for part in composition.parts) for slot in required)
        return all(any(slot.admits(part) for slot in self.slots) for part in composition.parts)


def rule(metres: tuple[float, float], grounds: str, *slots: str) -> Rule:
    """Return a rule from words: `rule((60, 100), "concrete", "aircraft: single, row", "truck: scattered (30 %)")`.

    Raises:
        ValueError: a name is not in the grammar, or a slot is not written as above.
    """
    return Rule(_names(grounds, frozenset(GROUNDS)), tuple(_slot(text) for text in slots), metres)


def _slot(text: str) -> Slot:
    written = _SLOT.fullmatch(text)
    if written is None:
        raise ValueError(f"not a slot: {text!r}")
    what, layouts, chance = written.groups()
    return Slot(
        frozenset(_names(what, _PARTS)), frozenset(_names(layouts, _LAYOUTS)), int(chance) / 100 if chance else 1.0
    )


def _names(text: str, known: frozenset[str]) -> tuple[str, ...]:
    named = tuple(name.strip() for name in text.split(","))
    if foreign := sorted(set(named) - known):
        raise ValueError(f"not in the grammar: {', '.join(foreign)}")
    return named
