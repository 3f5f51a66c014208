"""Extraction: pictures through an encoder into a store, decoding hidden behind the encoder, interruption survived."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.footprint import Footprint, footprint
from zeroscene.embeddings.parts import PartRows, SkippedPicture
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import EncoderError, OptionError, PictureError, StoreError
from zeroscene.files import json_digest
from zeroscene.progress import Advance, progress
from zeroscene.provenance import environment
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder

T = TypeVar("T")
R = TypeVar("R")

_NOT_FINITE = "the encoder gives values for it that are not finite"


@dataclass(frozen=True)
class _Prepared:
    """One picture on its way to the encoder, or the reason why it goes no further."""

    id: str
    label: str | None
    pixels: torch.Tensor | None
    footprint: Footprint | None = None
    reason: str = ""


def extract(
    pictures: SceneFolder,
    encoder: ImageEncoder,
    store_path: str | Path,
    *,
    batch: int | None = None,
    part: int = 512,
    grid: bool = False,
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
        workers: decoding threads; None for one a core.

    Raises:
        EncoderError: grids are wanted of an encoder that has none.
        EncoderMismatchError: the store was begun with another encoder.
        OptionError: a number is not positive.
        StoreError: the store belongs to other pictures or options, another run is writing it, the disk is full, or
            not one picture could be encoded.
    """
    batch = batch if batch is not None else (128 if torch.cuda.is_available() else 16)
    workers = workers if workers is not None else (os.cpu_count() or 1)
    for name, value in (("batch", batch), ("part", part), ("workers", workers)):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, not {value}")
    if grid and encoder.grid is None:
        raise EncoderError(f"{encoder.identity.name} has no token grid; embed without grids")
    store = EmbeddingStore.begin(store_path, _manifest(pictures, encoder, batch, part, grid))
    with store.writing():
        todo = [k for k in range(store.part_count) if not store.has(k)]
        labels: tuple[str | None, ...] = pictures.labels or (None,) * len(pictures.ids)
        waiting = [row for k in todo for row in range(len(pictures.ids))[k * part : (k + 1) * part]]
        done = len(pictures.ids) - len(waiting)
        prepared = _ahead(
            waiting,
            lambda row: _prepare(pictures.ids[row], labels[row], pictures, encoder),
            workers,
            2 * batch + workers,
        )
        with closing(prepared), progress("embedding", len(pictures.ids), done=done) as advance:
            for k in todo:
                count = len(_of_part(pictures.ids, k, part))
                rows = _encode_part(islice(prepared, count), encoder, batch, grid, store.manifest.listings[k], advance)
                store.write(k, rows)
        store.finish()
    if len(store.skipped) == len(pictures.ids):
        first = store.skipped[0] if store.skipped else SkippedPicture(str(pictures.root), "it holds no pictures")
        raise StoreError(
            f"none of the {len(pictures.ids)} pictures in {pictures.root} could be encoded "
            f"({first.id}: {first.reason}); mend them, delete {store.path} and embed again"
        )
    return store


def _manifest(pictures: SceneFolder, encoder: ImageEncoder, batch: int, part: int, grid: bool) -> Manifest:
    starts = range(0, len(pictures.ids), part)
    arithmetic = {name: str(getattr(encoder, name)) for name in ("precision", "backend") if hasattr(encoder, name)}
    return Manifest(
        encoder.identity,
        encoder.width,
        encoder.grid if grid else None,
        tuple(_listing(pictures, k, part) for k in range(len(starts))),
        len(pictures.ids),
        pictures.labels is not None,
        part,
        batch,
        arithmetic,
        environment(),
    )


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


def _prepare(picture: str, label: str | None, pictures: SceneFolder, encoder: ImageEncoder) -> _Prepared:
    path = pictures.path(picture)
    try:
        return _Prepared(picture, label, encoder.prepare(decode(path)), footprint(path))
    except PictureError as error:
        return _Prepared(picture, label, None, reason=" ".join(str(error).removeprefix(f"{path}: ").split()))


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
    prepared: Iterator[_Prepared], encoder: ImageEncoder, batch: int, grid: bool, listing: str, advance: Advance
) -> PartRows:
    """Encode one part; batches hold decoded pictures only and never reach into another part."""
    kept: list[_Prepared] = []
    skipped: list[SkippedPicture] = []
    pooled: list[npt.NDArray[np.float32]] = [np.empty((0, encoder.width), np.float32)]
    grids: list[npt.NDArray[np.float16]] = [np.empty((0, *(encoder.grid or ())), np.float16)]

    def encode(pending: list[_Prepared]) -> None:
        pixels_BCHW = torch.stack([p.pixels for p in pending if p.pixels is not None])
        encoded = encoder.encode(pixels_BCHW, grid=grid)
        x = encoded.pooled_BD.numpy()
        finite = np.isfinite(x).all(1)
        if encoded.grid_BHWD is not None:
            with np.errstate(over="ignore"):
                tokens = encoded.grid_BHWD.numpy().astype(np.float16)
            finite &= np.isfinite(tokens).all((1, 2, 3))
            grids.append(tokens[finite])
        pooled.append(x[finite])
        for picture, good in zip(pending, finite, strict=True):
            if good:
                kept.append(replace(picture, pixels=None))
            else:
                skipped.append(SkippedPicture(picture.id, _NOT_FINITE))
        advance(len(pending))

    pending: list[_Prepared] = []
    for picture in prepared:
        if picture.pixels is None:
            skipped.append(SkippedPicture(picture.id, picture.reason))
            advance(1)
            continue
        pending.append(picture)
        if len(pending) == batch:
            encode(pending)
            pending = []
    if pending:
        encode(pending)
    return PartRows(
        listing,
        [p.id for p in kept],
        [p.label for p in kept],
        [p.footprint for p in kept],
        np.concatenate(pooled),
        np.concatenate(grids) if grid else None,
        sorted(skipped, key=lambda s: s.id),
    )
