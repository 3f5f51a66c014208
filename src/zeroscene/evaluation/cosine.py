"""Zero-shot scores of an image-text model: the cosine of a picture's vector and a class's text vector."""

import numpy as np
import numpy.typing as npt

from zeroscene.errors import DataFormatError

Matrix = npt.NDArray[np.float32]


def cosine_scores(x: npt.NDArray[np.floating], text: npt.NDArray[np.floating]) -> Matrix:
    """Return (N, C) cosines, computed in float32 whatever the precision of the vectors.

    Args:
        x: (N, D) vectors of pictures.
        text: (C, D) vectors of classes, of the same image-text model.

    Raises:
        DataFormatError: the widths differ.
    """
    if x.ndim != 2 or text.ndim != 2 or x.shape[1] != text.shape[1]:
        raise DataFormatError(f"cosine: picture vectors of shape {x.shape} and text vectors of shape {text.shape}")
    return np.asarray(_unit(x) @ _unit(text).T, np.float32)


def _unit(vectors: npt.NDArray[np.floating]) -> Matrix:
    wide = vectors.astype(np.float32)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12), np.float32)
