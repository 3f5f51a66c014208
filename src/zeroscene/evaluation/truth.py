"""The true class table of the synthetic world: what no table of a real data set can be."""

from collections.abc import Sequence

from zeroscene.errors import OptionError
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.scenes.synthetic.world import CLASSES, class_attributes, known_classes
from zeroscene.semantics.table import ClassTable


def true_table(classes: Sequence[str] = CLASSES, seed: int = 1, count: int = 50) -> ClassTable:
    """Return how often pictures of each class show each attribute, (C, A) in [0, 1].

    The shares are counted in `count` pictures of each class that are drawn for this. Nobody knows the
    classes of real pictures this well.

    Args:
        classes: names in any spelling; the table has the world's own.
        seed: one of which no picture is in a test.
        count: pictures a class.

    Raises:
        UnknownNameError: there is no such class; the nearest ones are named.
        DuplicateNameError: a class is given twice.
        OptionError: seed or count is not an integer, or no picture would be drawn.
    """
    if count < 1:
        raise OptionError(f"true attributes need at least 1 picture a class, not {count}")
    known = known_classes(classes)
    return ClassTable(
        known,
        class_attributes(known, seed, count),
        tuple(attribute.name for attribute in ATTRIBUTES),
        "attributes",
        tuple(attribute.group for attribute in ATTRIBUTES),
        {"source": "synthetic world, true shares", "seed": seed, "count": count, "space": "zeroscene-synthetic"},
    )
