"""A miniature of the tiny encoder's training, for tests: `python tiny_world.py OUT` trains it into a folder."""

import sys
from pathlib import Path

from zeroscene.training.tiny import loop
from zeroscene.training.tiny.loop import Recipe
from zeroscene.training.tiny.model import Shape
from zeroscene.training.tiny.pretrain import pretrain
from zeroscene.training.tiny.texts import Speech

SHAPE = Shape(picture=32, patch=8, width=64, depth=1, text_width=64, text_depth=1, space=16)
RECIPE = Recipe(steps=8, batch=40, rate=1e-3, shape=SHAPE, speech=Speech(captions=8, lists=8, longest=4, pairs=8))
LESSONS = 48


def small_pretrain(out: Path, jobs: int = 1):
    """Train the miniature; the state is kept after every second step."""
    loop._KEEP = 2
    return pretrain(out, RECIPE, LESSONS, LESSONS, jobs, "zeroscene pretrain tiny (miniature)")


if __name__ == "__main__":
    small_pretrain(Path(sys.argv[1]))
