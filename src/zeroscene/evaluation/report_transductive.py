"""What the report says of refined scores: before against after, what it changed, and what the diagnosis had said."""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from zeroscene.evaluation.report_data import Group, Series
from zeroscene.evaluation.report_figures import percent
from zeroscene.evaluation.report_scatter import Dot, Panel, scatter
from zeroscene.evaluation.results import CellResult, TransductiveResult
from zeroscene.evaluation.summary import figure, transductive_change
from zeroscene.evaluation.transductive import NOISE

METRICS: Final = (("t1", "T1, zero-shot"), ("H", "H, generalised"))


@dataclass(frozen=True)
class Told:
    """A cell of which the diagnosis warned, or which lost by refining.

    Attributes:
        series: its method.
        cell: the cell.
        change: transductive less inductive figure.
        warnings: what was said without labels.
    """

    series: Series
    cell: CellResult
    change: float
    warnings: tuple[str, ...]

    @property
    def worse(self) -> bool:
        """Whether it lost more than noise."""
        return self.change < -NOISE


@dataclass(frozen=True)
class Foresight:
    """What the warnings were worth, over the cells of a group; counted with the labels, which the user lacks.

    Attributes:
        cells: all of them.
        told: those that were warned of, or lost; the heaviest loss first.
    """

    cells: int
    told: tuple[Told, ...]

    @property
    def worse(self) -> int:
        """Cells that lost more than noise."""
        return sum(one.worse for one in self.told)

    @property
    def warned(self) -> int:
        """Cells that were warned of."""
        return sum(bool(one.warnings) for one in self.told)

    @property
    def foretold(self) -> int:
        """Cells that lost more than noise and were warned of."""
        return sum(one.worse and bool(one.warnings) for one in self.told)


def refined(group: Group) -> tuple[Series, ...]:
    """Return the series of a group that have transductive figures."""
    return tuple(series for series in group.series if series.row.transductive is not None)


def foresight(group: Group, metric: str) -> Foresight:
    """Return what was said of the cells of a group, and what became of them; `metric` is `t1` or `H`."""
    told, cells = [], 0
    for series in refined(group):
        for cell in series.cells:
            cells += 1
            change, warnings = transductive_change(cell, metric), _warnings(cell.transductive, metric)
            if warnings or change < -NOISE:
                told.append(Told(series, cell, change, warnings))
    return Foresight(cells, tuple(sorted(told, key=lambda one: one.change)))


def _warnings(found: TransductiveResult | None, metric: str) -> tuple[str, ...]:
    if found is None:
        return ()
    return found.warnings if metric == "t1" else found.generalised_warnings


def before_after(group: Group) -> Markup:
    """Draw inductive against transductive T1 and H: a dot a split; above the diagonal the set helped."""
    panels = [
        Panel(
            title,
            "inductive (%)",
            "transductive (%)",
            tuple(_dot(series, cell, metric) for series in refined(group) for cell in series.cells),
        )
        for metric, title in METRICS
    ]
    return scatter(panels, "Inductive against transductive figures of every split, percent")


def _dot(series: Series, cell: CellResult, metric: str) -> Dot:
    before = figure(cell, metric)
    after = before + transductive_change(cell, metric)
    return Dot(series, before, after, f"{series.key}, split {cell.split.name}: {percent(before)} to {percent(after)}")
