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
from zeroscene.maps.archive.choice import Chosen, extent_of, in_region, of_time, times_of
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.partition import LAID_OUT, Partition
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.shelves import Shelf, shelves, tidy
from zeroscene.maps.archive.source import Indices
from zeroscene.maps.archive.table import TOGETHER, joined, rows_of, write_rows
from zeroscene.maps.archive.time import Period
from zeroscene.maps.question import Question
from zeroscene.methods.columns import ScoreColumns
from zeroscene.methods.contract import Matrix
from zeroscene.methods.store_scores import Best, best_of

_SAMPLED: Final = 16
_LOOKS: Final = 256
"""Partitions, and windows of each, that are looked at where nothing is known of what scores are worth."""

_TIMES: Final = 4
"""Kept scores of a shelf may take as many times the room of its vectors."""
_FEW: Final = 4
"""Where less than this part of a shelf has to be read, it is read and scored, and nothing is laid out or kept."""

Vector = npt.NDArray[np.float32]


def ask(archive: Archive, question: Question, region: Region | None = None, time: Period | None = None) -> "Answers":
    """Ask about all windows, or those of a region and a time, without encoding anything.

    Args:
        archive: the archive.
        question: who is asked, and about which classes; of a single one, windows are ranked by its score.
        region: windows that touch it; None for all.
        time: windows of rasters of that time; None for any time.

    Raises:
        EncoderMismatchError: the method was fitted with another encoder.
        OptionError: nothing of the archive lies in the region or the time; the message says what there is.
        StoreError: a partition is damaged.
        DataFormatError: the archive is empty.
    """
    fitted = question.method.require_fitted()
    if fitted.encoder.fingerprint != archive.encoder.fingerprint:
        own, other = (f"{e.name!r} ({e.output}; {e.fingerprint})" for e in (archive.encoder, fitted.encoder))
        raise EncoderMismatchError(f"{archive.path} holds vectors of encoder {own}; the question is for {other}")
    partitions = archive.partitions()
    if not sum(len(partition) for partition in partitions):
        raise DataFormatError(f"{archive.path} is empty: add rasters with `archive add`")
    found = of_time(partitions, time)
    if time is not None and not found:
        raise OptionError(f"nothing in {archive.path} is of {time}; {times_of(partitions)}")
    notes: tuple[str, ...] = ()
    if region is not None:
        nowhere = sum(partition.bounds is None for partition in partitions)
        notes = (f"{nowhere} rasters without a place on the ground are left out",) if nowhere else ()
        found = [part for part in (in_region(one, region) for one in found) if len(part)]
        if not found:
            raise OptionError(
                f"region {region.name} lies outside of what {archive.path} holds: {extent_of(partitions)}"
            )
    return Answers(archive, question, tuple(one for one in found if len(one)), tuple(partitions), region, notes)


