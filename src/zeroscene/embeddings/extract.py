"""Extraction: pictures through an encoder into a store, decoding hidden behind the encoder, interruption survived."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.footprint import Footprint, footprint
from zeroscene.embeddings.grid_files import GridNote, GridWriter, require_space
from zeroscene.embeddings.parts import PartRows, SkippedPicture
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.embeddings.views import view
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import EncoderError, OptionError, PictureError, StoreError
from zeroscene.files import json_digest
from zeroscene.pixels import batch_of
from zeroscene.progress import Advance, progress
from zeroscene.provenance import environment
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder

T = TypeVar("T")
R = TypeVar("R")

_PART = 512
_NOT_FINITE = "the encoder gives values for it that are not finite"


@dataclass(frozen=True)
class _Prepared:
    """One picture on its way to the encoder in all its views, or the reason why it goes no further."""

    id: str
    label: str | None
    views: tuple[torch.Tensor, ...] = ()
    footprint: Footprint | None = None
    reason: str = ""


def extract(
    pictures: SceneFolder,
    encoder: ImageEncoder,
    store_path: str | Path,
    *,
    batch: int | None = None,
    part: int = _PART,
    grid: bool = False,
    views: int = 1,
    workers: int | None = None,
) -> EmbeddingStore:
    """Encode every picture once and keep the vectors.

    Killed at any moment, the same call goes on after the last whole part, and the files are then the same, byte for
    byte, as those of a run that was not interrupted. A picture that cannot be decoded is listed in `skipped.csv`.

    Args:
        pictures: the data set.
        encoder: the encoder.
        store_path: folder of the store; new, empty, or begun by the same call.
        batch: pictures that the encoder takes at once; None for 16, or 128 on a GPU.
        part: pictures in one file, which is the work that an interruption can cost.
        grid: keep the token grids too, as float16.
        views: views of each picture whose grids are kept; those after the first are augmented (`embeddings.views`), and
            their vectors are kept beside those of the first.
        workers: decoding threads; None for one a core.

    Raises:
        EncoderError: grids are wanted of an encoder that has none.
        EncoderMismatchError: the store was begun with another encoder.
        OptionError: a number is not positive, or several views are wanted without grids.
        StoreError: the store belongs to other pictures or options, another run is writing it, the grids do not fit on
            the disk, or not one picture could be encoded.
    """
    batch = batch if batch is not None else usual_batch()
    workers = workers if workers is not None else (os.cpu_count() or 1)
    for name, value in (("batch", batch), ("part", part), ("views", views), ("workers", workers)):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, not {value}")
    if grid and encoder.grid is None:
        raise EncoderError(
            f"{encoder.identity.name} has no token grid; embed without, or take an encoder that has one: "
            "a vision transformer (ViT, CLIP, DINOv2), Swin, ResNet, ConvNeXt, or tiny"
        )
    if views > 1 and not grid:
        raise OptionError(
            f"{views} views need the token grids to be kept (--grid, or grid=True): vectors are of one view"
        )
    manifest = manifest_of(pictures, encoder, batch=batch, part=part, views=views if grid else None)
    _require_space(manifest, Path(store_path))
    store = EmbeddingStore.begin(store_path, manifest)
    with store.writing():
        todo = [k for k in range(store.part_count) if not store.has(k)]
        labels: tuple[str | None, ...] = pictures.labels or (None,) * len(pictures.ids)
        waiting = [row for k in todo for row in range(len(pictures.ids))[k * part : (k + 1) * part]]
        done = len(pictures.ids) - len(waiting)
        prepared = _ahead(
            waiting,
            lambda row: _prepare(pictures.ids[row], labels[row], pictures, encoder, views),
            workers,
            2 * batch + workers,
        )
        with closing(prepared), progress("embedding", len(pictures.ids), done=done) as advance:
            for k in todo:
                count = len(_of_part(pictures.ids, k, part))
                store.write(k, _encode_part(islice(prepared, count), encoder, store, k, advance))
        store.finish()
    if len(store.skipped) == len(pictures.ids):
        first = store.skipped[0] if store.skipped else SkippedPicture(str(pictures.root), "it holds no pictures")
        raise StoreError(
            f"none of the {len(pictures.ids)} pictures in {pictures.root} could be encoded "
            f"({first.id}: {first.reason}); mend them, delete {store.path} and embed again"
        )
    return store


def _require_space(manifest: Manifest, folder: Path) -> None:
    # Before the store is begun: one that has no room must not be in the way of one with fewer views.
    if manifest.grid is not None:
        written = sum(path.stat().st_size for path in folder.glob("part-*.grid.npy"))
        require_space(folder, manifest.count * manifest.views * 2 * prod(manifest.grid) - written)


def manifest_of(
    pictures: SceneFolder,
    encoder: ImageEncoder,
    *,
    batch: int | None = None,
    part: int = _PART,
    views: int | None = None,
) -> Manifest:
    """Return the manifest of the store that `extract` makes of these pictures with these options.

    Args:
        pictures: the data set.
        encoder: the encoder.
        batch: as for `extract`.
        part: as for `extract`.
        views: views whose token grids are kept; None for a store without grids.
    """
    batch = batch if batch is not None else usual_batch()
    starts = range(0, len(pictures.ids), part)
    arithmetic = {name: str(getattr(encoder, name)) for name in ("precision", "backend") if hasattr(encoder, name)}
    return Manifest(
        encoder.identity,
        encoder.width,
        encoder.grid if views else None,
        tuple(_listing(pictures, k, part) for k in range(len(starts))),
        len(pictures.ids),
        pictures.labels is not None,
        part,
        batch,
        arithmetic,
        environment(),
        views or 1,
    )


def usual_batch() -> int:
    """Return how many pictures an encoder takes at once where nobody says it."""
    return 128 if torch.cuda.is_available() else 16


def _listing(pictures: SceneFolder, k: int, part: int) -> str:
    ids = _of_part(pictures.ids, k, part)
    labels = None if pictures.labels is None else list(_of_part(pictures.labels, k, part))
    return json_digest([list(ids), labels, [_size(pictures.path(picture)) for picture in ids]])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _of_part(values: tuple[T, ...], k: int, part: int) -> tuple[T, ...]:
    return values[k * part : (k + 1) * part]


def _prepare(picture: str, label: str | None, pictures: SceneFolder, encoder: ImageEncoder, views: int) -> _Prepared:
    path = pictures.path(picture)
    try:
        decoded = decode(path)
        prepared = tuple(encoder.prepare(view(decoded, picture, number)) for number in range(views))
        return _Prepared(picture, label, prepared, footprint(path))
    except PictureError as error:
        return _Prepared(picture, label, reason=" ".join(str(error).removeprefix(f"{path}: ").split()))


def _ahead(items: Iterable[T], work: Callable[[T], R], workers: int, ahead: int) -> Generator[R, None, None]:
    """Yield the work of each item in order; at most `ahead` items are in the threads or wait finished."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) >= ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _encode_part(
    prepared: Iterator[_Prepared], encoder: ImageEncoder, store: EmbeddingStore, k: int, advance: Advance
) -> PartRows:
    """Encode one part, its grids to their file, the rest returned."""
    with store.writing_grids(k) if store.manifest.grid else nullcontext() as tokens:
        rows = _encode_batches(prepared, encoder, store.manifest, tokens, advance)
    note = GridNote.of(store.grid_path(k)) if store.manifest.grid else None
    return replace(rows, pictures=store.manifest.listings[k], grids=note)


