"""From pictures and classes to answers: scores, calibration, refinement over the set."""

from dataclasses import dataclass

import numpy as np

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.methods.contract import Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import TransductionOptions, refine
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.answers import Answers


@dataclass(frozen=True)
class Asking:
    """How a set of pictures is answered.

    Attributes:
        gamma: what is subtracted from the scores of classes seen in the fit, where others are asked about too.
        refine: refine the scores over the set of pictures (methods/transduction); None answers each picture alone.
    """

    gamma: float = 0.0
    refine: TransductionOptions | None = None


def answer(method: AnyMethod, x: Embeddings, table: ClassTable, asking: Asking) -> Answers:
    """Return the answers of a fitted method about a set of pictures.

    Args:
        method: fitted.
        x: the pictures.
        table: the classes to choose among.
        asking: how.

    Raises:
        EncoderMismatchError: pictures or class vectors do not fit the method.
        DataFormatError: no classes, no pictures to refine, or a score that is not finite.
    """
    scores = method.scores(x, table)
    subtracted = calibrate(method, scores, asking.gamma)
    made = {"method": method.name, "gamma": subtracted}
    if asking.refine is None:
        return Answers.of(scores, made=made)
    refined = refine(x.x, scores.values, asking.refine)
    return Answers.of(
        Scores(scores.ids, scores.classes, refined.values),
        np.exp(refined.values),
        notes=tuple(f"refined: {warning}" for warning in refined.diagnosis.warnings(scores.classes)),
        made={**made, "refined": asking.refine.model_dump(mode="json")},
    )


def calibrate(method: AnyMethod, scores: Scores, gamma: float) -> float:
    """Subtract gamma from the columns of seen classes where there are others too; return what was subtracted."""
    known = {names.key(name) for name in method.require_fitted().seen}
    is_seen = np.array([names.key(name) in known for name in scores.classes])
    if is_seen.all() or not is_seen.any():
        return 0.0
    scores.values[:, is_seen] -= np.float32(gamma)
    return gamma
