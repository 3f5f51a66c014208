"""Adding to an archive: rasters cut into windows, or pictures that are one window each, each encoded once.

A raster that is there already, under any name, is told and left alone. A killed run goes on where it stopped when the
same is asked again, and the files are then the same, byte for byte, as those of a run that was not interrupted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import DatasetNotFoundError, EncoderMismatchError, OptionError, PictureError
from zeroscene.files import remove_folder
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.partition import RASTER, Matrix, Partition, id_of
from zeroscene.maps.archive.source import Source, Windows
from zeroscene.maps.archive.time import TimeRule, iso
from zeroscene.maps.archive.write import write
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.scale import scale_notes, trained_gsd
from zeroscene.maps.vectors import WindowVectors
from zeroscene.scenes.geo import GeoRaster

State = Literal["added", "there", "skipped"]

# A VRT is added when it is named: one that lies among its parts would show them twice.
SUFFIXES: Final = frozenset((".tif", ".tiff", ".jp2", ".img", ".png", ".jpg", ".jpeg"))


@dataclass(frozen=True)
class Told:
    """What became of a raster, or of a picture.

    Attributes:
        path: the file.
        state: added now, there already, or skipped.
        windows: vectors that it has in the archive.
        time: when it was taken, ISO 8601, if known.
        notes: what a user should know, a sentence each; the reason, of one that was skipped.
    """

    path: str
    state: State
    windows: int = 0
    time: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {
            "path": self.path, "state": self.state, "windows": self.windows, "time": self.time,
            "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True)
class Adding:
    """How rasters are added.

    Attributes:
        rule: how the time of each is found.
        bands: as for `GeoRaster.open`.
        gsd: metres a pixel, for rasters whose own is not known or wrong.
        batch: windows that the encoder takes at once, or None.
    """

    rule: TimeRule = field(default_factory=TimeRule)
    bands: tuple[int, ...] | None = None
    gsd: float | None = None
    batch: int | None = None


def rasters_in(places: Sequence[Path]) -> list[Path]:
    """Return the rasters that are named, and those in the folders that are named, at any depth; each once.

    Raises:
        DatasetNotFoundError: a place is not there, or holds no raster.
    """
    found: dict[Path, Path] = {}
    for place in places:
        if not place.exists():
            raise DatasetNotFoundError(f"{place} does not exist")
        own = sorted(_walk(place)) if place.is_dir() else [place]
        if not own:
            raise DatasetNotFoundError(f"{place} holds no raster ({', '.join(sorted(SUFFIXES))})")
        for path in own:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def add_rasters(
    archive: Archive,
    rasters: Sequence[Path],
    encoder: ImageEncoder,
    adding: Adding | None = None,
    tell: Callable[[Told], None] = lambda told: None,
) -> list[Told]:
    """Encode the windows of rasters that are not in the archive yet.

    Args:
        archive: the archive.
        rasters: the files.
        encoder: the archive's encoder.
        adding: how.
        tell: called with what became of each, when it is known.

    Raises:
        EncoderMismatchError: it is another encoder; both are named.
        PictureError: not one of the rasters could be read.
        StoreError: another run is adding, or the folder cannot be written.
    """
    require_encoder(archive, encoder)
    adding = adding or Adding()
    done: list[Told] = []
    with archive.writing():
        there = {source.fingerprint: partition for partition in archive.partitions() for source in partition.sources}
        for path in rasters:
            told = add_one(archive, path, encoder, adding, there)
            done.append(told)
            tell(told)
    require_one(done)
    return done


def require_one(done: Sequence[Told]) -> None:
    """Refuse a run in which nothing could be read.

    Raises:
        PictureError: all was skipped; the first reason is named.
    """
    if done and all(told.state == "skipped" for told in done):
        first = done[0]
        raise PictureError(f"none of {len(done)} could be added ({first.path}: {first.notes[0]})")


def add_one(archive: Archive, path: Path, encoder: ImageEncoder, adding: Adding, there: dict[str, Partition]) -> Told:
    """Add one raster, and return what became of it; for one process at a time, and for more if their rasters differ.

    Args:
        archive: the archive.
        path: the raster.
        encoder: the archive's encoder.
        adding: how.
        there: partitions that the archive has already, by the fingerprints of what they hold; the new one is added.

    Raises:
        StoreError: the archive cannot be written.
    """
    try:
        raster = GeoRaster.open(path, adding.bands)
        if (known := there.get(raster.fingerprint)) is not None:
            return already(path, known, raster.fingerprint, adding.rule)
        layout = _layout(archive, raster, encoder, adding)
        time = adding.rule.time(path)
        name = id_of([raster.fingerprint])
        # Already there, but not known: whoever wrote it died before it could say so.
        if not archive.file(name).is_file():
            vectors = encode_windows(raster, layout, encoder, archive.work(name), batch=adding.batch)
            _write(archive, name, raster, layout, time, vectors)
    except (PictureError, OptionError) as error:
        return Told(str(path), "skipped", notes=(reason(error, path),))
    remove_folder(archive.work(name))
    there[raster.fingerprint] = partition = Partition.open(archive.file(name))
    notes = list(layout.notes)
    if raster.crs is None:
        notes.append("it has no reference system: no question about a region finds it")
    if not len(partition):
        notes.append("no window of it has data")
    return Told(str(path), "added", len(partition), iso(time), tuple(notes))


def _layout(archive: Archive, raster: GeoRaster, encoder: ImageEncoder, adding: Adding) -> Layout:
    """Return where the windows of a raster lie; its notes say what speaks against their scale."""
    layout = Layout.of(raster, archive.cutting.window, archive.cutting.overlap, adding.gsd)
    gsd = raster.gsd if adding.gsd is None else (adding.gsd, adding.gsd)
    notes = scale_notes(encoder, layout, trained_gsd(encoder.identity), gsd)
    return replace(layout, notes=(*layout.notes, *notes))


def _write(
    archive: Archive, name: str, raster: GeoRaster, layout: Layout, time: datetime | None, vectors: WindowVectors
) -> None:
    reading = {
        "bands": list(raster.bands), "dtype": raster.dtype, "block": list(raster.block), "gsd": _listed(raster.gsd),
        "stretch": _listed(raster.stretch), "notes": list(layout.notes),
    }  # fmt: skip
    place = str(raster.path.resolve())
    told = replace(layout, notes=())
    source = Source(place, raster.fingerprint, told, raster.crs, raster.transform, time, reading)
    windows = _windows_of(vectors)
    write(archive.file(name), archive.encoder, archive.width, RASTER, [source], windows, _blocks_of(vectors))


def already(path: Path, known: Partition, fingerprint: str, rule: TimeRule) -> Told:
    """Return what is told of a raster whose content is there."""
    k = next(i for i, source in enumerate(known.sources) if source.fingerprint == fingerprint)
    source, notes = known.sources[k], []
    if source.path != str(path.resolve()):
        notes.append(f"the same content is there as {source.path}")
    if (wished := _wished(rule, path)) is not None and wished != source.time:
        notes.append(
            f"its time stays {iso(source.time) or 'unknown'}, not {iso(wished)}: to change it, delete {known.file} and "
            "add it again"
        )
    count = len(known) if known.kind == RASTER else 1
    return Told(str(path), "there", count, iso(source.time), tuple(notes))


def reason(error: Exception, path: Path) -> str:
    """Return why a raster was skipped, without the path that stands before it anyway."""
    return " ".join(str(error).removeprefix(f"{path}: ").removeprefix(f"{path} ").split())


def _wished(rule: TimeRule, path: Path) -> datetime | None:
    try:
        return rule.time(path)
    except OptionError:
        return None


def _windows_of(vectors: WindowVectors) -> Windows:
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in vectors.parts():
        rows.append(part.rows)
        columns.append(part.columns)
    row, column = np.concatenate(rows), np.concatenate(columns)
    return Windows(np.zeros(len(row), np.int64), row, column, _seen(vectors, row, column))


def _seen(vectors: WindowVectors, row: Any, column: Any) -> Any:
    """Return the pixels with data of each cell that windows cover, (N, steps^2); 0 beyond the raster."""
    steps = vectors.layout.steps
    high, wide = vectors.cell_pixels.shape
    filled = np.zeros((high + steps, wide + steps), np.int64)
    filled[:high, :wide] = vectors.cell_pixels
    down, across = (a.ravel() for a in np.mgrid[:steps, :steps])
    return filled[row[:, None] + down, column[:, None] + across]


def _blocks_of(vectors: WindowVectors) -> Iterator[Matrix]:
    return (part.x for part in vectors.parts())


def require_encoder(archive: Archive, encoder: ImageEncoder) -> None:
    """Refuse another encoder than that of the archive.

    Raises:
        EncoderMismatchError: it is another; both are named.
    """
    if encoder.identity.fingerprint != archive.encoder.fingerprint:
        own, other = (f"{e.name!r} ({e.output}; {e.fingerprint})" for e in (archive.encoder, encoder.identity))
        raise EncoderMismatchError(f"{archive.path} holds vectors of encoder {own}, not of {other}; give that encoder")


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in inside) and path.is_file():
            yield path


def _listed(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else list(pair)
