"""A map as a picture: classes, legend with shares, scale bar and north; at most `WIDTH` x `HEIGHT` pixels."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, cos, floor, log10, radians
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from rasterio import Affine

from zeroscene import names
from zeroscene.maps.cells import NODATA, Cells
from zeroscene.maps.cog import legend, present
from zeroscene.maps.colours import rgb
from zeroscene.maps.ground import north
from zeroscene.scenes.geo_ground import metres_of_pixel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 2040
HEIGHT: Final = 1140
"""The most; a picture is as large as its map and its legend need."""

_DPI = 100
_INK, _QUIET, _LINE, _EMPTY = "#1c2430", "#66707d", "#d5dae1", "#f4f6f8"
_MAP_WIDTH, _MAP_HEIGHT, _LEAST = 1000, 920, 420
_MAP_LEAST, _PAGE_LEAST, _BAR_LEAST, _ARROW_LEAST = 200, 720, 120, 190
_MARGIN, _HEAD, _FOOT = 40, 96, 76
_COLUMN, _ROW, _NAME = 300, 26, 24
_MOST = 3  # columns of the legend
_FINE = 2400  # cells drawn along a side; of more, every second, third, ...


def unit(crs: Any) -> str:
    """Return the unit of a reference system in short: m, degrees, or its own name."""
    if crs.is_geographic:
        return "degrees"
    name = str(crs.units_factor[0])
    return "m" if name in ("metre", "meter", "m") else name


def plot(cells: Cells, axes: "Axes | None" = None) -> "Axes":
    """Draw a map with its legend into axes, in the coordinates of its reference system, and return the axes."""
    if axes is None:
        from matplotlib import pyplot

        axes = pyplot.subplots(figsize=(9, 6), layout="constrained")[1]
    from matplotlib.patches import Patch

    _draw(axes, cells)
    entries = [Patch(facecolor=colour, label=_words(name)) for name, colour, _ in _shares(cells)]
    if entries:
        axes.legend(
            handles=entries, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small",
            ncols=ceil(len(entries) / 24), borderaxespad=0,
        )  # fmt: skip
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.tick_params(labelsize="small")
    return axes


def png(cells: Cells) -> bytes:
    """Return the picture of a map as PNG."""
    buffer = io.BytesIO()
    with _sheet(cells) as figure:
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": "zeroscene"})
    return buffer.getvalue()


def write_png(cells: Cells, path: Path) -> None:
    """Write the picture of a map; the same map gives the same bytes."""
    path.write_bytes(png(cells))


def _draw(axes: "Axes", cells: Cells) -> None:
    from matplotlib.transforms import Affine2D

    step = ceil(max(cells.shape) / _FINE)
    palette = np.zeros((len(cells.classes) + 2, 4), np.uint8)
    for entry in legend(cells):
        palette[entry.code] = (*rgb(entry.colour), 255)
    codes = np.where(cells.klass == NODATA, len(cells.classes) + 1, np.maximum(cells.klass + 1, 0))[::step, ::step]
    palette[-1] = (*rgb(_EMPTY), 255)
    a, b, c, d, e, f = _drawn(cells)[:6]
    to_map = Affine2D(np.array([[a, b, c], [d, e, f], [0.0, 0.0, 1.0]]))
    rows, columns = codes.shape
    axes.imshow(
        palette[codes], extent=(0, columns * step, rows * step, 0), interpolation="nearest",
        transform=to_map + axes.transData,
    )  # fmt: skip
    left, bottom, right, top = _extent(cells)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect(_aspect(cells))


def _drawn(cells: Cells) -> Affine:
    """Return the transform that a map is drawn with: rows run down where there is no reference system."""
    return cells.transform if cells.crs is not None else Affine(1, 0, 0, 0, -1, 0)


def _extent(cells: Cells) -> tuple[float, float, float, float]:
    a, b, c, d, e, f = _drawn(cells)[:6]
    rows, columns = cells.shape
    x = [c, c + a * columns, c + b * rows, c + a * columns + b * rows]
    y = [f, f + d * columns, f + e * rows, f + d * columns + e * rows]
    return min(x), min(y), max(x), max(y)


def _aspect(cells: Cells) -> float:
    """Return how much longer a unit up is drawn than a unit across."""
    if cells.crs is None or not cells.crs.is_geographic:
        return 1.0
    _, bottom, _, top = _extent(cells)
    return 1 / max(cos(radians((bottom + top) / 2)), 0.05)


def _shares(cells: Cells) -> list[tuple[str, str, float]]:
    """Return name, colour and share of each class that cells have, the largest first; shares of the cells with data."""
    totals: dict[str, Any] = cells.counts() if cells.ground is None else cells.areas()
    whole = sum(totals.values()) or 1
    entries = [(entry.name, entry.colour, totals[entry.name] / whole) for entry in present(cells)]
    return sorted(entries, key=lambda entry: (-entry[2], entry[0]))


@contextmanager
def _sheet(cells: Cells) -> Iterator["Figure"]:
    """Yield the figure of a map, drawn without a display."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = _shares(cells)
    left, bottom, right, top = _extent(cells)
    tall = (top - bottom) * _aspect(cells) / (right - left)
    map_width = min(_MAP_WIDTH, _MAP_HEIGHT / tall)
    map_height = map_width * tall
    # A long narrow map still gets a picture that holds its title, and its legend one column at least.
    count = len(shares) + bool(cells.nodata.any())
    inner = min(_MAP_HEIGHT, max(map_height, min(_LEAST, _ROW * count), _ROW * ceil(count / _MOST)))
    columns = min(_MOST, ceil(_ROW * count / inner))
    lines = min(ceil(count / columns), int(inner // _ROW))
    width = max(map_width, _MAP_LEAST)
    whole = max(3 * _MARGIN + width + columns * _COLUMN, _PAGE_LEAST), _HEAD + inner + _FOOT
    # File and class names are no formulas.
    with matplotlib.rc_context({"text.parse_math": False, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(whole[0] / _DPI, whole[1] / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(figure)
        page = figure.add_axes((0, 0, 1, 1))
        page.set_xlim(0, whole[0])
        page.set_ylim(whole[1], 0)
        page.axis("off")
        box = (_MARGIN / whole[0], 1 - (_HEAD + map_height) / whole[1], map_width / whole[0], map_height / whole[1])
        axes = figure.add_axes(box)
        _draw(axes, cells)
        axes.set_aspect("auto")  # the box has the map's shape to a fraction of a pixel
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(_LINE)
        _head(page, cells)
        _legend(page, cells, _MARGIN + width + _MARGIN, lines)
        _foot(page, cells, map_width, _HEAD + map_height)
        yield figure


def _head(page: "Axes", cells: Cells) -> None:
    raster = cells.provenance.get("raster")
    title = raster.get("name") if isinstance(raster, dict) else raster
    title = Path(title).name if isinstance(title, str) else "scene map"
    page.text(_MARGIN, 30, _cut(title, 46), fontsize=19, color=_INK, va="top", weight="bold")
    data = ~cells.nodata
    found = len(np.unique(cells.klass[cells.klass >= 0]))
    said = [f"{int(data.sum()):,} cells", f"{found} of {len(cells.classes)} classes"]
    if data.any():
        said.append(f"mean confidence {float(cells.confidence[data].mean(dtype=np.float64)):.2f}")
    said.append(cells.place)
    page.text(_MARGIN, 66, "   ·   ".join(said), fontsize=10.5, color=_QUIET, va="top")


def _legend(page: "Axes", cells: Cells, left: float, lines: int) -> None:
    from matplotlib.patches import Rectangle

    entries = [(_words(name), colour, _percent(share)) for name, colour, share in _shares(cells)]
    if cells.nodata.any():
        entries.append(("no data", _EMPTY, ""))
    shown = entries if len(entries) <= lines * _MOST else entries[: lines * _MOST - 1]
    for i, (name, colour, share) in enumerate(shown):
        x, y = left + (i // lines) * _COLUMN, _HEAD + (i % lines) * _ROW
        page.add_patch(Rectangle((x, y + 1), 22, 18, facecolor=colour, edgecolor=colour if share else _LINE))
        page.text(x + 32, y + 10, _cut(name, _NAME), fontsize=10.5, color=_INK, va="center")
        page.text(x + _COLUMN - 40, y + 10, share, fontsize=10, color=_QUIET, va="center", ha="right")
    if len(shown) < len(entries):
        x, y = left + (_MOST - 1) * _COLUMN, _HEAD + (lines - 1) * _ROW
        page.text(x, y + 10, f"and {len(entries) - len(shown)} more", fontsize=10.5, color=_QUIET, va="center")


def _foot(page: "Axes", cells: Cells, width: float, top: float) -> None:
    """Draw scale bar and north under the map, where the reference system knows them."""
    if cells.crs is None:
        return
    left, bottom, right, up = _extent(cells)
    x, y = (left + right) / 2, (bottom + up) / 2
    span = (right - left) / 64  # short enough to stay on the map, long enough for digits
    metres = metres_of_pixel(cells.crs, Affine(span, 0, x, 0, -span, y), 1, 1)
    if metres is not None:
        metres_a_dot = metres[0] * 64 / width
        length, said = _round_length(metres_a_dot * max(width / 4, _BAR_LEAST))
        drawn = length / metres_a_dot
        for begin, stop, colour in ((0.0, 0.5, _INK), (0.5, 1.0, "white")):
            page.fill_between(
                [_MARGIN + begin * drawn, _MARGIN + stop * drawn], top + 22, top + 29, facecolor=colour,
                edgecolor=_INK, linewidth=0.9,
            )  # fmt: skip
        page.text(_MARGIN, top + 36, "0", fontsize=9, color=_QUIET, va="top", ha="center")
        page.text(_MARGIN + drawn, top + 36, said, fontsize=9, color=_QUIET, va="top", ha="center")
    if (angle := north(cells.crs, x, y)) is not None:
        _arrow(page, _MARGIN + max(width - 16, _ARROW_LEAST), top + 36, angle)


def _arrow(page: "Axes", x: float, y: float, angle: float) -> None:
    from matplotlib.patches import Polygon

    turn = radians(angle)
    matrix = np.array([[cos(turn), -np.sin(turn)], [np.sin(turn), cos(turn)]])

    def turned(*points: tuple[float, float]) -> npt.NDArray[np.float64]:
        found: npt.NDArray[np.float64] = np.asarray(points) @ matrix.T + (x, y)
        return found

    page.add_patch(Polygon(turned((0, -14), (-7, 10), (0, 5)), facecolor=_INK, edgecolor=_INK, linewidth=0.9))
    page.add_patch(Polygon(turned((0, -14), (7, 10), (0, 5)), facecolor="white", edgecolor=_INK, linewidth=0.9))
    page.text(x - 22, y, "N", fontsize=11, color=_INK, va="center", ha="center", weight="bold")


def _round_length(most: float) -> tuple[float, str]:
    """Return a round length in metres, not above `most`, and how it is said."""
    power = 10.0 ** floor(log10(most))
    length = next(factor * power for factor in (5, 2, 1) if factor * power <= most)
    return length, f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"


def _words(name: str) -> str:
    return names.words(name) or name


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
