"""Pictures and data sets of all tests: small scenes of the synthetic world, each drawn once in a process."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from zeroscene.scenes.synthetic import world

SEEN = ("beach", "dense_residential", "desert", "freeway", "lake", "parking_lot", "storage_tank")
UNSEEN = ("river", "sea", "tennis_court")
CLASSES = SEEN + UNSEEN
NEW = ("harbor", "lake", "river", "solar_panel")

ENCODER = "tiny"

_FORMATS = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF"}


def scene(name: str = "harbor", index: int = 0, height: int = 64, width: int | None = None) -> np.ndarray:
    """Return a picture of a class, (height, width, 3) uint8; a square one without a width."""
    width = width or height
    return _square(name, index, max(height, width, world.SMALLEST))[:height, :width].copy()


@cache
def _square(name: str, index: int, side: int) -> np.ndarray:
    return world.draw(name, 0, index, side).pixels


def save(path: Path, picture: np.ndarray | Image.Image) -> Path:
    """Write a picture in the format of its suffix (JPEG for any that is not known), with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, _FORMATS.get(path.suffix.lower(), "JPEG"))
    return path


def lay_out(root: Path, *files: str) -> Path:
    """Write a small picture under each of the names; for tests of folders, where any picture will do."""
    for index, file in enumerate(files):
        save(root / file, scene(index=index % 4, height=world.SMALLEST))
    return root


def data_set(root: Path, classes: Sequence[str], each: int, height: int = 64, width: int = 64) -> Path:
    """Write a data set: one folder a class, `beach/beach 00.png`."""
    for name in classes:
        for index in range(each):
            save(root / name / f"{name} {index:02d}.png", scene(name, index, height, width))
    return root


def prepare(folder: Path) -> Path:
    """Write a data set as `zeroscene synthetic` does, and what is made of it before a method is fitted.

    pictures/ holds six pictures of each of ten classes, new-pictures/ two of each of four, store the vectors of the
    former and token-grids their token grids too, classes.csv their attributes, splits.json two splits of seven
    seen and three unseen classes.
    """
    from zeroscene.embeddings.extract import extract
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.scenes.split_files import write_splits
    from zeroscene.scenes.splits import random_splits
    from zeroscene.semantics.knowledge import knowledge_table
    from zeroscene.serving.sources import Origin, open_image_encoder

    world.write_folder(folder / "pictures", CLASSES, count=6)
    world.write_folder(folder / "new-pictures", NEW, first=100, count=2)
    pictures = SceneFolder.open(folder / "pictures")
    for store, grid in (("store", False), ("token-grids", True)):
        extract(pictures, open_image_encoder(ENCODER), folder / store, grid=grid)
        Origin.of(ENCODER, "auto", pictures.root).write(folder / store)
    knowledge_table(pictures.classes).write(folder / "classes.csv")
    write_splits(folder / "splits.json", random_splits("pictures", pictures.classes, 3, 2))
    return folder
