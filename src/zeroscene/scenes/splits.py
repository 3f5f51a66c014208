"""Split: which classes are seen, which unseen, and which pictures of the seen ones are kept back for GZSL."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from zeroscene import names
from zeroscene.errors import SplitError
from zeroscene.files import digest, json_digest, write_json

FORMAT = "zeroscene-split-1"


@dataclass(frozen=True)
class Split:
    """One division of a data set's classes.

    Attributes:
        dataset: name of the data set.
        name: name of the split, unique within its data set; `1`, or `random-16-5-seed3`.
        seen: classes whose pictures may be trained on.
        unseen: classes that only the class table describes.
        held_out: ids of pictures of seen classes that are kept for the generalised test; empty for plain ZSL.

    Raises:
        SplitError: no seen or no unseen classes, or a class is both.
        DuplicateNameError: a class stands twice.
    """

    dataset: str
    name: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    held_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.seen or not self.unseen:
            raise SplitError(f"split {self.name!r}: needs at least one seen and one unseen class")
        both = (
            names.index(self.seen, f"split {self.name!r}, seen").keys()
            & names.index(self.unseen, f"split {self.name!r}, unseen").keys()
        )
        if both:
            raise SplitError(f"split {self.name!r}: {', '.join(sorted(both))} cannot be seen and unseen at once")

    @property
    def classes(self) -> tuple[str, ...]:
        """Seen classes, then unseen ones."""
        return self.seen + self.unseen

    @property
    def fingerprint(self) -> str:
        """Digest of the division, independent of spelling and order."""
        keys = [sorted(names.key(c) for c in part) for part in (self.seen, self.unseen)]
        return json_digest([*keys, sorted(self.held_out)])

    def check_classes(self, known: Sequence[str]) -> None:
        """Refuse a split that names classes which a data set does not have.

        Raises:
            SplitError: the unknown classes, each with its nearest names.
        """
        have = {names.key(name) for name in known}
        if strangers := [name for name in self.classes if names.key(name) not in have]:
            raise SplitError(f"split {self.name!r}: {names.unknown(strangers, known, 'classes')}")

    def with_holdout(self, ids: Sequence[str], labels: Sequence[str], fraction: float = 0.2, seed: int = 0) -> Self:
        """Return the split with a share of each seen class's pictures kept back.

        The choice for a class depends only on the seed and the ids of its own pictures, not on other classes, order
        or machine. Every class with two pictures or more keeps at least one on either side.

        Args:
            ids: picture ids.
            labels: class of each picture.
            fraction: share of each seen class, in (0, 1).
            seed: changes the choice.

        Raises:
            SplitError: the fraction is out of range, or a seen class has fewer than two pictures.
        """
        if not 0 < fraction < 1:
            raise SplitError(f"split {self.name!r}: the held-out share must lie between 0 and 1, not {fraction}")
        of_class: dict[str, list[str]] = {names.key(c): [] for c in self.seen}
        for picture, label in zip(ids, labels, strict=True):
            if (k := names.key(label)) in of_class:
                of_class[k].append(picture)
        kept: list[str] = []
        for name in self.seen:
            pictures = sorted(of_class[names.key(name)], key=lambda i: digest(f"holdout {seed} {i}"))
            if len(pictures) < 2:
                raise SplitError(
                    f"split {self.name!r}: seen class {name!r} has {len(pictures)} pictures; GZSL needs two"
                )
            kept += pictures[: min(max(round(len(pictures) * fraction), 1), len(pictures) - 1)]
        return replace(self, held_out=tuple(sorted(kept)))

    def to_json(self) -> dict[str, Any]:
        """Return the split as a JSON value."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "name": self.name,
            "seen": list(self.seen),
            "unseen": list(self.unseen),
            "held_out": list(self.held_out),
        }

    def write(self, path: Path) -> None:
        """Write the split as JSON."""
        write_json(path, self.to_json())


def random_splits(dataset: str, classes: Sequence[str], unseen: int, count: int, seed: int = 0) -> list[Split]:
    """Return different random splits, the same on every machine and for every spelling and order of the classes.

    The first splits are the same however many are asked for. Within a split, classes keep their order.

    Args:
        dataset: name of the data set.
        classes: all its classes.
        unseen: number of unseen classes of each split.
        count: number of splits; they are named `random-16-5-seed0-1`, `-2`, ...
        seed: changes the choice.

    Raises:
        SplitError: no class would be left on one side, or there are not as many different splits.
        DuplicateNameError: a class stands twice.
    """
    keys = list(names.index(classes, f"classes of {dataset}"))
    if not 0 < unseen < len(keys):
        raise SplitError(
            f"{dataset} has {len(keys)} classes; {unseen} unseen ones leave {max(len(keys) - unseen, 0)} seen ones, "
            "but a split needs at least one of each"
        )
    if not 0 < count <= math.comb(len(keys), unseen):
        raise SplitError(
            f"{dataset}: {count} splits of {len(keys) - unseen}/{unseen} classes were asked for; "
            f"there are {math.comb(len(keys), unseen)}"
        )
    taken: dict[frozenset[str], None] = {}
    for draw in itertools.count(1):
        rank = {k: digest(f"split {seed} {draw} {k}") for k in keys}
        taken.setdefault(frozenset(sorted(keys, key=rank.__getitem__)[:unseen]))
        if len(taken) == count:
            break
    return [
        Split(
            dataset,
            f"random-{len(keys) - unseen}-{unseen}-seed{seed}-{number}",
            seen=tuple(c for c in classes if names.key(c) not in chosen),
            unseen=tuple(c for c in classes if names.key(c) in chosen),
        )
        for number, chosen in enumerate(taken, start=1)
    ]


def validation_groups(classes: Sequence[str], folds: int, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """Divide seen classes into groups that play unseen in turn; each class stands in exactly one.

    The groups depend on the seed and the names, not on their order. There are at most `folds`, and few enough that each
    has two classes or more; two or three classes make groups of one, and one alone makes none.
    """
    count = len(classes)
    groups = min(folds, count // 2) if count > 3 else count if count > 1 else 0
    shuffled = sorted(classes, key=lambda name: digest(f"fold {seed} {names.key(name)}"))
    return tuple(tuple(shuffled[group::groups]) for group in range(groups))
