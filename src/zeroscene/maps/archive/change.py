"""Change between two dates: cells of which an archive says something at both, and how likely their class changed.

    P(changed) = 1 - sum over classes of p_before(c) p_after(c)

p are the votes of the windows over a cell (`votes`). It takes the two looks for independent: two looks that are each
unsure make a change likely, so that a cell with the same best class at both dates and P(changed) of a half or more is
told as unsure, and neither as changed nor as unchanged. Where the best classes differ, P(changed) is a half at least.

Each raster of the later date is compared cell by cell. A cell's look at the earlier date is that of the cell in which
its centre lies: on one grid that is the same cell, on others the nearest one; the greatest distance of the two centres
is told. Of several earlier rasters the latest with data counts; where rasters of the later date overlap, the latest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.errors import OptionError
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.footprints import Mask
from zeroscene.maps.archive.maps import cells_in
from zeroscene.maps.archive.partition import RASTER, Partition
from zeroscene.maps.archive.query import ask
from zeroscene.maps.archive.reach import Reach
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.source import Source
from zeroscene.maps.archive.time import Period
from zeroscene.maps.cells import NODATA, REJECTED
from zeroscene.maps.question import Question
from zeroscene.maps.scene_map import SceneMap
from zeroscene.maps.votes import Said, cast
from zeroscene.scenes.geo_ground import converted

UNCHANGED: Final = "unchanged"
_SAMPLED: Final = 4096
_LEAST_DATA: Final = 0.5  # share of a cell, as for maps
_SAME: Final = 1e-3  # of a cell: centres that are nearer lie on one grid

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Change:
    """What changed on the cells of a raster of the later date.

    Attributes:
        source: that raster.
        earlier: the rasters of the earlier date that it was compared with.
        classes: names of the C classes.
        before: (rows, columns) int16, position of the class at the earlier date, -1 where there was no look.
        after: (rows, columns) int16, that at the later date, -1 where there was no look.
        probability: (rows, columns) float32, that the class changed; NaN where there was no look at one of the dates.
        transform: from (column, row) of cells to the reference system.
        crs: the reference system, or None.
        distance: greatest distance of the centres of two cells that were compared, in cells; 0 on one grid.
    """

    source: Source
    earlier: tuple[Source, ...]
    classes: tuple[str, ...]
    before: Codes
    after: Codes
    probability: npt.NDArray[np.float32]
    transform: Affine
    crs: CRS | None
    distance: float

    @property
    def known(self) -> Mask:
        """(rows, columns) whether there was a look at both dates."""
        return np.asarray(np.isfinite(self.probability))

    @property
    def changed(self) -> Mask:
        """(rows, columns) whether the best class differs."""
        return np.asarray(self.known & (self.before != self.after))

    @property
    def unsure(self) -> Mask:
        """(rows, columns) whether the best class is the same and a change is as likely as none."""
        return np.asarray(self.known & (self.before == self.after) & (self.probability >= 0.5))

    def transitions(self) -> dict[tuple[str, str], int]:
        """Return the number of cells of each class before and class after, most first; equal ones included."""
        codes = self.before[self.known].astype(np.int64) * len(self.classes) + self.after[self.known]
        pairs, counts = np.unique(codes, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        names = [(self.classes[p // len(self.classes)], self.classes[p % len(self.classes)]) for p in pairs[order]]
        return dict(zip(names, counts[order].tolist(), strict=True))

    def as_map(self, provenance: dict[str, Any]) -> SceneMap | None:
        """Return a map of `unchanged` and of classes such as `lake to harbor`, or None where nothing is known.

        Confidence is the probability of what a cell says; cells that are unsure are none of the classes.
        """
        if not self.known.any():
            return None
        pairs = sorted(
            {(int(b), int(a)) for b, a in zip(self.before[self.changed], self.after[self.changed], strict=True)}
        )
        names = (UNCHANGED, *(f"{self.classes[b]} to {self.classes[a]}" for b, a in pairs))
        klass = np.where(self.known, np.int16(0), np.int16(NODATA)).astype(np.int16)
        for code, (b, a) in enumerate(pairs, 1):
            klass[self.changed & (self.before == b) & (self.after == a)] = code
        klass[self.unsure] = REJECTED
        said = np.where(self.changed | self.unsure, self.probability, 1 - self.probability).astype(np.float32)
        lead = np.abs(2 * self.probability - 1).astype(np.float32)
        share, covered = self.known.astype(np.float32), self.source.layout.covered
        return SceneMap(names, klass, said, lead, share, self.transform, self.crs, provenance, covered)


@dataclass(frozen=True)
class _Look:
    """What a raster says of its cells.

    Attributes:
        source: the raster.
        values: (rows, columns, C) float32 distributions.
        known: (rows, columns) whether there is one.
    """

    source: Source
    values: npt.NDArray[np.float32]
    known: Mask


def change(
    archive: Archive, question: Question, before: Period, after: Period, region: Region | None = None
) -> Iterator[Change]:
    """Yield what changed on each raster of the later time, the latest raster first.

    Args:
        archive: the archive.
        question: classes, two or more, and the method.
        before: the earlier time.
        after: the later time.
        region: cells that share ground with it; None for all.

    Raises:
        OptionError: nothing of the archive is of one of the times or in the region, or only pictures are; the times
            overlap, or there is one class only.
        EncoderMismatchError: the method was fitted with another encoder.
        StoreError: a partition is damaged.
        DataFormatError: the archive is empty.
    """
    if len(question.table) < 2:
        raise OptionError("change is from one class to another: name two or more")
    if before.end is None or after.first is None or after.first < before.end:
        raise OptionError(f"the earlier time {before} does not end before the later one {after} begins; name two times")
    first, second = (_rasters(ask(archive, question, region, time).chosen) for time in (before, after))
    if not (first and second):
        raise OptionError(f"{archive.path} has no rasters of both times, only pictures, which have no cells to compare")
    scale = _scale(question, [*first, *second])
    taken: list[tuple[Source, Mask]] = []
    before_reach, after_reach = (Reach.of([one.sources[0] for one in some]) for some in (first, second))
    for k, partition in enumerate(second):
        look = _look(partition, question, scale)
        earlier = [first[i] for i in np.flatnonzero(after_reach.meets(k, before_reach))]
        later = [taken[i] for i in np.flatnonzero(after_reach.meets(k, after_reach)) if i < k]
        yield _compared(look, earlier, later, question, scale, region)
        taken.append((look.source, look.known))


def _rasters(chosen: Sequence[Any]) -> list[Partition]:
    """Return the partitions of rasters, the latest first."""
    found = [one.partition for one in chosen if one.partition.kind == RASTER]
    return sorted(found, key=lambda p: (p.sources[0].time is not None, p.sources[0].time, p.id), reverse=True)


def _scale(question: Question, partitions: Sequence[Partition]) -> float:
    each = max(1, _SAMPLED // max(1, len(partitions)))
    x = [next(p.iter_parts()).x[:each] for p in partitions if question.confidence is None]
    nobody = np.empty((0, partitions[0].width), np.float32)
    return question.logit_scale(np.concatenate([nobody, *x]))


def _look(partition: Partition, question: Question, scale: float) -> _Look:
    vectors = partition.encoded()
    values = np.zeros((*vectors.layout.shape, question.width), np.float32)
    known = np.zeros(vectors.layout.shape, np.bool_)
    ready = vectors.cell_share >= _LEAST_DATA
    parts = (
        Said(p.rows, p.columns, question.distributions(p.x, scale), p.share.astype(np.float64)) for p in vectors.parts()
    )
    for heard in cast(parts, vectors.layout, question.width, in_order=False):
        values[heard.row] = heard.values
        known[heard.row] = ready[heard.row] & (heard.weights > 0)
    return _Look(partition.sources[0], values, known)


def _compared(
    look: _Look,
    earlier: Sequence[Partition],
    taken: Sequence[tuple[Source, Mask]],
    question: Question,
    scale: float,
    region: Region | None,
) -> Change:
    source, known = look.source, look.known.copy()
    if region is not None:
        known &= cells_in(source, region)
    for other, seen in taken:
        rows, columns, inside, _ = _places(source, other)
        known &= ~(inside & seen[rows, columns])
    shape = source.layout.shape
    before = np.full(shape, -1, np.int16)
    after = np.where(known, look.values.argmax(axis=2), -1).astype(np.int16)
    probability = np.full(shape, np.nan, np.float32)
    used, distance = [], 0.0
    for partition in earlier:
        rows, columns, inside, off = _places(source, partition.sources[0])
        wanted = known & inside & (before < 0)
        if not wanted.any():
            continue
        past = _look(partition, question, scale)
        wanted &= past.known[rows, columns]
        there = past.values[rows[wanted], columns[wanted]].astype(np.float64)
        before[wanted] = there.argmax(axis=1)
        agree = (there * look.values[wanted].astype(np.float64)).sum(axis=1)
        probability[wanted] = np.clip(1 - agree, 0, 1)
        if wanted.any():
            used.append(past.source)
            distance = max(distance, float(off[wanted].max()))
    transform = source.layout.transform(source.transform)
    kept = 0.0 if distance < _SAME else distance
    return Change(source, tuple(used), question.table.classes, before, after, probability, transform, source.crs, kept)


def _places(source: Source, other: Source) -> tuple[Any, Any, Mask, Array]:
    """Return, for each cell of a raster, in which cell of another its centre lies: row, column, whether, how far off.

    Rows and columns are 0 where it lies in none. Distances are those of the two centres, in cells of the other raster.
    Rasters without a reference system lie on one another only if they are of one size and transform; a centre that has
    no place in the system of the other raster lies in none of its cells.
    """
    rows, columns = np.indices(source.layout.shape) + 0.5
    t = source.layout.transform(source.transform)
    x, y = t.a * columns + t.b * rows + t.c, t.d * columns + t.e * rows + t.f
    if source.crs is not None and other.crs is not None:
        x, y = converted(source.crs, other.crs, x, y)
    elif source.crs != other.crs or (source.layout, source.transform) != (other.layout, other.transform):
        x, y = np.full(rows.shape, np.nan), np.full(rows.shape, np.nan)
    back = ~other.layout.transform(other.transform)
    across, down = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
    high, wide = other.layout.shape
    inside = np.isfinite(across) & np.isfinite(down)
    inside &= (across >= 0) & (across < wide) & (down >= 0) & (down < high)
    row, column = (np.where(inside, np.floor(v), 0).astype(np.int64) for v in (down, across))
    off = np.where(inside, np.hypot(down - row - 0.5, across - column - 0.5), 0)
    return row, column, inside, off
