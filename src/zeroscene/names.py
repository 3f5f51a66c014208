"""Class names: one normal form, so that every spelling of a class is the same class.

`baseballdiamond`, `baseball_diamond`, `BaseballDiamond` and `Baseball Diamond` have the same key, and so have the
composed and the decomposed form of `forêt` (NFC and NFD). Marks on letters, such as vowel signs, are parts of a word.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Final

from zeroscene.errors import DuplicateNameError, UnknownNameError

NONE: Final = "none of these"
"""What a picture is called that shows no class; no class is called so."""

_NOT_ALNUM = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def key(name: str) -> str:
    """Return the key under which spellings of a class name are equal: lower case, letters (with marks) and digits."""
    return "".join(_parts(composed(name))).casefold()


def words(name: str) -> str:
    """Return a name as separate lower-case words: `BaseballDiamond` and `baseball_diamond` as `baseball diamond`."""
    return " ".join(_parts(_CAMEL.sub(" ", composed(name)))).lower()


def composed(text: str) -> str:
    """Return a text in the one form (NFC) of those that look alike."""
    return unicodedata.normalize("NFC", text)


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return the known names whose spelling is closest to `name`, closest first; possibly none."""
    spelled = {key(other): other for other in known}
    return [spelled[k] for k in difflib.get_close_matches(key(name), spelled, n=count, cutoff=0.5)]


def index(known: Sequence[str], what: str) -> dict[str, int]:
    """Return the position of each name by its key.

    Raises:
        DuplicateNameError: two names have the same key; both spellings are named.
    """
    positions: dict[str, int] = {}
    for i, name in enumerate(known):
        if not key(name):
            raise DuplicateNameError(f"{what}: entry {i + 1} has no letters or digits: {name!r}")
        if (j := positions.setdefault(key(name), i)) != i:
            raise DuplicateNameError(f"{what}: {known[j]!r} and {name!r} are the same name; keep one of them")
    return positions


def unknown(wanted: Iterable[str], known: Sequence[str], what: str) -> UnknownNameError:
    """Return the error that lists the names of `wanted` that are not `known`, each with its nearest names."""
    have = {key(name) for name in known}
    parts = []
    for name in wanted:
        if key(name) not in have:
            close = nearest(name, known)
            parts.append(f"{name!r}" + (f" (nearest: {', '.join(close)})" if close else ""))
    if len(known) <= 12:
        parts[-1] += f"; known: {', '.join(known)}"
    return UnknownNameError(f"unknown {what}: " + ", ".join(parts))


def _parts(name: str) -> list[str]:
    return _NOT_ALNUM.sub(_between, name).split()


def _between(gap: re.Match[str]) -> str:
    """Return what is left between two letters: the marks on the first of them, and a space where there is more."""
    marks = "".join(takewhile(_is_mark, gap[0])) if gap.start() else ""
    return marks if marks == gap[0] else marks + " "


def _is_mark(character: str) -> bool:
    # A variation selector chooses between pictures of one character.
    is_mark = unicodedata.category(character) in ("Mn", "Mc")
    return is_mark and not unicodedata.name(character, "").startswith("VARIATION SELECTOR")
