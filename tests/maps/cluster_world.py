"""What workers are given in the tests of clusters: encoders that kill the process they work in."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from mapping_world import MeanColour, question

from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.maps.archive.add import Adding
from zeroscene.serving.labeller import Labeller


class Deadly(MeanColour):
    """Kills its process at the third batch: once if it can say so in a file, always without."""

    def __init__(self, home: int, said: Path | None):
        self._home, self._said, self._batches = home, said, 0

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        self._batches += 1
        if self._batches == 3 and os.getpid() != self._home:
            try:
                if self._said is not None:
                    os.close(os.open(self._said, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return super().encode(pictures_BCHW, grid)


class Other(MeanColour):
    """Another encoder in every process but one."""

    def __init__(self, home: int):
        if os.getpid() != home:
            self.identity = EncoderIdentity("another", "other weights", "8", "projection")


@dataclass(frozen=True)
class Killing:
    """Makes an encoder that kills every worker, or the first that comes to its third batch."""

    home: int
    said: Path | None = None

    def __call__(self) -> MeanColour:
        return Deadly(self.home, self.said)


@dataclass(frozen=True)
class Differing:
    """Makes another encoder in workers than in the process `home`."""

    home: int

    def __call__(self) -> MeanColour:
        return Other(self.home)


@dataclass(frozen=True)
class Asked:
    """Makes what answers about colours."""

    eye: Killing | type[MeanColour] = MeanColour

    def __call__(self) -> Labeller:
        asked = question()
        return Labeller(asked.method, asked.table, self.eye, asked.confidence)


ADDING = Adding(batch=16)
