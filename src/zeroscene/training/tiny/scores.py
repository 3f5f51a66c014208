"""What the encoder is worth without any training: facts found by the likeness of picture and phrase alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.encoders.base import ImageEncoder, TextEncoder
from zeroscene.errors import DataFormatError

_BATCH = 64


@dataclass(frozen=True)
class FactScores:
    """How well single facts are found in pictures.

    Attributes:
        facts: their names.
        precision: (F,) average precision of each.
        prevalence: (F,) share of the pictures of which it is true: the average precision of chance.
    """

    facts: tuple[str, ...]
    precision: npt.NDArray[np.float64]
    prevalence: npt.NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean average precision."""
        return float(self.precision.mean())

    @property
    def chance(self) -> float:
        """Mean prevalence."""
        return float(self.prevalence.mean())


def average_precision(scores_N: npt.NDArray[np.floating], truth_N: npt.NDArray[np.bool_]) -> float:
    """Return the mean, over the true ones, of the share of true ones among all with a score as high or higher.

    Raises:
        DataFormatError: nothing is true.
    """
    if not truth_N.any():
        raise DataFormatError("average precision needs at least one picture of which the fact is true")
    order = np.argsort(-scores_N, kind="stable")
    ranked, truth = scores_N[order], truth_N[order]
    # Pictures with equal scores share the rank of the last of them, so that their order does not count.
    last = np.searchsorted(-ranked, -ranked, side="right")
    return float((np.cumsum(truth)[last - 1] / last)[truth].mean())


def score_facts(
    pictures_ND: npt.NDArray[np.float32],
    facts: Sequence[str],
    truth_NF: npt.NDArray[np.bool_],
    texts_FD: npt.NDArray[np.float32],
) -> FactScores:
    """Return how well each fact is found by the cosine of pictures and texts; facts true of no picture are left out.

    Args:
        pictures_ND: unit vectors of pictures.
        facts: names of the columns of the truth.
        truth_NF: whether each fact is true of each picture.
        texts_FD: unit vectors of the facts.
    """
    found = np.flatnonzero(truth_NF.any(axis=0)).tolist()
    scores_NF = pictures_ND @ texts_FD.T
    precision = np.array([average_precision(scores_NF[:, i], truth_NF[:, i]) for i in found])
    return FactScores(tuple(facts[i] for i in found), precision, truth_NF[:, found].mean(axis=0))


def fact_vectors(encoder: TextEncoder, facts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return a unit vector of each fact, (F, D): the mean over the ways to say it."""
    from zeroscene.scenes.synthetic.captions import phrases

    ways = [phrases(fact) for fact in facts]
    vectors = encoder.encode_texts([phrase for own in ways for phrase in own])
    stops = np.cumsum([len(own) for own in ways])[:-1]
    return np.stack([_unit(part.mean(axis=0)) for part in np.split(vectors, stops)])


def picture_vectors(encoder: ImageEncoder, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Return unit vectors of pictures of any sizes, (N, D)."""
    vectors = []
    for first in range(0, len(pictures), _BATCH):
        batch = torch.stack([encoder.prepare(one) for one in pictures[first : first + _BATCH]])
        vectors.append(encoder.encode(batch).pooled_BD.numpy())
    return np.stack([_unit(row) for row in np.concatenate(vectors)])


def _unit(row_D: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(row_D / max(float(np.linalg.norm(row_D)), 1e-12), np.float32)
