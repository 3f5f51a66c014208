"""A finished store laid out for reading at the speed of memory: one row a picture in one file, ids in another.

A store has thousands of parts, each checked as it is read; that is right for keeping and slow for asking again and
again. `FlatStore` keeps what is read often as plain files beside the parts,

    store/flat/STORE/ids.arrow            the ids of all pictures, in the order of the parts (Arrow IPC)
    store/flat/STORE/KEY/rows.npy         (N, K) float32: the vectors, or what a method makes of them

which are mapped, not read. STORE is a digest of what the parts are: when they change, all of it is made anew. Each file
is made part by part, in the memory of one part, and is whole or absent. The folder can be deleted at any time.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grid_files import size_text
from zeroscene.embeddings.parts import vectors
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, StoreError
from zeroscene.files import TEMPORARY_PREFIX, digest, json_digest, remove_folder, replacing
from zeroscene.progress import progress

Matrix = npt.NDArray[np.float32]
RowsOf = Callable[[Matrix], Matrix]

HEAD = 128
"""Bytes before the values of a `.npy` file as `write_head` writes it: NumPy pads headers, for any shape, to these."""

_FORMAT = 1
_FOLDER, _IDS = "flat", "ids.arrow"
ROWS = "rows.npy"


class Described(Protocol):
    """What decides the bytes of a store."""

    @property
    def count(self) -> int:
        """Rows, at most."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        ...


class Parted(Protocol):
    """Vectors on disk in parts: an embedding store, or one raster of an archive."""

    @property
    def path(self) -> Path:
        """Where the laid-out files have their folder, if no other is named."""
        ...

    @property
    def manifest(self) -> Described:
        """What decides its bytes."""
        ...

    @property
    def identity(self) -> EncoderIdentity:
        """The encoder that made the vectors."""
        ...

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        ...

    @property
    def part_count(self) -> int:
        """Number of parts."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every part is there."""
        ...

    def __len__(self) -> int:
        """Return the number of vectors."""
        ...

    def part_path(self, part: int) -> Path:
        """Return the file that a part lies in."""
        ...

    def part_columns(self, part: int, columns: Sequence[str]) -> Any:
        """Return columns of a part, `id` and `embedding` among them, as an Arrow table; each page is checked."""
        ...

    def read(self, grids: bool = False) -> Embeddings:
        """Return all vectors in memory."""
        ...

    def iter_parts(self, grids: bool = False) -> Iterator[Embeddings]:
        """Yield the vectors part by part."""
        ...


