"""What probabilities and the reject option are worth on test pictures: calibration error, AUROC, coverage, precision.

ECE is the mean distance between the probability of the answer and the share of right answers, over pictures, in 15 bins
of equal width (Guo et al. 2017, section 2). AUROC is the chance that a picture of a candidate class is rated above one
of no candidate class; for it half of the unseen classes are taken out of the candidates and their pictures play "none
of these", then the other half.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from zeroscene.errors import OptionError
from zeroscene.evaluation.record import Record
from zeroscene.methods.confidence import Confidence, answer_probability, softmax
from zeroscene.methods.contract import Indices, Scores

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

WANTED: Final = 0.95
BINS: Final = 15


class Answers(Record):
    """The reject option at a wanted precision.

    Attributes:
        wanted: the precision asked for.
        coverage: share of the pictures that got an answer; 0 where the precision could not be promised.
        precision: share of right answers among them; None where there were none.
        note: why none can be promised; else empty.
    """

    wanted: float
    coverage: float
    precision: float | None
    note: str = ""


class ConfidenceResult(Record):
    """Probabilities of one cell, by temperatures and thresholds that were chosen on seen classes.

    Attributes:
        temperature, generalised_temperature: among new classes; among all, after gamma was subtracted from seen ones.
        ece: plain zero-shot; `ece_raw` with the scores taken as logits as they are.
        ece_seen, ece_unseen: generalised zero-shot, pictures of seen and of unseen classes; `..._raw` as above.
        answers, generalised_answers: the reject option in both settings.
        auroc: of the probability among candidates, against pictures of no candidate class; None for fewer than four
            unseen classes.
        auroc_contrast: the same of the probability against the seen classes as contrast.
    """

    temperature: float
    generalised_temperature: float
    ece: float
    ece_raw: float
    ece_seen: float
    ece_seen_raw: float
    ece_unseen: float
    ece_unseen_raw: float
    answers: Answers
    generalised_answers: Answers
    auroc: float | None
    auroc_contrast: float | None


@dataclass(frozen=True)
class Answered:
    """Test pictures with their scores and true columns.

    Attributes:
        scores: (N, C); gamma is subtracted already.
        y: (N,) true columns.
    """

    scores: Scores
    y: Indices

    def __post_init__(self) -> None:
        assert len(self.scores.ids) == len(self.y)

    @property
    def right(self) -> Mask:
        """(N,) whether the best class is the true one."""
        return np.asarray(self.scores.best() == self.y, np.bool_)

    def take(self, rows: Mask, columns: Mask) -> Scores:
        """Return the scores of some pictures among some classes."""
        ids = tuple(i for i, kept in zip(self.scores.ids, rows, strict=True) if kept)
        classes = tuple(c for c, kept in zip(self.scores.classes, columns, strict=True) if kept)
        return Scores(ids, classes, self.scores.values[rows][:, columns])


def measure_confidence(confidence: Confidence, plain: Answered, generalised: Answered) -> ConfidenceResult | None:
    """Measure probabilities and the reject option on test pictures; None where nothing could be calibrated.

    Args:
        confidence: chosen on seen classes.
        plain: pictures of unseen classes among these.
        generalised: test pictures of all classes among all.
    """
    if "new" not in confidence.settings or "mixed" not in confidence.settings or len(plain.scores.classes) < 2:
        return None
    seen = np.isin(np.array(generalised.scores.classes), list(confidence.seen))
    of_seen = seen[generalised.y]
    p = answer_probability(confidence.probabilities(generalised.scores))
    raw = softmax(generalised.scores.values.astype(np.float64)).max(axis=1)
    right = generalised.right
    auroc, against = unknown_auroc(confidence, generalised, seen)
    return ConfidenceResult(
        temperature=confidence.settings["new"].temperature,
        generalised_temperature=confidence.settings["mixed"].temperature,
        ece=ece_of(confidence, plain),
        ece_raw=calibration_error(softmax(plain.scores.values.astype(np.float64)).max(axis=1), plain.right),
        ece_seen=calibration_error(p[of_seen], right[of_seen]),
        ece_seen_raw=calibration_error(raw[of_seen], right[of_seen]),
        ece_unseen=calibration_error(p[~of_seen], right[~of_seen]),
        ece_unseen_raw=calibration_error(raw[~of_seen], right[~of_seen]),
        answers=answers(confidence, plain),
        generalised_answers=answers(confidence, generalised),
        auroc=auroc,
        auroc_contrast=against,
    )


def answers(confidence: Confidence, given: Answered, wanted: float = WANTED, refined: bool = False) -> Answers:
    """Return what the reject option leaves at a wanted precision, and the precision really got."""
    try:
        kept = ~confidence.reject(given.scores, wanted, refined)
    except OptionError as error:
        return Answers(wanted=wanted, coverage=0.0, precision=None, note=str(error))
    got = round(float(given.right[kept].mean()), 6) if kept.any() else None
    return Answers(wanted=wanted, coverage=round(float(kept.mean()), 6), precision=got)


def ece_of(confidence: Confidence, given: Answered, refined: bool = False) -> float:
    """Return the calibration error of the probabilities of scores."""
    return calibration_error(answer_probability(confidence.probabilities(given.scores, refined)), given.right)


def calibration_error(probability: Array, right: Mask) -> float:
    """Return the expected calibration error of answers, in [0, 1]; 0 of no pictures.

    Args:
        probability: (N,) of the answer.
        right: (N,) whether it is right.
    """
    if not len(probability):
        return 0.0
    of = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    sums = np.bincount(of, weights=probability - right, minlength=BINS)
    return round(float(np.abs(sums).sum() / len(probability)), 6)


def auroc(known: Array, unknown: Array) -> float:
    """Return the chance that a known picture is rated above an unknown one; ties count half.

    Args:
        known: (N,) ratings, one or more.
        unknown: (M,) ratings, one or more.
    """
    ordered = np.sort(unknown)
    below, up_to = (np.searchsorted(ordered, known, side=side) for side in ("left", "right"))
    return round(float((below + up_to).mean() / 2 / len(unknown)), 6)


def unknown_auroc(confidence: Confidence, given: Answered, seen: Mask) -> tuple[float | None, float | None]:
    """Return the AUROC against pictures of withheld classes: of the probability among candidates, and against contrast.

    Args:
        confidence: chosen on seen classes.
        given: test pictures of all classes among all.
        seen: (C,) which columns are seen classes; they are the contrast.
    """
    unseen = np.flatnonzero(~seen)
    if len(unseen) < 4:
        return None, None
    rows = ~seen[given.y]
    alone: list[float] = []
    against: list[float] = []
    for candidates in (unseen[0::2], unseen[1::2]):
        chosen = np.isin(np.arange(len(seen)), candidates)
        scores = given.take(rows, chosen)
        known = chosen[given.y[rows]]
        for found, p in (
            (alone, confidence.probabilities(scores)),
            (against, confidence.against(scores, given.take(rows, seen))),
        ):
            rating = answer_probability(p)
            found.append(auroc(rating[known], rating[~known]))
    return round(float(np.mean(alone)), 6), round(float(np.mean(against)), 6)
