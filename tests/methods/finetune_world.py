"""A small data set, a small random CLIP and short options, for tests that fine-tune."""

from pathlib import Path
from typing import Any

import tiny_models
from small_world import data_set
from zeroscene.methods.dsva.finetune import Finetuned, finetune
from zeroscene.methods.dsva.tuning import FinetuneOptions
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.training.pictures import SeenPictures

SEEN = ("beach", "dense_residential", "desert", "freeway", "lake", "parking_lot")
UNSEEN = ("river", "sea")
SHORT: dict[str, Any] = {
    "tune_epochs": 2, "tune_episodes": 12, "tune_rate": 3e-4, "accumulate": 2, "classes_per_episode": 4,
    "pictures_per_class": 2, "epochs": 1, "episodes_per_epoch": 5, "precision": "fp32", "select": "last",
}  # fmt: skip
"""A rate that shows in two epochs; the default one would take thousands of episodes."""


def draw(folder: Path) -> Path:
    """Draw six pictures of each class, and save a CLIP and a ViT beside them."""
    data_set(folder / "pictures", SEEN + UNSEEN, each=6)
    for kind in ("clip", "vit"):
        (folder / kind).mkdir()
        tiny_models.save_vision(kind, folder / kind)
    return folder


def pictures(folder: Path) -> SeenPictures:
    scenes = SceneFolder.open(folder / "pictures")
    return SeenPictures.of(scenes, Split("small", "1", SEEN, UNSEEN).with_holdout(scenes.ids, scenes.labels or ()))


def tune(folder: Path, out: Path, encoder: str = "clip", **options: Any) -> Finetuned:
    chosen = FinetuneOptions.of({**SHORT, **options}, "finetune")
    table = knowledge_table((*SEEN, *UNSEEN))
    return finetune(pictures(folder), folder / encoder, table, out, chosen, accelerator="cpu")
