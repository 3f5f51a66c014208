"""Self-training: prototypes are refitted on the pictures that are most surely of their class.

The simpler alternative to `refine`, and its baseline: no mixture, no neighbours' opinion, no priors. In the same space,

    m_c = mean of the z_i of the surest `share` of the pictures whose best class is c
    a_ic = u_ic + lead-scaled cosine of z_i and m_c

alternate until no answer changes. A picture is the surer, the more its best class leads.
"""

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import options
from zeroscene.methods.contract import Indices
from zeroscene.methods.transduction.refine import (
    Refined,
    TransductionOptions,
    as_refined,
    prepared,
    scaled_logits,
)
from zeroscene.methods.transduction.space import Array, Labelled


class SelfTrainingOptions(options.Options):
    """Options of self-training.

    Attributes:
        share: of a class's pictures its prototype is made from, the surest.
        rounds: at most.
        lead: mean lead of the best class in logits, for the inductive scores and for the prototypes' alike.
    """

    share: float = Field(default=0.5, gt=0, le=1)
    rounds: int = Field(default=20, ge=1, le=1000)
    lead: float = Field(default=2.0, gt=0, le=100)


def self_training(
    x: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    options: SelfTrainingOptions | None = None,
    *,
    labelled: Labelled | None = None,
) -> Refined:
    """Return the classes of a set of unlabelled pictures after self-training; arguments and errors are `refine`'s.

    Args:
        x: (N, D) vectors of the pictures.
        scores: (N, C) scores of any method, higher is more likely.
        options: the defaults when None.
        labelled: pictures of other classes with their labels.

    Raises:
        DataFormatError: there is no picture or class, shapes disagree, or a value is not finite (the row is named).
    """
    given = options or SelfTrainingOptions()
    unary, space = prepared(x, scores, labelled, TransductionOptions(lead=given.lead))
    unit = space.z / np.maximum(np.linalg.norm(space.z, axis=1, keepdims=True), 1e-300)
    a, best, done = unary, np.full(len(unary), -1), 0
    while done < given.rounds and not np.array_equal(best, a.argmax(axis=1)):
        best, done = a.argmax(axis=1), done + 1
        prototypes = _prototypes(space.z, a, best, given.share)
        a = unary + scaled_logits(unit @ prototypes.T, given.lead)
    return as_refined(unary, a, done, space.neighbours, balanced=False)


def _prototypes(z: Array, a: Array, best: Indices, share: float) -> Array:
    """Return (C, d) unit prototypes; zeros, the common mean, for a class without pictures."""
    c = a.shape[1]
    sure = np.partition(a, -2, axis=1)[:, -1] - np.partition(a, -2, axis=1)[:, -2] if c > 1 else np.zeros(len(a))
    prototypes = np.zeros((c, z.shape[1]))
    for k in range(c):
        members = np.flatnonzero(best == k)
        if len(members):
            count = max(round(share * len(members)), 1)
            prototypes[k] = z[members[np.argsort(-sure[members], kind="stable")[:count]]].mean(axis=0)
    return np.asarray(prototypes / np.maximum(np.linalg.norm(prototypes, axis=1, keepdims=True), 1e-300), np.float64)
