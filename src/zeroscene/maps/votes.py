"""Soft votes: what the windows that cover a cell say of it together.

A window of k x k cells says p(c | window). With w the share of the window that has data, a cell says

    p(c | cell) = sum over windows that cover it of w p(c | window) / sum of w,

the mean of all looks at it, those that saw little counting little. Cells at the border of a map are covered by fewer
windows than the k^2 inside. Where windows come from north to south, a row of cells leaves as soon as no window can
reach it any more, so that memory grows with the width of a map and not with its height.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeroscene.maps.layout import Layout

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Said:
    """What windows say.

    Attributes:
        rows: (n,) of windows.
        columns: (n,) of windows.
        values: (n, V) probabilities, or anything else whose mean has a meaning.
        weights: (n,) how much each counts, 0 or more.
    """

    rows: Indices
    columns: Indices
    values: Array
    weights: Array


@dataclass(frozen=True)
class CellRow:
    """What cells side by side have heard.

    Attributes:
        row: of cells.
        values: (columns, V) means, 0 where nobody looked.
        weights: (columns,) sums of the weights.
    """

    row: int
    values: Array
    weights: Array


def cast(parts: Iterable[Said], layout: Layout, width: int, in_order: bool = True) -> Iterator[CellRow]:
    """Yield each row of cells once, from north to south.

    Args:
        parts: windows, each once; some may be left out.
        layout: where they lie.
        width: V.
        in_order: no part holds a window north of one that came in an earlier part. Without, all cells are held.
    """
    rows, columns = layout.shape
    heard: dict[int, Array] = {}
    done = 0
    for part in parts:
        if in_order and len(part.rows):
            first = min(int(part.rows.min()), rows)
            yield from (_means(row, heard.pop(row, None), columns, width) for row in range(done, first))
            done = max(done, first)
        for window_row in np.unique(part.rows).tolist():
            across = _across(part, part.rows == window_row, layout.steps, columns, width)
            for row in range(window_row, min(window_row + layout.steps, rows)):
                heard[row] = heard[row] + across if row in heard else across
    yield from (_means(row, heard.pop(row, None), columns, width) for row in range(done, rows))


def _across(part: Said, chosen: npt.NDArray[np.bool_], steps: int, columns: int, width: int) -> Array:
    """Return (columns, V + 1) weighted sums over the windows of one row; the last column is the sum of weights."""
    weights = part.weights[chosen, None]
    said = np.concatenate([part.values[chosen] * weights, weights], axis=1)
    total = np.zeros((columns, width + 1))
    for step in range(steps):
        at = part.columns[chosen] + step
        total[at[at < columns]] += said[at < columns]
    return total


def _means(row: int, heard: Array | None, columns: int, width: int) -> CellRow:
    total = np.zeros((columns, width + 1)) if heard is None else heard
    weights = total[:, -1]
    means = np.divide(total[:, :-1], weights[:, None], out=np.zeros((columns, width)), where=weights[:, None] > 0)
    return CellRow(row, means, weights)
