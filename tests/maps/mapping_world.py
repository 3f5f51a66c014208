"""An encoder of mean colours and classes that are colours: the smallest world in which a map can be made."""

from collections.abc import Sequence

import numpy as np
import torch

from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.maps.question import Question
from zeroscene.methods.confidence import Confidence, untrained_confidence
from zeroscene.methods.prompts import Prompts
from zeroscene.pixels import Geometry, resize_crop
from zeroscene.semantics.table import ClassTable

COLOURS = {"red earth": (200, 40, 40), "green field": (40, 200, 40), "blue lake": (40, 40, 200), "sand": (200, 200, 40)}


class MeanColour:
    """Encodes a picture as its mean colour, with a constant beside it."""

    identity = EncoderIdentity("mean colour", "weights", "8", "projection")
    width = 4
    grid = None
    geometry = Geometry((8, 8))

    def prepare(self, picture_HWC: np.ndarray) -> torch.Tensor:
        return resize_crop(picture_HWC, self.geometry)

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        means = pictures_BCHW.float().mean((2, 3)) / 255
        return Encoded(torch.cat([means, torch.full((len(means), 1), 0.1)], dim=1))


def table(classes: Sequence[str] = tuple(COLOURS)) -> ClassTable:
    """Return the colours of classes as vectors of a text tower."""
    vectors = np.array([[*COLOURS[name], 25.5] for name in classes], np.float32) / 255
    tower = EncoderIdentity("colour words", "weights", "words", "text-projection")
    known = {"source": "text", "space": "colours", "encoder": tower.to_json()}
    return ClassTable(tuple(classes), vectors, tuple("rgb1"), "embedding", provenance=known)


def question(
    classes: Sequence[str] = tuple(COLOURS), contrast: Sequence[str] = (), scale: float | None = 20.0
) -> Question:
    """Return the question which of some colours a window has.

    Args:
        classes: those asked about.
        contrast: those that nobody asks about.
        scale: from cosines to logits; None for a model that turns no scores into probabilities.
    """
    asked = table(classes)
    confidence: Confidence | None = None if scale is None else untrained_confidence(scale)
    method = Prompts.untrained(MeanColour.identity, asked)
    return Question(method, asked, None, confidence, table(contrast) if contrast else None)


def painted(labels: np.ndarray, cell: int, noise: int = 0, classes: Sequence[str] = tuple(COLOURS)) -> np.ndarray:
    """Return (3, height, width) pixels of cells in the colours of their classes; label -1 is black."""
    colours = np.array([*(COLOURS[name] for name in classes), (0, 0, 0)], np.int64)
    pixels = np.repeat(np.repeat(colours[labels], cell, 0), cell, 1)
    wild = np.random.default_rng(0).integers(-noise, noise + 1, pixels.shape) if noise else 0
    return (
        np.where(pixels.any(axis=2, keepdims=True), np.clip(pixels + wild, 1, 255), 0)
        .astype(np.uint8)
        .transpose(2, 0, 1)
    )
