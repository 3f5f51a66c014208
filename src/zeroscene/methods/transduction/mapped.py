"""The space of `space` with its map, so that pictures that come later, or block by block, find their place in it."""

import numpy as np

from zeroscene.methods.contract import Matrix, State
from zeroscene.methods.scaling import apply_scaling, fit_scaling
from zeroscene.methods.transduction.space import Array, all_alike, nearest, neighbour_covariance, principal, whitened

WIDTH, NEIGHBOURS, SHRINKAGE = 128, 8, 0.3  # as in the refinement


def fit_map(x: Matrix) -> State:
    """Return the map from vectors to the reduced, whitened space of a set of pictures; no labels are needed.

    Args:
        x: (N, D) vectors; pictures that are all alike get a space of no dimension.
    """
    state = fit_scaling("power", x, "space")
    if all_alike(x):
        return state | {"space.centre": np.zeros(x.shape[1]), "space.basis": np.zeros((x.shape[1], 0))}
    scaled = apply_scaling("power", state, x, "space")
    centre = scaled.mean(axis=0, dtype=np.float64)
    z = principal(scaled, WIDTH)
    z -= z.mean(axis=0)
    near, _ = nearest(z, NEIGHBOURS)
    # Principal coordinates are orthogonal, so these are the directions that lead to them.
    directions = (scaled - centre).T @ z / np.maximum(np.square(z).sum(axis=0), 1e-300)
    basis = whitened(directions, neighbour_covariance(z, near), SHRINKAGE)
    return state | {"space.centre": centre, "space.basis": basis}


def to_map(state: State, x: Matrix) -> Array:
    """Return the (N, d) coordinates of pictures.

    Args:
        state: holds what `fit_map` returned.
        x: (N, D) vectors.
    """
    scaled = apply_scaling("power", state, x, "space")
    return np.asarray((scaled.astype(np.float64) - state["space.centre"]) @ state["space.basis"], np.float64)
