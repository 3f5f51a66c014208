"""Answers about a store that is too large to be scored at every question: scores of each class are kept beside it."""

from typing import Final

import numpy as np

from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.errors import OptionError
from zeroscene.methods.columns import score_store
from zeroscene.methods.confidence import Confidence
from zeroscene.methods.contract import Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.answers import Answers
from zeroscene.serving.asking import UNCALIBRATED, Asking, subtracted

MANY: Final = 50_000
"""Pictures from which on scores are kept: fewer are scored faster than a second copy of their vectors is written."""


def answer_store(
    store: EmbeddingStore,
    method: AnyMethod,
    table: ClassTable,
    confidence: Confidence | None,
    gamma: float,
    asking: Asking,
) -> Answers:
    """Return the answers about all pictures of a store, as they would be if all were scored anew.

    Args:
        store: finished, of the method's encoder; a folder `flat` in it keeps vectors and scores.
        method: fitted.
        table: two classes or more; only classes that were never asked about cost a pass over the vectors.
        confidence: turns scores into probabilities, where known.
        gamma: what is subtracted from the scores of classes seen in the fit, where others are asked about too.
        asking: how; without refinement.

    Raises:
        EncoderMismatchError: pictures or class vectors do not fit the method.
        OptionError: no probability or precision can be given.
        StoreError: the store is damaged or not finished, or its folder cannot be written.
    """
    kept = score_store(store, method, table)
    minus = subtracted(method, table.classes, gamma)
    if confidence is None:
        if asking.least is not None or asking.precision is not None:
            raise OptionError(UNCALIBRATED)
        temperature, lead = None, -np.inf
    else:
        setting = confidence.setting(Scores((), table.classes, np.empty((0, len(table)), np.float32)))
        temperature = setting.temperature
        lead = -np.inf if asking.precision is None else setting.lead(len(table), asking.precision) * temperature
    found = kept.best(minus, temperature)
    sure = found.margin >= lead
    if asking.least is not None and found.probability is not None:
        sure &= found.probability >= asking.least
    return Answers(
        kept.flat.ids.to_pylist(), found.classes, found.best, found.second, found.score, found.margin,
        found.probability, sure, tuple((s.id, s.reason) for s in store.skipped),
        made={"method": method.name, "gamma": gamma if minus.any() else 0.0, "computed": list(kept.computed)},
    )  # fmt: skip
