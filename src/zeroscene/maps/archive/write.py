"""Writing a partition of an archive: equal windows give equal bytes, and the file is whole or absent."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import replacing
from zeroscene.maps.archive.footprints import Outlines, box_column, metadata
from zeroscene.maps.archive.partition import FORMAT, GROUP, NOTES, Matrix
from zeroscene.maps.archive.source import Source, Windows


def write(
    path: Path,
    encoder: EncoderIdentity,
    width: int,
    kind: str,
    sources: Sequence[Source],
    windows: Windows,
    x: Iterable[Matrix],
    skipped: Sequence[tuple[str, str, str]] = (),
) -> None:
    """Write a partition, whole or not at all; equal windows give equal bytes.

    Args:
        path: the file.
        encoder: what made the vectors.
        width: D.
        kind: `raster` for the windows of a raster, `pictures` for whole pictures.
        sources: the rasters.
        windows: N windows.
        x: (n, D) float32, blocks of the N vectors in their order.
        skipped: path, reason and fingerprint of pictures that could not be encoded.

    Raises:
        StoreError: it cannot be written.
    """
    outlines = windows.outlines(sources)
    notes = {
        "format": FORMAT, "kind": kind, "encoder": encoder.to_json(), "width": width,
        "sources": [source.to_json() for source in sources], "skipped": [list(entry) for entry in skipped],
    }  # fmt: skip
    schema = _schema(width, windows.seen.shape[1]).with_metadata(
        {b"geo": metadata(outlines), NOTES: json.dumps(notes, sort_keys=True).encode()}
    )
    # Plain and uncompressed: vectors do not compress. Statistics of boxes let readers skip what lies apart.
    with replacing(path) as temporary, pq.ParquetWriter(
        temporary, schema, compression="none", use_dictionary=["path"], write_page_checksum=True,
        write_statistics=["bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax", "time"],
    ) as writer:  # fmt: skip
        first = 0
        for block in _in_groups(x, width):
            some = slice(first, first + len(block))
            columns = _columns(windows, Outlines(outlines.corners[some]), sources, some)
            columns["embedding"] = _fixed(block, pa.float32())
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema), row_group_size=GROUP)
            first += len(block)


def _columns(windows: Windows, outlines: Outlines, sources: Sequence[Source], some: slice) -> dict[str, Any]:
    of = windows.source[some]
    return {
        "path": pa.array([sources[k].path for k in of.tolist()], pa.string()),
        "source": pa.array(of, pa.int32()),
        "row": pa.array(windows.row[some], pa.int32()),
        "column": pa.array(windows.column[some], pa.int32()),
        "seen": _fixed(windows.seen[some], pa.int32()),
        "time": pa.array([sources[k].time for k in of.tolist()], pa.timestamp("ms", tz="UTC")),
        "bbox": box_column(outlines),
        "geometry": outlines.wkb(),
    }


def _schema(width: int, cells: int) -> Any:
    def fixed(kind: Any, size: int) -> Any:
        return pa.list_(pa.field("element", kind, nullable=False), size)

    sides = [pa.field(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")]
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("source", pa.int32(), nullable=False),
            pa.field("row", pa.int32(), nullable=False),
            pa.field("column", pa.int32(), nullable=False),
            pa.field("seen", fixed(pa.int32(), cells), nullable=False),
            pa.field("time", pa.timestamp("ms", tz="UTC")),
            pa.field("bbox", pa.struct(sides)),
            pa.field("geometry", pa.binary()),
            pa.field("embedding", fixed(pa.float32(), width), nullable=False),
        ]
    )


def _in_groups(blocks: Iterable[Matrix], width: int) -> Iterator[Matrix]:
    """Yield the same rows in groups of `GROUP`, the last one smaller; one group at least."""
    held: list[Matrix] = [np.empty((0, width), np.float32)]
    count, any_yet = 0, False
    for block in blocks:
        held.append(block)
        count += len(block)
        while count >= GROUP:
            joined = np.concatenate(held)
            yield joined[:GROUP]
            held, count, any_yet = [joined[GROUP:]], count - GROUP, True
    if count or not any_yet:
        yield np.concatenate(held)


def _fixed(rows_NK: npt.NDArray[Any], kind: Any) -> Any:
    width = rows_NK.shape[1]
    values = pa.array(np.ascontiguousarray(rows_NK).reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(values, type=pa.list_(pa.field("element", kind, nullable=False), width))
