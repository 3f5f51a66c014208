"""EmbeddingStore: vectors of a data set in a folder of GeoParquet parts, made once and kept.

`store.json` says what the parts were made from and with; `part-00000.parquet` ... each hold a fixed range of the
pictures; `skipped.csv` lists the pictures that could not be encoded. Nothing in them depends on when, or in how many
runs, they were written.
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
import numpy.typing as npt

from zeroscene import names
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.parts import PartRows, SkippedPicture, damaged, read_notes, read_part, vectors, write_part
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, StoreError
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

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON value."""
        return {
            "format": _FORMAT,
            "encoder": self.encoder.to_json(),
            "width": self.width,
            "grid": list(self.grid) if self.grid else None,
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
        return cls(
            EncoderIdentity.from_json(value["encoder"]),
            value["width"],
            tuple(value["grid"]) if value["grid"] else None,
            tuple(value["listings"]),
            value["pictures"]["count"],
            value["pictures"]["labelled"],
            value["part"],
            value["batch"],
            value["arithmetic"],
            value["environment"],
        )


class EmbeddingStore:
    """Vectors of a data set on disk; read as a whole, part by part, or only the grids of some pictures."""

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
        for name in ("part", "batch", "grid", "arithmetic"):
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

    def has(self, part: int) -> bool:
        """Return whether a part is there.

        Raises:
            StoreError: a file of that name is there, but is damaged or belongs to other pictures.
        """
        path = self.part_path(part)
        if not path.is_file():
            return False
        listing, _, _ = read_notes(path)
        if listing != self.manifest.listings[part]:
            raise damaged(path)
        return True

    @property
    def complete(self) -> bool:
        """Whether every part is there."""
        return all(self.part_path(part).is_file() for part in range(self.part_count))

    @cached_property
    def skipped(self) -> tuple[SkippedPicture, ...]:
        """Pictures that could not be encoded, in the order of the listing."""
        parts = (self.part_path(part) for part in range(self.part_count))
        return tuple(s for path in parts if path.is_file() for s in read_notes(path)[1])

    def __len__(self) -> int:
        """Return the number of pictures with vectors, from the footers of the parts alone."""
        paths = (self.part_path(part) for part in range(self.part_count))
        return sum(read_notes(path)[2] for path in paths if path.is_file())

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

    def read(self) -> Embeddings:
        """Return all vectors in memory.

        Raises:
            StoreError: the store is not finished, or a part is damaged.
        """
        self._require_complete()
        x = np.empty((len(self), self.width), np.float32)
        ids: list[str] = []
        labels: list[str] = []
        for part in self.iter_parts():
            x[len(ids) : len(ids) + len(part)] = part.x
            ids += part.ids
            labels += part.labels or ()
        return Embeddings(tuple(ids), x, self.identity, tuple(labels) if self.manifest.labelled else None)

    def iter_parts(self) -> Iterator[Embeddings]:
        """Yield the vectors part by part, so that a store of any size is read in the memory of one part.

        Raises:
            StoreError: the store is not finished, or a part is damaged.
        """
        self._require_complete()
        for part in range(self.part_count):
            table = read_part(self.part_path(part), ("id", "label", "embedding"))
            labels = tuple(table["label"].to_pylist()) if self.manifest.labelled else None
            x = vectors(table["embedding"], (self.width,))
            yield Embeddings(tuple(table["id"].to_pylist()), x, self.identity, labels)

    def read_grids(self, ids: Sequence[str] | None = None) -> npt.NDArray[np.float32]:
        """Return token grids (n, H, W, D), rows from north.

        Args:
            ids: the pictures wanted, in any order; None for all, in the order of `read`.

        Raises:
            StoreError: the store keeps no grids, is not finished, or a part is damaged.
            UnknownNameError: an id is not in the store.
        """
        self._require_complete()
        if self.manifest.grid is None:
            raise StoreError(f"{self.path} keeps no token grids; embed into another folder with grid=True")
        per_part = [read_part(self.part_path(k), ("id",))["id"].to_pylist() for k in range(self.part_count)]
        known = [picture for own in per_part for picture in own]
        wanted = known if ids is None else list(ids)
        if strangers := set(wanted).difference(known):
            raise names.unknown(sorted(strangers), known, f"pictures in {self.path}")
        target = {picture: row for row, picture in enumerate(wanted)}
        grids = np.empty((len(wanted), *self.manifest.grid), np.float32)
        for k, own in enumerate(per_part):
            rows = [row for row, picture in enumerate(own) if picture in target]
            if rows:
                stored = vectors(read_part(self.part_path(k), ("grid",))["grid"], self.manifest.grid)
                grids[[target[own[row]] for row in rows]] = stored[rows]
        return grids

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other runs from writing this store, and remove what a killed run left half-written.

        Raises:
            StoreError: another run is writing it.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on this system: the last writer of a part wins, and parts are equal
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError(f"another run is writing {self.path}; wait for it to end") from error
            for leftover in self.path.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)

    def _require_complete(self) -> None:
        if not self.complete:
            done = sum(self.part_path(part).is_file() for part in range(self.part_count))
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
