"""What the report shows, gathered from the cells of one or more benchmark results; no markup here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.evaluation.record import Selection
from zeroscene.evaluation.results import BenchmarkResult, CellResult
from zeroscene.evaluation.summary_records import Comparison, SummaryRow

Array = npt.NDArray[np.float64]

_GRID = 101


@dataclass(frozen=True)
class Series:
    """One method on one encoder and table, over all splits and seeds.

    Attributes:
        row: its summary.
        cells: its cells, in the order of the plan.
        colour: position of its colour; the same method has the same colour in every figure.
    """

    row: SummaryRow
    cells: tuple[CellResult, ...]
    colour: int

    @property
    def label(self) -> str:
        """The plan's label of the method."""
        return self.row.label

    @property
    def oracle(self) -> bool:
        """Whether options or gamma were chosen on the test pictures."""
        return self.row.selection == "test-oracle"

    @property
    def key(self) -> str:
        """Label and, for figures that are not honest, the word that says so."""
        return f"{self.label} (test-oracle)" if self.oracle else self.label

    @property
    def reasoned(self) -> bool:
        """Whether its examples come with reasons."""
        shown = self.cells[0].examples
        return any(example.why is not None for example in (*shown.right, *shown.wrong))

    @cached_property
    def curve(self) -> Array:
        """(G, 2) mean seen/unseen curve: S, and the mean over cells of the highest U at that S or above."""
        seen = np.linspace(0, 1, _GRID)
        mean = np.zeros(_GRID)
        for cell in self.cells:
            points = np.asarray(cell.gzsl.curve, np.float64).reshape(-1, 2)
            order = np.argsort(points[:, 0], kind="stable")
            s, u = points[order, 0], np.maximum.accumulate(points[order, 1][::-1])[::-1]
            mean += np.interp(seen, s, u, left=u[0], right=0.0)
        end = int(np.flatnonzero(mean)[-1]) + 2 if mean.any() else 1
        return np.column_stack([seen, mean / len(self.cells)])[:end]

    @cached_property
    def classes(self) -> "tuple[ClassFigures, ...]":
        """Accuracy of every class over the splits, the best-recognised unseen class first."""
        plain: dict[str, list[float]] = {}
        unseen: dict[str, list[float]] = {}
        seen: dict[str, list[float]] = {}
        for cell in self.cells:
            hidden = {names.key(c) for c in cell.split.unseen}
            for name, value in cell.zsl.per_class.items():
                plain.setdefault(name, []).append(value)
            for name, value in cell.gzsl.per_class.items():
                (unseen if names.key(name) in hidden else seen).setdefault(name, []).append(value)
        figures = [
            ClassFigures(name, float(np.mean(values)), len(values), _mean(unseen.get(name)), _mean(seen.get(name)))
            for name, values in plain.items()
        ]
        return tuple(sorted(figures, key=lambda f: (-f.plain, f.name)))

    def confusion(self, generalised: bool) -> "Confusion":
        """Return the picture counts summed over cells, classes in alphabetical order."""
        parts = [cell.gzsl if generalised else cell.zsl for cell in self.cells]
        classes = sorted({name for part in parts for name in part.classes})
        at = {name: i for i, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), np.int64)
        for part in parts:
            rows = [at[name] for name in part.classes]
            counts[np.ix_(rows, rows)] += np.asarray(part.confusion, np.int64)
        return Confusion(tuple(classes), counts)


@dataclass(frozen=True)
class ClassFigures:
    """Accuracies of one class, means over the splits in which it was unseen (or seen); None where it never was."""

    name: str
    plain: float
    splits: int
    unseen: float | None
    seen: float | None


@dataclass(frozen=True)
class Confusion:
    """Picture counts: (C, C), rows true, columns predicted."""

    classes: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @property
    def shares(self) -> Array:
        """(C, C) counts as shares of their row; 0 for a class without pictures."""
        return np.asarray(self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1), np.float64)

    def mistakes(self, count: int) -> list[tuple[str, str, float, int]]:
        """Return the most frequent confusions: true class, predicted class, share of the true class, pictures."""
        off = self.shares - np.diag(np.diag(self.shares))
        order = np.argsort(-off, axis=None, kind="stable")[:count]
        found = [np.unravel_index(i, off.shape) for i in order]
        return [
            (self.classes[i], self.classes[j], float(off[i, j]), int(self.counts[i, j]))
            for i, j in found
            if off[i, j] > 0
        ]


