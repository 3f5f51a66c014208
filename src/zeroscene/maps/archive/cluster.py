"""Adding rasters to an archive on Ray: the same partitions, byte for byte, as one process writes."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import OptionError, PictureError
from zeroscene.maps.archive.add import Adding, Told, add_one, require_encoder, require_one
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.partition import Partition, id_of
from zeroscene.maps.cluster import Cluster, Job
from zeroscene.maps.layout import Layout
from zeroscene.scenes.geo import GeoRaster

_OPENERS: Final = 8  # threads that open rasters

# By fingerprint: the raster as it was given, and what is to be encoded.
_Jobs = dict[str, tuple[Path, Job]]


def add_rasters_on(
    ray: Cluster,
    archive: Archive,
    rasters: Sequence[Path],
    encoder: Callable[[], ImageEncoder],
    adding: Adding | None = None,
    tell: Callable[[Told], None] = lambda told: None,
) -> list[Told]:
    """Do what `add.add_rasters` does, with the workers of a cluster.

    Rasters and archive lie where every worker sees them under the same path.

    Args:
        ray: the cluster.
        archive: the archive.
        rasters: the files.
        encoder: makes the archive's encoder; called here, and once in each worker.
        adding: how.
        tell: called with what became of each, in order, when all is done.

    Raises:
        EncoderMismatchError: it is another encoder; both are named.
        PictureError: not one of the rasters could be read.
        StoreError: another run is adding, the folder cannot be written, or workers do not see what they should.
    """
    adding, own = adding or Adding(), encoder()
    require_encoder(archive, own)
    with archive.writing():
        there = {source.fingerprint: partition for partition in archive.partitions() for source in partition.sources}
        jobs = _jobs(archive, rasters, adding, there)
        ray.encode([job for _, job in jobs.values()], encoder, own)
        here = replace(archive, path=archive.path.resolve())
        values = ray.each(partial(_Adder, here, encoder, adding), [job.path for _, job in jobs.values()])
        added: dict[Path, Told] = {}
        for (fingerprint, (path, _)), value in zip(jobs.items(), values, strict=True):
            added[path] = told = Told(**{**value, "path": str(path), "notes": tuple(value["notes"])})
            if told.state == "added":
                there[fingerprint] = Partition.open(archive.file(id_of([fingerprint])))
        done = []
        for path in rasters:
            done.append(added[path] if path in added else add_one(archive, path, own, adding, there))
            tell(done[-1])
    require_one(done)
    return done


def _jobs(archive: Archive, rasters: Sequence[Path], adding: Adding, there: Mapping[str, Partition]) -> _Jobs:
    """Return what is to be encoded, each content once; rasters that cannot be opened are left out.

    Rasters are opened here, by threads: only who has seen all of them knows which are the same.
    """

    def job(path: Path) -> tuple[str, tuple[Path, Job]] | None:
        try:
            raster = GeoRaster.open(path, adding.bands)
            layout = Layout.of(raster, archive.cutting.window, archive.cutting.overlap, adding.gsd)
            adding.rule.time(path)
        except (PictureError, OptionError):
            return None
        work = archive.work(id_of([raster.fingerprint])).resolve()
        return raster.fingerprint, (path, Job(path.resolve(), adding.bands, layout, work, adding.batch))

    jobs: _Jobs = {}
    with ThreadPoolExecutor(_OPENERS, "open") as pool:
        for found in pool.map(job, rasters):
            if found is not None and found[0] not in there:
                jobs.setdefault(*found)
    return jobs


class _Adder:
    """Adds rasters whose windows are encoded; made in each worker."""

    def __init__(self, archive: Archive, encoder: Callable[[], ImageEncoder], adding: Adding):
        self._archive, self._encoder, self._adding = archive, encoder(), adding

    def __call__(self, path: Path) -> dict[str, Any]:
        return add_one(self._archive, path, self._encoder, self._adding, {}).to_json()
