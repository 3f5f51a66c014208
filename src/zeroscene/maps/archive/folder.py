"""Archive: the window vectors of many rasters in one partitioned GeoParquet store, encoded once and asked often.

    archive/archive.json               the encoder, and how rasters are cut: the same for all of them
    archive/windows/ID.parquet         the windows of one raster (or of some whole pictures), whole or absent
    archive/laid-out/ID/...            vectors and scores laid out for queries; can be deleted at any time
    archive/work/ID/...                windows of rasters whose adding was interrupted

ID is the fingerprint of the content. What an archive holds is what lies in `windows/`: nothing else counts it, so that
a killed run leaves nothing to mend, and partitions can be copied in or deleted by hand.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, OptionError, StoreError
from zeroscene.files import REMOVING_PREFIX, TEMPORARY_PREFIX, read_json, remove_folder, write_json
from zeroscene.maps.archive.partition import FOLDER, Partition, is_partition
from zeroscene.maps.archive.time import iso
from zeroscene.maps.layout import side_of

_FORMAT: Final = "zeroscene-archive-1"
_MANIFEST, _WORK = "archive.json", "work"
_READERS: Final = 8  # footers that are read at once


@dataclass(frozen=True)
class Cutting:
    """How rasters are cut into windows; one for the whole archive, so that vectors of all of them compare.

    Attributes:
        window: side of a window, such as "110 m" or "128 px"; written in one way, however it was given.
        overlap: share of its side by which a window overlaps the next.

    Raises:
        OptionError: the window is no length, or a number is out of range.
    """

    window: str
    overlap: float = 0.5

    def __post_init__(self) -> None:
        side, unit = side_of(self.window)
        object.__setattr__(self, "window", f"{side:.12g} {unit}")
        if not 0 <= self.overlap < 1:
            raise OptionError(f"overlap {self.overlap:g} is out of range; give 0 to less than 1, such as 0.5")

    def __str__(self) -> str:
        return f"windows of {self.window} that overlap by {self.overlap:g}"


@dataclass(frozen=True)
class Archive:
    """An archive on disk.

    Attributes:
        path: its folder.
        encoder: the encoder of all vectors.
        width: D, the length of a vector.
        cutting: how rasters are cut.
        arithmetic: precision and backend of the encoder, which change the last bits of vectors.
    """

    path: Path
    encoder: EncoderIdentity
    width: int
    cutting: Cutting
    arithmetic: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the archive of a folder.

        Raises:
            DatasetNotFoundError: there is none.
            StoreError: its manifest is damaged.
        """
        path = Path(path)
        file = path / _MANIFEST
        if not file.is_file():
            raise DatasetNotFoundError(f"no archive in {path}: it has no {_MANIFEST}; `archive add` begins one")
        try:
            value = read_json(file)
            if value["format"] != _FORMAT:
                raise StoreError(f"{file} is not of format {_FORMAT}")
            return cls(
                path, EncoderIdentity.from_json(value["encoder"]), int(value["width"]), Cutting(**value["cutting"]),
                value["arithmetic"],
            )  # fmt: skip
        except (DataFormatError, KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"{file} is damaged ({error}); put back the one it was, or add to another folder"
            ) from error

    @classmethod
    def begin(
        cls,
        path: str | Path,
        encoder: EncoderIdentity,
        width: int,
        cutting: Cutting,
        arithmetic: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a new archive, or the one that is there, of the same encoder and windows.

        Raises:
            EncoderMismatchError: the one that is there is of another encoder; both are named.
            OptionError: its rasters were cut in another way.
            StoreError: the folder holds other things, or cannot be written.
        """
        path = Path(path)
        wanted = cls(path, encoder, width, cutting, dict(arithmetic or {}))
        if (path / _MANIFEST).is_file():
            found = cls.open(path)
            found._check_same(wanted)
            return found
        if path.exists() and not path.is_dir():
            raise StoreError(f"{path} is a file; give a folder for the archive")
        if path.is_dir() and (strange := [p.name for p in path.iterdir() if not p.name.startswith(TEMPORARY_PREFIX)]):
            raise StoreError(f"{path} holds other things ({min(strange)}, ...); give a new or empty folder")
        value = {
            "format": _FORMAT, "encoder": encoder.to_json(), "width": width, "arithmetic": dict(wanted.arithmetic),
            "cutting": {"window": cutting.window, "overlap": cutting.overlap},
        }  # fmt: skip
        write_json(path / _MANIFEST, value)
        return wanted

    def _check_same(self, wanted: "Archive") -> None:
        if self.encoder.fingerprint != wanted.encoder.fingerprint:
            own, other = (f"{e.name!r} ({e.output}; {e.fingerprint})" for e in (self.encoder, wanted.encoder))
            raise EncoderMismatchError(
                f"{self.path} holds vectors of encoder {own}, not of {other}; give the first, or another archive"
            )
        if self.cutting != wanted.cutting:
            raise OptionError(
                f"{self.path} was begun with {self.cutting}, now they are {wanted.cutting}; use the same, or add to "
                "another archive"
            )
        if dict(self.arithmetic) != dict(wanted.arithmetic):
            own_words, other_words = (" ".join(a.arithmetic[k] for k in sorted(a.arithmetic)) for a in (self, wanted))
            raise StoreError(
                f"{self.path} was begun with precision and backend {own_words}, now they are {other_words}; use the "
                "same, or add to another archive"
            )

    def partitions(self) -> list[Partition]:
        """Return what it holds, by name; the footers alone are read.

        Raises:
            StoreError: a file is damaged, or was made by another encoder.
        """
        try:
            files = sorted(file for file in (self.path / FOLDER).iterdir() if is_partition(file))
        except FileNotFoundError:
            return []
        with ThreadPoolExecutor(_READERS, "footers") as pool:
            found = list(pool.map(Partition.open, files))
        for partition in found:
            if partition.identity.fingerprint != self.encoder.fingerprint:
                raise StoreError(
                    f"{partition.file} holds vectors of encoder {partition.identity.name!r}, the archive those of "
                    f"{self.encoder.name!r}; delete this file and add its raster again"
                )
        return found

    def file(self, partition: str) -> Path:
        """Return where a partition of this name lies."""
        return self.path / FOLDER / f"{partition}.parquet"

    def work(self, partition: str) -> Path:
        """Return the folder for what is not a partition yet."""
        return self.path / _WORK / partition

    def to_json(self) -> dict[str, Any]:
        """Return what it holds as a JSON value: its partitions, and sums over them."""
        partitions = self.partitions()
        times = sorted(s.time for p in partitions for s in p.sources if s.time is not None)
        boxes = [p.bounds for p in partitions if p.bounds is not None]
        west, south, east, north = zip(*boxes, strict=True) if boxes else ((), (), (), ())
        return {
            "archive": str(self.path), "encoder": self.encoder.to_json(), "width": self.width,
            "window": self.cutting.window, "overlap": self.cutting.overlap,
            "partitions": [p.to_json() for p in partitions],
            "rasters": sum(len(p.sources) for p in partitions), "windows": sum(len(p) for p in partitions),
            "time": [iso(times[0]), iso(times[-1])] if times else None,
            "bounds": [min(west), min(south), max(east), max(north)] if boxes else None,
            "bytes": sum(p.file.stat().st_size for p in partitions),
        }  # fmt: skip

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep other runs from adding; remove what killed runs left, and in the end what this one needs no longer.

        Raises:
            StoreError: another run is adding.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on this system: the last writer of a partition wins, and they are equal
            yield
            self._tidy()
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError(f"another run is adding to {self.path}; wait for it to end") from error
            self._tidy()
            yield
            self._tidy()
        finally:
            os.close(handle)

    def _tidy(self) -> None:
        """Remove half-written files, and the windows of what has its partition; others wait to be continued."""
        for folder in (self.path, self.path / FOLDER):
            for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
                leftover.unlink(missing_ok=True)
        with suppress(OSError):
            for work in list(self.work("").iterdir()):
                if work.name.startswith(REMOVING_PREFIX) or self.file(work.name).is_file():
                    remove_folder(work)
            self.work("").rmdir()


def is_archive(path: Path) -> bool:
    """Return whether a folder is an archive."""
    return (path / _MANIFEST).is_file()
