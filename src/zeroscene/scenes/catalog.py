"""The field's benchmarks: what each holds, how it is laid out, whom to cite; and the check of a local copy.

Nothing is ever downloaded. `data/benchmarks.yaml` holds the facts.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from zeroscene import names
from zeroscene.errors import DatasetNotFoundError, PictureError, SplitError
from zeroscene.progress import progress
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split, random_splits
from zeroscene.scenes.walk import Skipped

_THREADS = 4


@dataclass(frozen=True)
class Benchmark:
    """A published data set of scenes.

    Attributes:
        name: short name, `ucmerced`.
        title: name as its authors write it.
        aliases: other names under which `benchmark` finds it.
        classes: class names as separate words; folders match them under any spelling.
        counts: expected pictures of each class; empty where only the total is known.
        total: expected pictures in all.
        pixels: width and height of a picture.
        gsd: ground sampling distance in metres, as a text since most data sets mix several.
        layout: where pictures lie.
        citation: the paper to cite.
        doi: its DOI; empty when it has none.
        terms: licence or terms of use, as far as they are stated.
        home: page of the data set, from which a person gets it.
        ratios: seen and unseen classes of the standard splits.
        ratios_are_ours: the literature has no standard ratio, and these are this project's choice.
        class_aliases: folder names that do not spell the class, each with its class.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    total: int
    pixels: int
    gsd: str
    layout: str
    citation: str
    doi: str
    terms: str
    home: str
    ratios: tuple[tuple[int, int], ...]
    ratios_are_ours: bool
    class_aliases: Mapping[str, str] = field(default_factory=dict)

    def open(self, root: Path) -> SceneFolder:
        """Return the pictures of a local copy, labelled with this benchmark's class names.

        Raises:
            DatasetNotFoundError: there is no such folder; says where the data set is to be had, and its layout.
            DataFormatError: it has no class folder with pictures.
            DuplicateNameError: two folders are the same class.
            UnknownNameError: a class has no folder; `verify` lists all that is missing.
        """
        self._must_exist(root)
        return SceneFolder.open(root, self.classes, self.class_aliases)

    def verify(self, root: Path) -> "Verification":
        """Return what a local copy lacks, has too much, and holds unreadable; decodes every picture.

        Raises:
            DatasetNotFoundError: there is no such folder; says where the data set is to be had, and its layout.
            DataFormatError: it has no class folder with pictures.
            DuplicateNameError: two folders are the same class.
        """
        self._must_exist(root)
        scenes, missing = SceneFolder.open_wanted(root, self.classes, self.class_aliases)
        found = {name: scenes.counts.get(name, 0) for name in self.classes if name not in missing}
        return Verification(self, root, len(scenes), found, missing, scenes.skipped, _unreadable(scenes))

    def _must_exist(self, root: Path) -> None:
        if not root.is_dir():
            raise DatasetNotFoundError(
                f"{self.title} is not at {root}: get it from {self.home} (zeroscene never downloads), "
                f"unpack it to {self.layout} and give that folder"
            )


@dataclass(frozen=True)
class Verification:
    """How a local folder differs from the published data set.

    Attributes:
        benchmark: what should be there.
        root: the folder.
        total: pictures found.
        found: pictures found of each class that has a folder.
        missing: classes without a folder.
        skipped: files and folders that are no part of the data set.
        unreadable: pictures that do not decode.
    """

    benchmark: Benchmark
    root: Path
    total: int
    found: Mapping[str, int]
    missing: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    unreadable: tuple[Skipped, ...]

    @property
    def ok(self) -> bool:
        """Whether every class has its pictures and all of them decode; other files beside them do no harm."""
        return not (self.missing or self.unreadable or self._wrong_counts()) and self.total == self.benchmark.total

    @property
    def lines(self) -> tuple[str, ...]:
        """The findings, one line each, the verdict first."""
        b = self.benchmark
        verdict = "complete" if self.ok else "differs from what was published"
        lines = [f"{b.title} at {self.root}: {verdict}, {self.total} of {b.total} pictures"]
        lines += [f"class {name!r}: missing" for name in self.missing]
        lines += [f"class {name!r}: {have} of {want} pictures" for name, have, want in self._wrong_counts()]
        lines += [f"{picture.path}: unreadable: {picture.reason}" for picture in self.unreadable]
        lines += [f"{other.path}: skipped: {other.reason}" for other in self.skipped]
        return tuple(lines)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def _wrong_counts(self) -> list[tuple[str, int, int]]:
        counts = self.benchmark.counts
        return [(name, have, counts[name]) for name, have in self.found.items() if counts.get(name, have) != have]


def _unreadable(scenes: SceneFolder) -> tuple[Skipped, ...]:
    from zeroscene.scenes.decode import decode  # loads torch, which the catalog itself does not need

    def fault(picture: str) -> str:
        try:
            decode(scenes.path(picture))
        except PictureError as error:
            return str(error).removeprefix(f"{scenes.path(picture)}: ")
        return ""

    bad = []
    with progress("checking pictures", len(scenes)) as advance, ThreadPoolExecutor(_THREADS) as threads:
        for picture, reason in zip(scenes.ids, threads.map(fault, scenes.ids), strict=True):
            if reason:
                bad.append(Skipped(picture, reason))
            advance(1)
    return tuple(bad)


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """Return all benchmarks of the catalog."""
    text = resources.files("zeroscene.scenes").joinpath("data/benchmarks.yaml").read_text(encoding="utf-8")
    return tuple(_benchmark(entry) for entry in yaml.safe_load(text))


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by its name, title or an alias, in any spelling.

    Raises:
        UnknownNameError: no such benchmark; the nearest are listed.
    """
    by_key = {names.key(spelling): b for b in benchmarks() for spelling in (b.name, b.title, *b.aliases)}
    if found := by_key.get(names.key(name)):
        return found
    raise names.unknown([name], [b.name for b in benchmarks()], "benchmark")


def standard_splits(known: Benchmark | str, ratio: str | tuple[int, int], count: int, seed: int = 0) -> list[Split]:
    """Return seeded random splits of a benchmark at one of its standard ratios.

    Args:
        known: the benchmark, or its name.
        ratio: seen and unseen classes, `16/5` or (16, 5).
        count: how many splits.
        seed: changes the choice.

    Raises:
        UnknownNameError: no such benchmark.
        SplitError: the ratio is none of the benchmark's, or there are not as many different splits.
    """
    b = benchmark(known) if isinstance(known, str) else known
    wanted = ratio if isinstance(ratio, str) else f"{ratio[0]}/{ratio[1]}"
    standard = {f"{seen}/{unseen}": unseen for seen, unseen in b.ratios}
    if wanted not in standard:
        raise SplitError(
            f"{b.title} has the standard ratios {', '.join(standard)} of seen/unseen classes, not {wanted}"
        )
    return random_splits(b.name, b.classes, standard[wanted], count, seed)


def _benchmark(entry: dict[str, Any]) -> Benchmark:
    counts: dict[str, int] = entry.pop("counts", {})
    classes: Sequence[str] = entry.pop("classes", None) or list(counts)
    if each := entry.pop("each", None):
        counts = dict.fromkeys(classes, each)
    ours = "ours" in entry
    ratios = [tuple(map(int, ratio.split("/"))) for ratio in entry.pop("ours" if ours else "ratios")]
    return Benchmark(
        aliases=tuple(entry.pop("aliases")),
        classes=tuple(classes),
        counts=counts,
        ratios=tuple((seen, unseen) for seen, unseen in ratios),
        ratios_are_ours=ours,
        **entry,
    )
