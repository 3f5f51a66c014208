"""A small drawn world with a fitted DSVA that knows the words for its attributes."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from zeroscene.embeddings.crops import Crops
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.method import DSVA
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.synthetic.world import Picture, draw, write
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import with_prompts

SEEN = ("airplane", "beach", "dense_residential", "desert", "freeway", "lake", "parking_lot", "storage_tank")
UNSEEN = ("harbor", "river", "sea", "tennis_court")


@dataclass(frozen=True)
class World:
    encoder: HuggingFaceImageEncoder
    table: ClassTable
    method: DSVA
    pictures: dict[str, Picture]
    x: Embeddings

    @property
    def candidates(self) -> ClassTable:
        return self.table.select(UNSEEN)


def embed(encoder: HuggingFaceImageEncoder, pictures: dict[str, Picture]) -> Embeddings:
    encoded = encoder.encode(torch.stack([encoder.prepare(p.pixels) for p in pictures.values()]), grid=True)
    assert encoded.grid_BHWD is not None
    grids = TokenGrids.of(encoded.grid_BHWD.numpy().astype(np.float16))
    labels = tuple(p.label for p in pictures.values())
    return Embeddings(tuple(pictures), encoded.pooled_BD.numpy(), encoder.identity, labels, grids)


def drawn(classes: tuple[str, ...], each: int, first: int = 0) -> dict[str, Picture]:
    return {f"{name} {i}": draw(name, 0, i) for name in classes for i in range(first, first + each)}


def build() -> World:
    encoder = load_image_encoder("tiny", precision="fp32")
    words = read_vocabulary("synthetic")
    table = with_prompts(knowledge_table(SEEN + UNSEEN), words, load_text_encoder("tiny"))
    train = TrainingSet(embed(encoder, drawn(SEEN, 6)), SEEN)
    method = DSVA(epochs=1, episodes_per_epoch=5).fit(train, table)
    pictures = drawn(UNSEEN, 4)
    return World(encoder, table, method, pictures, embed(encoder, pictures))


def training(world: World, folder: Path | None = None) -> tuple[TrainingSet, ClassTable]:
    """Return fewer pictures of the seen classes than the world was fitted on, for methods of a test's own.

    With a folder they are written there too, for methods that look at them again.
    """
    pictures = drawn(SEEN, 2, first=20)
    x = embed(world.encoder, pictures)
    if folder is not None:
        for name, picture in pictures.items():
            write(folder / name, picture.pixels)
        x = replace(x, crops=Crops(SceneFolder(folder, tuple(pictures), None, ()), lambda: world.encoder))
    return TrainingSet(x, SEEN), world.table
