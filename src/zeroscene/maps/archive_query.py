"""Questions to an archive: which windows, their best classes, the most certain ones; nothing is encoded.

Scores are kept for each partition, one file a class (`methods.columns`): a class that was asked about before is read, a
new one costs one product with the vectors, and a raster that is added later is scored when it is asked about.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError
from zeroscene.maps import archive_table
from zeroscene.maps.archive import Archive
from zeroscene.maps.archive_partition import Partition
from zeroscene.maps.archive_region import Region
from zeroscene.maps.archive_source import Indices
from zeroscene.maps.archive_time import Period, iso
from zeroscene.methods.columns import ScoreColumns
from zeroscene.methods.confidence import Confidence
from zeroscene.methods.contract import Matrix, Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.store_scores import Best
from zeroscene.methods.transduction.refine import logit_scale
from zeroscene.semantics.table import ClassTable

_LEAD: Final = 2.0
"""Mean lead of the best class in logits where nothing is known of what scores are worth; that of maps."""
_SAMPLED: Final = 16
_LOOKS: Final = 256
"""Partitions, and windows of each, that are looked at for it."""

_TIMES: Final = 4
"""Kept scores of a partition may take as many times the room of its vectors."""


@dataclass(frozen=True)
class Asked:
    """Who is asked about windows, and about what.

    Attributes:
        method: fitted, of one vector a picture.
        table: the classes; of a single one, windows are ranked by its score.
        minus: (C,) what is subtracted from the scores of each class, or None.
        confidence: turns scores into probabilities, where known.
    """

    method: AnyMethod
    table: ClassTable
    minus: Matrix | None = None
    confidence: Confidence | None = None


@dataclass(frozen=True)
class Chosen:
    """Windows of a partition that are asked about.

    Attributes:
        partition: the partition.
        rows: (n,) their positions, rising; None for all.
    """

    partition: Partition
    rows: Indices | None = None

    def __len__(self) -> int:
        return len(self.partition) if self.rows is None else len(self.rows)


def ask(archive: Archive, asked: Asked, region: Region | None, time: Period | None) -> "Answers":
    """Return the answers of `Archive.query`."""
    fitted = asked.method.require_fitted()
    if fitted.encoder.fingerprint != archive.encoder.fingerprint:
        own, other = (f"{e.name!r} ({e.output}; {e.fingerprint})" for e in (archive.encoder, fitted.encoder))
        raise EncoderMismatchError(f"{archive.path} holds vectors of encoder {own}; the question is for {other}")
    if asked.method.reads != "vectors":
        raise OptionError(f"an archive keeps one vector a window, and {asked.method.name} looks at grids of tokens")
    asked.method.check_table(asked.table)
    partitions = archive.partitions()
    if not sum(len(partition) for partition in partitions):
        raise DataFormatError(f"{archive.path} is empty: add rasters with `archive add`")
    found = _of_time(partitions, time)
    if time is not None and not found:
        raise OptionError(f"nothing in {archive.path} is of {time}; {_times(partitions)}")
    notes: tuple[str, ...] = ()
    if region is not None:
        nowhere = sum(partition.bounds is None for partition in partitions)
        notes = (f"{nowhere} rasters without a place on the ground are left out",) if nowhere else ()
        found = [part for part in (_in_region(one, region) for one in found) if len(part)]
        if not found:
            raise OptionError(f"region {region.name} lies outside of what {archive.path} holds: {_extent(partitions)}")
    return Answers(archive, asked, tuple(one for one in found if len(one)), region, notes)


@dataclass(frozen=True)
class Answers:
    """What an archive says; scores are worked out when they are asked for.

    Attributes:
        archive: the archive.
        asked: the question.
        chosen: the windows.
        region: the region they touch, if one was asked about.
        notes: what a user should know, a sentence each.
    """

    archive: Archive
    asked: Asked
    chosen: tuple[Chosen, ...]
    region: Region | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of windows asked about."""
        return sum(len(one) for one in self.chosen)

    @cached_property
    def temperature(self) -> float | None:
        """T of softmax(score / T); None for a single class, whose share of itself means nothing."""
        asked = self.asked
        if len(asked.table) == 1:
            return None
        if asked.confidence is not None:
            empty = Scores((), asked.table.classes, np.empty((0, len(asked.table)), np.float32))
            return asked.confidence.setting(empty).temperature
        return 1 / logit_scale(asked.method.scores(self._sample(), asked.table).values - self._minus, _LEAD)

    @property
    def _minus(self) -> Matrix:
        given = self.asked.minus
        return np.zeros(len(self.asked.table), np.float32) if given is None else given

    def _sample(self) -> Embeddings:
        places = np.unique(np.linspace(0, len(self.chosen) - 1, _SAMPLED).round().astype(int))
        x = [next(self.chosen[i].partition.iter_parts()).x[:_LOOKS] for i in places.tolist()]
        joined = np.concatenate(x)
        return Embeddings(tuple(map(str, range(len(joined)))), joined, self.archive.encoder)

    def best(self) -> Iterator[tuple[Chosen, Best]]:
        """Yield the best class of all windows asked about, partition by partition.

        Raises:
            StoreError: a partition is damaged, or scores cannot be kept.
        """
        for one in self.chosen:
            found = self.scores(one.partition).best(self._minus, self.temperature)
            yield one, found if one.rows is None else _taken(found, one.rows)

    def scores(self, partition: Partition) -> Any:
        """Return the scores of all windows of a partition (`methods.store_scores.StoreScores`), kept or made now."""
        limit = _TIMES * 4 * len(partition) * partition.width
        return ScoreColumns(partition, self.asked.method, limit=limit).scores(self.asked.table)

    def top(self, count: int) -> Any:
        """Return the most certain windows of each class, the first ones first, as an Arrow table (`archive_table`).

        Of several classes, a window counts for its best class, by probability and then by its lead; of a single class
        all windows count, by score.

        Args:
            count: windows a class, at most.

        Raises:
            OptionError: the count is not positive.
        """
        if count < 1:
            raise OptionError(f"the {count} best windows are none; give 1 or more (--top 20)")
        kept = [_Ranked(count) for _ in self.asked.table.classes]
        for number, (_, found) in enumerate(self.best()):
            order = found.score if found.probability is None else found.probability
            for c, ranked in enumerate(kept):
                own = np.flatnonzero(found.best == c) if len(kept) > 1 else np.arange(len(order))
                ranked.offer(number, own, order[own], found.score[own] if len(kept) == 1 else found.margin[own])
        wanted = [place for ranked in kept for place in ranked.places()]
        return self._rows(wanted)

    def _rows(self, places: Sequence[tuple[int, int]]) -> Any:
        """Return windows by position of their partition and in it, in the order that is given."""
        pieces, order = [], []
        for number in sorted({n for n, _ in places}):
            one = self.chosen[number]
            own = [i for i, (n, _) in enumerate(places) if n == number]
            rows = np.array([places[i][1] for i in own], np.int64)
            rising = np.argsort(rows, kind="stable")
            found = self.scores(one.partition).best(self._minus, self.temperature)
            at = (rows if one.rows is None else one.rows[rows])[rising]
            pieces.append(archive_table.rows_of(one.partition, at, _taken(found, at)))
            order += [own[i] for i in rising.tolist()]
        table = archive_table.joined(pieces)
        return table.take(pa.array(np.argsort(np.array(order, np.int64), kind="stable")))

    def tables(self) -> Iterator[Any]:
        """Yield all windows asked about with their best class, as Arrow tables of some thousand rows."""
        for one, found in self.best():
            rows = np.arange(len(one.partition)) if one.rows is None else one.rows
            for first in range(0, len(rows), archive_table.TOGETHER):
                some = np.arange(first, min(first + archive_table.TOGETHER, len(rows)))
                yield archive_table.rows_of(one.partition, rows[some], _taken(found, some))

    def write(self, path: Path, top: int | None = None) -> int:
        """Write all windows asked about, or the most certain of each class, as .csv, .parquet or .geojson.

        Returns:
            The number of windows written.

        Raises:
            OptionError: another suffix.
            StoreError: the file cannot be written.
        """
        return archive_table.write(path, self.tables() if top is None else iter([self.top(top)]))


