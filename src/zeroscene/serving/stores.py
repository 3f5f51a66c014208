"""Folders that may be embedding stores or pictures: which one it is, and pictures embedded on the way."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract, manifest_of
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import BusyError, DataFormatError, DatasetNotFoundError, StoreError, ZeroSceneError
from zeroscene.files import json_digest, read_json, remove_folder, write_json
from zeroscene.scenes.folder import SceneFolder

Unread = tuple[tuple[str, str], ...]
"""Pictures that could not be read, each with the reason."""

_STORE: Final = "store"
_NOTE: Final = "made-from.json"


def is_store(folder: Path) -> bool:
    """Return whether a folder is an embedding store, finished or not.

    Raises:
        StoreError: it is one, but a damaged one.
    """
    try:
        EmbeddingStore.open(folder)
    except DatasetNotFoundError:
        return False
    return True


def open_pictures(folder: Path) -> SceneFolder:
    """Return the pictures of a folder: labelled where there are class folders, else without labels.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataFormatError: it holds no picture.
        DuplicateNameError: two folders are the same class.
    """
    try:
        return SceneFolder.open(folder)
    except DataFormatError:
        return SceneFolder.open_flat(folder)


def require_pictures(place: Path) -> None:
    """Refuse a place without pictures, before anything long begins.

    Raises:
        DatasetNotFoundError: there is no such folder.
        DataFormatError: it holds no picture.
    """
    if not is_store(place):
        SceneFolder.open_flat(place)


@contextmanager
def passing_store(
    pictures: SceneFolder, encoder: ImageEncoder, beside: Path | None, *, grid: bool = False
) -> Iterator[EmbeddingStore]:
    """Yield a store of the pictures that is removed when all that needed it is done, or has failed.

    Args:
        pictures: what is embedded.
        encoder: with what.
        beside: the file that the pictures are embedded for. The store lies hidden beside it, and an interrupted run
            leaves it there to be continued, as long as not one of the files, nor the encoder, has changed meanwhile;
            without a file it lies among the system's temporary files.
        grid: keep the token grids too; read them with `read(grids=True)` before the store goes.

    Raises:
        BusyError: another run is writing the same file.
        DataFormatError: not one of the pictures could be read.
        EncoderError: grids are wanted of an encoder that has none.
        StoreError: the place cannot be written.
    """
    if beside is None:
        with tempfile.TemporaryDirectory(prefix="zeroscene-") as folder:
            yield _extract(pictures, encoder, Path(folder) / _STORE, grid)
        return
    place = beside.parent / f".{beside.name}.embeddings"
    with _alone(place, beside):
        try:
            note = _made_from(pictures, encoder, grid)
            if not _continues(place, note):
                remove_folder(place / _STORE)
                write_json(place / _NOTE, note)
            yield _extract(pictures, encoder, place / _STORE, grid)
        except BusyError:
            raise
        except ZeroSceneError:
            if not _half_made(place):
                remove_folder(place)
            raise
        remove_folder(place)


@contextmanager
def _alone(place: Path, wanted: Path) -> Iterator[None]:
    """Make the folder of a passing store, and keep other runs out until it is removed.

    Raises:
        BusyError: another run is in it.
        StoreError: it cannot be made.
    """
    busy = f"another run is writing {wanted}; wait for it to end, or give another output"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {wanted}: {error.strerror or error}") from error
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        yield
        return
    try:
        handle = os.open(place, os.O_RDONLY)
    except FileNotFoundError as error:
        raise BusyError(busy) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = not os.path.samestat(os.fstat(handle), place.stat())
        except (BlockingIOError, FileNotFoundError) as error:
            raise BusyError(busy) from error
        if removed:
            raise BusyError(busy)
        yield
    finally:
        os.close(handle)


def _made_from(pictures: SceneFolder, encoder: ImageEncoder, grid: bool) -> dict[str, Any]:
    """Return what a passing store holds for: one embedding of exactly these files, none of them written since.

    Unlike the listing of a store that is kept, which a copy of the data set still fits, it sees a picture that was
    replaced by another of the same size: pictures without compression all have one size.
    """
    manifest = manifest_of(pictures, encoder, views=1 if grid else None)
    files = [[picture, *_state(pictures.path(picture))] for picture in pictures.ids]
    return {"embedding": json_digest(manifest.to_json()), "files": json_digest([str(pictures.root.resolve()), files])}


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _continues(place: Path, note: dict[str, Any]) -> bool:
    """Return whether what an earlier run left is of the same embedding, and undamaged."""
    try:
        if read_json(place / _NOTE) != note:
            return False
        store = EmbeddingStore.open(place / _STORE)
        for part in range(store.part_count):
            store.has(part)
    except (DatasetNotFoundError, DataFormatError, StoreError):
        return False
    return True


def _half_made(place: Path) -> bool:
    """Return whether some parts of a passing store are there, and not all of them."""
    try:
        store = EmbeddingStore.open(place / _STORE)
    except (DatasetNotFoundError, StoreError):
        return False
    return not store.complete and any(store.part_path(part).is_file() for part in range(store.part_count))


def _extract(pictures: SceneFolder, encoder: ImageEncoder, folder: Path, grid: bool) -> EmbeddingStore:
    try:
        return extract(pictures, encoder, folder, grid=grid)
    except BusyError:
        raise
    except StoreError as error:
        if not (folder.is_dir() and is_store(folder)):
            raise
        skipped = EmbeddingStore.open(folder).skipped
        if len(skipped) < len(pictures):
            raise
        raise DataFormatError(
            f"none of the pictures in {pictures.root} could be read ({skipped[0].id}: {skipped[0].reason}); "
            "mend them, or give a folder of others"
        ) from error


@contextmanager
def embedded(
    pictures: Path, encoder: Callable[[], ImageEncoder], beside: Path | None, *, grid: bool = False
) -> Iterator[tuple[Embeddings, Unread]]:
    """Yield the vectors of a store, or of a folder of pictures, with the pictures that could not be read and why.

    Args:
        pictures: store, or folder of pictures; class folders are not needed.
        encoder: opens the encoder, asked only for a folder of pictures.
        beside: as for `passing_store`.
        grid: give the token grids too.

    Raises:
        DatasetNotFoundError: there are no such pictures.
        DataFormatError: not one of them could be read.
        BusyError: another run is writing the same file.
        StoreError: the store is damaged or not finished, or keeps no grids.
    """
    if is_store(pictures):
        store = EmbeddingStore.open(pictures)
        yield store.read(grids=grid), _unread(store)
        return
    found = SceneFolder.open_flat(pictures)
    with passing_store(found, encoder(), beside, grid=grid) as store:
        yield store.read(grids=grid), _unread(store, found)


@contextmanager
def labelled(
    pictures: Path, encoder: Callable[[], ImageEncoder], *, grid: bool = False
) -> Iterator[tuple[Embeddings, Unread]]:
    """Yield the vectors of labelled pictures, of a folder with a folder a class or of a store, and those not read.

    Args:
        pictures: folder or store.
        encoder: opens the encoder, asked only for a folder of pictures.
        grid: give the token grids too.

    Raises:
        DatasetNotFoundError: there are no such pictures.
        DataFormatError: they have no labels, or not one of them could be read.
    """
    if is_store(pictures):
        store = EmbeddingStore.open(pictures)
        kept = store.read(grids=grid)
        if kept.labels is None:
            raise DataFormatError(f"{pictures}: examples need labels, and this store has none")
        yield kept, _unread(store)
        return
    found = SceneFolder.open(pictures)
    with passing_store(found, encoder(), None, grid=grid) as store:
        yield store.read(grids=grid), _unread(store, found)


def _unread(store: EmbeddingStore, pictures: SceneFolder | None = None) -> Unread:
    """Return the pictures that a store could not encode, and those of the folder that could not even be listed."""
    lost = () if pictures is None else tuple((s.path, s.reason) for s in pictures.skipped if s.lost)
    return tuple((s.id, s.reason) for s in store.skipped) + lost
