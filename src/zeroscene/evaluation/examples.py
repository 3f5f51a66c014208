"""Test pictures that a result keeps to be looked at, and why they were given their classes."""

from typing import Final

from zeroscene.evaluation.record import Record

EXAMPLES: Final = 6


class Said(Record):
    """One attribute among the reasons of a `Why`.

    Attributes:
        attribute: its name.
        words: the same in words; "lack of" it where less was found than in the mean training picture.
        strength: how much was found, in standard deviations over training pictures.
        difference: what it adds to the score of the predicted class less that of the other.
    """

    attribute: str
    words: str
    strength: float
    difference: float


class Why(Record):
    """Why a picture was given its class, where the method can be explained (`explain.evidence`).

    Attributes:
        rather_than: the other class: the true one of a picture that is wrong, the runner-up of one that is right.
        sentence: the reasons in one sentence.
        speaking_for, speaking_against: at most three and two reasons, the greatest difference first.
        map_of: the attribute that the map shows; None for all reasons for the predicted class together.
        map: (H, W) from 0, its least value, to 255, its greatest; None for a method fitted without places.
    """

    rather_than: str | None
    sentence: str
    speaking_for: tuple[Said, ...]
    speaking_against: tuple[Said, ...]
    map_of: str | None = None
    map: tuple[tuple[int, ...], ...] | None = None


class Example(Record):
    """One test picture of an unseen class and what plain zero-shot said.

    Attributes:
        id: picture id, the path relative to the data set.
        true: its class.
        predicted: the class with the highest score.
        margin: score of `predicted` minus that of the best other class, in the method's own unit.
        why: the reasons, where the method can be explained.
    """

    id: str
    true: str
    predicted: str
    margin: float
    why: Why | None = None


class Examples(Record):
    """At most `EXAMPLES` pictures each: of different classes first, the surest of each class."""

    right: tuple[Example, ...] = ()
    wrong: tuple[Example, ...] = ()
