"""Maps of many rasters, each in a folder of its own: in this process, or with the workers of a cluster."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from zeroscene import errors
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import DatasetNotFoundError, DuplicateNameError, OptionError, PictureError, ZeroSceneError
from zeroscene.files import digest, remove_folder
from zeroscene.maps.archive.add import reason
from zeroscene.maps.cluster import Cluster, Job
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions
from zeroscene.maps.outputs import check_folder
from zeroscene.scenes.geo import GeoRaster
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.maps import WORK, Windows, require_apart, write_map

MAP: Final = "map.tif"
_OF_THE_RASTER: Final = (PictureError, OptionError)

Maker = Callable[[], Labeller]
"""Makes what answers; what it is made of can be sent to other processes."""


@dataclass(frozen=True)
class Mapped:
    """What became of a raster.

    Attributes:
        raster: the file.
        folder: of its map.
        summary: of the map, a sentence.
        cells: number of cells of each class.
        notes: what a user should know, a sentence each.
    """

    raster: Path
    folder: Path
    summary: str
    cells: dict[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {"raster": str(self.raster), "map": str(self.folder / MAP), "cells": self.cells}


@dataclass(frozen=True)
class Unmapped:
    """A raster that has no map.

    Attributes:
        raster: the file.
        reason: why, a line.
    """

    raster: Path
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {"raster": str(self.raster), "reason": self.reason}


@dataclass(frozen=True)
class Making:
    """How rasters are mapped.

    Attributes:
        maker: makes what answers.
        windows: how they are cut.
        options: how windows become a map.
        bands: as for `GeoRaster.open`.
    """

    maker: Maker
    windows: Windows
    options: MapOptions
    bands: tuple[int, ...] | None = None


def write_maps(
    rasters: Sequence[Path],
    making: Making,
    out: Path,
    *,
    store: Path | None = None,
    ray: Cluster | None = None,
) -> list[Mapped | Unmapped]:
    """Write the map of each raster; interrupted, the same call encodes nothing again.

    One raster has its map in `out` itself; of several, each has a folder in it that is called as the raster is, and
    those that cannot be read or cut are left out. What is made does not depend on who makes it. With a cluster,
    rasters and `out` lie where every worker sees them.

    Args:
        rasters: the files.
        making: how.
        out: the folder.
        store: folder that keeps the vectors of windows; without one they are removed when all maps are whole.
        ray: the cluster; None for this process.

    Returns:
        What became of each raster, in their order.

    Raises:
        DuplicateNameError: two of the rasters have the same content.
        ZeroSceneError: as for `maps.write_map`; of what is wrong with a raster only where none has a map.
    """
    labeller = _opened(making.maker())
    encoder = labeller.eye()
    opened, failed = _cut(rasters, making, encoder)
    folders = _folders([raster for raster, _ in opened], out, len(rasters) == 1)
    kept, new = out if store is None else store, not out.exists()
    given = []
    for (raster, layout), folder in zip(opened, folders, strict=True):
        layout = replace(layout, notes=(*labeller.notes, *layout.notes))
        own = digest(raster.fingerprint, layout.fingerprint, encoder.identity.fingerprint)
        work = kept / (f"{WORK}{own}" if store is None or len(rasters) > 1 else "")
        given.append((Job(raster.path.resolve(), making.bands, layout, work.resolve()), folder.resolve()))
    try:
        for job, folder in given:
            require_apart(job.work, folder)
            check_folder(folder)
        if ray is not None:
            ray.encode([job for job, _ in given], partial(_eye, making.maker), encoder)
            said = ray.each(partial(_Mapper, making), given)
        else:
            said = list(map(_Mapper(making, labeller), given))
    finally:
        for folder in folders:
            with suppress(OSError):  # it holds a map
                folder.rmdir()
    if store is None:
        for job, _ in given:
            remove_folder(job.work)
    made: dict[Path, Mapped] = {}
    for (raster, _), folder, value in zip(opened, folders, said, strict=True):
        if "error" in value:
            failed[raster.path] = getattr(errors, value["error"])(value["message"])
        else:
            made[raster.path] = Mapped(raster.path, folder, value["summary"], value["cells"], tuple(value["notes"]))
    if not made:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise failed[rasters[0]]
    return [made[path] if path in made else Unmapped(path, reason(failed[path], path)) for path in rasters]


def _cut(
    rasters: Sequence[Path], making: Making, encoder: ImageEncoder
) -> tuple[list[tuple[GeoRaster, Layout]], dict[Path, ZeroSceneError]]:
    """Return the rasters with the layout of each, and what is wrong with those that cannot be read or cut."""
    opened: list[tuple[GeoRaster, Layout]] = []
    failed: dict[Path, ZeroSceneError] = {}
    for path in rasters:
        try:
            raster = GeoRaster.open(path, making.bands)
            opened.append((raster, making.windows.layout(raster, encoder)))
        except (DatasetNotFoundError, *_OF_THE_RASTER) as error:
            failed[path] = error
    return opened, failed


class _Mapper:
    """Writes maps, of windows that are encoded or not."""

    def __init__(self, making: Making, labeller: Labeller | None = None):
        self._making = making
        self._labeller = labeller or _opened(making.maker())

    def __call__(self, given: tuple[Job, Path]) -> dict[str, Any]:
        (job, folder), how = given, self._making
        raster = GeoRaster.open(job.path, how.bands)
        try:
            made = write_map(raster, self._labeller, folder, how.windows, how.options, store=job.work)
        except _OF_THE_RASTER as error:
            return {"error": type(error).__name__, "message": str(error)}
        return {"summary": made.summary, "cells": made.counts(), "notes": list(made.provenance["notes"])}


def _opened(labeller: Labeller) -> Labeller:
    """Return a labeller that opens its encoder no more than this once."""
    encoder = labeller.eye()
    return replace(labeller, eye=lambda: encoder)


def _eye(maker: Maker) -> Any:
    return maker().eye()


def _folders(rasters: Sequence[GeoRaster], out: Path, alone: bool) -> list[Path]:
    """Return the folder of each map: the name of its raster, with the fingerprint where two have the same name."""
    seen: dict[str, Path] = {}
    for raster in rasters:
        if (other := seen.setdefault(raster.fingerprint, raster.path)) is not raster.path:
            raise DuplicateNameError(f"{other} and {raster.path} have the same content; give one of them")
    if alone:
        return [out] * len(rasters)
    stems = [raster.path.stem for raster in rasters]
    return [
        out / (stem if stems.count(stem) == 1 else f"{stem}-{raster.fingerprint}")
        for raster, stem in zip(rasters, stems, strict=True)
    ]
