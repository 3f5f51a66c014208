"""Cards as PNG, `WIDTH` pixels wide, drawn without a display."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zeroscene import names
from zeroscene.explain.card import MINUS, Bar, Card, Panel, bars, signed
from zeroscene.explain.classes import ClassEvidence
from zeroscene.explain.faithfulness import Faithfulness
from zeroscene.explain.maps import Box
from zeroscene.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 1200
HEIGHT: Final = 1200
"""Of a picture's card; `MEASURED` more where its map was measured."""
MEASURED: Final = 300
CLASS_HEIGHT: Final = 760

_DPI = 100
_INK, _QUIET, _LINE, _FOR, _AGAINST, _STRENGTH = "#1c2430", "#66707d", "#d5dae1", "#0e7a6f", "#c2521a", "#4a6fa5"
_NAME, _TITLE = 30, 44


@dataclass(frozen=True)
class _Sheet:
    """A figure that is measured in pixels from its upper left corner."""

    figure: "Figure"
    height: int

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        return self.figure.add_axes(
            (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        )

    def text(self, left: float, top: float, text: str, size: float, colour: str = _INK, **more: Any) -> None:
        self.figure.text(left / WIDTH, 1 - top / self.height, text, fontsize=size, color=colour, va="top", **more)


def write_png(card: Card, file: Path) -> None:
    """Write the card of a picture, `WIDTH` x `HEIGHT` pixels, `MEASURED` higher with its faithfulness.

    Raises:
        StoreError: the file cannot be written.
    """
    height = HEIGHT + (MEASURED if card.faithfulness else 0)
    with _sheet(height, file) as sheet:
        _head(sheet, card)
        _picture(sheet, card)
        for column, panel in enumerate(card.panels):
            _map(sheet.axes(40 + column * 190, 622, 170, 170), panel, 10)
        _reasons(sheet, 40, f"contributions to {_cut(card.title, _NAME)}", card.contributions)
        if card.rather:
            title = f"for {_cut(card.title, _NAME)}, against {_cut(card.rather, _NAME)}"
            _reasons(sheet, 620, title, card.differences)
        if card.faithfulness is not None:
            _curves(sheet, card.faithfulness, card.verdict)


def write_class_png(evidence: ClassEvidence, file: Path) -> None:
    """Write the card of a class, `WIDTH` x `CLASS_HEIGHT` pixels.

    Raises:
        StoreError: the file cannot be written.
    """
    with _sheet(CLASS_HEIGHT, file) as sheet:
        sheet.text(40, 30, _cut(names.words(evidence.name), _TITLE), 30, weight="bold")
        known = "learned from pictures" if evidence.seen else "never seen: known by its attributes only"
        sheet.text(40, 84, known, 13, _QUIET)
        sheet.text(40, 132, "what pictures must show for it, and must not", 12, weight="bold")
        most = sorted(evidence.weights, key=lambda w: -abs(w.effect))[:18]
        shown = bars([(names.words(w.attribute), w.effect) for w in sorted(most, key=lambda w: -w.effect)])
        _bars(sheet.axes(230, 160, 300, 520), shown, _side, signed)
        sheet.text(40, 706, "score gained over the other classes for one standard deviation more", 10, _QUIET)
        sheet.text(640, 132, "classes that rest on much the same", 12, weight="bold")
        for row, near in enumerate(evidence.near[:8]):
            top = 166 + row * 65
            sheet.text(640, top, _cut(names.words(near.name), _NAME), 13, _INK)
            sheet.text(
                1160, top, f"cosine {near.cosine:.2f}{'' if near.seen else ', never seen'}", 10, _QUIET, ha="right"
            )
            apart = ", ".join(f"{names.words(name)} {value:+.2f}" for name, value in near.apart)
            sheet.text(640, top + 27, _cut(f"apart by {apart}", 76), 10, _QUIET)


@contextmanager
def _sheet(height: int, file: Path) -> Iterator[_Sheet]:
    """Yield an empty sheet that becomes the file."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # File and class names are no formulas.
    with matplotlib.rc_context({"text.parse_math": False, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(WIDTH / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        yield _Sheet(figure, height)
        with replacing(file) as temporary:
            figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": "zeroscene"})


def _head(sheet: _Sheet, card: Card) -> None:
    sheet.text(40, 30, _cut(card.title, _TITLE), 30, weight="bold")
    sheet.text(1160, 40, _cut(card.evidence.picture, 60, front=True), 11, _QUIET, ha="right")
    scores = "     ".join(f"{_cut(bar.name, _NAME)} {bar.value:.2f}" for bar in card.scores)
    sheet.text(40, 84, scores.replace("-", MINUS), 11, _QUIET)
    rather = f"{_cut(card.versus, 2 * _NAME)}:  " if card.rather else ""
    _said(sheet, 118, rather, card.speaking_for or [Bar("no attribute speaks for it", 0.0)], _FOR)
    if card.speaking_against:
        _said(sheet, 144, "against:  ", card.speaking_against, _AGAINST)


def _said(sheet: _Sheet, top: float, head: str, bars: Sequence[Bar], colour: str) -> None:
    said = ",  ".join(f"{bar.name} {signed(bar.value)}" if bar.value else bar.name for bar in bars)
    sheet.text(40, top, _cut(head + said, 118), 13, colour)


def _picture(sheet: _Sheet, card: Card) -> None:
    axes = sheet.axes(40, 190, 360, 360)
    axes.imshow(card.pixels)
    _bare(axes)
    height, width = card.pixels.shape[:2]
    box = card.seen
    if (box.left, box.top, box.right, box.bottom) != (0, 0, width, height):
        _dashed(axes, box)
        axes.set_title("dashed: what the encoder sees", fontsize=9, color=_QUIET, y=-0.09)
    if card.whole is not None:
        _map(sheet.axes(420, 190, 360, 360), card.whole, 12)
    sheet.text(820, 190, "found in the picture", 12, weight="bold")
    _bars(sheet.axes(990, 218, 150, 310), card.found, lambda _: _STRENGTH, lambda v: f"{v:.1f}")
    sheet.text(820, 538, "standard deviations above training pictures", 9, _QUIET)


def _map(axes: "Axes", panel: Panel, size: float) -> None:
    axes.imshow(panel.pixels)
    _bare(axes)
    axes.text(0, -0.04, _cut(panel.title, 22), transform=axes.transAxes, va="top", fontsize=size, color=_INK)
    down = -0.04 - 1.9 * size / axes.get_window_extent().height
    axes.text(0, down, panel.note, transform=axes.transAxes, va="top", fontsize=size - 1, color=_FOR, weight="bold")


def _dashed(axes: "Axes", box: Box) -> None:
    from matplotlib.patches import Rectangle

    corner, wide, tall = (box.left - 0.5, box.top - 0.5), box.right - box.left, box.bottom - box.top
    axes.add_patch(Rectangle(corner, wide, tall, fill=False, edgecolor="white", linewidth=1.4, linestyle="--"))


def _bare(axes: "Axes") -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _reasons(sheet: _Sheet, left: float, title: str, shown: Sequence[Bar]) -> None:
    sheet.text(left, 864, title, 12, weight="bold")
    _bars(sheet.axes(left + 190, 892, 300, 280), shown, _side, signed)


def _side(value: float) -> str:
    return _FOR if value >= 0 else _AGAINST


def _bars(axes: "Axes", shown: Sequence[Bar], colour: Callable[[float], str], said: Callable[[float], str]) -> None:
    """Draw bars from top to bottom, names at the left, values at their ends."""
    values = [bar.value for bar in shown]
    low, high = min([0.0, *values]), max([0.0, *values])
    reach = max(high - low, 1e-9)
    axes.barh(range(len(shown)), values, color=[colour(v) for v in values], height=0.62)
    axes.set_ylim(max(len(shown), 6) - 0.4, -0.6)
    axes.set_xlim(low - 0.2 * reach * (low < 0), high + 0.16 * reach)
    _bare(axes)
    axes.set_yticks(range(len(shown)), [_cut(bar.name, 26) for bar in shown], fontsize=10, color=_INK)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.axvline(0, color=_LINE, linewidth=1, zorder=0)
    for row, value in enumerate(values):
        side = "left" if value >= 0 else "right"
        shift = 0.015 * reach * (1 if value >= 0 else -1)
        axes.text(value + shift, row, said(value), va="center", ha=side, fontsize=9, color=_QUIET)


def _curves(sheet: _Sheet, measured: Faithfulness, verdict: str) -> None:
    sheet.text(40, 1200, "does the map mean anything?", 12, weight="bold")
    for left, title, own, random in (
        (80, "covered, highest first", measured.deletion, measured.random_deletion),
        (480, "uncovered, highest first", measured.insertion, measured.random_insertion),
    ):
        axes = sheet.axes(left, 1254, 330, 180)
        axes.plot(measured.shares, random, color=_QUIET, linewidth=1.4, linestyle="--", label="random orders")
        axes.plot(measured.shares, own, color=_FOR, linewidth=2, label="order of the map")
        axes.set_title(title, fontsize=10, color=_INK, loc="left")
        axes.tick_params(labelsize=8, colors=_QUIET, length=0)
        axes.grid(color=_LINE, linewidth=0.6)
        axes.set_xticks([0, 0.5, 1], ["0", "half", "all"])
        axes.set_ylabel("lead of the class", fontsize=8, color=_QUIET)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(fontsize=8, frameon=False, labelcolor=_INK)
    sheet.text(870, 1262, textwrap.fill(verdict, 38), 11, linespacing=1.5)


def _cut(text: str, most: int, front: bool = False) -> str:
    if len(text) <= most:
        return text
    return "\N{HORIZONTAL ELLIPSIS}" + text[-most + 1 :] if front else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
