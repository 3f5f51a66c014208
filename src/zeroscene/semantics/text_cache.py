"""Text vectors kept between runs: one SQLite file, a row for each text that an encoder has read.

A vector is found by the encoder's fingerprint and the hash of the text, so that other weights or another tokenizer
never give an old answer. The file can be deleted at any time; what it holds can be made again. It stays whole when a
process is killed, and several may use it at once.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from zeroscene.encoders.base import EncoderIdentity, Reading, TextEncoder, readings

Matrix = npt.NDArray[np.float32]
T = TypeVar("T")

VARIABLE: Final = "ZEROSCENE_CACHE"
"""Environment variable that names the folder of the cache."""

_FILE: Final = "texts-1.sqlite"
_WAIT: Final = 30.0
_AT_ONCE: Final = 500
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(encoder TEXT, text BLOB, vector BLOB, PRIMARY KEY (encoder, text)) WITHOUT ROWID"
)


def cache_folder() -> Path:
    """Return where text vectors are kept: `ZEROSCENE_CACHE`, or `zeroscene` in the user's cache folder."""
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "zeroscene" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "zeroscene"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zeroscene"


class CachedTextEncoder:
    """A text encoder that remembers; satisfies `encoders.base.TextEncoder`.

    The texts that are not known are encoded in one call. A cache never stops work: where the folder cannot be written,
    or another process keeps the file locked, texts are encoded as if there were none; a damaged file is begun anew.

    Args:
        encoder: what encodes a text that is not known.
        folder: where the file lies; `cache_folder()` if not given.
    """

    def __init__(self, encoder: TextEncoder, folder: Path | None = None):
        self._encoder = encoder
        self._path = (cache_folder() if folder is None else folder) / _FILE

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        return self._encoder.identity

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self._encoder.width

    def read(self, texts: Sequence[str]) -> list[Reading] | None:
        """Return how the encoder takes texts apart, or None for one that does not tell."""
        return readings(self._encoder, texts)

    def encode_texts(self, texts: Sequence[str]) -> Matrix:
        """Return (len(texts), D) float32 vectors of unit length.

        Raises:
            EncoderError: the encoder refuses a text; nothing of the call is kept then.
        """
        keys = {text: hashlib.blake2b(text.encode(), digest_size=16).digest() for text in dict.fromkeys(texts)}
        vectors = self._known(keys)
        if new := [text for text in keys if text not in vectors]:
            made = dict(zip(new, self._encoder.encode_texts(new), strict=True))
            self._keep({keys[text]: vector for text, vector in made.items()})
            vectors |= made
        return np.stack([vectors[text] for text in texts]) if texts else np.empty((0, self.width), np.float32)

    def _known(self, keys: dict[str, bytes]) -> dict[str, Matrix]:
        texts = {key: text for text, key in keys.items()}
        wanted, found = list(texts), {}

        def ask(file: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
            rows: list[tuple[bytes, bytes]] = []
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                rows += file.execute(
                    f"SELECT text, vector FROM vectors WHERE encoder = ? AND text IN ({marks})",
                    (self.identity.fingerprint, *part),
                ).fetchall()
            return rows

        for key, data in self._with_file(ask) or []:
            vector = np.frombuffer(data, "<f4").astype(np.float32) if len(data) == 4 * self.width else None
            # A vector that lost its length was damaged on the disk.
            if vector is not None and abs(float(np.linalg.norm(vector)) - 1) < 1e-3:
                found[texts[key]] = vector
        return found

    def _keep(self, vectors: dict[bytes, Matrix]) -> None:
        rows = [(self.identity.fingerprint, key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]

        def write(file: sqlite3.Connection) -> None:
            with file:
                file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

        self._with_file(write)

    def _with_file(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """Use the file, or return None where that is impossible."""
        for _ in range(2):
            try:
                with self._opened() as file:
                    return use(file)
            except (OSError, sqlite3.OperationalError):
                return None
            except sqlite3.DatabaseError as error:
                if type(error) is not sqlite3.DatabaseError:  # its subclasses are defects; this is a damaged file
                    raise
                # A journal that outlives its file would be played back into the next one.
                self._path.with_name(f"{_FILE}-journal").unlink(missing_ok=True)
                self._path.unlink(missing_ok=True)
        return None

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=_WAIT)) as file:
            file.execute(_TABLE)
            yield file
