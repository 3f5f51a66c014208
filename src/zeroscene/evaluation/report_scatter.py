"""Square panels of the report with a dot a split, side by side, as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from markupsafe import Markup, escape

from zeroscene.evaluation.report_data import Series
from zeroscene.evaluation.report_figures import colour, svg, text

_SIZE: Final = 330
_LEFT: Final = 44
_TOP: Final = 30
_GAP: Final = 70
_MARGIN: Final = 0.03


@dataclass(frozen=True)
class Dot:
    """A split of a series: two figures as fractions, and what is said when a pointer rests on it."""

    series: Series
    x: float
    y: float
    said: str


@dataclass(frozen=True)
class Panel:
    """One square: what its axes mean, its dots, and a line to compare them with.

    Attributes:
        title: above the square.
        x, y: names of the axes.
        dots: at least one.
        level: height of a horizontal line; the diagonal without one, and both axes have the same range.
    """

    title: str
    x: str
    y: str
    dots: tuple[Dot, ...]
    level: float | None = None

    def ranges(self) -> tuple["Range", "Range"]:
        """Return what both axes reach over."""
        x, y = [dot.x for dot in self.dots], [dot.y for dot in self.dots]
        if self.level is None:
            both = Range.over([*x, *y])
            return both, both
        return Range.over(x), Range.over([*y, self.level])


@dataclass(frozen=True)
class Range:
    """The part of [0, 1] that an axis shows."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Range":
        """Return the range of some values, with a margin."""
        return cls(max(0.0, min(values) - _MARGIN), min(1.0, max(values) + _MARGIN))

    def __call__(self, value: float) -> float:
        """Return the distance of a value from the lower end, in units of the drawing."""
        return _SIZE * (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round values within the range."""
        step = next((s for s in (0.01, 0.02, 0.05, 0.1) if (self.high - self.low) / s <= 7), 0.2)
        return [step * i for i in range(ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9) + 1)]


def scatter(panels: Sequence[Panel], title: str) -> Markup:
    """Draw the panels beside each other; `title` says what they show to those who cannot see it."""
    parts = [part for i, panel in enumerate(panels) for part in _panel(panel, _LEFT + i * (_SIZE + _GAP))]
    width = _LEFT + len(panels) * (_SIZE + _GAP) - _GAP + 16
    return svg(width, _TOP + _SIZE + 44, title, parts)


def _panel(panel: Panel, left: float) -> list[str]:
    across, up = panel.ranges()
    bottom, right = _TOP + _SIZE, left + _SIZE
    parts = [text(left, _TOP - 12, panel.title, "head")]
    for tick in across.ticks():
        at = left + across(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>')
        parts.append(text(at, bottom + 17, f"{100 * tick:.0f}", "tick", "middle"))
    for tick in up.ticks():
        at = bottom - up(tick)
        parts.append(f'<path class="grid" d="M{left} {at:.1f}H{right}"/>')
        parts.append(text(left - 7, at + 4, f"{100 * tick:.0f}", "tick", "end"))
    level = f"M{left} {bottom}L{right} {_TOP}"
    if panel.level is not None:
        level = f"M{left} {bottom - up(panel.level):.1f}H{right}"
    parts.append(f'<path class="same" d="{level}"/>')
    parts.append(text(left + _SIZE / 2, bottom + 36, panel.x, "axis", "middle"))
    parts.append(
        f'<text class="axis" text-anchor="middle" transform="translate({left - 32} {_TOP + _SIZE / 2}) rotate(-90)">'
        f"{escape(panel.y)}</text>"
    )
    for dot in panel.dots:
        parts.append(
            f'<circle class="split" style="{colour(dot.series)}" cx="{left + across(dot.x):.1f}" '
            f'cy="{bottom - up(dot.y):.1f}" r="4"><title>{escape(dot.said)}</title></circle>'
        )
    return parts