class FlatStore:
    """The vectors and ids of a finished store as memory-mapped files.

    Args:
        store: the store; all its parts must be there.
        folder: the files lie in a folder of their own in this one; in `flat` in the store's own folder if None.

    Raises:
        StoreError: the store is not finished.
    """

    def __init__(self, store: Parted, folder: Path | None = None):
        if not store.complete:
            raise StoreError(f"{store.path} is not finished; run the same embedding again, it goes on where it stopped")
        self.store = store
        own = digest(str(store.path.resolve()))
        self.root = store.path / _FOLDER if folder is None else folder / f"{store.path.name}-{own}"
        self.fingerprint = _fingerprint(store)
        self.folder = self.root / self.fingerprint
        self._writing = False
        self._mapped: dict[str, Matrix] = {}

    @cached_property
    def ids(self) -> Any:
        """The ids of all pictures, a `pyarrow.LargeStringArray` on mapped memory; no Python string is made.

        Raises:
            StoreError: a part is damaged, or the file cannot be written.
        """
        path = self.folder / _IDS
        if not path.is_file():
            with self.writing(), replacing(path) as temporary:
                self._write_ids(temporary)
        try:
            columns = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            ids = columns["id"]
            return ids.chunk(0) if ids.num_chunks else pa.array([], pa.large_string())
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path} is damaged; delete it, it is made anew") from error

    def rows(self, key: str = "vectors", rows_of: RowsOf | None = None) -> Matrix:
        """Return (N, K) float32 on mapped memory, made on the first call.

        Args:
            key: names what is kept; of another key nothing is read or changed.
            rows_of: makes (n, K) rows of the (n, D) vectors of a part, each row of its own vector; the vectors
                themselves are kept if None.

        Raises:
            StoreError: a part is damaged, or the file cannot be written.
            DataFormatError: a vector is not finite.
        """
        if key in self._mapped:
            return self._mapped[key]
        path = self.folder / key / ROWS
        with self.writing():
            found = mapped(path)
            if found is None:
                self._write_rows(path, rows_of or _same)
                found = mapped(path)
        if found is None:
            raise StoreError(f"{path} cannot be read back; is the disk sound?")
        # A new mapping of the same file would cost half as much as reading it, page by page.
        self._mapped[key] = found
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until nobody else writes here; then remove what killed runs and changed stores left.

        May be nested, in one thread.

        Raises:
            StoreError: the folder cannot be written.
        """
        if self._writing:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot write {self.folder}: {error.strerror}; name another folder") from error
        with _alone(self.root):
            for other in list(self.root.iterdir()):
                if other.is_dir() and other != self.folder:
                    remove_folder(other)
            for leftover in (*self.folder.glob(f"{TEMPORARY_PREFIX}*"), *self.folder.glob(f"*/{TEMPORARY_PREFIX}*")):
                leftover.unlink(missing_ok=True)
            self._writing = True
            try:
                yield
            finally:
                self._writing = False

    def _write_rows(self, path: Path, rows_of: RowsOf) -> None:
        _require_space(self.root, 4 * self.store.manifest.count * self.store.width)
        count, width, title = 0, self.store.width, f"Laying out {self.store.path.name}"
        with (
            replacing(path) as temporary,
            temporary.open("wb") as file,
            progress(title, self.store.part_count, "parts") as advance,
        ):
            file.seek(HEAD)
            for part in range(self.store.part_count):
                rows = np.ascontiguousarray(rows_of(self._part(part)), np.float32)
                file.write(rows.data)
                count, width = count + len(rows), rows.shape[1]
                advance(1)
            file.seek(0)
            write_head(file, count, width)

    def _part(self, part: int) -> Matrix:
        path = self.store.part_path(part)
        x = vectors(self.store.part_columns(part, ("embedding",))["embedding"], (self.store.width,))
        if not np.isfinite(x).all():
            row = int(np.argmin(np.isfinite(x).all(axis=1)))
            raise DataFormatError(f"{path}: the vector of row {row} is not finite; delete this file and embed again")
        return x

    def _write_ids(self, path: Path) -> None:
        parts = [self.store.part_columns(part, ("id",))["id"] for part in range(self.store.part_count)]
        ids = pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
        columns = pa.table({"id": ids.cast(pa.large_string()).combine_chunks()})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, columns.schema) as writer:
            writer.write_table(columns)


def mapped(path: Path) -> npt.NDArray[Any] | None:
    """Return the array of a `.npy` file on mapped memory, or None where there is none or it is too short.

    Changes of the array stay in this process and never reach the file.
    """
    try:
        found: npt.NDArray[Any] = np.load(path, mmap_mode="c")
        return found
    except (OSError, ValueError, EOFError):
        return None


def write_head(file: BinaryIO, *shape: int) -> None:
    """Write the header of a `.npy` file of float32 at the present place; it takes `HEAD` bytes for any shape."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _same(x: Matrix) -> Matrix:
    return x


def _fingerprint(store: Parted) -> str:
    """Return a digest of what the parts are, from their manifest and the state of their files."""
    files = [store.part_path(part).stat() for part in range(store.part_count)]
    return json_digest([_FORMAT, store.manifest.to_json(), [[f.st_size, f.st_mtime_ns] for f in files]])


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StoreError(
            f"{folder}: scores of the store need {size_text(needed)} for rows to be read fast, and {size_text(free)} "
            "are free on that disk; name a folder on another disk"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it falls when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system: two runs write the same bytes twice
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
