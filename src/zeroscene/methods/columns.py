"""Scores of a store's pictures, kept one file a class: a class more computes its own column and no other.

    store/flat/STORE/METHOD/rows.npy       (N, K) what the pictures give (`ProductMethod.picture_side`), made once
    store/flat/STORE/METHOD/CLASS.npy      (N,)   scores of all pictures against one class vector

STORE is a digest of the parts of the store, METHOD of a fitted method, CLASS of a class vector. A file never changes:
another class, an edited class vector, a method fitted anew or a changed store mean other files. So a class more, or one
less, leaves the scores of the others as they were, to the bit; and since `vectors.products` gives a picture and a class
the same score whatever is multiplied with them, they are those of `method.scores` as well.

Of a `ProductMethod`, missing columns are one matrix product, in blocks of pictures, on all threads; what the pictures
give is read once for up to 128 classes, and no more than a block a thread is in memory. Of another method whose classes
stand apart (`ZeroShotMethod.apart`), missing columns are scored by it. Where they do not, nothing is kept.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch

from zeroscene import __version__
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.flat import HEAD, ROWS, FlatStore, Parted, write_head
from zeroscene.files import digest, json_digest, replacing
from zeroscene.methods.contract import Matrix, ZeroShotMethod
from zeroscene.methods.product import ProductMethod
from zeroscene.methods.store_scores import KeptScores, PassingScores, StoreScores, Vector, batches, is_column
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import class_products, row_blocks

_FORMAT: Final = 1
"""To be raised when a method comes to mean something else by the same options and arrays."""

_TOGETHER: Final = 128
"""Classes that are computed in one pass over the pictures; each has a file open meanwhile."""

_TIMES: Final = 4
_LEAST: Final = 1 << 30
"""Unless told otherwise, what is kept may take four times the room of the store's vectors, and a gigabyte at least."""


class ScoreColumns:
    """Scores of the pictures of a store by one fitted method, kept on disk.

    Args:
        store: a finished store, made by the encoder that the method was fitted with.
        method: the fitted method.
        folder: where to keep them; in the store's own folder if None.
        limit: bytes that all kept files of this store may take; the least recently used are removed beyond it, those
            in use never. Four times the size of the store's vectors if None.

    Raises:
        NotFittedError: the method is not fitted.
        EncoderMismatchError: the pictures come from another encoder than the method was fitted with.
        StoreError: the store is not finished.
    """

    def __init__(
        self, store: Parted, method: ZeroShotMethod[Any], folder: Path | None = None, limit: int | None = None
    ):
        nothing = Embeddings((), np.empty((0, store.width), np.float32), store.identity)
        nothing.check_encoder(method.require_fitted().encoder, f"the fitted {method.name}")
        self.flat = FlatStore(store, folder)
        self.method = method
        vectors = 4 * store.manifest.count * store.width
        self.limit = max(_TIMES * vectors, _LEAST) if limit is None else limit
        self._key = _method_key(method)

    def scores(self, table: ClassTable) -> StoreScores:
        """Return the scores of all pictures against the classes of a table; only missing columns are computed.

        Raises:
            EncoderMismatchError: the class vectors are not of the space the method was fitted with.
            DataFormatError: the table is empty.
            StoreError: a part of the store is damaged, or the folder cannot be written.
        """
        self.method.check_table(table)
        if not self.method.apart:
            return PassingScores(self.flat, self.method, table)
        paths = {name: self._path(table, c) for c, name in enumerate(table.classes)}
        with self.flat.writing():
            missing = tuple(name for name, path in paths.items() if not is_column(path))
            for first in range(0, len(missing), _TOGETHER):
                some = table.select(missing[first : first + _TOGETHER])
                self._compute(some, [paths[name] for name in some.classes])
            self._use([*paths.values(), self._folder / ROWS])
        return KeptScores(self.flat, paths, missing)

    def missing(self, table: ClassTable) -> tuple[str, ...]:
        """Return the classes whose scores are not kept and would have to be computed."""
        return tuple(name for c, name in enumerate(table.classes) if not is_column(self._path(table, c)))

    @property
    def _folder(self) -> Path:
        return self.flat.folder / self._key

    def _path(self, table: ClassTable, c: int) -> Path:
        if isinstance(self.method, ProductMethod):
            return self._folder / f"{digest(table.matrix[c].tobytes())}.npy"
        # Another method may look at all that a table says of a class.
        return self._folder / f"{table.select([table.classes[c]]).fingerprint}.npy"

    def _compute(self, table: ClassTable, paths: Sequence[Path]) -> None:
        with _column_files(paths) as write:
            if isinstance(self.method, ProductMethod):
                rows = self.flat.rows(self._key, self.method.picture_side)
                _multiply(rows, self.method.class_side(table.matrix), write)
                return
            first = 0
            for pictures in batches(self.flat, self.method):
                write(first, np.ascontiguousarray(self.method.scores(pictures, table).values.T))
                first += len(pictures)

    def _use(self, used: Sequence[Path]) -> None:
        """Note that files were used; remove those that were not for longest until the rest is within the limit."""
        for path in used:
            with contextlib.suppress(OSError):
                os.utime(path)
        keep = set(used)
        files = [(path, path.stat()) for path in self.flat.folder.glob("*/*.npy")]
        excess = sum(stat.st_size for _, stat in files) - self.limit
        for path, stat in sorted(files, key=lambda file: file[1].st_mtime_ns):
            if excess > 0 and path not in keep:
                path.unlink(missing_ok=True)
                excess -= stat.st_size


