"""Token grids of one part on disk: a plain `.npy` file of float16, (n, V, H, W, D), written in pieces.

Any NumPy opens it. Its size and SHA-256 are noted in the footer of the Parquet part beside it: the size is looked at
whenever the store is opened for grids, the digest only when asked, because that reads every byte.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from zeroscene.errors import StoreError
from zeroscene.files import replacing


@dataclass(frozen=True)
class GridNote:
    """What a grid file was when it was written.

    Attributes:
        size: its bytes.
        sha256: digest of all of them.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the note of a file as it is now; every byte is read."""
        with path.open("rb") as f:
            return cls(path.stat().st_size, hashlib.file_digest(f, "sha256").hexdigest())

    def check(self, path: Path, every_byte: bool = False) -> None:
        """Refuse a file that is not the one noted.

        Raises:
            StoreError: it is gone, or of another size; with `every_byte`, also if one byte differs.
        """
        try:
            same = path.stat().st_size == self.size and (not every_byte or GridNote.of(path) == self)
        except OSError as error:
            raise damaged(path) from error
        if not same:
            raise damaged(path)


class GridWriter:
    """A grid file being written; its header says how many pictures it holds once they are known."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int, int, int]):
        self._file = file
        self._shape = shape
        self._count = 0
        self._head()

    def append(self, tokens_NVHWD: npt.NDArray[np.float16]) -> None:
        """Add pictures, (n, V, H, W, D)."""
        self._file.write(np.ascontiguousarray(tokens_NVHWD, np.float16).data)
        self._count += len(tokens_NVHWD)

    def close(self) -> None:
        """Set the number of pictures in the header."""
        self._file.seek(0)
        self._head()
        self._file.flush()

    def _head(self) -> None:
        # NumPy pads the header so that the first axis can grow in place: it is as long for 0 pictures as for many.
        head: dict[str, Any] = {"descr": "<f2", "fortran_order": False, "shape": (self._count, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, head)


@contextmanager
def writing_grids(path: Path, shape: tuple[int, int, int, int]) -> Iterator[GridWriter]:
    """Yield a writer of one grid file, which is there as a whole at the end, or not at all.

    Args:
        path: the file.
        shape: (V, H, W, D): views, rows, columns and width of the grids of one picture.

    Raises:
        StoreError: the file cannot be written (no permission, disk full).
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        writer = GridWriter(file, shape)
        yield writer
        writer.close()


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin grids that the disk has no room for.

    Args:
        folder: where they will lie; it need not exist.
        needed: bytes still to be written.

    Raises:
        StoreError: less is free.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise StoreError(
            f"{folder}: the token grids need {size_text(needed)} and {size_text(free)} are free on that disk; "
            "keep fewer views, or take a model with a smaller grid, or another disk"
        )


def size_text(size: int) -> str:
    """Return a number of bytes for people: `421 MB`, `12.5 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.{0 if size >= 100 * scale else 1}f} {unit}"
    return f"{size} bytes"


def damaged(path: Path) -> StoreError:
    """Return the error for a file of a store that cannot be trusted."""
    return StoreError(
        f"{path} is damaged; delete this one file and run the same embedding again: only its pictures are encoded anew"
    )
