"""The space in which unlabelled pictures form clusters: reduced, and whitened by how pictures of one class differ.

Whitening by the covariance of all pictures would remove what tells classes apart. The covariance within classes is
needed, and labels are not: pictures that are nearest neighbours are mostly of one class, so with j in kNN(i)

    S = 1/2 mean (z_i - z_j)(z_i - z_j)'

has its shape. Labelled pictures of other classes, where there are any, add their own covariance within classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeroscene.methods.contract import Indices, Matrix
from zeroscene.methods.scaling import apply_scaling, fit_scaling

Array = npt.NDArray[np.float64]

_BLOCK = 1 << 24  # entries of a block of similarities, 64 MB
_RANK = 1e-7  # eigenvalues below this share of the largest are rounding of float32
_ALIKE = 1e-6  # so are differences of vectors below this share of their size


@dataclass(frozen=True)
class Labelled:
    """Labelled pictures of other classes: the training pictures of the method whose scores are refined.

    Attributes:
        x: (L, D) vectors, of the encoder that made the unlabelled ones.
        y: (L,) class of each, any integers.
    """

    x: Matrix
    y: Indices


@dataclass(frozen=True)
class Space:
    """N pictures, ready for the mixture.

    Attributes:
        z: (N, d) float64, mean 0, covariance within classes roughly isotropic; d is 0 when all pictures are alike.
        neighbours: (N, k) rows of the nearest other pictures.
        weights: (N, k) their weights, which sum to 1; 0 in a row whose neighbours all point elsewhere.
    """

    z: Array
    neighbours: Indices
    weights: Array


def picture_space(x: Matrix, labelled: Labelled | None, *, width: int, neighbours: int, shrinkage: float) -> Space:
    """Return the pictures in their reduced, whitened space.

    Args:
        x: (N, D) vectors.
        labelled: pictures whose covariance within classes is taken into account; their classes play no other part.
        width: dimensions to keep at most.
        neighbours: k.
        shrinkage: share of the isotropic covariance of equal trace, in (0, 1].
    """
    everything = x if labelled is None else np.concatenate([x, labelled.x.astype(np.float32, copy=False)])
    if all_alike(everything):
        return Space(np.zeros((len(x), 0)), np.zeros((len(x), 0), np.int64), np.zeros((len(x), 0)))
    scaled = apply_scaling("power", fit_scaling("power", everything, "x"), everything, "x")
    reduced = principal(scaled, width)
    z = reduced[: len(x)] - reduced[: len(x)].mean(axis=0)
    near, weights = nearest(z, neighbours)
    S = neighbour_covariance(z, near)
    if labelled is not None:
        S = _joined(S, reduced[len(x) :], labelled.y)
    return Space(whitened(z, S, shrinkage), near, weights)


def all_alike(x: Matrix) -> bool:
    """Return whether the rows of (N, D) differ by no more than rounding."""
    return bool(np.ptp(x, axis=0).max() <= _ALIKE * np.abs(x).max())


def principal(x: Matrix, width: int) -> Array:
    """Return (N, d) coordinates along the leading principal directions, without those that hold only rounding."""
    x = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(x) <= x.shape[1]:
        values, vectors = _leading((x @ x.T).astype(np.float64), width)
        return np.asarray(vectors * np.sqrt(values), np.float64)
    _, vectors = _leading((x.T @ x).astype(np.float64), width)
    return np.asarray(x @ vectors.astype(np.float32), np.float64)


def nearest(z: Array, count: int) -> tuple[Indices, Array]:
    """Return the rows (N, k) of the k nearest other pictures by cosine, and weights (N, k) in proportion to it.

    Memory is that of a block of rows; time grows with N squared.
    """
    n = len(z)
    k = min(count, n - 1)
    lengths = np.linalg.norm(z, axis=1, keepdims=True)
    unit = (z / np.maximum(lengths, 1e-300)).astype(np.float32)
    near, weights = np.empty((n, k), np.int64), np.empty((n, k))
    step = max(_BLOCK // n, 1)
    for start in range(0, n if k else 0, step):
        rows = slice(start, min(start + step, n))
        cosines = unit[rows] @ unit.T
        cosines[np.arange(rows.stop - start), np.arange(start, rows.stop)] = -2.0
        near[rows] = np.argpartition(cosines, n - k, axis=1)[:, n - k :]
        weights[rows] = np.take_along_axis(cosines, near[rows], axis=1)
    weights = np.maximum(weights, 0.0)
    return near, weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)


def neighbour_covariance(z: Array, near: Indices) -> Array:
    """Return (d, d) S = 1/2 mean (z_i - z_j)(z_i - z_j)' over neighbours j of i."""
    n, k = near.shape
    sums = np.zeros_like(z)
    for column in near.T:
        sums += z[column]
    cross = z.T @ sums
    chosen = np.bincount(near.ravel(), minlength=n)[:, None]
    return np.asarray((z.T @ ((k + chosen) * z) - cross - cross.T) / (2 * max(n * k, 1)), np.float64)


def whitened(z: Array, S: Array, shrinkage: float) -> Array:
    """Return the rows of z in coordinates where the shrunk covariance is the identity."""
    scale = np.trace(S) / max(len(S), 1)
    if scale <= 0:
        return z
    factor = np.linalg.cholesky((1 - shrinkage) * S / scale + shrinkage * np.eye(len(S)))
    return np.asarray(np.linalg.solve(factor, z.T).T, np.float64)


def _joined(S: Array, z: Array, y: Indices) -> Array:
    # Half of each, in units of their traces; less of the labelled one where it cannot have full rank.
    _, of = np.unique(y, return_inverse=True)
    indicator = np.zeros((of.max() + 1, len(z)))
    indicator[of, np.arange(len(z))] = 1
    inside = z - (indicator @ z / indicator.sum(axis=1, keepdims=True))[of]
    own = inside.T @ inside
    if not len(own) or np.trace(own) <= 0 or np.trace(S) <= 0:
        return S
    share = 0.5 * min(1.0, (len(z) - len(indicator)) / len(own))
    return np.asarray((1 - share) * S / np.trace(S) + share * own / np.trace(own), np.float64)


def _leading(gram: Array, width: int) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(gram)
    kept = np.flatnonzero(values > _RANK * values[-1])[::-1][:width]
    return values[kept], vectors[:, kept]