def score_store(
    store: Parted, method: ZeroShotMethod[Any], table: ClassTable, folder: Path | None = None
) -> StoreScores:
    """Return the scores of all pictures of a store against the classes of a table, by any fitted method.

    Args:
        store: a finished store, made by the encoder that the method was fitted with.
        method: any fitted method.
        table: the classes.
        folder: where scores are kept; in the store's own folder if None.

    Raises:
        NotFittedError, EncoderMismatchError, DataFormatError, StoreError: as `ScoreColumns`.
    """
    return ScoreColumns(store, method, folder).scores(table)


def _multiply(rows: Matrix, classes: Matrix, write: Callable[[int, Matrix], None]) -> None:
    """Write the (C, n) products of every block of rows."""

    def one(block: slice) -> None:
        write(block.start, class_products(rows[block], classes))

    # Each thread multiplies a block of its own: blocks wait for nothing, and the product of each stays in cache.
    with ThreadPoolExecutor(torch.get_num_threads(), "columns", torch.set_num_threads, (1,)) as pool:
        for _ in pool.map(one, row_blocks(*rows.shape)):
            pass


@contextmanager
def _column_files(paths: Sequence[Path]) -> Iterator[Callable[[int, Matrix], None]]:
    """Yield a function that writes (C, n) scores from a row on, one class a file; the files are whole or absent."""
    with ExitStack() as stack:
        # Not flushed to the disk, which takes longer than computing them again; `is_column` refuses what was cut short.
        temporaries = [stack.enter_context(replacing(path, durable=False)) for path in paths]
        files = [stack.enter_context(path.open("r+b", buffering=0)) for path in temporaries]
        count = 0

        def write(first: int, values: Matrix) -> None:
            nonlocal count
            count = max(count, first + values.shape[1])
            for file, column in zip(files, values, strict=True):
                _write_at(file, column, HEAD + column.itemsize * first)

        yield write
        for file in files:
            file.seek(0)
            write_head(file, count)


def _write_at(file: BinaryIO, values: Vector, place: int) -> None:
    """Write values from a place on, while other threads write elsewhere in the file."""
    left = np.ascontiguousarray(values).data.cast("B")
    while left:
        written = os.pwrite(file.fileno(), left, place)
        left, place = left[written:], place + written


def _method_key(method: ZeroShotMethod[Any]) -> str:
    """Return a digest of what decides the scores of a fitted method, beside the pictures and the class vectors."""
    said = [_FORMAT, __version__, method.name, method.options.model_dump(mode="json"), method.require_fitted().seen]
    arrays = [(f"{name} {a.dtype} {a.shape}", np.ascontiguousarray(a).tobytes()) for name, a in method.state_.items()]
    return digest(json_digest(said), *(part for array in sorted(arrays) for part in array))
