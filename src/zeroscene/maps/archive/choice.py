"""Which windows of an archive a question is about: those of a region and of a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeroscene.maps.archive.partition import GROUP, Partition
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.source import Indices
from zeroscene.maps.archive.time import Period, iso


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

    @property
    def touched(self) -> int:
        """Number of windows that must be read for these: those of whole groups."""
        if self.rows is None:
            return len(self.partition)
        return min(len(np.unique(self.rows // GROUP)) * GROUP, len(self.partition))

    @property
    def positions(self) -> Indices:
        """(n,) positions of the windows, rising."""
        return np.arange(len(self.partition)) if self.rows is None else self.rows


def of_time(partitions: Sequence[Partition], time: Period | None) -> list[Chosen]:
    """Return the windows of a time; all where it is None."""
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


def in_region(chosen: Chosen, region: Region) -> Chosen:
    """Return those of the windows that touch a region."""
    partition = chosen.partition
    if partition.bounds is None or not region.may_touch(np.array([partition.bounds])).any():
        return Chosen(partition, np.empty(0, np.int64))
    near = np.flatnonzero(region.may_touch(partition.boxes()))
    if chosen.rows is not None:
        near = np.intersect1d(near, chosen.rows)
    return Chosen(partition, near[region.touches(partition.outlines(near))])


def times_of(partitions: Sequence[Partition]) -> str:
    """Say of what times the rasters of partitions are."""
    known = sorted(s.time for p in partitions for s in p.sources if s.time is not None)
    if not known:
        return "none of its rasters has a time (archive add --time)"
    return f"its rasters are of {iso(known[0])} to {iso(known[-1])}"


def extent_of(partitions: Sequence[Partition]) -> str:
    """Say where on the ground the windows of partitions lie."""
    boxes = np.array([p.bounds for p in partitions if p.bounds is not None])
    if not len(boxes):
        return "none of its rasters has a place on the ground"
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return f"west {low[0]:.5f}, south {low[1]:.5f}, east {high[2]:.5f}, north {high[3]:.5f}"
