"""Windows of a raster through an encoder into a work folder; killed at any moment, the same call goes on."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from zeroscene.embeddings.extract import usual_batch
from zeroscene.embeddings.parts import PartRows, SkippedPicture
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import OptionError, StoreError
from zeroscene.files import TEMPORARY_PREFIX, json_digest, read_json, write_json
from zeroscene.maps.layout import Indices, Layout
from zeroscene.maps.outlines import footprints
from zeroscene.maps.vectors import WindowVectors, cells_of, cells_path, read_cells, window_id, write_cells
from zeroscene.maps.windows import Cut, Rectangle, WindowReader, rectangles
from zeroscene.pixels import batch_of
from zeroscene.progress import Advance, progress
from zeroscene.provenance import environment
from zeroscene.scenes.geo import GeoRaster

_FORMAT: Final = "zeroscene-windows-1"
_MANIFEST, _VECTORS, _CELLS = "windows.json", "vectors", "cells"
_PART: Final = 512  # windows of a part at least, which is the work that an interruption can cost
_NO_DATA: Final = "no pixel of it has data"
_NOT_FINITE: Final = "the encoder gives values for it that are not finite"


def encode_windows(
    raster: GeoRaster,
    layout: Layout,
    encoder: ImageEncoder,
    work: str | Path,
    *,
    batch: int | None = None,
    workers: int | None = None,
) -> WindowVectors:
    """Return the vectors of all windows of a raster that have data, made now or by an earlier call.

    Killed at any moment, the same call goes on after the last whole part, and the files are then the same, byte for
    byte, as those of a run that was not interrupted. Memory does not grow with the raster.

    Args:
        raster: the raster.
        layout: where its windows lie.
        encoder: the encoder; its `prepare` brings a window to the size it was trained for.
        work: folder of the vectors; new, empty, or begun by the same call.
        batch: windows that the encoder takes at once; None for 16, or 128 on a GPU.
        workers: threads that decode, and threads that prepare; None for one a core.

    Raises:
        EncoderMismatchError: the folder holds vectors of another encoder.
        OptionError: a number is not positive, or the layout is that of a raster of another size.
        PictureError: the file cannot be decoded.
        StoreError: the folder belongs to another raster or layout, another run is writing it, or it is damaged.
    """
    begun = WindowWork.begin(raster, layout, encoder, work, batch)
    with begun.store.writing():
        _remove_leftovers(begun.path / _CELLS)
        begun.encode(begun.missing(), workers)
        begun.store.finish()
    return WindowVectors(layout, begun.store, _all_cells(begun.path, layout, begun.parts))


@dataclass(frozen=True)
class WindowWork:
    """The windows of a raster on their way into a work folder, in parts that do not depend on each other.

    Attributes:
        raster: the raster.
        layout: where its windows lie.
        encoder: the encoder.
        path: the work folder.
        store: the vectors in it.
        parts: windows of each part.
    """

    raster: GeoRaster
    layout: Layout
    encoder: ImageEncoder
    path: Path
    store: EmbeddingStore
    parts: list[Rectangle]

    @classmethod
    def begin(
        cls, raster: GeoRaster, layout: Layout, encoder: ImageEncoder, work: str | Path, batch: int | None = None
    ) -> Self:
        """Return the work of a folder, new or begun by the same call; arguments and errors as of `encode_windows`."""
        batch = batch if batch is not None else usual_batch()
        if batch < 1:
            raise OptionError(f"batch must be at least 1, not {batch}")
        if (layout.height, layout.width) != (raster.height, raster.width):
            raise OptionError(
                f"the layout is of {layout.width} x {layout.height} pixels, {raster.path} has "
                f"{raster.width} x {raster.height}; make the layout of this raster"
            )
        parts = rectangles(raster, layout, _PART)
        _claim(Path(work), raster, layout)
        store = EmbeddingStore.begin(Path(work) / _VECTORS, _manifest(raster, layout, encoder, batch, parts))
        return cls(raster, layout, encoder, Path(work), store, parts)

    def missing(self, among: Sequence[int] | None = None) -> list[int]:
        """Return the parts that are not there yet, of some, or of all."""
        asked = range(len(self.parts)) if among is None else among
        return [k for k in asked if not (self.store.has(k) and cells_path(self.path, k).is_file())]

    def encode(self, parts: Sequence[int], workers: int | None = None) -> None:
        """Encode and write parts, each whole or not at all.

        Args:
            parts: which of them, rising.
            workers: threads that decode, and threads that prepare; None for one a core.

        Raises:
            OptionError: workers are fewer than one.
            PictureError: the file cannot be decoded.
            StoreError: the folder cannot be written.
        """
        workers = workers if workers is not None else (os.cpu_count() or 1)
        if workers < 1:
            raise OptionError(f"workers must be at least 1, not {workers}")
        total, windows = self.layout.count, [self.parts[k] for k in parts]
        reader = WindowReader(
            self.raster, self.layout, self.encoder.prepare, 2 * self.store.manifest.batch + workers, workers
        )
        cuts = reader.windows(windows)
        # A part is written while the next one is encoded; one at a time, so that no more than two are held.
        with closing(cuts), ThreadPoolExecutor(1, "write") as writing, progress(
            "encoding", total, "windows", total - sum(map(len, windows))
        ) as advance:  # fmt: skip
            written: Future[None] | None = None
            for k in parts:
                part = _Part(self.layout, self.parts[k], self.encoder.width)
                part.encode(islice(cuts, len(self.parts[k])), self.encoder, self.store.manifest.batch, advance)
                if written is not None:
                    written.result()
                written = writing.submit(part.write, self.raster, self.store, k, cells_path(self.path, k))
            if written is not None:
                written.result()


def _claim(work: Path, raster: GeoRaster, layout: Layout) -> None:
    """Note in the folder what it is for, or refuse one that is for something else."""
    path = work / _MANIFEST
    wanted = {
        "format": _FORMAT,
        "raster": {"name": raster.path.name, "fingerprint": raster.fingerprint},
        "layout": layout.to_json(),
    }
    if not path.is_file():
        if work.is_dir() and (strange := [p.name for p in work.iterdir() if not p.name.startswith(TEMPORARY_PREFIX)]):
            raise StoreError(f"{work} holds other things ({min(strange)}, ...); give a new or empty folder")
        write_json(path, wanted)
        return
    own = read_json(path)
    if not isinstance(own, dict) or own.get("format") != _FORMAT or "raster" not in own:
        raise StoreError(f"{path} is not of format {_FORMAT}; give a new or empty folder")
    if own["raster"].get("fingerprint") != raster.fingerprint:
        raise StoreError(
            f"{work} was made from another raster ({own['raster'].get('name')}: other content, bands or stretch than "
            f"{raster.path} has now); give another folder, or delete this one"
        )
    if own.get("layout") != wanted["layout"]:
        raise StoreError(
            f"{work} was made with {_plain(own.get('layout', {}))}, now it is {_plain(layout.to_json())}; give another "
            "folder, or delete this one"
        )


def _plain(layout: dict[str, Any]) -> str:
    height, width = layout.get("window", (0, 0))
    return f"windows of {width} x {height} pixels that overlap by {layout.get('overlap', 0):.3g}"


def _manifest(raster: GeoRaster, layout: Layout, encoder: ImageEncoder, batch: int, parts: list[Rectangle]) -> Manifest:
    arithmetic = {name: str(getattr(encoder, name)) for name in ("precision", "backend") if hasattr(encoder, name)}
    listings = tuple(
        json_digest([raster.fingerprint, layout.fingerprint, p.rows[0], len(p.rows), p.columns[0], len(p.columns)])
        for p in parts
    )
    return Manifest(
        encoder.identity, encoder.width, None, listings, layout.count, False, _PART, batch, arithmetic, environment()
    )


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        leftover.unlink(missing_ok=True)


class _Part:
    """The windows of one rectangle while they are encoded."""

    def __init__(self, layout: Layout, rectangle: Rectangle, width: int):
        self._layout, self._cells = layout, cells_of(layout, rectangle)
        rows, columns = self._cells
        self._pixels = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.int64)
        self._kept: list[tuple[int, int]] = []
        self._skipped: list[SkippedPicture] = []
        self._x = [np.empty((0, width), np.float32)]

    def encode(self, cuts: Iterator[Cut], encoder: ImageEncoder, batch: int, advance: Advance) -> None:
        """Encode all windows in batches that hold windows with data only and never reach into another part."""
        pending: list[Cut] = []
        for cut in cuts:
            self._count(cut)
            if cut.picture is None:
                self._skipped.append(SkippedPicture(window_id(cut.row, cut.column), _NO_DATA))
                advance(1)
                continue
            pending.append(cut)
            if len(pending) == batch:
                self._encode(pending, encoder)
                advance(len(pending))
                pending = []
        if pending:
            self._encode(pending, encoder)
            advance(len(pending))

    def _count(self, cut: Cut) -> None:
        rows, columns = self._layout.cells(cut.row, cut.column)
        top, left = self._cells[0].start, self._cells[1].start
        there = self._pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        there[:] = cut.pixels[: there.shape[0], : there.shape[1]]

    def _encode(self, pending: list[Cut], encoder: ImageEncoder) -> None:
        pictures_BCHW = batch_of([cut.picture for cut in pending if cut.picture is not None])
        x_BD = encoder.encode(pictures_BCHW).pooled_BD.numpy()
        finite = np.isfinite(x_BD).all(axis=1)
        self._x.append(x_BD[finite])
        for cut, good in zip(pending, finite, strict=True):
            if good:
                self._kept.append((cut.row, cut.column))
            else:
                self._skipped.append(SkippedPicture(window_id(cut.row, cut.column), _NOT_FINITE))

    def write(self, raster: GeoRaster, store: EmbeddingStore, part: int, cells: Path) -> None:
        """Write the cells, then the vectors, which say that the part is whole."""
        write_cells(cells, self._pixels)
        places: Indices = np.array(self._kept, np.int64).reshape(-1, 2)
        outlines = footprints(raster, self._layout, places[:, 0], places[:, 1])
        ids = [window_id(row, column) for row, column in self._kept]
        x = np.concatenate(self._x)
        listing = store.manifest.listings[part]
        store.write(part, PartRows(listing, ids, [None] * len(ids), outlines, x, None, self._skipped))


def _all_cells(work: Path, layout: Layout, parts: list[Rectangle]) -> Indices:
    pixels = np.zeros(layout.shape, np.int64)
    for k, rectangle in enumerate(parts):
        cells = cells_of(layout, rectangle)
        pixels[cells] = read_cells(cells_path(work, k), pixels[cells].shape)
    return pixels
