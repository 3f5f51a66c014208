"""Captions: what can be said about a picture, in words that name no class.

A fact is an attribute (`boats`, `sand`, `in rows`) or a thing in a layout (`boats in rows`). A caption says some facts
of a picture; its claims are those facts, so that it is known of every other picture whether the caption is true of it.
"""

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final

from zeroscene import names
from zeroscene.scenes.synthetic.grammar import Part
from zeroscene.scenes.synthetic.layouts import THING_LAYOUTS
from zeroscene.scenes.synthetic.lines import LINE_LAYOUTS, LINES
from zeroscene.scenes.synthetic.things import THINGS
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX

_WAYS: Final = {
    "straight": ("running straight", "straight through"),
    "winding": ("winding along", "in winding curves"),
    "parallel": ("side by side", "as parallel lines"),
    "crossing": ("crossing another", "that cross"),
    "net": ("in a net", "as a net with blocks between"),
    "circle": ("in a circle", "running in a loop"),
    "single": ("alone in the middle", "at the centre"),
    "row": ("in one row", "lined up in a row"),
    "grid": ("in a grid", "in regular rows and columns"),
    "ring": ("in a ring", "around the centre"),
    "packed": ("closely packed", "packed tightly side by side"),
    "scattered": ("scattered", "scattered here and there"),
    "along": ("along the line", "lined up along both sides"),
    "on": ("on the line", "going along on it"),
}
_OPENINGS: Final = (
    "",
    "",
    "an aerial photo of ",
    "a view from above of ",
    "a satellite picture showing ",
    "seen here, ",
)
_JOINTS: Final = (", ", " and ", " with ", ", ")
_WORD: Final = re.compile(r"[a-z]+|,")


@dataclass(frozen=True)
class Caption:
    """A text, and the facts that it says."""

    text: str
    claims: frozenset[str]


def part_fact(part: Part) -> str | None:
    """Return the fact that a part in its layout is there; None for an area, of which the attributes say all."""
    return f"{part.attribute}@{part.layout}" if part.attribute else None


def _pairs() -> list[str]:
    lines = [
        f"{attribute}@{way}"
        for attribute in dict.fromkeys(line.attribute for line in LINES.values())
        for way in LINE_LAYOUTS
    ]
    kinds = dict.fromkeys(thing.attribute for thing in THINGS.values())
    return lines + [f"{attribute}@{way}" for attribute in kinds for way in THING_LAYOUTS]


FACTS: Final = (*(attribute.name for attribute in ATTRIBUTES), *_pairs())
"""Everything that can be said, in a fixed order."""


def phrases(fact: str) -> tuple[str, ...]:
    """Return the ways to say one fact.

    Raises:
        UnknownNameError: there is no such fact.
    """
    if fact not in FACTS:
        raise names.unknown([fact], FACTS, "facts of the synthetic world")
    attribute, _, layout = fact.partition("@")
    said = ATTRIBUTES[INDEX[attribute]].phrases
    return tuple(f"{phrase} {way}" for phrase in said for way in _WAYS[layout]) if layout else said


def caption(facts: Set[str], random: Random) -> Caption:
    """Return a caption that says one to eight of the facts."""
    order = sorted(facts)
    random.shuffle(order)
    count = min(len(order), random.choice((1, 2, 2, 3, 3, 4, 5, 6, 8)))
    chosen = order[:count]
    text = random.choice(_OPENINGS)
    for i, fact in enumerate(chosen):
        text += (random.choice(_JOINTS) if i else "") + random.choice(phrases(fact))
    return Caption(text, frozenset(chosen))


@cache
def words() -> tuple[str, ...]:
    """Return every word that captions can contain, sorted; the comma is one of them."""
    texts = [*_OPENINGS, *_JOINTS, *(text for fact in FACTS for text in phrases(fact))]
    return tuple(sorted({word for text in texts for word in _WORD.findall(text)}))
