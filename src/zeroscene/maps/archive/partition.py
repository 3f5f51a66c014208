"""One partition of an archive: the window vectors of a raster, or of some whole pictures, in one GeoParquet file.

Columns: `path` of the raster, `source` (its position in the partition), `row` and `column` of the window, `seen`
(pixels with data in each cell that the window covers), `time` (UTC), `bbox` and `geometry` (OGC:CRS84, null where the
raster lies nowhere), `embedding` (FixedSizeList of float32). The footer says all else: rasters, layouts, encoder.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.parts import vectors
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import StoreError
from zeroscene.files import json_digest
from zeroscene.maps.archive.footprints import Outlines
from zeroscene.maps.archive.source import Indices, Source, Windows
from zeroscene.maps.archive.time import iso
from zeroscene.maps.vectors import WindowVectors

FORMAT: Final = "zeroscene-archive-windows-1"
NOTES: Final = b"zeroscene:archive"
GROUP: Final = 8192
"""Windows that are written and read together."""

FOLDER, LAID_OUT = "windows", "laid-out"
RASTER, PICTURES = "raster", "pictures"

_PLACES: Final = ("source", "row", "column", "seen")
_NAME: Final = re.compile(r"[0-9a-f]{16}\.parquet")

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Described:
    """What decides the bytes of a partition.

    Attributes:
        count: number of windows.
        value: the notes of its footer.
    """

    count: int
    value: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the notes."""
        return self.value


