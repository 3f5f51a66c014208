"""What the report says of refined scores: before against after, what it changed, and what the diagnosis had said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from zeroscene.evaluation.report_data import Group, Series
from zeroscene.evaluation.report_figures import colour, percent, svg, text
from zeroscene.evaluation.results import CellResult, TransductiveResult
from zeroscene.evaluation.summary import figure, transductive_change
from zeroscene.evaluation.transductive import NOISE

METRICS: Final = (("t1", "T1, zero-shot"), ("H", "H, generalised"))

_SIZE, _LEFT, _TOP, _GAP = 330, 40, 30, 84


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
    series, parts = refined(group), []
    for panel, (metric, title) in enumerate(METRICS):
        points = [[_pair(cell, metric) for cell in one.cells] for one in series]
        values = [value for several in points for pair in several for value in pair]
        low, high = max(0.0, min(values) - 0.03), min(1.0, max(values) + 0.03)
        left = _LEFT + panel * (_SIZE + _GAP)
        parts += _panel(left, low, high, title, panel == 0)
        for one, several in zip(series, points, strict=True):
            parts += _dots(one, several, left, low, high)
    width, height = _LEFT + 2 * _SIZE + _GAP + 16, _TOP + _SIZE + 44
    return svg(width, height, "Inductive against transductive figures of every split, percent", parts)


def _pair(cell: CellResult, metric: str) -> tuple[float, float]:
    before = figure(cell, metric)
    return before, before + transductive_change(cell, metric)


def _panel(left: float, low: float, high: float, title: str, first: bool) -> list[str]:
    bottom = _TOP + _SIZE
    right = left + _SIZE
    parts = [text(left, _TOP - 12, title, "head")]
    step = 0.1 if high - low <= 0.6 else 0.2
    tick = -int(-low / step - 1e-9) * step if low % step > 1e-9 else low
    while tick <= high + 1e-9:
        if tick >= low - 1e-9:
            at = _SIZE * (tick - low) / (high - low)
            parts.append(f'<path class="grid" d="M{left + at:.1f} {_TOP}V{bottom}M{left} {bottom - at:.1f}H{right}"/>')
            parts.append(text(left + at, bottom + 17, f"{100 * tick:.0f}", "tick", "middle"))
            parts.append(text(left - 7, bottom - at + 4, f"{100 * tick:.0f}", "tick", "end"))
        tick += step
    parts.append(f'<path class="same" d="M{left} {bottom}L{right} {_TOP}"/>')
    parts.append(text(left + _SIZE / 2, bottom + 36, "inductive (%)", "axis", "middle"))
    if first:
        parts.append(
            f'<text class="axis" text-anchor="middle" transform="translate(10 {_TOP + _SIZE / 2}) rotate(-90)">'
            "transductive (%)</text>"
        )
    return parts


def _dots(series: Series, points: Sequence[tuple[float, float]], left: float, low: float, high: float) -> list[str]:
    scale = _SIZE / (high - low)
    dots = []
    for cell, (before, after) in zip(series.cells, points, strict=True):
        said = f"{series.key}, split {cell.split.name}: {percent(before)} to {percent(after)}"
        dots.append(
            f'<circle class="split" cx="{left + scale * (before - low):.1f}" '
            f'cy="{_TOP + _SIZE - scale * (after - low):.1f}" r="4"><title>{escape(said)}</title></circle>'
        )
    return [f'<g style="{colour(series)}">{"".join(dots)}</g>']
