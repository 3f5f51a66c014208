"""A Gaussian mixture with one class a component, annealed, started from and tied to the scores of a method."""

from dataclasses import dataclass

import numpy as np

from zeroscene.methods.contract import Indices
from zeroscene.methods.transduction.space import Array, Space, whitened

# Chosen on folds of seen classes (docs/transduction.md), where results hardly depend on them.
STAGES = tuple(float(t) for t in np.geomspace(0.02, 1.0, 8))
STEPS = 5  # at most, in each stage
ROUNDS, SHRINKAGE = 2, 0.5  # of the covariance, estimated anew at full sharpness
# Pictures' worth of the common mean in the mean of a class. It rises with the sharpness, up to INERTIA or to HALF of
# the pictures that a class has in the mean: a class that gathers few then loses them, as an absent one should.
INERTIA, HALF = 30.0, 0.5
_STILL = 1e-5  # mean change of a probability at which a stage ends


@dataclass(frozen=True)
class Model:
    """What does not change during the iterations.

    Attributes:
        space: the pictures.
        unary: (N, C) logits of the inductive scores.
        affinity: weight of the neighbours' opinion.
        balanced: whether all classes have equal mass.
    """

    space: Space
    unary: Array
    affinity: float
    balanced: bool


def logits(model: Model) -> tuple[Array, int]:
    """Return (N, C) logits of the refined classes, and the number of iterations made.

    Pictures that are all alike say nothing, and the scores stay as they are.
    """
    z, near = model.space.z, model.space.neighbours
    a = model.unary
    if not z.shape[1]:
        return a, 0
    n, c = a.shape
    inertia = np.ones(len(STAGES)) if model.balanced else _rising(min(INERTIA, HALF * n / c))
    offsets = np.zeros(c)
    if model.balanced:
        offsets = balancing(a, offsets, steps=50)
    q = softmax(a + offsets)
    done = 0
    for stage in range(len(STAGES) + ROUNDS):
        annealed = stage < len(STAGES)
        weight = float(inertia[min(stage, len(STAGES) - 1)])
        if not annealed:
            z = _whitened_again(z, q, weight)
        for _ in range(STEPS):
            a = model.unary + model.affinity * _opinion(q, near, model.space.weights)
            a = a + _gaussian(z, q, weight, STAGES[stage] if annealed else 1.0)
            if model.balanced:
                offsets = balancing(a, offsets, steps=10)
                a = a + offsets
            elif not annealed:
                # Earlier, while components overlap, the large ones would swallow the small.
                a = a + np.log(_shrunk_shares(q))
            before, q = q, softmax(a)
            done += 1
            if np.abs(q - before).mean() < _STILL:
                break
    return a, done


def softmax(a: Array) -> Array:
    """Return the rows as probabilities."""
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), np.float64)


def balancing(a: Array, offsets: Array, steps: int) -> Array:
    """Return (C,) offsets b under which all classes have nearly equal mass.

    They minimise `sum_i log sum_c exp(a_ic + b_c) - N/C sum_c b_c + 1/2 |b|^2`. The last term is worth one picture: it
    vanishes beside many, and with a single one it leaves the order of the classes as it was.
    """
    n, c = a.shape
    for _ in range(steps):
        mass = softmax(a + offsets).sum(axis=0)
        change = np.zeros(c)
        for _ in range(6):  # Newton for each class alone, the other classes held still
            grown = mass * np.exp(change)
            change = change - np.clip((grown + offsets + change - n / c) / (grown + 1), -2.0, 2.0)
        offsets = offsets + change
        if np.abs(change).max() < 1e-6:
            break
    return offsets


def _gaussian(z: Array, q: Array, inertia: float, sharpness: float) -> Array:
    mass, means = _means(z, q, inertia)
    inside = (np.square(z).sum() - float(mass @ np.square(means).sum(axis=1))) / max(z.size, 1)
    if inside <= 0:
        return np.zeros_like(q)
    return np.asarray(sharpness / inside * (z @ means.T - np.square(means).sum(axis=1) / 2), np.float64)


def _means(z: Array, q: Array, inertia: float) -> tuple[Array, Array]:
    mass = q.sum(axis=0)  # the common mean is 0
    return mass, np.asarray(q.T @ z / (mass[:, None] + inertia), np.float64)


def _rising(last: float) -> Array:
    return np.asarray(np.geomspace(min(1.0, last), last, len(STAGES)), np.float64)


def _whitened_again(z: Array, q: Array, inertia: float) -> Array:
    mass, means = _means(z, q, inertia)
    return whitened(z, (z.T @ z - (means.T * mass) @ means) / len(z), SHRINKAGE)


def _opinion(q: Array, near: Indices, weights: Array) -> Array:
    total = np.zeros_like(q)
    for column, weight in zip(near.T, weights.T, strict=True):
        total += weight[:, None] * q[column]
    return total


def _shrunk_shares(q: Array) -> Array:
    n, c = q.shape
    return np.asarray((q.sum(axis=0) + n / c) / (2 * n), np.float64)
