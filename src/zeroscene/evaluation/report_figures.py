"""The report's figures as inline SVG that takes its colours from the page's style sheet, light or dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup, escape

from zeroscene.evaluation.report_data import ClassFigures, Confusion, Group, Series
from zeroscene.evaluation.summary_records import Statistic

_ROW = 26
_LABELS = 150
_PANEL = 370
_GAP = 44
_PRINTED_CELLS = 24


def colour(series: Series) -> str:
    """Return the inline style that gives a mark the colour of its series."""
    return "--c:var(--oracle)" if series.oracle else f"--c:var(--c{series.colour % 8})"


@dataclass(frozen=True)
class _Axis:
    """A horizontal axis from `low` to `high`, `_PANEL` units wide, starting at `left`."""

    left: float
    low: float
    high: float

    def __call__(self, value: float) -> float:
        return self.left + _PANEL * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        step = next((step for step in (0.01, 0.02, 0.05, 0.1) if (self.high - self.low) / step <= 6), 0.2)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [step * i for i in range(first, last + 1)]


def spread(group: Group) -> Markup:
    """Draw T1 and H of every method: a faint dot a split, the mean, and one standard deviation either way."""
    height = _ROW * len(group.series) + 46
    parts = [text(_LABELS - 16, _middle(i) + 4, series.key, "label", "end") for i, series in enumerate(group.series)]
    for panel, (metric, title) in enumerate((("t1", "T1, zero-shot"), ("H", "H, generalised"))):
        values = [[cell.zsl.t1 if metric == "t1" else cell.gzsl.H for cell in s.cells] for s in group.series]
        low, high = min(map(min, values)), max(map(max, values))
        margin = max(0.05 * (high - low), 0.02)
        axis = _Axis(_LABELS + panel * (_PANEL + _GAP), max(0.0, low - margin), min(1.0, high + margin))
        parts.append(text(axis.left, 14, title, "head"))
        for tick in axis.ticks():
            parts.append(f'<path class="grid" d="M{axis(tick):.1f} 24V{height - 20}"/>')
            parts.append(text(axis(tick), height - 6, f"{100 * tick:.0f}", "tick", "middle"))
        for i, (series, several) in enumerate(zip(group.series, values, strict=True)):
            parts += _spread_row(axis, _middle(i), series, getattr(series.row, metric), several)
    return svg(_LABELS + 2 * _PANEL + _GAP + 20, height, "Accuracy of every method over the splits, percent", parts)


def _middle(row: int) -> float:
    return 24 + _ROW * (row + 0.5)


def _spread_row(axis: _Axis, y: float, series: Series, mean: Statistic, values: Sequence[float]) -> list[str]:
    dots = "".join(f'<circle class="faint" cx="{axis(v):.1f}" cy="{y:.1f}" r="3"/>' for v in values)
    low, high = axis(mean.mean - mean.deviation), axis(mean.mean + mean.deviation)
    return [
        f'<g style="{colour(series)}">{dots}<path class="bar" d="M{low:.1f} {y:.1f}H{high:.1f}"/>'
        f'<circle class="mean" cx="{axis(mean.mean):.1f}" cy="{y:.1f}" r="5"><title>{escape(series.key)}: '
        f"{percent(mean.mean)} ± {percent(mean.deviation)}</title></circle></g>"
    ]


def seen_unseen(group: Group) -> Markup:
    """Draw the mean seen/unseen curves, with the calibrated point (full) and the plain one (ring) of each method."""
    size, left, top = 380, 46, 12
    bottom = top + size

    def x(value: float) -> float:
        return left + size * value

    def y(value: float) -> float:
        return bottom - size * value

    parts = []
    for tick in range(0, 101, 20):
        v = tick / 100
        parts.append(f'<path class="grid" d="M{x(0)} {y(v):.1f}H{x(1)}M{x(v):.1f} {y(0)}V{y(1)}"/>')
        parts.append(text(x(v), bottom + 17, str(tick), "tick", "middle"))
        parts.append(text(left - 8, y(v) + 4, str(tick), "tick", "end"))
    for h in (0.2, 0.4, 0.6, 0.8):
        seen = [h / (2 - h) + (1 - h / (2 - h)) * i / 40 for i in range(41)]
        points = " ".join(f"{x(s):.1f},{y(h * s / (2 * s - h)):.1f}" for s in seen)
        parts.append(f'<polyline class="iso" points="{points}"/>')
        parts.append(text(x(h) + 3, y(h) - 3, f"H {100 * h:.0f}", "isolabel"))
    for series in group.series:
        points = " ".join(f"{x(s):.1f},{y(u):.1f}" for s, u in series.curve)
        parts.append(f'<g style="{colour(series)}"><polyline class="curve" points="{points}"/>')
        plain = [(c.gzsl.uncalibrated.S, c.gzsl.uncalibrated.U) for c in series.cells]
        s0, u0 = (sum(v[i] for v in plain) / len(plain) for i in (0, 1))
        parts.append(f'<circle class="ring" cx="{x(s0):.1f}" cy="{y(u0):.1f}" r="4.5"/>')
        parts.append(
            f'<circle class="mean" cx="{x(series.row.S.mean):.1f}" cy="{y(series.row.U.mean):.1f}" r="5">'
            f"<title>{escape(series.key)}: S {percent(series.row.S.mean)}, U {percent(series.row.U.mean)}, "
            f"AUSUC {percent(series.row.AUSUC.mean)}</title></circle></g>"
        )
    parts.append(text(left + size / 2, bottom + 36, "S, accuracy on seen classes (%)", "axis", "middle"))
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate(12 {top + size / 2}) rotate(-90)">'
        "U, accuracy on unseen classes (%)</text>"
    )
    return svg(left + size + 14, bottom + 44, "Seen/unseen curves", parts)


def heat_map(confusion: Confusion, unseen_only: bool) -> Markup:
    """Draw a confusion matrix: a row a true class, a column a predicted one, shares of the row."""
    classes = confusion.classes
    cell = 26 if len(classes) <= _PRINTED_CELLS else max(9, 620 // len(classes))
    font = 11 if cell > 11 else 8
    labels = 12 + max(len(name) for name in classes) * font * 0.56
    size = cell * len(classes)
    parts = [f'<g font-size="{font}">']
    for i, name in enumerate(classes):
        middle = labels + cell * (i + 0.5)
        parts.append(text(labels - 6, middle + font * 0.35, name, "plain", "end"))
        parts.append(
            f'<text class="plain" transform="translate({middle + font * 0.35:.1f} {labels - 6:.1f}) rotate(-90)">'
            f"{escape(name)}</text>"
        )
    shares = confusion.shares
    for i, true in enumerate(classes):
        for j, predicted in enumerate(classes):
            count, share = int(confusion.counts[i, j]), float(shares[i, j])
            if not count:
                continue
            left, top = labels + cell * j, labels + cell * i
            kind = "hit" if i == j else "miss"
            parts.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{cell - 1}" height="{cell - 1}" rx="2" '
                f'fill-opacity="{0.06 + 0.94 * share:.2f}"><title>{escape(true)} as {escape(predicted)}: {count} '
                f"pictures, {percent(share)} %</title></rect>"
            )
            if cell >= 26 and share >= 0.03:
                strong = " strong" if share > 0.55 else ""
                parts.append(
                    text(left + cell / 2 - 0.5, top + cell / 2 + 3.5, f"{100 * share:.0f}", f"in{strong}", "middle")
                )
    parts.append(f'</g><rect class="frame" x="{labels - 1:.1f}" y="{labels - 1:.1f}" width="{size}" height="{size}"/>')
    title = "Confusion of unseen classes" if unseen_only else "Confusion of all classes"
    return svg(labels + size + 6, labels + size + 6, title, parts)


def class_bars(classes: Sequence[ClassFigures], series: Series) -> Markup:
    """Draw a bar a class, its accuracy while unseen; marks for the generalised test: unseen (dot) and seen (ring)."""
    row, bars = 22, 320
    left = 16 + max(len(c.name) for c in classes) * 6.6
    height = row * len(classes) + 30
    parts = [f'<g style="{colour(series)}">']
    for tick in range(0, 101, 20):
        x = left + bars * tick / 100
        parts.append(f'<path class="grid" d="M{x:.1f} 4V{height - 24}"/>')
        parts.append(text(x, height - 8, str(tick), "tick", "middle"))
    for i, figures in enumerate(classes):
        y = 4 + row * i
        parts.append(text(left - 8, y + 15, figures.name, "label", "end"))
        parts.append(
            f'<rect class="fill" x="{left:.1f}" y="{y + 4}" width="{max(bars * figures.plain, 1):.1f}" height="14" '
            f'rx="2"><title>{escape(figures.name)}: T1 {percent(figures.plain)} % over {figures.splits} splits'
            "</title></rect>"
        )
        if figures.unseen is not None:
            parts.append(f'<circle class="dot" cx="{left + bars * figures.unseen:.1f}" cy="{y + 11}" r="4"/>')
        if figures.seen is not None:
            parts.append(f'<circle class="hollow" cx="{left + bars * figures.seen:.1f}" cy="{y + 11}" r="4"/>')
        parts.append(text(left + bars + 12, y + 15, percent(figures.plain), "value"))
    parts.append("</g>")
    return svg(left + bars + 52, height, "Accuracy of each class as an unseen class, in percent", parts)


def percent(value: float) -> str:
    """Return a fraction as percent with one decimal."""
    return f"{100 * value:.1f}"


def text(x: float, y: float, said: str, kind: str, anchor: str = "start") -> str:
    """Return a line of text as SVG, escaped; `kind` is its class in the style sheet."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    """Return a drawing of SVG parts whose names are escaped; `title` says what it shows to those who cannot see it."""
    # Safe: every name in the parts went through `escape`.
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
