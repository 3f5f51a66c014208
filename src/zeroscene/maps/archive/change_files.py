"""The files of a change: a map and the plain bands for each raster of the later date, tables for all of them."""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from math import isnan, nan
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio

from zeroscene.errors import StoreError
from zeroscene.files import read_json, remove_folder, replacing, write_json, write_text
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
    missing. `run.json` comes last. Hectares of what has no place on the ground are not known: empty, and null.

    A folder that holds another change takes this one, and folders of rasters that are not among these go. It is left as
    it is where the question is refused.

    Args:
        changes: one raster of the later date after the other.
        out: the folder; made if it is not there.
        made: how the changes were made, a JSON value.

    Raises:
        StoreError: the folder cannot be written, or holds other things.
        ZeroSceneError: what `change` raises, where the changes come from it.
    """
    earlier = _earlier(out)
    coming = iter(changes)
    first = list(islice(coming, 1))  # a question that cannot be answered is refused here
    totals: Counter[tuple[str, str]] = Counter()
    hectares: defaultdict[tuple[str, str], float] = defaultdict(float)
    rasters: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    _begin(out, earlier)
    with replacing(out / CELLS) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(_HEAD)
        for change in chain(first, coming):
            table.writerows(_rows(change))
            areas = _hectares(change)
            for pair, count in change.transitions().items():
                totals[pair] += count
                hectares[pair] += areas.get(pair, nan)
            name = _folder(change, names)
            if name not in earlier:
                earlier.append(name)
                _begin(out, earlier)
            told = notes(change, alone=not rasters)
            _write_raster(change, out / name, made, told)
            rasters.append(_told(change, name, told))
    write_text(out / TRANSITIONS, _transitions(totals, hectares))
    for name in {*earlier} - {r["folder"] for r in rasters}:
        remove_folder(out / name)
    changed = sum(r["changed"] for r in rasters)
    summary = {
        "format": FORMAT, "finished": True, **made, "rasters": rasters, "cells": sum(totals.values()),
        "changed": changed, "unsure": sum(r["unsure"] for r in rasters),
        "transitions": [
            {"before": b, "after": a, "cells": n, "hectares": None if isnan(area) else round(area, 4)}
            for (b, a), n, area in _sorted(totals, hectares)
        ],
    }  # fmt: skip
    write_json(out / RUN, summary)
    return summary


_HEAD: Final = (
    "before", "after", "probability", "state", "raster", "row", "column", "x", "y", "longitude", "latitude",
)  # fmt: skip


def _earlier(out: Path) -> list[str]:
    """Return the folders of rasters that an earlier change left.

    Raises:
        StoreError: the folder holds other things than a change.
    """
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    if not there:
        return []
    run = read_json(out / RUN) if RUN in there else None
    if not isinstance(run, dict) or run.get("format") != FORMAT:
        raise StoreError(f"{out} holds other things than a change ({there[0]}, ...); give a new or empty folder")
    named = {raster.get("folder") for raster in run.get("rasters", [])}
    return [name for name in there if name in named and (out / name).is_dir()]


def _begin(out: Path, folders: Sequence[str]) -> None:
    """Mark the folder as that of a change that is not finished, with the folders of rasters that may be in it."""
    write_json(out / RUN, {"format": FORMAT, "finished": False, "rasters": [{"folder": name} for name in folders]})


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


def _write_raster(change: Change, folder: Path, made: dict[str, Any], told: list[str]) -> None:
    shown = change.as_map({**made, "raster": _source(change), "notes": told})
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


def notes(change: Change, alone: bool = True) -> list[str]:
    """Return what a user should know of the comparison, a sentence each.

    Args:
        change: the comparison.
        alone: no later raster can have taken its cells.
    """
    if not (change.after >= 0).any():
        return [
            "none of its cells has data"
            if alone
            else "none of its cells is left: later rasters of the later time saw the same ground, and count there"
        ]
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


def _told(change: Change, name: str, told: list[str]) -> dict[str, Any]:
    return {
        **_source(change), "folder": name if change.known.any() else None, "cells": int(change.known.sum()),
        "changed": int(change.changed.sum()), "unsure": int(change.unsure.sum()), "notes": told,
    }  # fmt: skip


def _sorted(
    totals: Counter[tuple[str, str]], hectares: Mapping[tuple[str, str], float]
) -> list[tuple[tuple[str, str], int, float]]:
    order = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    return [(pair, count, hectares[pair]) for pair, count in order]


def _transitions(totals: Counter[tuple[str, str]], hectares: Mapping[tuple[str, str], float]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("before", "after", "cells", "hectares"))
    rows = _sorted(totals, hectares)
    table.writerows((b, a, n, "" if isnan(area) else f"{area:.4f}") for (b, a), n, area in rows)
    return text.getvalue()
