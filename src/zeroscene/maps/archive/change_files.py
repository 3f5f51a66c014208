"""The files of a change: a map and the plain bands for each raster of the later date, tables for all of them."""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio

from zeroscene.errors import StoreError
from zeroscene.files import read_json, replacing, write_json, write_text
from zeroscene.maps.archive.change import Change
from zeroscene.maps.archive.footprints import Outlines
from zeroscene.maps.archive.maps import folders
from zeroscene.maps.archive.time import iso
from zeroscene.maps.ground import cell_areas, placed

FORMAT: Final = "zeroscene-change-1"
BANDS: Final = ("before", "after", "probability")
CELLS, TRANSITIONS, RUN, RASTER = "cells.csv", "transitions.csv", "run.json", "change.tif"
_NODATA: Final = -1.0


def write_changes(changes: Iterable[Change], out: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Write what changed into a folder, and return its summary.

    `cells.csv` lists cells that changed or are unsure, `transitions.csv` how many went from which class to which. Each
    raster with cells that were seen at both dates has a folder with a map (`scene_map`) and `change.tif`, whose bands
    are the positions of the class before and after and the probability of a change; -1 where one of the dates is
    missing. `run.json` comes last.

    Args:
        changes: one raster of the later date after the other.
        out: the folder; made if it is not there.
        made: how the changes were made, a JSON value.

    Raises:
        StoreError: the folder cannot be written, or holds other things.
    """
    totals: Counter[tuple[str, str]] = Counter()
    hectares: defaultdict[tuple[str, str], float] = defaultdict(float)
    rasters: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    _begin(out)
    with replacing(out / CELLS) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_HEAD)
        for change in changes:
            table.writerows(_rows(change))
            areas = _hectares(change)
            for pair, count in change.transitions().items():
                totals[pair] += count
                hectares[pair] += areas.get(pair, 0)
            name = _folder(change, names)
            _write_raster(change, out / name, made)
            rasters.append(_told(change, name))
    write_text(out / TRANSITIONS, _transitions(totals, hectares))
    changed = sum(r["changed"] for r in rasters)
    summary = {
        "format": FORMAT, "finished": True, **made, "rasters": rasters, "cells": sum(totals.values()),
        "changed": changed, "unsure": sum(r["unsure"] for r in rasters),
        "transitions": [
            {"before": b, "after": a, "cells": n, "hectares": round(hectares[b, a], 4)} for (b, a), n in _sorted(totals)
        ],
    }  # fmt: skip
    write_json(out / RUN, summary)
    return summary


_HEAD: Final = (
    "before", "after", "probability", "state", "raster", "row", "column", "x", "y", "longitude", "latitude",
)  # fmt: skip


def _begin(out: Path) -> None:
    """Mark the folder as that of a change that is not finished."""
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    if there:
        run = read_json(out / RUN) if RUN in there else None
        if not isinstance(run, dict) or run.get("format") != FORMAT:
            raise StoreError(f"{out} holds other things than a change ({there[0]}, ...); give a new or empty folder")
    write_json(out / RUN, {"format": FORMAT, "finished": False})


def _rows(change: Change) -> Iterator[tuple[Any, ...]]:
    """Yield the cells that changed or are unsure, the most probable change first."""
    rows, columns = np.nonzero(change.changed | change.unsure)
    order = np.argsort(-change.probability[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    layout = change.source.layout
    top, left = rows * layout.stride[0], columns * layout.stride[1]
    boxes = np.stack([top, left, top + layout.stride[0], left + layout.stride[1]], axis=1)
    middle = Outlines.of(change.crs, change.source.transform, boxes).centres
    xs, ys = placed(change.transform, columns.astype(np.float64) + 0.5, rows.astype(np.float64) + 0.5)
    for i, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        place = ["" if not np.isfinite(v) else f"{v:.7f}" for v in middle[i]]
        state = "changed" if change.changed[row, column] else "unsure"
        b, a = change.before[row, column], change.after[row, column]
        yield (
            change.classes[b], change.classes[a], f"{change.probability[row, column]:.6g}", state, change.source.path,
            row, column, f"{xs[i]:.10g}", f"{ys[i]:.10g}", *place,
        )  # fmt: skip


def _hectares(change: Change) -> dict[tuple[str, str], float]:
    layout = change.source.layout
    ground = cell_areas(change.transform, change.crs, layout.shape, layout.covered)
    if ground is None:
        return {}
    found: dict[tuple[str, str], float] = {}
    for b, a in change.transitions():
        own = (change.before == change.classes.index(b)) & (change.after == change.classes.index(a))
        found[b, a] = float(ground[own & change.known].sum()) / 1e4
    return found


def _folder(change: Change, names: dict[str, str]) -> str:
    name = folders([change.source])[change.source.fingerprint]
    if name in names.values():
        name = f"{name}-{change.source.fingerprint}"
    names[change.source.fingerprint] = name
    return name


def _write_raster(change: Change, folder: Path, made: dict[str, Any]) -> None:
    shown = change.as_map({**made, "raster": _source(change), "notes": notes(change)})
    if shown is None:
        return
    shown.write(folder)
    rows, columns = change.probability.shape
    form = {
        "driver": "COG", "height": rows, "width": columns, "count": len(BANDS), "dtype": "float32", "nodata": _NODATA,
        "crs": change.crs, "transform": change.transform, "compress": "deflate", "predictor": "yes",
        "overview_resampling": "nearest", "bigtiff": "if_safer",
    }  # fmt: skip
    bands = [np.where(change.known, band, _NODATA) for band in (change.before, change.after, change.probability)]
    with replacing(folder / RASTER) as temporary, rasterio.open(temporary, "w", **form) as file:
        file.write(np.stack(bands).astype(np.float32))
        file.descriptions = BANDS
        file.update_tags(FORMAT=FORMAT, CLASSES=json.dumps(list(change.classes), ensure_ascii=False))


def notes(change: Change) -> list[str]:
    """Return what a user should know of the comparison, a sentence each."""
    if not change.earlier:
        return ["no raster of the earlier date covers it"]
    if not change.distance:
        return []
    return [
        "the grids differ: cells were compared with those in which their centres lie, whose own centres are up to "
        f"{change.distance:.2g} cells away"
    ]


def _source(change: Change) -> dict[str, Any]:
    return {
        "path": change.source.path, "fingerprint": change.source.fingerprint, "time": iso(change.source.time),
        "compared_with": [{"path": s.path, "time": iso(s.time)} for s in change.earlier],
    }  # fmt: skip


def _told(change: Change, name: str) -> dict[str, Any]:
    return {
        **_source(change), "folder": name if change.known.any() else None, "cells": int(change.known.sum()),
        "changed": int(change.changed.sum()), "unsure": int(change.unsure.sum()), "notes": notes(change),
    }  # fmt: skip


def _sorted(totals: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(totals.items(), key=lambda item: (-item[1], item[0]))


def _transitions(totals: Counter[tuple[str, str]], hectares: Mapping[tuple[str, str], float]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("before", "after", "cells", "hectares"))
    table.writerows((b, a, n, f"{hectares[b, a]:.4f}") for (b, a), n in _sorted(totals))
    return text.getvalue()
