"""The nearest vectors of another set, by one matrix product in blocks: any number of rows in bounded memory."""

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.progress import progress

Matrix = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_ROWS, _COLUMNS = 2048, 16384


def nearest(x_MD: Matrix, z_ND: Matrix, count: int, *, same: bool = False) -> tuple[Integers, Matrix]:
    """Return the rows of z nearest to each row of x by cosine, (M, count), and the cosines; nearest first.

    Needs 2 M N D operations, M N of comparison, and 130 MB besides the vectors.

    Args:
        x_MD: unit rows.
        z_ND: unit rows.
        count: how many; at most N, or N - 1 for `same`.
        same: x and z are the same set, and a row is not its own neighbour.
    """
    count = min(count, len(z_ND) - same)
    rows = np.empty((len(x_MD), count), np.int64)
    cosines = np.empty((len(x_MD), count), np.float32)
    x, z = torch.from_numpy(np.ascontiguousarray(x_MD)), torch.from_numpy(np.ascontiguousarray(z_ND))
    with progress("comparing", len(x), "rows") as advance:
        for top in range(0, len(x), _ROWS):
            part = x[top : top + _ROWS]
            best = torch.full((len(part), 0), 0.0), torch.empty((len(part), 0), dtype=torch.int64)
            for left in range(0, len(z), _COLUMNS):
                scores = part @ z[left : left + _COLUMNS].T
                if same:
                    _hide_diagonal(scores, top - left)
                values, places = scores.topk(min(count, scores.shape[1]), dim=1)
                values, places = torch.cat([best[0], values], 1), torch.cat([best[1], places + left], 1)
                kept = values.topk(min(count, values.shape[1]), dim=1)
                best = kept.values, places.gather(1, kept.indices)
            cosines[top : top + len(part)], rows[top : top + len(part)] = best[0].numpy(), best[1].numpy()
            advance(len(part))
    return rows, cosines


def _hide_diagonal(scores: torch.Tensor, offset: int) -> None:
    """Make row r, column r + offset, the least; such places lie on the diagonal of the whole product."""
    rows = torch.arange(len(scores))
    columns = rows + offset
    inside = (columns >= 0) & (columns < scores.shape[1])
    scores[rows[inside], columns[inside]] = -2.0


def chance_threshold(nearest_cosines: npt.NDArray[np.floating], trials: int) -> float:
    """Return the cosine that some of many different pictures come to by chance in about one of ten audits.

    The distance 1 - cosine to the nearest of many vectors is the least of many numbers that are bounded below, and so
    has a Weibull distribution; its shape is read off the quartile and the median, where duplicates, which are few, do
    not reach.

    Args:
        nearest_cosines: of pictures that are not duplicates, as nearly all pictures of one collection are not.
        trials: number of pictures that are looked for.
    """
    quartile, median = np.quantile(1 - nearest_cosines.astype(np.float64), [0.25, 0.5])
    if quartile <= 0 or median <= quartile:
        return 1.0 - 1e-6
    shape = np.log(np.log(4 / 3) / np.log(2)) / np.log(quartile / median)
    scale = median / np.log(2) ** (1 / shape)
    return float(1 - scale * (-np.log1p(-1 / (10 * max(trials, 1)))) ** (1 / shape))
