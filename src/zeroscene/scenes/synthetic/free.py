"""Free compositions: what a scene can hold when it is no scene of a class.

The pictures that the tiny encoder is trained on. Ground, parts and layouts are drawn independently of one another, so
that nothing can be learned about what belongs together, and every composition that a rule of a class admits is thrown
away.
"""

from random import Random

from zeroscene.scenes.synthetic.areas import AREA_LAYOUTS, AREAS
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.grammar import Composition, Part
from zeroscene.scenes.synthetic.layouts import THING_LAYOUTS
from zeroscene.scenes.synthetic.lines import LINE_LAYOUTS, LINES
from zeroscene.scenes.synthetic.materials import GROUNDS, WATER
from zeroscene.scenes.synthetic.things import THINGS

_AREA, _LINE, _SHORE = 0.5, 0.45, 0.4
_THINGS = ((1, 0.5), (2, 0.35), (3, 0.15))
# What fills a picture alone; in any other layout it would only be cut off.
_ALONE = frozenset({"bowl", "oval"})
_SIDES = (55.0, 150.0)
_ATTRIBUTES = tuple(dict.fromkeys(thing.attribute for thing in THINGS.values()))


def withheld(composition: Composition) -> list[str]:
    """Return the classes whose rule admits a composition."""
    return [name for name, rule in RULES.items() if rule.admits(composition)]


def compose(random: Random) -> Composition:
    """Draw a composition that no class's rule admits."""
    while withheld(composition := _compose(random)):
        pass
    return composition


def _compose(random: Random) -> Composition:
    ground = random.choice(GROUNDS)
    parts = []
    if random.random() < _AREA:
        # Shores are rare if left to chance, and half of what there is to say about water.
        shores = [name for name in AREAS if (name in WATER) != (ground in WATER)]
        others = [name for name in AREAS if name != ground]
        kind = random.choice(shores if random.random() < _SHORE else others)
        parts.append(Part(kind, random.choice(tuple(AREA_LAYOUTS))))
    if random.random() < _LINE:
        parts.append(Part(random.choice(tuple(LINES)), random.choice(tuple(LINE_LAYOUTS))))
    count = random.choices([n for n, _ in _THINGS], [weight for _, weight in _THINGS])[0]
    for _ in range(count):
        parts.append(_thing(random, with_line=any(part.what in LINES for part in parts)))
    needed = max((THINGS[p.what].length * 1.12 for p in parts if p.what in THINGS and p.layout == "single"), default=0)
    least = max(_SIDES[0], needed)
    return Composition(ground, tuple(_one_middle(parts)), random.uniform(least, max(_SIDES[1], least * 1.3)))


def _thing(random: Random, with_line: bool) -> Part:
    attribute = random.choice(_ATTRIBUTES)
    what = random.choice([name for name, thing in THINGS.items() if thing.attribute == attribute])
    if what in _ALONE:
        return Part(what, "single")
    layouts = [name for name in THING_LAYOUTS if with_line or name not in ("along", "on")]
    return Part(what, random.choice(layouts))


def _one_middle(parts: list[Part]) -> list[Part]:
    """Drop what would cover an earlier thing in the middle."""
    kept: list[Part] = []
    for part in parts:
        if part.layout != "single" or not any(other.layout == "single" for other in kept):
            kept.append(part)
    return kept
