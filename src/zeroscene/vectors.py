"""Rows of unit length, as every comparison by cosine needs them, and products that keep pictures and classes apart."""

from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Matrix = npt.NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)

_CLASSES: Final = 16
_ROWS: Final = 2048
"""Classes and rows of one matrix product of float64: one tile of it, and what stays in the processor's cache."""

_IMAGES: Final = 16
"""Images, at least, that rows are laid out in: from as many on, one thread takes the same kernel as several."""

_PIXELS: Final = 64
"""Rows of an image, at most: of the sizes tried, the fastest for one class and for a hundred."""

_BLOCK: Final = 64 << 20
_BLOCK_ROWS: Final = 1 << 15
"""Bytes and rows of one product of float32, at most: enough that calls cost nothing beside the product."""


def unit_rows(x: Matrix) -> Matrix:
    """Return each row divided by its length, (N, D) float32; a row of zeros stays zero."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: Matrix = np.divide(x, lengths, out=np.zeros_like(x, dtype=np.float32), where=lengths > 0)
    return unit


def products(x: npt.NDArray[Real], classes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Return the (N, C) dot products of rows of (N, K) and (C, K), each column independent of the others to the bit.

    A matrix product sums in an order that depends on its shape, so that a class more would change the last bits of all
    others. In float32, the product of a row and a class depends on nothing but the two, whatever stands beside them
    and however many threads there are. In float64, classes are multiplied in blocks of one shape, the last one filled
    up with zeros.
    """
    if x.dtype != np.float32 or classes.dtype != np.float32 or not _has_kernel():
        return _in_blocks(x, classes)
    found = np.empty((len(x), len(classes)), classes.dtype)
    for rows in row_blocks(*x.shape):
        found[rows] = _tile(np.asarray(x[rows], np.float32), np.asarray(classes, np.float32)).numpy()
    return found


def class_products(x: Matrix, classes: Matrix) -> Matrix:
    """Return the same products a class a row, (C, N) float32 in contiguous memory; meant for one of `row_blocks`."""
    if not _has_kernel():
        return np.ascontiguousarray(_in_blocks(x, classes).T)
    turned: Matrix = _tile(x, classes).T.contiguous().numpy()
    return turned


def row_blocks(count: int, width: int) -> list[slice]:
    """Return the blocks of rows in which (count, width) float32 is best multiplied."""
    rows = min(max(_BLOCK // (4 * max(width, 1) * _PIXELS), 1) * _PIXELS, _BLOCK_ROWS)
    return [slice(first, min(first + rows, count)) for first in range(0, count, rows)]


def mapped(classes: npt.NDArray[Real], matrix: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Return the rows of (C, K) times (K, M), (C, M), each independent of the others to the bit, as in `products`."""
    return np.ascontiguousarray(products(np.ascontiguousarray(matrix.T), classes).T)


def _has_kernel() -> bool:
    import torch

    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def _tile(x: Matrix, classes: Matrix) -> "torch.Tensor":
    """Return the (n, C) products as a 1 x 1 convolution of images whose pixels are rows, with K channels.

    The kernels of oneDNN for it sum over the channels in an order that depends on neither the number of pixels nor that
    of outputs, and are up to twice as fast as a BLAS product with few columns. Tests hold them to the first.
    """
    import torch
    from torch.nn.functional import conv2d

    count, width = x.shape
    if not count or not width or not len(classes):
        return torch.zeros(count, len(classes))
    pixels = min(-(-count // _IMAGES), _PIXELS)
    images = max(-(-count // pixels), _IMAGES)
    if count != images * pixels or not x.flags.writeable or not x.flags.c_contiguous:
        filled = np.zeros((images * pixels, width), np.float32)
        filled[:count] = x
        x = filled
    laid_out = torch.from_numpy(x).view(images, pixels, 1, width).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = conv2d(laid_out, torch.tensor(classes)[:, :, None, None])
    return found.permute(0, 2, 3, 1).reshape(len(x), len(classes))[:count]


def _in_blocks(x: npt.NDArray[Real], classes: npt.NDArray[Real]) -> npt.NDArray[Real]:
    found = np.empty((len(x), len(classes)), classes.dtype)
    filled = np.zeros((-(-len(classes) // _CLASSES) * _CLASSES, classes.shape[1]), classes.dtype)
    filled[: len(classes)] = classes
    for row in range(0, len(x), _ROWS):
        rows = slice(row, row + _ROWS)
        for first in range(0, len(classes), _CLASSES):
            block = x[rows] @ filled[first : first + _CLASSES].T
            found[rows, first : first + _CLASSES] = block[:, : len(classes) - first]
    return found
