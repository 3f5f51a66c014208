"""What a benchmark compares: methods x encoders x class tables x splits x seeds, and how options are chosen."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.errors import DuplicateNameError, OptionError, SplitError
from zeroscene.evaluation.annotation import Annotation, AnnotationEntry
from zeroscene.evaluation.protocol import HOLDOUT
from zeroscene.evaluation.record import Selection
from zeroscene.evaluation.results import CELL_FORMAT
from zeroscene.evaluation.selection import FOLDS
from zeroscene.evaluation.tables import TableSource
from zeroscene.evaluation.transductive import Transduction
from zeroscene.files import digest, json_digest
from zeroscene.methods.registry import method_class
from zeroscene.options import Options, read_yaml
from zeroscene.scenes.splits import Split
from zeroscene.semantics.table import ClassTable

Table = ClassTable | Path | Annotation | TableSource

_SAMPLE = 8


@dataclass(frozen=True)
class MethodPlan:
    """One method of a plan.

    Attributes:
        name: registry name.
        options: given options; the rest is chosen among the method's candidates.
        label: its name in tables and files; the method's own where empty.

    Raises:
        UnknownNameError: no such method.
        OptionError: an unknown option, a value out of range, or a seed.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        cls = method_class(self.name)
        cls(**self.options)
        if "seed" in self.options:
            raise OptionError(f"method {self.name!r}: give seeds in the plan's `seeds`, not among the options")
        object.__setattr__(self, "name", cls.name)
        object.__setattr__(self, "label", self.label or cls.name)

    @property
    def reads_grids(self) -> bool:
        """Whether the method looks at token grids."""
        return method_class(self.name)(**self.options).reads == "grids"


