"""Refinement of the cells of a map: what the set says, then what the cells around say.

The set of cells is refined as any set of pictures. Its log-probabilities are scaled to logits a_ic in which the best
class leads by `lead` in the mean, because those of a mixture in a hundred dimensions are far too sure of themselves to
listen to anybody. Then each cell hears its 4 or 8 neighbours, the less the more they differ from it:

    q_ic  ∝  exp( a_ic + weight 8/n sum_j w_ij q_jc ),    w_ij = exp(- |z_i - z_j|^2 / 2 m) / mean w

with z the space of the refinement and m the median of |z_i - z_j|^2 over neighbouring cells (mean field of a Potts
model with contrast-sensitive edges: Boykov and Jolly, ICCV 2001). Inside the mixture the same term can carry a whole
cluster to a wrong name; after it, it moves cells only (docs/transduction.md).

The search for visual neighbours grows with the square of the number of cells. Beyond `sample` cells the mixture is
therefore refined on a sample, drawn with a fixed seed. With one covariance for all classes its logits are linear in z,
so least squares on the sample give those of all other cells, block by block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import options
from zeroscene.errors import DataFormatError
from zeroscene.methods.contract import Indices, Matrix, State
from zeroscene.methods.transduction.mapped import fit_map, to_map
from zeroscene.methods.transduction.refine import Refined, TransductionOptions, check_set, logit_scale, refine
from zeroscene.methods.transduction.space import Array, Labelled

_BLOCK = 1 << 15  # cells at once
_ROUNDS, _STILL = 20, 1e-4  # of the neighbours' talk; mean change of a probability at which it ends
_RIDGE = 1e-3  # of the least squares, in units of the mean square of z
_STEPS = {4: ((0, 1), (1, 0)), 8: ((0, 1), (1, 0), (1, 1), (1, -1))}  # to half of the neighbours; the others mirror


class GridOptions(options.Options):
    """Options of the refinement of a map.

    Attributes:
        neighbours: cells around that a cell hears, 4 or 8.
        weight: logits that neighbours of one opinion add in the mean, a cell of average likeness counting 1/8 of 8.
        lead: mean lead of the best class in logits, to which the refined ones are scaled.
        sample: cells on which the mixture is refined at most; time and memory grow with its square.
    """

    neighbours: Literal[4, 8] = 8
    weight: float = Field(default=1.0, ge=0, le=100)
    lead: float = Field(default=4.0, gt=0, le=100)
    sample: int = Field(default=20_000, ge=100, le=1_000_000)


@dataclass(frozen=True)
class Grid:
    """Where N cells lie on a map; cells without data are left out.

    Attributes:
        rows: of the map.
        columns: of the map.
        cells: (N,) row * columns + column of each cell.

    Raises:
        DataFormatError: a position outside of the map, or one that stands twice.
    """

    rows: int
    columns: int
    cells: Indices

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1 or self.cells.ndim != 1:
            raise DataFormatError(f"grid: {self.rows} x {self.columns} cells with positions {self.cells.shape}")
        outside = (self.cells < 0) | (self.cells >= self.rows * self.columns)
        if outside.any():
            at = int(outside.argmax())
            raise DataFormatError(
                f"grid: cell {at} has position {self.cells[at]}, outside {self.rows} x {self.columns}"
            )
        if len(np.unique(self.cells)) != len(self.cells):
            values, counts = np.unique(self.cells, return_counts=True)
            row, column = divmod(int(values[counts > 1][0]), self.columns)
            raise DataFormatError(f"grid: row {row}, column {column} stands twice")

    @classmethod
    def of(cls, valid: npt.NDArray[np.bool_]) -> Self:
        """Return the grid of the cells with data, from north-west to south-east by rows.

        Args:
            valid: (rows, columns), where a cell has data.
        """
        rows, columns = valid.shape
        return cls(rows, columns, np.flatnonzero(valid))


def refine_grid(
    x: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    grid: Grid,
    options: GridOptions | None = None,
    transduction: TransductionOptions | None = None,
    *,
    labelled: Labelled | None = None,
) -> Refined:
    """Return the refined classes of the cells of a map; the same arguments give the same numbers.

    The diagnosis is that of the set (or of its sample), before the neighbours were heard.

    Args:
        x: (N, D) vectors of the cells, possibly mapped from a file.
        scores: (N, C) scores of any method, higher is more likely.
        grid: where the cells lie.
        options: of the map; the defaults when None.
        transduction: of the refinement of the set; the defaults when None.
        labelled: pictures of other classes with their labels, as for `refine`.

    Raises:
        DataFormatError: there is no cell or class, shapes disagree, or a value is not finite (the row is named).
    """
    given = options or GridOptions()
    _check(x, scores, grid)
    chosen = _sample(len(x), given.sample)
    part = np.asarray(x[chosen], np.float32)
    refined = refine(part, scores[chosen], transduction, labelled=labelled)
    space = fit_map(part)
    head = None
    if len(chosen) < len(x):
        beta = logit_scale(scores[chosen], (transduction or TransductionOptions()).lead)
        head = _Head.fit(beta, to_map(space, part), scores[chosen], refined.values)
    logits, likeness = _lay_out(x, scores, grid, space, refined.values, head, given.neighbours)
    there = np.zeros(grid.rows * grid.columns, np.bool_)
    there[grid.cells] = True
    logits *= _factor(refined.values, given.lead)
    strength = given.weight * 8 / given.neighbours
    q, rounds = _talk(logits, there.reshape(grid.rows, grid.columns), likeness, strength)
    values = q.reshape(-1, q.shape[2])[grid.cells]
    return Refined(
        np.log(np.maximum(values, np.finfo(np.float32).tiny)),
        values.mean(axis=0, dtype=np.float64),
        refined.iterations + rounds,
        refined.diagnosis,
    )


@dataclass(frozen=True)
class _Head:
    """Refined logits of cells outside of the sample: beta s + z W + b."""

    beta: float
    W: Array
    b: Array

    @classmethod
    def fit(cls, beta: float, z: Array, scores: npt.NDArray[np.floating], refined: Matrix) -> Self:
        """Fit by least squares what the refinement added to the scores."""
        added = _centred(refined.astype(np.float64)) - beta * _centred(scores.astype(np.float64))
        centre, mean = z.mean(axis=0), added.mean(axis=0)
        square = (z - centre).T @ (z - centre)
        ridge = _RIDGE * max(float(np.trace(square)) / max(len(square), 1), 1e-12)
        W = np.linalg.solve(square + ridge * np.eye(len(square)), (z - centre).T @ (added - mean))
        return cls(beta, W, np.asarray(mean - centre @ W, np.float64))

    def logits(self, z: Array, scores: npt.NDArray[np.floating]) -> Array:
        """Return (N, C) logits."""
        return np.asarray(self.beta * _centred(scores.astype(np.float64)) + z @ self.W + self.b, np.float64)


def _lay_out(
    x: npt.NDArray[np.floating],
    scores: npt.NDArray[np.floating],
    grid: Grid,
    space: State,
    refined: Matrix,
    head: _Head | None,
    neighbours: int,
) -> tuple[Matrix, dict[tuple[int, int], Matrix]]:
    """Return (rows, columns, C) logits, 0 where there is no cell, and the likeness of neighbours by the step."""
    rows = np.full(grid.rows * grid.columns, -1)
    rows[grid.cells] = np.arange(len(grid.cells))
    at = rows.reshape(grid.rows, grid.columns)
    logits = np.zeros((grid.rows, grid.columns, scores.shape[1]), np.float32)
    if head is None:
        logits[at >= 0] = refined[at[at >= 0]]
    distance = {
        step: np.full((grid.rows - step[0], grid.columns - abs(step[1])), np.inf, np.float32)
        for step in _STEPS[neighbours]
    }
    for top, bottom in _bands(grid):
        band = at[top : min(bottom + 1, grid.rows)]
        z = np.full((*band.shape, space["space.basis"].shape[1]), np.nan, np.float32)
        found = to_map(space, np.asarray(x[band[band >= 0]], np.float32))
        z[band >= 0] = found
        if head is not None:
            own = band[: bottom - top]
            of = own[own >= 0]
            logits[top:bottom][own >= 0] = head.logits(found[: len(of)], scores[of])
        for step, held in distance.items():
            here, beyond = _pair(z, step)
            d = np.square(here - beyond).sum(axis=2)
            both = np.logical_and(*_pair(band >= 0, step))
            held[top : top + len(d)] = np.where(both, d, np.inf)[: len(held) - top]
    return logits, _likeness(distance)


def _likeness(distance: dict[tuple[int, int], Matrix]) -> dict[tuple[int, int], Matrix]:
    known = np.concatenate([d[np.isfinite(d)] for d in distance.values()])
    middle = float(np.median(known)) if len(known) else 0.0
    weights = {step: np.exp(-d / (2 * middle)) if middle > 0 else np.isfinite(d) * 1.0 for step, d in distance.items()}
    mean = sum(float(w.sum()) for w in weights.values()) / max(len(known), 1)
    return {step: (w / max(mean, 1e-12)).astype(np.float32) for step, w in weights.items()}


def _talk(
    logits: Matrix, there: npt.NDArray[np.bool_], likeness: dict[tuple[int, int], Matrix], strength: float
) -> tuple[Matrix, int]:
    """Return (rows, columns, C) probabilities after the neighbours were heard, and in how many rounds."""
    q = _softmax(logits)
    q[~there] = 0
    if strength == 0:
        return q, 0
    change, rounds = np.inf, 0
    while change >= _STILL and rounds < _ROUNDS:
        heard = logits.copy()
        for step, weight in likeness.items():
            w = strength * weight[:, :, None]
            here, beyond = _pair(heard, step)
            q_here, q_beyond = _pair(q, step)
            here += w * q_beyond
            beyond += w * q_here
        new = _softmax(heard)
        new[~there] = 0
        change = float(np.abs(new - q).sum(dtype=np.float64)) / max(int(there.sum()) * q.shape[2], 1)
        q, rounds = new, rounds + 1
    return q, rounds


def _pair(values: npt.NDArray[np.generic], step: tuple[int, int]) -> tuple[npt.NDArray, npt.NDArray]:  # type: ignore[type-arg]
    """Return views of a grid and of what lies a step down and to a side, each cell beside its neighbour."""
    down, side = step
    rows, columns = values.shape[:2]
    here = values[: rows - down, max(0, -side) : columns - max(0, side)]
    return here, values[down:, max(0, side) : columns + min(0, side)]


def _bands(grid: Grid) -> Iterator[tuple[int, int]]:
    step = max(_BLOCK // grid.columns, 1)
    for top in range(0, grid.rows, step):
        yield top, min(top + step, grid.rows)


def _sample(count: int, most: int) -> Indices:
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _factor(refined: Matrix, lead: float) -> float:
    if refined.shape[1] < 2:
        return 1.0
    best = np.partition(refined, -2, axis=1)[:, -2:]
    found = float((best[:, 1] - best[:, 0]).mean(dtype=np.float64))
    return lead / found if found > 0 else 1.0


def _softmax(logits: Matrix) -> Matrix:
    e = np.exp(logits - logits.max(axis=2, keepdims=True))
    return np.asarray(e / e.sum(axis=2, keepdims=True), np.float32)


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean(axis=1, keepdims=True), np.float64)


def _check(x: npt.NDArray[np.floating], scores: npt.NDArray[np.floating], grid: Grid) -> None:
    if len(x) != len(grid.cells):
        raise DataFormatError(f"map: {len(x)} vectors for {len(grid.cells)} cells of the grid; give one vector a cell")
    if len(x) != len(scores) or not len(x):
        check_set(x, scores)
    for start in range(0, len(x), _BLOCK):
        part = slice(start, start + _BLOCK)
        for what, values in (("vectors", x[part]), ("scores", scores[part])):
            if values.ndim == 2 and not (finite := np.isfinite(values).all(axis=1)).all():
                row = start + int(finite.argmin())
                raise DataFormatError(f"map: row {row} of the {what} is not finite; leave that cell out")
        check_set(x[part], scores[part])
