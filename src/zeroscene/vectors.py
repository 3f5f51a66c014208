"""Rows of unit length, as every comparison by cosine needs them."""

import numpy as np
import numpy.typing as npt


def unit_rows(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return each row divided by its length, (N, D) float32; a row of zeros stays zero."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = np.divide(x, lengths, out=np.zeros_like(x, dtype=np.float32), where=lengths > 0)
    return unit
