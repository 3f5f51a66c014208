"""Windows of an archive with their answers: rows of an Arrow table, and the files that they are written to."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from zeroscene.errors import OptionError
from zeroscene.files import replacing
from zeroscene.maps.archive.footprints import Outlines, box_column, metadata
from zeroscene.maps.archive.partition import Partition
from zeroscene.maps.archive.source import Indices
from zeroscene.maps.archive.time import iso
from zeroscene.methods.store_scores import Best

TOGETHER: Final = 65_536
SUFFIXES: Final = (".csv", ".parquet", ".geojson")
_PLACE: Final = ("longitude", "latitude", "west", "south", "east", "north")
_SCHEMA: Final = pa.schema(
    [
        ("class", pa.string()), ("probability", pa.float32()), ("score", pa.float32()), ("margin", pa.float32()),
        ("second", pa.string()), ("raster", pa.string()), ("row", pa.int32()), ("column", pa.int32()),
        ("time", pa.string()), ("share", pa.float32()), *((name, pa.float64()) for name in _PLACE),
        ("geometry", pa.binary()),
    ]
)  # fmt: skip


def rows_of(partition: Partition, rows: Indices, best: Best) -> Any:
    """Return windows with their answers as an Arrow table.

    Columns: class, its probability (null where it has none), score, margin before the class `second` (null where there
    is but one), raster, row and column of the window, time (ISO 8601), share with data, longitude and latitude of its
    middle, bounds in degrees, geometry (WKB).

    Args:
        partition: the partition.
        rows: (n,) positions of the windows in it, rising.
        best: of these windows.
    """
    windows, outlines = partition.placed(rows)
    sources = [partition.sources[k] for k in windows.source.tolist()]
    classes = np.array([*best.classes, None], object)
    size = [s.layout.window[0] * s.layout.window[1] for s in sources]
    columns: dict[str, Any] = {
        "class": classes[best.best].tolist(),
        "probability": best.probability,
        "score": best.score,
        "margin": pa.array(best.margin, pa.float32(), from_pandas=True),
        "second": classes[best.second].tolist(),
        "raster": [s.path for s in sources],
        "row": windows.row,
        "column": windows.column,
        "time": [iso(s.time) for s in sources],
        "share": (windows.seen.sum(axis=1) / np.array(size, np.float64)).astype(np.float32),
        "geometry": outlines.wkb(),
    }
    places = np.concatenate([outlines.centres, outlines.boxes], axis=1)
    for i, name in enumerate(_PLACE):
        columns[name] = pa.array(places[:, i], pa.float64(), from_pandas=True)
    if best.probability is None:
        columns["probability"] = pa.nulls(len(rows), pa.float32())
    return pa.table({field.name: columns[field.name] for field in _SCHEMA}, schema=_SCHEMA)


def joined(tables: Sequence[Any]) -> Any:
    """Return tables of windows as one."""
    return pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks()


def check_suffix(path: Path) -> None:
    """Refuse a file that windows cannot be written to.

    Raises:
        OptionError: its suffix is none of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"cannot write {path.name}: windows go to {', '.join(SUFFIXES)}")


def csv(table: Any) -> str:
    """Return windows as CSV, without the geometry."""
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(table.drop_columns(["geometry"]), sink)
    return str(sink.getvalue().to_pybytes().decode())


def write_rows(path: Path, tables: Iterator[Any]) -> int:
    """Write windows as .csv (with bounds), .parquet (GeoParquet) or .geojson, whole or not at all; return how many.

    Raises:
        OptionError: another suffix.
        StoreError: the file cannot be written.
    """
    check_suffix(path)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            return _write_csv(temporary, tables)
        if path.suffix.lower() == ".parquet":
            return _write_parquet(temporary, tables)
        return _write_geojson(temporary, tables)


def _write_csv(path: Path, tables: Iterable[Any]) -> int:
    count = 0
    schema = pa.schema([field for field in _SCHEMA if field.name != "geometry"])
    with pa.csv.CSVWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table.drop_columns(["geometry"]))
            count += len(table)
    return count


def _write_parquet(path: Path, tables: Iterable[Any]) -> int:
    table = joined(list(tables))
    outlines = Outlines.of_wkb(table["geometry"])
    table = table.append_column("bbox", box_column(outlines))
    pq.write_table(table.replace_schema_metadata({b"geo": metadata(outlines)}), path, compression="zstd")
    return len(table)


def _write_geojson(path: Path, tables: Iterable[Any]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for table in tables:
            outlines = Outlines.of_wkb(table["geometry"])
            for row, corners, known in zip(
                table.drop_columns(["geometry"]).to_pylist(), outlines.corners, outlines.known, strict=True
            ):
                geometry = _polygon(corners) if known else None
                feature = {"type": "Feature", "properties": _plain(row), "geometry": geometry}
                file.write(("," if count else "") + "\n" + json.dumps(feature, ensure_ascii=False, allow_nan=False))
                count += 1
        file.write("\n]}\n")
    return count


def _polygon(corners: Any) -> dict[str, Any]:
    parts, _ = Outlines(corners[None]).parts()
    rings = [[[*(ring.tolist()), ring[0].tolist()]] for ring in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings[0]}
    return {"type": "MultiPolygon", "coordinates": rings}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: float(f"{value:.7g}") if name in ("probability", "score", "margin", "share") and value is not None
            else value for name, value in row.items()}  # fmt: skip