@dataclass(frozen=True)
class Answers:
    """What an archive says; scores are worked out when they are asked for.

    Attributes:
        archive: the archive.
        question: who was asked, and about what.
        chosen: the windows.
        partitions: all that the archive holds.
        region: the region they touch, if one was asked about.
        notes: what a user should know, a sentence each.
    """

    archive: Archive
    question: Question
    chosen: tuple[Chosen, ...]
    partitions: tuple[Partition, ...]
    region: Region | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of windows asked about."""
        return sum(len(one) for one in self.chosen)

    @cached_property
    def temperature(self) -> float | None:
        """T of softmax(score / T); None for a single class, whose share of itself means nothing."""
        if self.question.alone:
            return None
        return 1 / self.question.logit_scale(self._sample())

    def _sample(self) -> Matrix:
        if self.question.confidence is not None:
            return np.empty((0, self.archive.width), np.float32)
        places = np.unique(np.linspace(0, len(self.chosen) - 1, _SAMPLED).round().astype(int))
        return np.concatenate([next(self.chosen[i].partition.iter_parts()).x[:_LOOKS] for i in places.tolist()])

    def best(self) -> "Iterator[Block]":
        """Yield the best class of all windows asked about, shelf by shelf.

        Raises:
            StoreError: a partition is damaged, or scores cannot be kept.
        """
        numbers = {one.partition.id: number for number, one in enumerate(self.chosen)}
        current = shelves(self.archive.path / LAID_OUT, self.partitions)
        tidy(self.archive.path / LAID_OUT, current)
        for shelf in current:
            own = [
                (start, numbers[m.id]) for start, m in zip(shelf.starts, shelf.members, strict=True) if m.id in numbers
            ]
            if sum(self.chosen[number].touched for _, number in own) * _FEW < len(shelf):
                yield from (Block((number,), self._scored(self.chosen[number])) for _, number in own)
            else:
                yield Block(tuple(number for _, number in own), self._kept(shelf, own))

    def _kept(self, shelf: Shelf, own: Sequence[tuple[int, int]]) -> Best:
        """Return the answers about windows of a shelf, from scores that are kept for all of it."""
        limit = _TIMES * 4 * len(shelf) * shelf.width
        found = ScoreColumns(shelf, self.question.method, limit=limit).scores(self.question.table)
        best = found.best(self.question.offsets, self.temperature)
        rows = [start + self.chosen[number].positions for start, number in own]
        return best if sum(map(len, rows)) == len(shelf) else _taken(best, np.concatenate(rows))

    def _scored(self, one: Chosen) -> Best:
        """Return the answers about a few windows, from their vectors."""
        x = one.partition.vectors(one.positions)
        pictures, asked = Embeddings(tuple(map(str, range(len(x)))), x, self.archive.encoder), self.question
        values = asked.method.scores(pictures, asked.table).values
        return best_of(asked.table.classes, np.ascontiguousarray(values.T), asked.offsets, self.temperature)

    def top(self, count: int) -> Any:
        """Return the most certain windows of each class, the first ones first, as an Arrow table (`archive.table`).

        Of several classes, a window counts for its best class, by probability and then by its lead; of a single class
        all windows count, by score.

        Args:
            count: windows a class, at most.

        Raises:
            OptionError: the count is not positive.
        """
        if count < 1:
            raise OptionError(f"the {count} best windows are none; give 1 or more (--top 20)")
        kept = [Ranked(count) for _ in self.question.table.classes]
        for block in self.best():
            found = block.best
            order = found.score if found.probability is None else found.probability
            for c, ranked in enumerate(kept):
                own = np.flatnonzero(found.best == c) if len(kept) > 1 else np.arange(len(order))
                ranked.offer(self._places(block), found, own, order, found.score if len(kept) == 1 else found.margin)
        return self._table([hit for ranked in kept for hit in ranked.hits])

    def _places(self, block: "Block") -> "Places":
        return Places(np.array(block.numbers), np.cumsum([0, *(len(self.chosen[n]) for n in block.numbers)]))

    def _table(self, hits: "Sequence[Hit]") -> Any:
        """Return windows as rows of a table, in the order that is given."""
        pieces, order = [], []
        by_number: dict[int, list[int]] = {}
        for i, hit in enumerate(hits):
            by_number.setdefault(hit.number, []).append(i)
        for number, own in by_number.items():
            one = self.chosen[number]
            own = sorted(own, key=lambda i: hits[i].row)
            rows = one.positions[np.array([hits[i].row for i in own], np.int64)]
            pieces.append(rows_of(one.partition, rows, _together([hits[i].best for i in own])))
            order += own
        return joined(pieces).take(pa.array(np.argsort(np.array(order, np.int64), kind="stable")))

    def tables(self) -> Iterator[Any]:
        """Yield all windows asked about with their best class, as Arrow tables of some thousand rows."""
        for block in self.best():
            first = 0
            for number in block.numbers:
                one = self.chosen[number]
                rows = one.positions
                for start in range(0, len(rows), TOGETHER):
                    some = rows[start : start + TOGETHER]
                    own = np.arange(first + start, first + start + len(some))
                    yield rows_of(one.partition, some, _taken(block.best, own))
                first += len(rows)

    def write(self, path: Path, top: int | None = None) -> int:
        """Write all windows asked about, or the most certain of each class, as .csv, .parquet or .geojson.

        Returns:
            The number of windows written.

        Raises:
            OptionError: another suffix.
            StoreError: the file cannot be written.
        """
        return write_rows(path, self.tables() if top is None else iter([self.top(top)]))


@dataclass(frozen=True)
class Block:
    """Answers about windows of some partitions, one partition after the other.

    Attributes:
        numbers: positions of the partitions among those that were chosen.
        best: the answers.
    """

    numbers: tuple[int, ...]
    best: Best


@dataclass(frozen=True)
class Places:
    """Which window of which partition stands where in a block: `numbers` of partitions, and where each begins."""

    numbers: Indices
    starts: Indices

    def of(self, position: int) -> tuple[int, int]:
        """Return the partition of a window, and its position among those of it that were chosen."""
        k = int(np.searchsorted(self.starts, position, side="right")) - 1
        return int(self.numbers[k]), position - int(self.starts[k])


@dataclass(frozen=True)
class Hit:
    """A window among the most certain ones.

    Attributes:
        first: what it is ranked by.
        second: what decides between equal ones.
        number: of its partition among those that were chosen.
        row: its position among the chosen windows of the partition.
        best: what is answered about it, one row.
    """

    first: float
    second: float
    number: int
    row: int
    best: Best

    @property
    def rank(self) -> tuple[float, float, int, int]:
        """What sorts hits, the best first."""
        return -self.first, -self.second, self.number, self.row


class Ranked:
    """The best windows so far.

    Attributes:
        hits: the best first.
    """

    def __init__(self, count: int):
        self._count = count
        self.hits: list[Hit] = []

    def offer(self, places: Places, best: Best, rows: Indices, first: Vector, second: Vector) -> None:
        """Take the best of some rows of a block."""
        if len(self.hits) == self._count:
            rows = rows[first[rows] >= self.hits[-1].first]
        if len(rows) > self._count:
            values = first[rows]
            rows = rows[values >= np.partition(values, -self._count)[-self._count]]
        if len(rows) > self._count:  # many as good as the last one
            rows = rows[np.lexsort((rows, -second[rows], -first[rows]))[: self._count]]
        for row in rows.tolist():
            at = places.of(row)
            self.hits.append(Hit(float(first[row]), float(second[row]), *at, _taken(best, np.array([row]))))
        self.hits = sorted(self.hits, key=lambda hit: hit.rank)[: self._count]


def _together(rows: Sequence[Best]) -> Best:
    first = rows[0]
    given = [row.probability for row in rows if row.probability is not None]
    best, second, score, margin = (
        np.concatenate([getattr(row, name) for row in rows]) for name in ("best", "second", "score", "margin")
    )
    return Best(first.classes, best, second, score, margin, np.concatenate(given) if given else None)


def _taken(best: Best, rows: Indices) -> Best:
    return replace(
        best, best=best.best[rows], second=best.second[rows], score=best.score[rows], margin=best.margin[rows],
        probability=None if best.probability is None else best.probability[rows],
    )  # fmt: skip