class Partition:
    """The windows of a raster, or of whole pictures, as they lie in a file; read group by group.

    It can be laid out and scored as an embedding store (`methods.columns`).
    """

    def __init__(self, file: Path, notes: dict[str, Any], footer: Any):
        self.file = file
        self.manifest = Described(footer.num_rows, notes)
        self.part_count = int(footer.num_row_groups)
        self._footer = footer

    @classmethod
    def open(cls, file: Path) -> Self:
        """Return the partition of a file; its footer alone is read.

        Raises:
            StoreError: it is damaged.
        """
        try:
            footer = pq.read_metadata(file, memory_map=True)
            notes = json.loads((footer.metadata or {})[NOTES])
            if notes["format"] != FORMAT:
                raise damaged(file)
            return cls(file, notes, footer)
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise damaged(file) from error

    def __len__(self) -> int:
        return self.manifest.count

    @property
    def id(self) -> str:
        """Name of the partition: the fingerprint of its content."""
        return self.file.stem

    @property
    def path(self) -> Path:
        """Where its vectors are laid out for queries."""
        return self.file.parent.parent / LAID_OUT / self.id

    @cached_property
    def identity(self) -> EncoderIdentity:
        """The encoder that made the vectors."""
        return EncoderIdentity.from_json(self.manifest.value["encoder"])

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return int(self.manifest.value["width"])

    @property
    def kind(self) -> str:
        """`raster` for the windows of a raster, `pictures` for whole pictures."""
        return str(self.manifest.value["kind"])

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """The raster, or the pictures."""
        return tuple(Source.from_json(value) for value in self.manifest.value["sources"])

    @property
    def skipped(self) -> tuple[tuple[str, str, str], ...]:
        """Path, reason and fingerprint of pictures that could not be encoded."""
        return tuple((path, reason, content) for path, reason, content in self.manifest.value["skipped"])

    @cached_property
    def bounds(self) -> tuple[float, float, float, float] | None:
        """West, south, east and north of all its windows in degrees, or None where they lie nowhere."""
        geo = json.loads(self._footer.metadata[b"geo"])
        box = geo["columns"]["geometry"].get("bbox")
        return None if box is None else (box[0], box[1], box[2], box[3])

    @property
    def complete(self) -> bool:
        """Whether it is there."""
        return self.file.is_file()

    def part_path(self, _part: int) -> Path:
        """Return the file."""
        return self.file

    def part_columns(self, part: int, columns: Sequence[str]) -> Any:
        """Return columns of a group of windows as an Arrow table; each page is checked.

        A column `id` is made: "row/column" of the window of a raster, or the path of a picture.

        Raises:
            StoreError: the file is damaged.
        """
        own = [name for name in columns if name != "id"] + (["source", "row", "column"] if "id" in columns else [])
        try:
            with pq.ParquetFile(
                self.file, metadata=self._footer, memory_map=True, page_checksum_verification=True
            ) as opened:
                found = opened.read_row_group(part, columns=own)
        except (OSError, pa.ArrowException) as error:
            raise damaged(self.file) from error
        if "id" in columns:
            source, row, column = (found[name].to_pylist() for name in ("source", "row", "column"))
            if self.kind == PICTURES:
                ids = [self.sources[i].path for i in source]
            else:
                ids = [f"{i}/{j}" for i, j in zip(row, column, strict=True)]
            found = found.append_column("id", pa.array(ids, pa.string()))
        return found.select(list(columns))

    def iter_parts(self, grids: bool = False) -> Iterator[Embeddings]:
        """Yield the vectors group by group.

        Raises:
            StoreError: the file is damaged, or token grids are wanted, which archives do not keep.
        """
        if grids:
            raise StoreError(
                f"{self.file.parent.parent} keeps one vector a window, and this method looks at token grids; take a "
                "method of vectors"
            )
        for part in range(self.part_count):
            found = self.part_columns(part, ("id", "embedding"))
            x = vectors(found["embedding"], (self.width,))
            yield Embeddings(tuple(found["id"].to_pylist()), x, self.identity)

    def read(self, grids: bool = False) -> Embeddings:
        """Return all vectors in memory.

        Raises:
            StoreError: as for `iter_parts`.
        """
        return together(self.iter_parts(grids), self.identity)

    def encoded(self) -> WindowVectors:
        """Return the windows of the raster as `maps.encode` gave them, for maps; the raster itself is not looked at.

        Raises:
            StoreError: the file is damaged.
        """
        layout = self.sources[0].layout
        windows = self.windows()
        pixels = np.zeros(tuple(side + layout.steps for side in layout.shape), np.int64)
        down, across = (a.ravel() for a in np.mgrid[: layout.steps, : layout.steps])
        pixels[windows.row[:, None] + down, windows.column[:, None] + across] = windows.seen
        return WindowVectors(layout, self, pixels[: layout.shape[0], : layout.shape[1]])

    def windows(self, rows: Indices | None = None) -> Windows:
        """Return where windows lie: those at the given positions, rising, or all.

        Raises:
            StoreError: the file is damaged.
        """
        return self._windows(self._read(_PLACES, rows))

    def placed(self, rows: Indices) -> tuple[Windows, Outlines]:
        """Return where windows at the given positions, rising, lie, and their outlines."""
        found = self._read((*_PLACES, "geometry"), rows)
        return self._windows(found), Outlines.of_wkb(found["geometry"])

    def _windows(self, found: Any) -> Windows:
        steps = self.sources[0].layout.steps
        source, row, column = (found[name].to_numpy().astype(np.int64) for name in ("source", "row", "column"))
        return Windows(source, row, column, vectors(found["seen"], (steps**2,)).astype(np.int64))

    def boxes(self) -> npt.NDArray[np.float64]:
        """Return (N, 4) west, south, east and north of each window in degrees; NaN where they lie nowhere."""
        found = self._read(("bbox",))["bbox"].combine_chunks()
        sides = (found.field(i).to_numpy(zero_copy_only=False) for i in range(4))
        return np.stack([np.asarray(side, np.float64) for side in sides], axis=1)

    def outlines(self, rows: Indices) -> Outlines:
        """Return the outlines of windows at the given positions, rising."""
        return Outlines.of_wkb(self._read(("geometry",), rows)["geometry"])

    def vectors(self, rows: Indices) -> Matrix:
        """Return the (n, D) vectors of windows at the given positions, rising."""
        return vectors(self._read(("embedding",), rows)["embedding"], (self.width,))

    def _read(self, columns: Sequence[str], rows: Indices | None = None) -> Any:
        """Return columns of rising rows, or of all; only groups with such rows are read."""
        if rows is None:
            return pa.concat_tables([self.part_columns(part, columns) for part in range(self.part_count)])
        found = []
        for part in np.unique(rows // GROUP).tolist() or [0]:
            own = rows[rows // GROUP == part] - part * GROUP
            found.append(self.part_columns(part, columns).take(pa.array(own)))
        return pa.concat_tables(found)

    def to_json(self) -> dict[str, Any]:
        """Return what `archive list` says of it."""
        times = sorted(s.time for s in self.sources if s.time is not None)
        return {
            "id": self.id, "kind": self.kind, "windows": len(self), "bounds": self.bounds,
            "rasters": [{"path": s.path, "time": iso(s.time)} for s in self.sources],
            "time": [iso(times[0]), iso(times[-1])] if times else None, "bytes": self.file.stat().st_size,
        }  # fmt: skip


def is_partition(file: Path) -> bool:
    """Return whether a file has the name of a partition."""
    return _NAME.fullmatch(file.name) is not None


def id_of(fingerprints: Sequence[str]) -> str:
    """Return the name of a partition of these contents."""
    return fingerprints[0] if len(fingerprints) == 1 else json_digest(list(fingerprints))


def damaged(file: Path) -> StoreError:
    """Return the error about a partition that cannot be read."""
    return StoreError(f"{file} is damaged; delete this file and add its raster again")


def together(parts: Iterable[Embeddings], encoder: EncoderIdentity) -> Embeddings:
    """Return the vectors of all parts, one or more, as one."""
    found = list(parts)
    ids = tuple(name for part in found for name in part.ids)
    return Embeddings(ids, np.concatenate([part.x for part in found]), encoder)
