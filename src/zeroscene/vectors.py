"""Rows of unit length, as every comparison by cosine needs them, and products that keep classes apart."""

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Real = TypeVar("Real", np.float32, np.float64)

_CLASSES: Final = 16
_ROWS: Final = 2048
"""Classes and rows of one matrix product in `products`: one tile of it, and what stays in the processor's cache."""


def unit_rows(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return each row divided by its length, (N, D) float32; a row of zeros stays zero."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(x, lengths, out=np.zeros_like(x, dtype=np.float32), where=lengths > 0)
    return unit


def products(x: npt.NDArray[Real], classes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Return the (N, C) dot products of rows of (N, K) and (C, K), each column independent of the others to the bit.

    A matrix product sums in an order that depends on its shape, so that a class more would change the last bits of all
    others. Here classes are multiplied in blocks of one shape, the last one filled up with zeros.
    """
    found = np.empty((len(x), len(classes)), classes.dtype)
    filled = np.zeros((-(-len(classes) // _CLASSES) * _CLASSES, classes.shape[1]), classes.dtype)
    filled[: len(classes)] = classes
    for row in range(0, len(x), _ROWS):
        rows = slice(row, row + _ROWS)
        for first in range(0, len(classes), _CLASSES):
            block = x[rows] @ filled[first : first + _CLASSES].T
            found[rows, first : first + _CLASSES] = block[:, : len(classes) - first]
    return found


def mapped(classes: npt.NDArray[Real], matrix: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Return the rows of (C, K) times (K, M), (C, M), each independent of the others to the bit, as in `products`."""
    return np.ascontiguousarray(products(np.ascontiguousarray(matrix.T), classes).T)
