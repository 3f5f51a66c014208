"""What phase 2 of DSVA is made of: its options, its episodes, its learning rates, and what an epoch is worth."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import Field

from zeroscene.embeddings.views import view
from zeroscene.encoders.speed import Precision
from zeroscene.encoders.trainable import TrainableEncoder
from zeroscene.methods.contract import Indices
from zeroscene.methods.dsva.options import DSVAOptions
from zeroscene.methods.dsva.student import Student
from zeroscene.pixels import resize_crop
from zeroscene.scenes.decode import decode
from zeroscene.semantics.table import ClassTable
from zeroscene.training.episodes import Episodes
from zeroscene.training.fabric import Batch, Group, Plan
from zeroscene.training.pictures import SeenPictures

GROUPS: Final = 4
"""Groups of seen classes, each of which can play unseen."""
_BATCH: Final = 32


class FinetuneOptions(DSVAOptions):
    """Options of fine-tuning: those of DSVA, which phase 1 follows, and of phase 2 (`tune_*` and below).

    Attributes:
        tune_epochs: at most, with `select=honest`; exactly, with `last`.
        tune_episodes: episodes an epoch.
        tune_rate: learning rate of the encoder; 0.9 of it after every ten epochs.
        tune_head_rate: of the branches; None for that of the encoder.
        layer_decay: each layer has this times the rate of the one after it; 1 is off.
        unfreeze: `all` weights of the encoder, or its last layers (stages of a convolutional network).
        accumulate: episodes a step.
        devices: GPUs, or processes where there is none.
        precision: `auto` is bf16 where it is an instruction of the device.
        select: how the number of epochs is found.
        folds: groups of seen classes that play unseen, of 4, under `select=honest`.
    """

    tune_epochs: int = Field(25, ge=1)
    tune_episodes: int = Field(300, ge=1)
    tune_rate: float = Field(1e-6, gt=0)
    tune_head_rate: float | None = Field(None, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    unfreeze: Literal["all"] | Annotated[int, Field(ge=1)] = "all"
    accumulate: int = Field(1, ge=1)
    devices: int = Field(1, ge=1)
    precision: Precision = "auto"
    select: Literal["honest", "last"] = "honest"
    folds: int = Field(1, ge=1, le=GROUPS)

    def head(self) -> dict[str, Any]:
        """Return the options of phase 1."""
        return self.model_dump(include=set(DSVAOptions.model_fields))

    def plan(self, epochs: int) -> Plan:
        """Return the plan of phase 2."""
        return Plan(epochs, self.tune_episodes, self.accumulate, self.fresh_optimiser)

    def deciding(self) -> dict[str, Any]:
        """Return the options that decide the weights; on how many devices it runs does not."""
        return self.model_dump(mode="json", exclude={"devices"})


class Lessons:
    """Episodes of random windows, each decided by its number alone."""

    def __init__(self, pictures: SeenPictures, encoder: TrainableEncoder, options: FinetuneOptions):
        self._pictures, self._geometry, self._options = pictures, encoder.geometry, options
        self._episodes = Episodes(pictures.y, options.classes_per_episode, options.pictures_per_class)
        self._threads = ThreadPoolExecutor(os.cpu_count(), "decode")
        self._epoch = lru_cache(maxsize=2)(self._draw)

    def prepare(self, epoch: int, episode: int) -> Batch:
        """Return the pictures of an episode, (N, 3, height, width) uint8, and their classes, (N,)."""
        rows = self._epoch(epoch)[episode]
        # No window is drawn twice in a run, also of a picture that stands in an episode several times.
        first = 1 + (epoch * self._options.tune_episodes + episode) * len(rows)

        def window(row: int, number: int) -> torch.Tensor:
            name = self._pictures.ids[row]
            return resize_crop(view(decode(self._pictures.root / name), name, number), self._geometry)

        seen = self._threads.map(window, rows.tolist(), range(first, first + len(rows)))
        return torch.stack(list(seen)), torch.from_numpy(self._pictures.y[rows])

    def close(self) -> None:
        """End the threads that decode."""
        self._threads.shutdown(cancel_futures=True)

    def _draw(self, epoch: int) -> list[Indices]:
        rng = np.random.default_rng([self._options.seed, epoch])
        return list(self._episodes.draw(rng, self._options.tune_episodes))


def rate_groups(encoder: TrainableEncoder, student: Student, o: FinetuneOptions) -> list[Group]:
    """Return what is trained: the encoder by depth, the branches."""
    parts = encoder.unfreeze(o.unfreeze)
    groups = [
        Group(part, o.tune_rate * o.layer_decay ** (len(parts) - 1 - depth)) for depth, part in enumerate(parts) if part
    ]
    head = tuple(parameter for parameter in student.net.parameters() if parameter.requires_grad)
    return [*groups, Group(head, o.tune_head_rate or o.tune_rate)]


@torch.no_grad()
def t1(fabric: Fabric, student: Student, encoder: TrainableEncoder, pictures: SeenPictures, table: ClassTable) -> float:
    """Return the mean over classes of the share of pictures that are told from the other classes, in [0, 1]."""
    among = table.select(pictures.seen)
    right = np.zeros(len(pictures.seen))

    def centre(name: str) -> torch.Tensor:
        return resize_crop(decode(pictures.root / name), encoder.geometry)

    with ThreadPoolExecutor(os.cpu_count(), "decode") as threads:
        for first in range(0, len(pictures), _BATCH):
            rows = slice(first, first + _BATCH)
            seen = torch.stack(list(threads.map(centre, pictures.ids[rows]))).to(fabric.device)
            with fabric.autocast():
                found = student.scores(seen, among).argmax(1).cpu().numpy()
            np.add.at(right, pictures.y[rows], found == pictures.y[rows])
    return float((right / np.bincount(pictures.y, minlength=len(right))).mean())
