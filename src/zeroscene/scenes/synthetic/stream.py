"""The endless stream of freely composed pictures with their facts, numbered, each the same on every machine."""

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from zeroscene.scenes.synthetic.captions import part_fact
from zeroscene.scenes.synthetic.free import compose
from zeroscene.scenes.synthetic.grammar import Composition
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX


@dataclass(frozen=True)
class Lesson:
    """A freely composed picture.

    Attributes:
        pixels: (H, W, 3) uint8.
        facts: what is true of it, a subset of `captions.FACTS`.
        attributes: (A,) bool, the facts that are attributes, in the order of `vocabulary.ATTRIBUTES`.
        composition: what it is made of.
    """

    pixels: npt.NDArray[np.uint8]
    facts: frozenset[str]
    attributes: npt.NDArray[np.bool_]
    composition: Composition


def lesson(seed: int, index: int, size: int) -> Lesson:
    """Return picture number `index` of a stream, size x size pixels."""
    random = Random(f"zeroscene stream/{seed}/{index}")
    composition = compose(random)
    drawing = composition.draw(random, size)
    present = drawing.present()
    facts = {attribute.name for attribute, there in zip(ATTRIBUTES, present, strict=True) if there}
    for part in composition.parts:
        fact = part_fact(part)
        if fact and present[INDEX[part.attribute or ""]]:
            facts.add(fact)
    return Lesson(drawing.pixels, frozenset(facts), present, composition)
