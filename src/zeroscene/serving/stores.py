"""Folders that may be embedding stores or pictures: which one it is, and pictures embedded on the way."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import DataFormatError, DatasetNotFoundError, StoreError
from zeroscene.files import remove_folder
from zeroscene.scenes.folder import SceneFolder


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
    """Yield a store of the pictures that is removed when all that needed it is done.

    Args:
        pictures: what is embedded.
        encoder: with what.
        beside: the file that the pictures are embedded for. The store lies hidden beside it, and an interrupted run
            leaves it there to be continued; without a file it lies among the system's temporary files.
        grid: keep the token grids too; read them with `read(grids=True)` before the store goes.

    Raises:
        EncoderError: grids are wanted of an encoder that has none.
    """
    if beside is None:
        with tempfile.TemporaryDirectory(prefix="zeroscene-") as folder:
            yield extract(pictures, encoder, Path(folder) / "store", grid=grid)
        return
    place = beside.parent / f".{beside.name}.embeddings"
    try:
        store = extract(pictures, encoder, place, grid=grid)
    except StoreError:
        # Begun for other pictures or with another batch: nothing of it is of use here.
        remove_folder(place)
        store = extract(pictures, encoder, place, grid=grid)
    yield store
    remove_folder(place)


@contextmanager
def embedded(
    pictures: Path, encoder: Callable[[], ImageEncoder], beside: Path | None, *, grid: bool = False
) -> Iterator[tuple[Embeddings, tuple[tuple[str, str], ...]]]:
    """Yield the vectors of a store, or of a folder of pictures, with the pictures that could not be read and why.

    Args:
        pictures: store, or folder of pictures; class folders are not needed.
        encoder: opens the encoder, asked only for a folder of pictures.
        beside: as for `passing_store`.
        grid: give the token grids too.

    Raises:
        DatasetNotFoundError: there are no such pictures.
        StoreError: the store is damaged or not finished, or keeps no grids.
    """
    if is_store(pictures):
        store = EmbeddingStore.open(pictures)
        yield store.read(grids=grid), tuple((s.id, s.reason) for s in store.skipped)
        return
    with passing_store(SceneFolder.open_flat(pictures), encoder(), beside, grid=grid) as store:
        yield store.read(grids=grid), tuple((s.id, s.reason) for s in store.skipped)


@contextmanager
def labelled(pictures: Path, encoder: Callable[[], ImageEncoder], *, grid: bool = False) -> Iterator[Embeddings]:
    """Yield the vectors of labelled pictures: of a folder with a folder a class, or of a store.

    Args:
        pictures: folder or store.
        encoder: opens the encoder, asked only for a folder of pictures.
        grid: give the token grids too.

    Raises:
        DatasetNotFoundError: there are no such pictures.
        DataFormatError: they have no labels.
    """
    if is_store(pictures):
        found = EmbeddingStore.open(pictures).read(grids=grid)
        if found.labels is None:
            raise DataFormatError(f"{pictures}: examples need labels, and this store has none")
        yield found
        return
    with passing_store(SceneFolder.open(pictures), encoder(), None, grid=grid) as store:
        yield store.read(grids=grid)