def _encode_batches(
    prepared: Iterator[_Prepared],
    encoder: ImageEncoder,
    manifest: Manifest,
    tokens: GridWriter | None,
    advance: Advance,
) -> PartRows:
    """Encode pictures in batches, which hold decoded pictures only and never reach into another part."""
    kept: list[_Prepared] = []
    skipped: list[SkippedPicture] = []
    pooled: list[npt.NDArray[np.float32]] = [np.empty((0, manifest.views, encoder.width), np.float32)]

    def encode(pending: list[_Prepared]) -> None:
        pooled_BVD, grids_BVHWD = _encode_views(pending, encoder, manifest.views, tokens is not None)
        finite = np.asarray(np.isfinite(pooled_BVD).all((1, 2)))
        if tokens is not None:
            finite &= np.isfinite(grids_BVHWD).all((1, 2, 3, 4))
            tokens.append(grids_BVHWD[finite])
        pooled.append(pooled_BVD[finite])
        for picture, good in zip(pending, finite, strict=True):
            if good:
                kept.append(replace(picture, views=()))
            else:
                skipped.append(SkippedPicture(picture.id, _NOT_FINITE))
        advance(len(pending))

    pending: list[_Prepared] = []
    for picture in prepared:
        if not picture.views:
            skipped.append(SkippedPicture(picture.id, picture.reason))
            advance(1)
            continue
        pending.append(picture)
        if len(pending) == manifest.batch:
            encode(pending)
            pending = []
    if pending:
        encode(pending)
    pooled_NVD = np.concatenate(pooled)
    return PartRows(
        "",
        [p.id for p in kept],
        [p.label for p in kept],
        [p.footprint for p in kept],
        pooled_NVD[:, 0],
        None,
        sorted(skipped, key=lambda s: s.id),
        pooled_NVD[:, 1:] if manifest.views > 1 else None,
    )


def _encode_views(
    pending: list[_Prepared], encoder: ImageEncoder, views: int, grid: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float16]]:
    """Return the vectors of all views, (B, V, D), and their grids, (B, V, H, W, D); none without `grid`."""
    vectors: list[npt.NDArray[np.float32]] = []
    grids: list[npt.NDArray[np.float16]] = []
    for number in range(views):
        encoded = encoder.encode(batch_of([p.views[number] for p in pending]), grid=grid)
        vectors.append(encoded.pooled_BD.numpy())
        if encoded.grid_BHWD is not None:
            with np.errstate(over="ignore"):
                grids.append(encoded.grid_BHWD.numpy().astype(np.float16))
    return np.stack(vectors, 1), np.stack(grids, 1) if grids else np.empty(0, np.float16)