@dataclass(frozen=True)
class Group:
    """All methods on one encoder and one class table: what may be compared with each other."""

    encoder: str
    table: str
    series: tuple[Series, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def anchor(self) -> str:
        """Identifier of the group's section in the page."""
        return names.key(f"{self.encoder} {self.table}")

    @property
    def exemplars(self) -> tuple[str, ...]:
        """Unseen classes whose pictures went into the class vectors; figures made with any are not zero-shot."""
        return tuple(sorted({name for s in self.series for name in s.row.exemplars}))

    @property
    def honest(self) -> tuple[Series, ...]:
        """The series whose figures may be ranked."""
        return tuple(s for s in self.series if not s.oracle)

    @property
    def pairs(self) -> int:
        """The smallest number of splits and seeds that a comparison rests on; 0 without comparisons."""
        return min((c.count for c in self.comparisons), default=0)

    def best(self, metric: str) -> float | None:
        """Return the highest mean of a metric among figures that are honest, or None where there are none."""
        values = [getattr(s.row, metric).mean for s in self.honest]
        return max(values) if values else None

    @property
    def leader(self) -> Series:
        """The series with the highest T1; of honest figures where there are any."""
        return max(self.honest or self.series, key=lambda s: s.row.t1.mean)

    @property
    def explained(self) -> Series | None:
        """The series with the highest T1 among those that keep reasons; of honest figures where there are any."""
        able = [s for s in self.honest or self.series if s.reasoned]
        return max(able, key=lambda s: s.row.t1.mean, default=None)

    def pair(self, metric: str, first: str, second: str) -> Comparison | None:
        """Return the comparison of two labels as first minus second, turned round where it is stored so."""
        for c in self.comparisons:
            if c.metric == metric and (c.first, c.second) == (first, second):
                return c
            if c.metric == metric and (c.first, c.second) == (second, first):
                return c.model_copy(
                    update={
                        "first": first,
                        "second": second,
                        "difference": -c.difference,
                        "low": -c.high,
                        "high": -c.low,
                        "not_better": 1.0 - c.not_better,
                    }
                )
        return None


def groups(results: Sequence[BenchmarkResult]) -> tuple[Group, ...]:
    """Return the groups of one or more results, in the order in which they appear.

    Raises:
        OptionError: no cell was evaluated, or two results hold the same method, encoder, table and selection.
    """
    rows: dict[tuple[str, str], dict[tuple[str, Selection], Series]] = {}
    colours: dict[str, int] = {}
    for result in results:
        for row in result.summary:
            group = rows.setdefault((row.encoder, row.table), {})
            if (row.label, row.selection) in group:
                raise OptionError(
                    f"two results hold {row.label!r} on {row.encoder!r} and {row.table!r} with {row.selection} "
                    "selection; report them one by one"
                )
            group[row.label, row.selection] = Series(
                row, _cells_of(result, row), colours.setdefault(row.label, len(colours))
            )
    if not rows:
        raise OptionError("no cell of this benchmark was evaluated, so there is nothing to report")
    comparisons = [c for result in results for c in result.comparisons if result.selection != "test-oracle"]
    return tuple(
        Group(
            encoder,
            table,
            tuple(series.values()),
            tuple(c for c in comparisons if (c.encoder, c.table) == (encoder, table)),
        )
        for (encoder, table), series in rows.items()
    )


def _cells_of(result: BenchmarkResult, row: SummaryRow) -> tuple[CellResult, ...]:
    return tuple(
        c
        for c in result.cells
        if (c.label, c.encoder.label, c.table.label, c.selection) == (row.label, row.encoder, row.table, row.selection)
    )


def _mean(values: list[float] | None) -> float | None:
    return float(np.mean(values)) if values else None