class _Ranked:
    """The best windows so far."""

    def __init__(self, count: int):
        self._count = count
        self._first = np.empty(0)
        self._second = np.empty(0)
        self._places = np.empty((0, 2), np.int64)

    def offer(self, number: int, rows: Indices, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
        """Take the best of some windows of a partition, by two numbers."""
        if len(rows) > self._count:
            least = np.partition(first, -self._count)[-self._count]
            near = first >= least
            rows, first, second = rows[near], first[near], second[near]
        places = np.stack([np.full(len(rows), number), rows], axis=1)
        self._first = np.concatenate([self._first, first])
        self._second = np.concatenate([self._second, second])
        self._places = np.concatenate([self._places, places])
        order = np.lexsort((np.arange(len(self._first)), -self._second, -self._first))[: self._count]
        self._first, self._second, self._places = self._first[order], self._second[order], self._places[order]

    def places(self) -> list[tuple[int, int]]:
        """Return (partition, window) of the best windows, the best first."""
        return [(number, row) for number, row in self._places.tolist()]


def _taken(best: Best, rows: Indices) -> Best:
    return replace(
        best, best=best.best[rows], second=best.second[rows], score=best.score[rows], margin=best.margin[rows],
        probability=None if best.probability is None else best.probability[rows],
    )  # fmt: skip


def _of_time(partitions: Sequence[Partition], time: Period | None) -> list[Chosen]:
    if time is None:
        return [Chosen(partition) for partition in partitions]
    found = []
    for partition in partitions:
        good = np.array([source.time in time for source in partition.sources])
        if good.all():
            found.append(Chosen(partition))
        elif good.any():
            found.append(Chosen(partition, np.flatnonzero(good[partition.windows().source])))
    return found


def _in_region(chosen: Chosen, region: Region) -> Chosen:
    partition = chosen.partition
    if partition.bounds is None or not region.may_touch(np.array([partition.bounds])).any():
        return Chosen(partition, np.empty(0, np.int64))
    near = np.flatnonzero(region.may_touch(partition.boxes()))
    if chosen.rows is not None:
        near = np.intersect1d(near, chosen.rows)
    return Chosen(partition, near[region.touches(partition.outlines(near))])


def _times(partitions: Sequence[Partition]) -> str:
    known = sorted(s.time for p in partitions for s in p.sources if s.time is not None)
    if not known:
        return "none of its rasters has a time (archive add --time)"
    return f"its rasters are of {iso(known[0])} to {iso(known[-1])}"


def _extent(partitions: Sequence[Partition]) -> str:
    boxes = np.array([p.bounds for p in partitions if p.bounds is not None])
    if not len(boxes):
        return "none of its rasters has a place on the ground"
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return f"west {low[0]:.5f}, south {low[1]:.5f}, east {high[2]:.5f}, north {high[3]:.5f}"
