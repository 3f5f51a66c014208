"""What else a picture could be: names that nobody asked for, without those that mean the same as a candidate.

A probability of one class alone needs something to be compared with (`methods.confidence.Confidence.against`). Names of
the knowledge base are at hand for any encoder of text; the near-synonyms among them would take the class's own share.
Which those are, the class vectors say: a name that stands out among all others in its cosine to a candidate.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from zeroscene import names
from zeroscene.errors import DataFormatError
from zeroscene.semantics.knowledge import known_classes, phrase
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import unit_rows

STANDS_OUT: Final = 2.5
"""Deviations (of the median absolute kind) above the median cosine from which on a name is called a near-synonym."""

_ENOUGH = 8  # names, for a median to mean something
_DEVIATION = 1.4826  # of a normal distribution, in median absolute deviations


def contrast_names(candidates: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of the knowledge base that are not spelled like a candidate, nor said like one."""
    asked = {names.key(name) for name in candidates}
    return tuple(name for name in known_classes() if not asked & {names.key(name), names.key(phrase(name))})


def distinct(candidates: ClassTable, others: ClassTable) -> ClassTable:
    """Return the others without those that mean nearly the same as a candidate.

    Args:
        candidates: the classes that are asked about.
        others: what else there are names for, in the same vector space.

    Raises:
        DataFormatError: the spaces differ, or nothing is left.
    """
    if candidates.space != others.space:
        raise DataFormatError("contrast: the other names lie in another vector space than the candidates")
    kept = np.array([name not in candidates for name in others.classes], np.bool_)
    if kept.sum() >= _ENOUGH:
        cosines = unit_rows(candidates.matrix) @ unit_rows(others.matrix).T
        middle = np.median(cosines[:, kept], axis=1, keepdims=True)
        deviation = _DEVIATION * np.median(np.abs(cosines[:, kept] - middle), axis=1, keepdims=True)
        kept &= (cosines - middle <= STANDS_OUT * np.maximum(deviation, 1e-6)).all(axis=0)
    left = [name for name, keep in zip(others.classes, kept, strict=True) if keep]
    if not left:
        raise DataFormatError("contrast: every other name means nearly the same as a candidate; give other ones")
    return others.select(left)
