"""Refine the scores of a set of unlabelled pictures: the pictures themselves say where a class ends.

A zero-shot score is right about most pictures of most classes and wrong by the thousand at their borders, while the
pictures of a class form a cluster that needs no label to be seen. With x_i the pictures, s_ic the scores of any method,
z_i the pictures in a space that is reduced and whitened (see `space`) and q_ic the probabilities sought:

    u_ic = beta s_ic                                            the inductive scores; beta without labels
    q_ic ∝ exp( u_ic + t/v (z_i . m_c - |m_c|^2 / 2)            Gaussian mixture, shared covariance v I
                + affinity sum_j w_ij q_jc                      opinion of the nearest neighbours
                + b_c )                                         class priors
    m_c = sum_i q_ic z_i / (sum_i q_ic + r),    v the mean square of z - m per dimension.

The two lines alternate while t rises from 0.02 to 1 (deterministic annealing: Ueda and Nakano, Neural Networks 1998):
broad structure decides first, and a wrong start is not frozen. With free priors r rises too, from 1 to 30 pictures, so
that a class that is absent gives up what it took at first. Then the covariance is estimated anew from q, twice.
The objective of mixture, affinity and prior scores is that of El Khoury et al., "Enhancing remote sensing
vision-language models for zero-shot scene classification", ICASSP 2025 (arXiv 2409.00698); space, annealing, priors and
the scale of the scores are ours.

The result belongs to the SET: the same picture may get another answer in another set. It is reported in a column of its
own, never among inductive figures.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import options
from zeroscene.errors import DataFormatError
from zeroscene.methods.contract import Indices, Matrix
from zeroscene.methods.transduction import mixture
from zeroscene.methods.transduction.diagnosis import Diagnosis, diagnose
from zeroscene.methods.transduction.space import Array, Labelled, Space, picture_space


class TransductionOptions(options.Options):
    """Options of the refinement; the defaults serve every encoder and method.

    Attributes:
        priors: `free`, classes have the mass that pictures and scores give them (estimated with shrinkage towards equal
            ones), or `balanced`, all classes have equal mass; only for sets that are known to be so.
        lead: mean lead of the best class over the second in logits, to which the inductive scores are scaled.
        neighbours: pictures whose opinion a picture hears, and that tell the covariance within classes.
        affinity: weight of their opinion.
        width: dimensions of the reduced space, at most.
        shrinkage: of the covariance within classes towards an isotropic one.
    """

    priors: Literal["free", "balanced"] = "free"
    lead: float = Field(default=2.0, gt=0, le=100)
    neighbours: int = Field(default=8, ge=1, le=100)
    affinity: float = Field(default=1.0, ge=0, le=100)
    width: int = Field(default=128, ge=1, le=4096)
    shrinkage: float = Field(default=0.3, gt=0, le=1)


@dataclass(frozen=True)
class Refined:
    """What the set of pictures says about each of them.

    Attributes:
        values: (N, C) float32 log-probabilities; rows of their exponentials sum to 1.
        priors: (C,) share of the set that each class has.
        iterations: made in all.
        diagnosis: whether it is likely to have helped.
    """

    values: Matrix
    priors: Array
    iterations: int
    diagnosis: Diagnosis


def refine(
    x: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    options: TransductionOptions | None = None,
    *,
    labelled: Labelled | None = None,
) -> Refined:
    """Return the refined classes of a set of unlabelled pictures.

    Args:
        x: (N, D) vectors of the pictures; their scale does not matter.
        scores: (N, C) scores of any method, higher is more likely; neither their scale matters, nor what is added to a
            row.
        options: the defaults when None.
        labelled: pictures of other classes with their labels, as the method was trained on; they tell how pictures of
            one class differ.

    Raises:
        DataFormatError: there is no picture or class, shapes disagree, or a value is not finite (the row is named).
    """
    given = options or TransductionOptions()
    unary, space = prepared(x, scores, labelled, given)
    model = mixture.Model(space, unary, given.affinity, given.priors == "balanced")
    values, iterations = mixture.logits(model)
    return as_refined(unary, values, iterations, space.neighbours, balanced=model.balanced)


def prepared(
    x: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    labelled: Labelled | None,
    options: TransductionOptions,
) -> tuple[Array, Space]:
    """Return the (N, C) logits of the inductive scores and the space of the pictures; arguments are `refine`'s.

    Raises:
        DataFormatError: as for `refine`.
    """
    check_set(x, scores)
    check_labelled(x, labelled)
    space = picture_space(
        np.asarray(x, np.float32),
        labelled,
        width=options.width,
        neighbours=options.neighbours,
        shrinkage=options.shrinkage,
    )
    return scaled_logits(scores, options.lead), space


def as_refined(unary: Array, values: Array, iterations: int, near: Indices, *, balanced: bool) -> Refined:
    """Return the result for (N, C) logits `values` that began as `unary`, with near (N, k) the nearest pictures."""
    top = values.max(axis=1, keepdims=True)
    log_q = values - top - np.log(np.exp(values - top).sum(axis=1, keepdims=True))
    priors = np.exp(log_q).mean(axis=0)
    strain = max(0.0, 1.0 - len(priors) * float(priors.min())) if balanced else 0.0
    return Refined(log_q.astype(np.float32), priors, iterations, diagnose(unary, log_q, near, strain))


def scaled_logits(scores: npt.NDArray[np.floating], lead: float) -> Array:
    """Return (N, C) logits in which the best class leads by `lead` in the mean; zeros where scores differ by rounding.

    The lead is measured as in `logit_scale`.
    """
    s = scores.astype(np.float64)
    return np.asarray((s - s.mean(axis=1, keepdims=True)) * logit_scale(scores, lead), np.float64)


def logit_scale(scores: npt.NDArray[np.floating], lead: float) -> float:
    """Return what makes the best class lead by `lead` in the mean; 0 where (N, C) scores differ by rounding.

    The lead is measured after each class's mean over the pictures is taken off: a class that is high for all pictures
    would otherwise make every picture look certain.
    """
    s = scores.astype(np.float64)
    s -= s.mean(axis=1, keepdims=True)
    rounding = 1e-6 * float(np.abs(scores).max())
    for measured in (s - s.mean(axis=0), s):
        if measured.shape[1] < 2:
            break
        best = np.partition(measured, -2, axis=1)[:, -2:]
        found = float(np.abs(best[:, 1] - best[:, 0]).mean())
        if found > rounding:
            return lead / found
    return 0.0


def check_set(x: npt.NDArray[np.floating], scores: npt.NDArray[np.floating]) -> None:
    """Refuse what cannot be refined.

    Raises:
        DataFormatError: there is no picture or class, shapes disagree, or a value is not finite (the row is named).
    """
    if x.ndim != 2 or scores.ndim != 2 or len(x) != len(scores) or 0 in scores.shape or not x.shape[1]:
        raise DataFormatError(
            f"transduction: vectors of shape {x.shape} and scores of shape {scores.shape}; it needs (N, D) and (N, C), "
            "with a picture and a class at least"
        )
    for what, values in (("vectors", x), ("scores", scores)):
        if not (finite := np.isfinite(values).all(axis=1)).all():
            raise DataFormatError(
                f"transduction: row {int(finite.argmin())} of the {what} is not finite; leave that picture out"
            )


def check_labelled(x: npt.NDArray[np.floating], labelled: Labelled | None) -> None:
    """Refuse labelled pictures that do not belong to the unlabelled ones.

    Raises:
        DataFormatError: shapes disagree, there are none, or a value is not finite.
    """
    if labelled is None:
        return
    shape = labelled.x.shape
    if len(shape) != 2 or shape[1] != x.shape[1] or labelled.y.shape != shape[:1] or not shape[0]:
        raise DataFormatError(
            f"transduction: labelled vectors of shape {shape} with {labelled.y.size} labels for pictures of shape "
            f"{x.shape}; they must come from the same encoder"
        )
    if not (finite := np.isfinite(labelled.x).all(axis=1)).all():
        raise DataFormatError(f"transduction: row {int(finite.argmin())} of the labelled vectors is not finite")
