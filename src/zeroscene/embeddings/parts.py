"""One part of an embedding store: a GeoParquet file that a reader can check page by page.

Columns: `id`, `label` (null when unknown), `geometry` (WKB in OGC:CRS84, null without georeference) and `embedding`
(FixedSizeList of float32). Token grids lie in a file of their own (`grid_files`), of which the footer keeps a note.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zeroscene.embeddings.footprint import Footprint, geo_metadata
from zeroscene.embeddings.grid_files import GridNote, damaged
from zeroscene.files import replacing

_SKIPPED = b"zeroscene:skipped"
_PICTURES = b"zeroscene:pictures"
_GRIDS = b"zeroscene:grids"


@dataclass(frozen=True)
class SkippedPicture:
    """A picture that could not be encoded, and why."""

    id: str
    reason: str


@dataclass
class PartRows:
    """Rows of one part, as they are written.

    Attributes:
        pictures: digest of the listing of this part: ids and labels, those of skipped pictures included.
        ids: pictures that were encoded.
        labels: class of each, or None.
        footprints: outline of each on the ground, or None.
        x: (n, D) float32.
        grids: note of the file of their token grids, or None when none are kept.
        skipped: pictures that could not be encoded.
        views: (n, V - 1, D) float32, vectors of the augmented views, or None when there are none.
    """

    pictures: str
    ids: Sequence[str]
    labels: Sequence[str | None]
    footprints: Sequence[Footprint | None]
    x: npt.NDArray[np.float32]
    grids: GridNote | None
    skipped: Sequence[SkippedPicture]
    views: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class PartNotes:
    """What the footer of a part says.

    Attributes:
        pictures: digest of the listing of this part.
        count: pictures that were encoded.
        grids: note of the file of their token grids, or None.
        skipped: pictures that could not be encoded.
    """

    pictures: str
    count: int
    grids: GridNote | None
    skipped: Sequence[SkippedPicture]


def write_part(path: Path, rows: PartRows) -> None:
    """Write one part, whole or not at all; equal rows give equal bytes.

    Raises:
        StoreError: the part cannot be written (no permission, disk full).
    """
    columns: dict[str, Any] = {
        "id": pa.array(rows.ids, pa.string()),
        "label": pa.array(rows.labels, pa.string()),
        "geometry": pa.array([None if f is None else f.wkb for f in rows.footprints], pa.binary()),
        "embedding": _fixed(rows.x, pa.float32()),
    }
    if rows.views is not None:
        columns["views"] = _fixed(rows.views.reshape(len(rows.ids), int(np.prod(rows.views.shape[1:]))), pa.float32())
    skipped = [[s.id, s.reason] for s in rows.skipped]
    schema = pa.schema(
        [pa.field(name, array.type, nullable=name in ("label", "geometry")) for name, array in columns.items()],
        metadata={
            b"geo": json.dumps(geo_metadata([f for f in rows.footprints if f is not None]), sort_keys=True).encode(),
            _SKIPPED: json.dumps(skipped, ensure_ascii=False).encode(),
            _PICTURES: rows.pictures.encode(),
            **({_GRIDS: json.dumps(asdict(rows.grids), sort_keys=True).encode()} if rows.grids else {}),
        },
    )
    with replacing(path) as temporary:
        # Plain and uncompressed: vectors do not compress, and a reader copies pages as they are.
        pq.write_table(
            pa.table(list(columns.values()), schema=schema),
            temporary,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
            row_group_size=max(len(rows.ids), 1),
        )


def read_part(path: Path, columns: Sequence[str]) -> Any:
    """Return columns of one part as an Arrow table; every page is checked against its checksum.

    Raises:
        StoreError: the part is damaged; the file and the remedy are named.
    """
    try:
        return pq.read_table(path, columns=list(columns), memory_map=True, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path) from error


def read_notes(path: Path) -> PartNotes:
    """Return what the footer of a part says; nothing else of it is read.

    Raises:
        StoreError: the footer is damaged.
    """
    try:
        footer = pq.read_metadata(path, memory_map=True)
        notes = footer.metadata or {}
        skipped = [SkippedPicture(*entry) for entry in json.loads(notes[_SKIPPED])]
        grids = GridNote(**json.loads(notes[_GRIDS])) if _GRIDS in notes else None
        return PartNotes(notes[_PICTURES].decode(), footer.num_rows, grids, skipped)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise damaged(path) from error


def vectors(column: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a FixedSizeList column as an array (rows, *shape), without a copy where it is one chunk."""
    chunks = [chunk.flatten().to_numpy(zero_copy_only=True) for chunk in column.chunks]
    flat = chunks[0] if len(chunks) == 1 else np.concatenate(chunks or [np.empty(0, np.float32)])
    return flat.reshape(-1, *shape)


def _fixed(rows_NK: npt.NDArray[Any], kind: Any) -> Any:
    width = rows_NK.shape[1]
    values = pa.array(np.ascontiguousarray(rows_NK).reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(values, type=pa.list_(pa.field("element", kind, nullable=False), width))
