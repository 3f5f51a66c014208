"""What lies in a folder: pictures, folders, and everything else with the reason why it is left out."""

import os
from dataclasses import dataclass, field
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp"})
_DEEPEST = 32
_JUNK = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is left out.

    Attributes:
        path: path relative to the folder that was asked for.
        reason: why, in words that end a sentence.
        lost: whether a picture is lost by it, or a folder that may hold some; not for what is no picture at all.
    """

    path: str
    reason: str
    lost: bool = False


@dataclass
class Found:
    """Paths relative to the root, sorted by name within each folder."""

    pictures: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def subfolders(root: Path, inside: str) -> Found:
    """Return what lies directly in the folder `inside` of `root`; nothing deeper."""
    found = Found()
    try:
        with os.scandir(root / inside) as entries:
            listing = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"the folder cannot be read: {error.strerror or error}"
        found.skipped.append(Skipped(inside or ".", reason, lost=True))
        return found
    for entry in listing:
        path = f"{inside}/{entry.name}" if inside else entry.name
        reason, lost = _left_out(entry)
        if reason:
            found.skipped.append(Skipped(_printable(path), reason, lost))
        elif entry.is_dir():
            found.folders.append(path)
        else:
            found.pictures.append(path)
    return found


def walk(root: Path, inside: str, depth: int = _DEEPEST) -> Found:
    """Return all pictures in the folder `inside` of `root`, at any depth."""
    found = subfolders(root, inside)
    for folder in found.folders:
        if depth == 0:
            reason = f"the folder lies more than {_DEEPEST} levels deep"
            found.skipped.append(Skipped(folder, reason, lost=True))
            continue
        deeper = walk(root, folder, depth - 1)
        found.pictures += deeper.pictures
        found.skipped += deeper.skipped
    return found


def _left_out(entry: "os.DirEntry[str]") -> tuple[str, bool]:
    """Return why an entry is left out, "" where it is not, and whether a picture is lost by it."""
    if entry.name.startswith(".") or entry.name in _JUNK:
        return "hidden, or left behind by a file manager", False
    picture = Path(entry.name).suffix.lower() in PICTURE_SUFFIXES
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "the name is not valid Unicode; rename it", picture or entry.is_dir()
    if entry.is_dir():
        return "the link leads to a folder above it" if _leads_up(entry) else "", False
    if not entry.is_file():
        return "the link is broken" if entry.is_symlink() else "not a regular file", picture
    return "" if picture else "not a picture (JPEG, PNG, TIFF or BMP)", False


def _leads_up(entry: "os.DirEntry[str]") -> bool:
    if not entry.is_symlink():
        return False
    here, target = os.path.realpath(os.path.dirname(entry.path)), os.path.realpath(entry.path)  # noqa: PTH120
    return os.path.commonpath([here, target]) == target


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