@dataclass(frozen=True)
class BenchmarkPlan:
    """All that decides the figures of a benchmark.

    Attributes:
        name: title of the benchmark.
        embeddings: label -> pictures of one data set embedded by one encoder, or the folder of their store.
        tables: label -> class vectors, their file, or what makes them of each training set; or several of these by
            label, which become views of one table (`semantics.views`).
        splits: of one data set; those without held-out pictures get `holdout` of each seen class by the cell's seed.
        methods: what is compared.
        seeds: each is a repetition: of the hold-out, of the validation folds, and of methods that draw.
        selection: how options and gamma are chosen.
        folds: validation folds of honest selection, at most.
        holdout: share of each seen class's pictures held out for the generalised test.
        transductive: whether the refined scores of the test pictures are measured as well, in figures of their own;
            true, or options of `transductive.Transduction`.
        overlap: pairs of `zeroscene audit`; figures are given without these test pictures as well.

    Raises:
        OptionError: nothing to compare, or a value out of range.
        DuplicateNameError: two labels, splits or seeds are the same.
        SplitError: splits of several data sets.
    """

    name: str
    embeddings: Mapping[str, Embeddings | Path]
    tables: Mapping[str, Table | Mapping[str, Table]]
    splits: tuple[Split, ...]
    methods: tuple[MethodPlan, ...]
    seeds: tuple[int, ...] = (0,)
    selection: Selection = "honest"
    folds: int = FOLDS
    holdout: float = HOLDOUT
    transductive: bool | Mapping[str, Any] | Transduction = False
    overlap: OverlapFile | None = None

    def __post_init__(self) -> None:
        parts = {
            "embeddings": list(self.embeddings),
            "tables": list(self.tables),
            "splits": [split.name for split in self.splits],
            "methods": [method.label for method in self.methods],
            "seeds": [str(seed) for seed in self.seeds],
        }
        for what, labels in parts.items():
            if not labels:
                raise OptionError(f"benchmark {self.name!r}: {what} is empty; name at least one")
            slugs: dict[str, str] = {}
            for label in labels:
                if (other := slugs.setdefault(slug(label).lower(), label)) != label or labels.count(label) > 1:
                    raise DuplicateNameError(
                        f"benchmark {self.name!r}, {what}: {other!r} and {label!r} would share a file name; "
                        "give each its own label"
                    )
        if len(datasets := {names.key(split.dataset): split.dataset for split in self.splits}) > 1:
            raise SplitError(
                f"benchmark {self.name!r}: splits of {', '.join(datasets.values())}; make one plan a data set"
            )
        if self.selection not in ("honest", "defaults", "test-oracle"):
            raise OptionError(
                f"benchmark {self.name!r}: selection {self.selection!r} is not one of honest, defaults, test-oracle"
            )
        if self.folds < 2 or not 0 < self.holdout < 1 or min(self.seeds) < 0:
            raise OptionError(
                f"benchmark {self.name!r}: folds must be 2 or more, holdout lie between 0 and 1, seeds not be negative"
            )
        where = f"benchmark {self.name!r}, transductive"
        object.__setattr__(self, "transductive", Transduction.asked(self.transductive, where) or False)

    @property
    def transduction(self) -> Transduction | None:
        """Options of the refinement, where it was asked for."""
        return self.transductive if isinstance(self.transductive, Transduction) else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a plan from YAML; its paths are relative to the file.

        Raises:
            DatasetNotFoundError: the plan or its split file is not there.
            OptionError: an unknown key or a value out of range.
            UnknownNameError: a method or a named split does not exist.
        """
        from zeroscene.scenes.split_files import read_splits

        given = PlanFile.of(read_yaml(path), str(path))
        base = path.parent
        stores = {label: base / store for label, store in given.embeddings.items()}
        splits = [split for file in given.splits for split in read_splits(base / file)]
        if given.only:
            found = {split.name: split for split in splits}
            wanted = [str(name) for name in given.only]
            if any(name not in found for name in wanted):
                raise names.unknown(wanted, list(found), "split")
            splits = [found[name] for name in wanted]
        return cls(
            given.name or path.stem,
            stores,
            {
                label: _tables(entry, f"{path}, table {label!r}", base, stores, all_classes(splits))
                for label, entry in given.tables.items()
            },
            tuple(splits),
            tuple(_method(entry) for entry in given.methods),
            given.seeds,
            given.selection,
            given.folds,
            given.holdout,
            given.transductive,
            None if given.overlap is None else OverlapFile.read(base / given.overlap),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Every class of the splits, once."""
        return all_classes(self.splits)

    @property
    def reads_grids(self) -> bool:
        """Whether any method looks at token grids."""
        return any(method.reads_grids for method in self.methods)

    def cells(self) -> Iterator["Cell"]:
        """Yield the cells in order: method, encoder, table, split, seed; the last runs fastest."""
        for method in self.methods:
            for encoder in self.embeddings:
                for table in self.tables:
                    for split in self.splits:
                        for seed in self.seeds:
                            yield Cell(method, encoder, table, split, seed)


@dataclass(frozen=True)
class Cell:
    """One method, encoder, class table, split and seed; encoder and table by their labels."""

    method: MethodPlan
    encoder: str
    table: str
    split: Split
    seed: int

    @property
    def name(self) -> str:
        """Readable name, unique in its plan and fit for a file name."""
        parts = (self.method.label, self.encoder, self.table, f"split-{self.split.name}", f"seed-{self.seed}")
        return "__".join(slug(part) for part in parts)

    def inputs(
        self, plan: BenchmarkPlan, embeddings: str, table: str, environment: Mapping[str, Any], grids: str = ""
    ) -> dict[str, str]:
        """Return all that decides the cell's numbers.

        Args:
            plan: gives selection, folds, hold-out and transduction.
            embeddings: fingerprint of the pictures (`tables.embeddings_fingerprint`).
            table: fingerprint of the class table, or of what makes it.
            environment: versions; figures of two versions do not lie in one folder.
            grids: fingerprint of the token grids (`grids_fingerprint`); counts for methods that look at them.
        """
        return {
            "format": CELL_FORMAT,
            "method": self.method.name,
            "options": json.dumps(dict(self.method.options), sort_keys=True),
            "embeddings": embeddings,
            "table": table,
            "split": self.split.fingerprint,
            "seed": str(self.seed),
            "selection": plan.selection,
            "folds": str(plan.folds),
            "holdout": str(plan.holdout),
            "environment": json.dumps(dict(environment), sort_keys=True),
            **({"grids": grids} if self.method.reads_grids else {}),
            **({"transductive": plan.transduction.model_dump_json()} if plan.transduction else {}),
            **({"overlap": plan.overlap.fingerprint} if plan.overlap else {}),
        }


