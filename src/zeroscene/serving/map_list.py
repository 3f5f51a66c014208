"""Maps of many rasters, each in a folder of its own: in this process, or with the workers of a cluster."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from zeroscene.errors import DuplicateNameError, PictureError, ZeroSceneError
from zeroscene.files import digest, remove_folder
from zeroscene.maps.cluster import Cluster, Job
from zeroscene.maps.mapping import MapOptions
from zeroscene.maps.outputs import check_folder
from zeroscene.scenes.geo import GeoRaster
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.maps import WORK, Windows, write_map

MAP: Final = "map.tif"

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
) -> list[Mapped]:
    """Write the map of each raster; interrupted, the same call encodes nothing again.

    One raster has its map in `out` itself; of several, each has a folder in it that is called as the raster is. What
    is made does not depend on who makes it. With a cluster, rasters and `out` lie where every worker sees them.

    Args:
        rasters: the files.
        making: how.
        out: the folder.
        store: folder that keeps the vectors of windows; without one they are removed when all maps are whole.
        ray: the cluster; None for this process.

    Raises:
        DuplicateNameError: two of the rasters have the same content.
        ZeroSceneError: as for `maps.write_map`; a raster of several that fails is told when the others are done.
    """
    labeller = _opened(making.maker())
    encoder = labeller.eye()
    opened = [GeoRaster.open(path, making.bands) for path in rasters]
    folders = _folders(opened, out)
    kept = out if store is None else store
    jobs = []
    for raster in opened:
        layout = making.windows.layout(raster, encoder)
        layout = replace(layout, notes=(*labeller.notes, *layout.notes))
        own = digest(raster.fingerprint, layout.fingerprint, encoder.identity.fingerprint)
        work = kept / (f"{WORK}{own}" if store is None or len(rasters) > 1 else "")
        jobs.append(Job(raster.path.resolve(), making.bands, layout, work.resolve()))
    given = [(job, folder.resolve()) for job, folder in zip(jobs, folders, strict=True)]
    try:
        for folder in folders:
            check_folder(folder)
        if ray is not None:
            ray.encode(jobs, partial(_eye, making.maker), encoder)
            said = ray.each(partial(_Mapper, making), given)
        else:
            said = _one_by_one(_Mapper(making, labeller), given)
    finally:
        for folder in folders:
            with suppress(OSError):  # it holds a map
                folder.rmdir()
    if store is None:
        for job in jobs:
            remove_folder(job.work)
    return [
        Mapped(raster, folder, value["summary"], value["cells"], tuple(value["notes"]))
        for raster, folder, value in zip(rasters, folders, said, strict=True)
    ]


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
        except PictureError:  # vectors of a raster that is broken will never be whole
            remove_folder(job.work)
            raise
        return {"summary": made.summary, "cells": made.counts(), "notes": list(made.provenance["notes"])}


def _one_by_one(mapper: _Mapper, given: Sequence[tuple[Job, Path]]) -> list[dict[str, Any]]:
    """Map all that can be, then raise the first error, as `Cluster.each` does."""
    said: list[dict[str, Any]] = []
    first: ZeroSceneError | None = None
    for one in given:
        try:
            said.append(mapper(one))
        except ZeroSceneError as error:
            first = first or error
    if first is not None:
        raise first
    return said


def _opened(labeller: Labeller) -> Labeller:
    """Return a labeller that opens its encoder no more than this once."""
    encoder = labeller.eye()
    return replace(labeller, eye=lambda: encoder)


def _eye(maker: Maker) -> Any:
    return maker().eye()


def _folders(rasters: Sequence[GeoRaster], out: Path) -> list[Path]:
    """Return the folder of each map: the name of its raster, with the fingerprint where two have the same name."""
    seen: dict[str, Path] = {}
    for raster in rasters:
        if (other := seen.setdefault(raster.fingerprint, raster.path)) is not raster.path:
            raise DuplicateNameError(f"{other} and {raster.path} have the same content; give one of them")
    if len(rasters) == 1:
        return [out]
    stems = [raster.path.stem for raster in rasters]
    return [
        out / (stem if stems.count(stem) == 1 else f"{stem}-{raster.fingerprint}")
        for raster, stem in zip(rasters, stems, strict=True)
    ]
