"""Episodes: a few classes, a few pictures of each, drawn again and again; all index arrays are made beforehand."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Episodes:
    """Draws episodes from labelled pictures.

    A class with fewer pictures than an episode takes is drawn with repetition; an episode never takes more classes
    than there are.

    Attributes:
        y: (N,) class of each picture, 0 ... S-1, each class with at least one picture.
        classes: C, classes an episode.
        shots: K, pictures a class.
        shared_positions: draw the same within-class positions for every class of an episode, as the public MCFA
            implementation does; positions then lie within the smallest class.
    """

    y: Indices
    classes: int
    shots: int
    shared_positions: bool = False

    def epoch(self, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Return ceil(N / CK) episodes: their classes (E, C) and the positions of their pictures (E, C, K)."""
        of_class = np.argsort(self.y, kind="stable")
        sizes = np.bincount(self.y)
        starts = np.cumsum(sizes) - sizes
        width = min(self.classes, len(sizes))
        count = -(-len(self.y) // (width * self.shots))
        classes = rng.random((count, len(sizes))).argsort(axis=1)[:, :width]
        if self.shared_positions:
            within = np.repeat(_draw(rng, np.full((count, 1), sizes.min()), self.shots), width, axis=1)
        else:
            within = _draw(rng, sizes[classes], self.shots)
        return classes, of_class[starts[classes][..., None] + within]

    def draw(self, rng: np.random.Generator, count: int) -> Iterator[Indices]:
        """Yield the pictures of `count` episodes, (C K,) each, class by class."""
        while count > 0:
            _, pictures_ECK = self.epoch(rng)
            for pictures_CK in pictures_ECK[:count]:
                yield pictures_CK.ravel()
            count -= len(pictures_ECK)

    def steps(self, rng: np.random.Generator, per_step: int) -> Iterator[tuple[Indices, Indices]]:
        """Yield one epoch in steps of `per_step` episodes; the last step may hold fewer."""
        classes, pictures = self.epoch(rng)
        for first in range(0, len(classes), per_step):
            yield classes[first : first + per_step], pictures[first : first + per_step]


def _draw(rng: np.random.Generator, sizes: Indices, shots: int) -> Indices:
    """Return (..., shots) positions below `sizes` (...), distinct wherever the size allows."""
    keys = rng.random((*sizes.shape, int(sizes.max())))
    keys[np.arange(keys.shape[-1]) >= sizes[..., None]] = np.inf
    order = keys.argsort(axis=-1)
    cycle = np.arange(shots) % np.minimum(sizes, shots)[..., None]
    return np.take_along_axis(order, cycle, axis=-1)