class MethodEntry(Options):
    """A method in a plan's file."""

    name: str
    label: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


class PlanFile(Options):
    """The keys of a plan's file.

    Attributes:
        name: title; the file's name where empty.
        embeddings: label -> folder of an embedding store.
        tables: label -> class table file, a mapping (`annotation.AnnotationEntry`), or `views: {label: ...}` of these.
        splits: split files.
        only: names of the splits to take; all where empty.
        methods: names, or mappings of name, label and options.
        seeds, selection, folds, holdout, transductive: as in `BenchmarkPlan`.
        overlap: file that `zeroscene audit` wrote.
    """

    name: str = ""
    embeddings: dict[str, Path]
    tables: dict[str, Path | dict[str, Any]]
    splits: tuple[Path, ...]
    only: tuple[str | int, ...] = ()
    methods: tuple[str | MethodEntry, ...]
    seeds: tuple[int, ...] = (0,)
    selection: Selection = "honest"
    folds: int = FOLDS
    holdout: float = HOLDOUT
    transductive: bool | dict[str, Any] = False
    overlap: Path | None = None


def _tables(
    entry: Path | dict[str, Any], where: str, base: Path, stores: dict[str, Path], classes: Sequence[str]
) -> Table | dict[str, Table]:
    if not isinstance(entry, dict) or "views" not in entry:
        return _table(entry, where, base, stores, classes)
    parts = entry["views"]
    if len(entry) > 1 or not isinstance(parts, dict) or not parts:
        raise OptionError(f"{where}: `views` stands alone and holds a table for each label")
    return {
        str(label): _table(
            part if isinstance(part, dict) else Path(str(part)), f"{where}, view {label!r}", base, stores, classes
        )
        for label, part in parts.items()
    }


def _table(
    entry: Path | dict[str, Any], where: str, base: Path, stores: dict[str, Path], classes: Sequence[str]
) -> Table:
    if isinstance(entry, dict):
        return AnnotationEntry.of(entry, where).read(base, stores, classes)
    return base / entry


def _method(entry: str | MethodEntry) -> MethodPlan:
    return MethodPlan(entry) if isinstance(entry, str) else MethodPlan(entry.name, entry.options, entry.label)


def slug(text: str) -> str:
    """Return a text as part of a file name: letters, digits, `.`, `+`, `-` and single `_`."""
    return re.sub(r"_+", "_", re.sub(r"[^\w.+-]+", "-", text)).strip("-_.") or "-"


def all_classes(splits: Sequence[Split]) -> tuple[str, ...]:
    """Return every class of the splits, once, in the spelling that comes first."""
    spelled: dict[str, str] = {}
    for split in splits:
        for name in split.classes:
            spelled.setdefault(names.key(name), name)
    return tuple(spelled.values())


def grids_fingerprint(grids: TokenGrids | None) -> str:
    """Return the digest of the token grids, empty where there are none.

    Encoder and picture decide a grid, and the fingerprint of the pictures counts beside this one: so shape, number of
    views and a few pictures are enough to notice grids that were made otherwise, and gigabytes are not read.
    """
    if grids is None or not len(grids):
        return ""
    rows = np.unique(np.linspace(0, len(grids) - 1, _SAMPLE).astype(np.int64))
    sample = [digest(grids.read(rows, view).tobytes()) for view in range(grids.views)]
    return json_digest([len(grids), list(grids.shape), grids.views, sample])
