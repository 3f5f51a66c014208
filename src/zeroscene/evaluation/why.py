"""Why pictures were given their classes, as a result keeps it: reasons in words, and a small map."""

from typing import Final

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import OptionError
from zeroscene.evaluation.examples import Example, Examples, Said, Why
from zeroscene.explain.evidence import Evidence, Reason, explain, explainable
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable

_FOR, _AGAINST = 3, 2
_DIGITS: Final = 4


def with_reasons(examples: Examples, method: AnyMethod, pictures: Embeddings, table: ClassTable) -> Examples:
    """Return the examples with the reasons for each; as they are where the method cannot be explained.

    Args:
        examples: what `measure.pick_examples` picked.
        method: the fitted method that scored them.
        pictures: the pictures they were picked from.
        table: the candidate classes.

    Raises:
        UnknownNameError: an example is of a class that is no candidate.
    """
    try:
        explainable(method)
    except OptionError:
        return examples
    rows = {name: row for row, name in enumerate(pictures.ids)}

    def explained(example: Example) -> Example:
        against = None if example.predicted == example.true else example.true
        one = pictures.take([rows[example.id]])
        (evidence,) = explain(method, one, table, chosen=example.predicted, against=against)
        return example.model_copy(update={"why": _why(evidence)})

    return Examples(right=tuple(map(explained, examples.right)), wrong=tuple(map(explained, examples.wrong)))


def _why(evidence: Evidence) -> Why:
    attribute = _shown(evidence)
    map_HW = evidence.class_map_HW
    if map_HW is None and attribute is not None:
        map_HW = evidence.map(attribute)
    return Why(
        rather_than=evidence.other,
        sentence=evidence.sentence,
        speaking_for=tuple(map(_said, evidence.speaking_for(_FOR))),
        speaking_against=tuple(map(_said, evidence.speaking_against(_AGAINST))),
        map_of=attribute,
        map=None if map_HW is None else _levels(map_HW),
    )


def _shown(evidence: Evidence) -> str | None:
    """Return the attribute whose map is kept, one that is there to be seen; None where the class has a map."""
    if evidence.class_map_HW is not None or evidence.maps_HWA is None:
        return None
    count = len(evidence.reasons)
    reasons = (*evidence.speaking_for(count), *evidence.supporting(count))
    return next((reason.attribute for reason in reasons if reason.strength > 0), None)


def _said(reason: Reason) -> Said:
    strength, difference = (float(f"{v:.{_DIGITS}g}") for v in (reason.strength, reason.difference))
    return Said(attribute=reason.attribute, words=reason.words, strength=strength, difference=difference)


def _levels(map_HW: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[tuple[int, ...], ...]:
    """Return a map as whole numbers from 0, its least value, to 255, its greatest; 0 for a map of one value."""
    least, reach = map_HW.min(), np.ptp(map_HW)
    levels_HW = np.rint((map_HW - least) * (np.float32(255) / reach)) if reach > 0 else np.zeros_like(map_HW)
    return tuple(tuple(row) for row in levels_HW.astype(int).tolist())
