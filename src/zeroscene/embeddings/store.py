"""EmbeddingStore: vectors of a data set in a folder of GeoParquet parts, made once and kept.

`store.json` says what the parts were made from and with; `part-00000.parquet` ... each hold a fixed range of the
pictures, and `part-00000.grid.npy` ... their token grids where these are kept; `skipped.csv` lists the pictures that
could not be encoded. Nothing in them depends on when, or in how many runs, they were written.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grid_files import GridWriter, damaged, writing_grids
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.embeddings.parts import (
    PartNotes,
    PartRows,
    SkippedPicture,
    read_notes,
    read_part,
    vectors,
    write_part,
)
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import BusyError, DataFormatError, DatasetNotFoundError, EncoderMismatchError, StoreError
from zeroscene.files import TEMPORARY_PREFIX, json_digest, read_json, write_json, write_text

_FORMAT = "zeroscene-embeddings-1"
_MANIFEST, _SKIPPED = "store.json", "skipped.csv"


@dataclass(frozen=True)
class Manifest:
    """What decides the bytes of a store.

    Attributes:
        encoder: the encoder.
        width: D of a pooled vector.
        grid: (H, W, D) of the token grid, or None when grids are not kept.
        listings: digest of the pictures of each part: ids, labels and file sizes.
        count: number of pictures in the listing.
        labelled: whether the pictures have classes.
        part: pictures in a part.
        batch: pictures in a batch.
        arithmetic: precision and backend of the encoder, which change the last bits of the vectors.
        environment: versions of the packages at the start.
        views: V, the views of each picture in its token grids.
    """

    encoder: EncoderIdentity
    width: int
    grid: tuple[int, int, int] | None
    listings: tuple[str, ...]
    count: int
    labelled: bool
    part: int
    batch: int
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    views: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON value."""
        return {
            "format": _FORMAT,
            "encoder": self.encoder.to_json(),
            "width": self.width,
            "grid": {"shape": list(self.grid), "views": self.views} if self.grid else None,
            "pictures": {"count": self.count, "labelled": self.labelled, "digest": json_digest(self.listings)},
            "listings": list(self.listings),
            "part": self.part,
            "batch": self.batch,
            "arithmetic": dict(self.arithmetic),
            "environment": dict(self.environment),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the manifest that `to_json` wrote.

        Raises:
            StoreError: it is of another format.
        """
        if not isinstance(value, dict) or value.get("format") != _FORMAT:
            raise StoreError(f"not an embedding store of format {_FORMAT}")
        grid = value["grid"]
        return cls(
            EncoderIdentity.from_json(value["encoder"]),
            value["width"],
            tuple(grid["shape"]) if grid else None,
            tuple(value["listings"]),
            value["pictures"]["count"],
            value["pictures"]["labelled"],
            value["part"],
            value["batch"],
            value["arithmetic"],
            value["environment"],
            grid["views"] if grid else 1,
        )


class EmbeddingStore:
    """Vectors of a data set on disk; read as a whole, or part by part, with the token grids or without."""

    def __init__(self, path: Path, manifest: Manifest):
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the store in a folder.

        Raises:
            DatasetNotFoundError: there is no store.
            StoreError: its manifest is damaged or of another format.
        """
        path = Path(path)
        if not (path / _MANIFEST).is_file():
            raise DatasetNotFoundError(f"no embedding store in {path}: it has no {_MANIFEST}")
        try:
            return cls(path, Manifest.from_json(read_json(path / _MANIFEST)))
        except StoreError as error:
            raise StoreError(f"{path / _MANIFEST}: {error}") from error
        except (DataFormatError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{path / _MANIFEST} is damaged ({error}); delete the folder and embed again") from error

    @classmethod
    def begin(cls, path: str | Path, manifest: Manifest) -> Self:
        """Return a new store, or the one that an earlier run of the same embedding has begun.

        Raises:
            EncoderMismatchError: the folder holds vectors of another encoder.
            StoreError: it belongs to other pictures or options, or holds other things, or cannot be written.
        """
        path = Path(path)
        if (path / _MANIFEST).is_file():
            store = cls.open(path)
            store._check_same(manifest)
            return store
        if path.is_dir() and (strange := [p.name for p in path.iterdir() if not p.name.startswith(TEMPORARY_PREFIX)]):
            raise StoreError(f"{path} holds other things ({min(strange)}, ...); give a new or empty folder")
        write_json(path / _MANIFEST, manifest.to_json())
        return cls(path, manifest)

    def _check_same(self, wanted: Manifest) -> None:
        own = self.manifest
        if own.encoder.fingerprint != wanted.encoder.fingerprint:
            raise EncoderMismatchError(
                f"{self.path} holds vectors of encoder {own.encoder.name!r} ({_differs(own.encoder, wanted.encoder)} "
                f"differ from {wanted.encoder.name!r}); embed into another folder"
            )
        if own.listings != wanted.listings and own.part == wanted.part:
            raise StoreError(
                f"{self.path} was made from other pictures ({own.count}, now {wanted.count}; their names, classes or "
                "file sizes differ); embed into another folder, or delete this one"
            )
        for name in ("part", "batch", "grid", "views", "arithmetic"):
            if (before := getattr(own, name)) != (now := getattr(wanted, name)):
                raise StoreError(
                    f"{self.path} was begun with {name} = {_plain(before)}, now it is {_plain(now)}; "
                    "use the same, or embed into another folder"
                )
        if not self.complete and own.environment != wanted.environment:
            raise StoreError(
                f"{self.path} was begun with other package versions (see {_MANIFEST}) and is not finished; "
                "finish it with those, or delete it and begin again"
            )

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder that made the vectors."""
        return self.manifest.encoder

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.manifest.width

    @property
    def part_count(self) -> int:
        """Number of parts of the whole store."""
        return len(self.manifest.listings)

    def part_path(self, part: int) -> Path:
        """Return the file of a part."""
        return self.path / f"part-{part:05d}.parquet"

    def part_columns(self, part: int, columns: Sequence[str]) -> Any:
        """Return columns of a part as an Arrow table; each page is checked.

        Raises:
            StoreError: the part is damaged.
        """
        return read_part(self.part_path(part), columns)

    def grid_path(self, part: int) -> Path:
        """Return the file of the token grids of a part."""
        return self.path / f"part-{part:05d}.grid.npy"

    def _is_there(self, part: int) -> bool:
        return self.part_path(part).is_file() and (self.manifest.grid is None or self.grid_path(part).is_file())

    def _notes(self) -> Iterator[PartNotes]:
        paths = (self.part_path(part) for part in range(self.part_count))
        return (read_notes(path) for path in paths if path.is_file())

    def has(self, part: int) -> bool:
        """Return whether a part is there, with its token grids if the store keeps them.

        Raises:
            StoreError: a file of that name is there, but is damaged or belongs to other pictures.
        """
        if not self._is_there(part):
            return False
        notes = read_notes(self.part_path(part))
        if notes.pictures != self.manifest.listings[part]:
            raise damaged(self.part_path(part))
        self._check_grids(part, notes)
        return True

    def _check_grids(self, part: int, notes: PartNotes, every_byte: bool = False) -> None:
        if self.manifest.grid is None:
            return
        if notes.grids is None:
            raise damaged(self.part_path(part))
        notes.grids.check(self.grid_path(part), every_byte)

    @property
    def complete(self) -> bool:
        """Whether every part is there."""
        return all(self._is_there(part) for part in range(self.part_count))

    @cached_property
    def skipped(self) -> tuple[SkippedPicture, ...]:
        """Pictures that could not be encoded, in the order of the listing."""
        return tuple(skipped for notes in self._notes() for skipped in notes.skipped)

    def __len__(self) -> int:
        """Return the number of pictures with vectors, from the footers of the parts alone."""
        return sum(notes.count for notes in self._notes())

    @contextmanager
    def writing_grids(self, part: int) -> Iterator[GridWriter]:
        """Yield a writer of the token grids of a part, to be whole before the part itself is written.

        Raises:
            StoreError: the store keeps no grids, or the file cannot be written.
        """
        with writing_grids(self.grid_path(part), self._grid_shape) as writer:
            yield writer

    def write(self, part: int, rows: PartRows) -> None:
        """Write one part, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        write_part(self.part_path(part), rows)

    def finish(self) -> None:
        """Write the list of skipped pictures beside the parts."""
        self.__dict__.pop("skipped", None)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("id", "reason"))
        writer.writerows((s.id, s.reason) for s in self.skipped)
        write_text(self.path / _SKIPPED, text.getvalue())

    def read(self, grids: bool = False) -> Embeddings:
        """Return all vectors in memory.

        Args:
            grids: give the token grids too, and the vectors of augmented views; grids stay on disk until they are
                read, and only their size is checked.

        Raises:
            StoreError: the store is not finished, a file is damaged, or grids are wanted and none are kept.
        """
        self._require_complete()
        kept = self._grids(range(self.part_count)) if grids else None
        x = np.empty((len(self), self.width), np.float32)
        seen = len(self), self.manifest.views - 1, self.width
        views = np.empty(seen, np.float32) if grids and self.manifest.views > 1 else None
        ids: list[str] = []
        labels: list[str] = []
        for part in self.iter_parts(grids):
            rows = slice(len(ids), len(ids) + len(part))
            x[rows] = part.x
            if views is not None:
                views[rows] = part.views
            ids += part.ids
            labels += part.labels or ()
        known = tuple(labels) if self.manifest.labelled else None
        return Embeddings(tuple(ids), x, self.identity, known, kept, views=views)

    def iter_parts(self, grids: bool = False) -> Iterator[Embeddings]:
        """Yield the vectors part by part, so that a store of any size is read in the memory of one part.

        Args:
            grids: give the token grids too, as in `read`.

        Raises:
            StoreError: the store is not finished, a file is damaged, or grids are wanted and none are kept.
        """
        self._require_complete()
        for part in range(self.part_count):
            kept = self._grids([part]) if grids else None
            several = grids and self.manifest.views > 1
            columns = ("id", "label", "embedding", *(("views",) if several else ()))
            table = self.part_columns(part, columns)
            labels = tuple(table["label"].to_pylist()) if self.manifest.labelled else None
            x = vectors(table["embedding"], (self.width,))
            views = vectors(table["views"], (self.manifest.views - 1, self.width)) if several else None
            yield Embeddings(tuple(table["id"].to_pylist()), x, self.identity, labels, kept, views=views)

    def check_grids(self) -> None:
        """Read every byte of the token grids and compare it with what was written.

        Raises:
            StoreError: the store is not finished, keeps no grids, or a file is damaged.
        """
        self._require_complete()
        self._grids(range(self.part_count), every_byte=True)

    def _grids(self, parts: Sequence[int], every_byte: bool = False) -> TokenGrids:
        shape = self._grid_shape
        counts = []
        for part in parts:
            notes = read_notes(self.part_path(part))
            self._check_grids(part, notes, every_byte)
            counts.append(notes.count)
        return TokenGrids.of_files([self.grid_path(part) for part in parts], counts, shape)

    @property
    def _grid_shape(self) -> tuple[int, int, int, int]:
        if self.manifest.grid is None:
            raise StoreError(
                f"{self.path} keeps no token grids; embed into another folder with them (`embed --grid`, or grid=True)"
            )
        return (self.manifest.views, *self.manifest.grid)

    @contextmanager
    def writing(self, alone: bool = True) -> Iterator[None]:
        """Keep other runs from writing this store, and remove what a killed run left half-written.

        Args:
            alone: False for one of several processes that write different parts: they keep out a run that writes
                alone, not each other, and remove nothing.

        Raises:
            BusyError: another run is writing it.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on this system: the last writer of a part wins, and parts are equal
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError(f"another run is writing {self.path}; wait for it to end") from error
            for leftover in self.path.glob(f"{TEMPORARY_PREFIX}*") if alone else ():
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)

    def _require_complete(self) -> None:
        if not self.complete:
            done = sum(self._is_there(part) for part in range(self.part_count))
            raise StoreError(
                f"{self.path} is not finished: {done} of {self.part_count} parts; run the same embedding again, "
                "it goes on where it stopped"
            )


def _differs(one: EncoderIdentity, other: EncoderIdentity) -> str:
    fields = ("weights", "preprocessing", "output")
    return ", ".join(name for name in fields if getattr(one, name) != getattr(other, name))


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(str(value[name]) for name in sorted(value))
    return str(value)
