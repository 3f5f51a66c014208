"""Files that are whole or absent: written beside their place, flushed, and renamed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zeroscene.errors import DataFormatError, DatasetNotFoundError, StoreError

TEMPORARY_PREFIX = ".writing-"
REMOVING_PREFIX = ".removing-"


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any error it is removed.

    Args:
        path: the file.
        durable: wait until the disk has it. Without, a power failure (not a killed process) may leave the file too
            short: for what can be worked out again in less time than a disk needs.

    Raises:
        StoreError: the place cannot be written (no permission, disk full).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: it is not JSON; the line is named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetNotFoundError(f"no such file: {path}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path} is not valid JSON: {error}") from error


def remove_folder(folder: Path) -> None:
    """Remove a folder with all it holds, so that a killed run never leaves half of it at its place.

    It is renamed first; what earlier runs left of folders that they removed beside it goes too. What cannot be
    removed stays.
    """
    if not folder.name.startswith(REMOVING_PREFIX):
        _remove_remnants(folder.parent)
        with suppress(OSError):
            folder.replace(folder.with_name(f"{REMOVING_PREFIX}{folder.name}"))
    _remove_remnants(folder.parent)


def _remove_remnants(place: Path) -> None:
    for remnant in place.glob(f"{REMOVING_PREFIX}*"):
        shutil.rmtree(remnant, ignore_errors=True)


def digest(*parts: bytes | str) -> str:
    """Return a 16-digit hash of the parts; the same on every machine."""
    h = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def json_digest(value: Any) -> str:
    """Return the digest of a JSON value, independent of key order."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False))


def file_digest(path: Path) -> str:
    """Return the digest of a file's bytes, read in pieces."""
    h = hashlib.blake2b(digest_size=8)
    with path.open("rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()
