"""Shelves: partitions laid out and scored as one, so that a thousand small rasters cost what a few large ones do.

A partition of `LARGE` windows or more has a shelf of its own. Smaller ones share shelves by the first bits of their
names, which are digests: so many bits that a shelf holds `FULL` windows or fewer on average. A raster that is added or
removed changes one shelf, and all of them only when the number of bits does, each time the archive has doubled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import json_digest, remove_folder
from zeroscene.maps.archive.partition import Described, Partition, together

LARGE: Final = 32_768
FULL: Final = 65_536
_BITS: Final = 64


@dataclass(frozen=True)
class Shelf:
    """Partitions one after the other; laid out and scored as an embedding store (`methods.columns`).

    Attributes:
        path: where it is laid out.
        members: the partitions, by name.
    """

    path: Path
    members: tuple[Partition, ...]

    @classmethod
    def of(cls, folder: Path, name: str, members: Sequence[Partition]) -> Self:
        """Return a shelf in the folder of shelves."""
        return cls(folder / name, tuple(members))

    def __len__(self) -> int:
        return sum(len(member) for member in self.members)

    @property
    def starts(self) -> tuple[int, ...]:
        """Position of the first window of each member."""
        return (0, *np.cumsum([len(member) for member in self.members])[:-1].tolist())

    @property
    def manifest(self) -> Described:
        """What decides what is laid out."""
        return Described(len(self), {"partitions": json_digest([member.id for member in self.members])})

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder that made the vectors."""
        return self.members[0].identity

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.members[0].width

    @property
    def part_count(self) -> int:
        """Number of groups of windows."""
        return sum(member.part_count for member in self.members)

    @property
    def complete(self) -> bool:
        """Whether all members are there."""
        return all(member.complete for member in self.members)

    def _part(self, part: int) -> tuple[Partition, int]:
        for member in self.members:
            if part < member.part_count:
                return member, part
            part -= member.part_count
        raise IndexError(part)

    def part_path(self, part: int) -> Path:
        """Return the file that a group of windows lies in."""
        return self._part(part)[0].file

    def part_columns(self, part: int, columns: Sequence[str]) -> Any:
        """Return columns of a group of windows as an Arrow table; each page is checked.

        Raises:
            StoreError: the file is damaged.
        """
        member, own = self._part(part)
        return member.part_columns(own, columns)

    def iter_parts(self, grids: bool = False) -> Iterator[Embeddings]:
        """Yield the vectors group by group, ids by member and position.

        Raises:
            StoreError: a file is damaged, or token grids are wanted, which archives do not keep.
        """
        for member in self.members:
            first = 0
            for part in member.iter_parts(grids):
                ids = tuple(f"{member.id}/{i}" for i in range(first, first + len(part)))
                first += len(part)
                yield Embeddings(ids, part.x, part.encoder)

    def read(self, grids: bool = False) -> Embeddings:
        """Return all vectors in memory.

        Raises:
            StoreError: as for `iter_parts`.
        """
        return together(self.iter_parts(grids), self.identity)


def shelves(folder: Path, partitions: Sequence[Partition]) -> list[Shelf]:
    """Return the shelves of all partitions of an archive that hold windows.

    Args:
        folder: where they are laid out.
        partitions: all that the archive holds.
    """
    small = [p for p in partitions if 0 < len(p) < LARGE]
    bits = max(0, (sum(map(len, small)) - 1) // FULL).bit_length()
    groups: dict[str, list[Partition]] = {}
    for partition in small:
        groups.setdefault(f"{bits}-{int(partition.id, 16) >> (_BITS - bits):x}", []).append(partition)
    found = [Shelf.of(folder, name, sorted(members, key=lambda p: p.id)) for name, members in sorted(groups.items())]
    return found + [Shelf.of(folder, p.id, [p]) for p in partitions if len(p) >= LARGE]


def tidy(folder: Path, current: Sequence[Shelf]) -> None:
    """Remove what was laid out for shelves that are no more."""
    names = {shelf.path.name for shelf in current}
    for stale in list(folder.iterdir()) if folder.is_dir() else ():
        if stale.is_dir() and stale.name not in names:
            remove_folder(stale)
