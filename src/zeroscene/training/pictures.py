"""Picture files of the seen classes: all that fine-tuning may look at."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import DataFormatError, PictureError, SplitError
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split
from zeroscene.scenes.walk import Skipped


@dataclass(frozen=True)
class SeenPictures:
    """Training pictures of seen classes, as files; test pictures have no place here.

    Attributes:
        root: folder that the ids are relative to.
        ids: picture ids.
        labels: class of each.
        split: the split, with its held-out pictures named.
        seen: the classes, all of the split's seen ones or some.

    Raises:
        SplitError: a picture that is held out or of another class, a class without pictures, or no held-out pictures.
    """

    root: Path
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    split: Split
    seen: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"split {self.split.name!r}"
        if not self.split.held_out:
            raise SplitError(f"{where} names no held-out pictures; bind it to the pictures first (Split.with_holdout)")
        allowed = {names.key(name) for name in self.split.seen}
        if strangers := [name for name in self.seen if names.key(name) not in allowed]:
            raise SplitError(f"{where}: {', '.join(strangers)} cannot be trained on, not being seen")
        if kept := set(self.ids) & set(self.split.held_out):
            raise SplitError(f"{where}: picture {min(kept)!r} is held out and cannot be trained on")
        if (self.y < 0).any():
            raise SplitError(f"{where}: picture {self.ids[int(np.argmin(self.y))]!r} is of none of the classes")
        have = set(self.y.tolist())
        if empty := [name for i, name in enumerate(self.seen) if i not in have]:
            raise SplitError(f"{where}: no training pictures of the seen classes {', '.join(empty)}")

    @classmethod
    def of(cls, scenes: SceneFolder, split: Split) -> Self:
        """Return the training pictures of a data set under a split that names its held-out pictures.

        Raises:
            DataFormatError: the pictures have no labels.
            SplitError: the split names none, or a seen class is left without pictures.
        """
        if scenes.labels is None:
            raise DataFormatError(f"{scenes.root} has no class folders; training needs to know the classes")
        split.check_classes(scenes.classes)
        seen, held = {names.key(name) for name in split.seen}, set(split.held_out)
        kept = [
            (picture, label)
            for picture, label in zip(scenes.ids, scenes.labels, strict=True)
            if names.key(label) in seen and picture not in held
        ]
        return cls(scenes.root, tuple(i for i, _ in kept), tuple(label for _, label in kept), split, split.seen)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def y(self) -> npt.NDArray[np.int64]:
        """(N,) position of each picture's class in `seen`, -1 for another class."""
        positions = names.index(self.seen, "seen classes")
        return np.array([positions.get(names.key(label), -1) for label in self.labels], np.int64)

    def of_classes(self, classes: Sequence[str]) -> Self:
        """Return the pictures of some of the seen classes."""
        wanted = {names.key(name) for name in classes}
        rows = [i for i, label in enumerate(self.labels) if names.key(label) in wanted]
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            seen=tuple(name for name in self.seen if names.key(name) in wanted),
        )

    def scenes(self) -> SceneFolder:
        """Return the pictures as a data set, for embedding."""
        return SceneFolder(self.root, self.ids, self.labels, self.seen)


def readable(scenes: SceneFolder, classes: Sequence[str]) -> SceneFolder:
    """Return the pictures of some classes that can be decoded; the others are listed in `skipped`.

    Embedding leaves the others out too, so a hold-out drawn among these is the one that is drawn among embeddings.
    """
    wanted = {names.key(name) for name in classes}
    labels = scenes.labels or ()
    ours = [(i, label) for i, label in zip(scenes.ids, labels, strict=True) if names.key(label) in wanted]

    def reason(picture: str) -> str:
        try:
            decode(scenes.path(picture))
        except PictureError as error:
            return str(error).removeprefix(f"{scenes.path(picture)}: ")
        return ""

    with ThreadPoolExecutor(os.cpu_count(), "decode") as pool:
        reasons = list(pool.map(reason, (picture for picture, _ in ours)))
    kept = [pair for pair, why in zip(ours, reasons, strict=True) if not why]
    lost = tuple(Skipped(picture, why) for (picture, _), why in zip(ours, reasons, strict=True) if why)
    return replace(
        scenes,
        ids=tuple(picture for picture, _ in kept),
        labels=tuple(label for _, label in kept),
        skipped=(*scenes.skipped, *lost),
    )
