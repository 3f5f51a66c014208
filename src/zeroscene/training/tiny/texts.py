"""What is said about the pictures of a training step, and of which of them it is true.

A text claims a set of facts. It is true of every picture whose facts contain them, its own or another's, so that no
picture is ever taught to be unlike a text that happens to be true of it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Texts:
    """The texts of a step.

    Attributes:
        texts: captions first, then lists of facts, then phrases that say one fact.
        claims: (L, F) bool, what each text claims.
        phrases: number of texts at the end that say one fact.
    """

    texts: tuple[str, ...]
    claims: Flags
    phrases: int

    def truth(self, facts_BF: Flags) -> Flags:
        """Return (B, L): whether each text is true of each picture."""
        lacking = (~facts_BF).astype(np.float32) @ self.claims.T.astype(np.float32)
        return np.asarray(lacking == 0)


@dataclass(frozen=True)
class Speech:
    """How much is said in a step; every attribute is said once besides, however rare it is in pictures.

    Attributes:
        captions: of so many of the pictures.
        lists: lists of facts of so many of the pictures, as a class is described by its attributes.
        longest: most facts in a list.
        pairs: things in a layout, said alone; those that some picture of the step shows come first.
    """

    captions: int = 64
    lists: int = 64
    longest: int = 16
    pairs: int = 64


def draw_texts(facts_BF: Flags, speech: Speech, seed: str) -> Texts:
    """Return the texts of a step.

    Args:
        facts_BF: (B, F) facts of the step's pictures.
        speech: how much is said.
        seed: the same seed gives the same texts.
    """
    from zeroscene.scenes.synthetic.captions import FACTS, caption, phrases

    chance = random.Random(seed)
    of_picture = [frozenset(FACTS[i] for i in np.flatnonzero(row)) for row in facts_BF]
    told = [caption(own, chance) for own in chance.sample(of_picture, min(speech.captions, len(of_picture)))]
    said = [(one.text, one.claims) for one in told]
    for own in chance.sample(of_picture, min(speech.lists, len(of_picture))):
        some = chance.sample(sorted(own), chance.randint(min(2, len(own)), min(speech.longest, len(own))))
        said.append((", ".join(chance.choice(phrases(fact)) for fact in some), frozenset(some)))
    single = _single(frozenset().union(*of_picture), speech.pairs, chance)
    said += [(chance.choice(phrases(fact)), frozenset([fact])) for fact in single]
    column = {fact: i for i, fact in enumerate(FACTS)}
    claims = np.zeros((len(said), len(FACTS)), bool)
    for row, (_, facts) in enumerate(said):
        claims[row, [column[fact] for fact in facts]] = True
    return Texts(tuple(text for text, _ in said), claims, len(single))


def _single(present: frozenset[str], pairs: int, chance: random.Random) -> list[str]:
    """Return the facts that are said alone: all attributes, and some things in layouts, those in sight first."""
    from zeroscene.scenes.synthetic.captions import FACTS
    from zeroscene.scenes.synthetic.vocabulary import INDEX

    layouts = [fact for fact in FACTS if fact not in INDEX]
    chance.shuffle(layouts)
    layouts.sort(key=lambda fact: fact not in present)
    return [*INDEX, *layouts[:pairs]]


def orient(pixels: npt.NDArray[np.uint8], rows: Sequence[int], seed: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Return some pictures, each in one of the eight orientations, (B, 3, side, side): no fact has a direction.

    Args:
        pixels: (N, side, side, 3).
        rows: which pictures.
        seed: of the orientations.
    """
    turns: Any = np.random.default_rng(seed).integers(0, 8, len(rows))
    turned = [np.rot90(pixels[row], turn % 4) for row, turn in zip(rows, turns, strict=True)]
    flipped = [one[:, ::-1] if turn >= 4 else one for one, turn in zip(turned, turns, strict=True)]
    return np.ascontiguousarray(np.stack(flipped).transpose(0, 3, 1, 2))
