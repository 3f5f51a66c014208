"""SceneFolder: pictures in one folder per class, or without classes; what is left out is listed with its reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Self

from zeroscene import names
from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError
from zeroscene.scenes.walk import Skipped, subfolders, walk

_WRAPPERS = 3  # levels of folders such as `AID/AID` or `UCMerced_LandUse/Images` that archives unpack to
_NOT_WANTED = "the folder is none of the wanted classes"
_OUTSIDE = "the picture lies outside the class folders"


@dataclass(frozen=True)
class SceneFolder:
    """Pictures of a folder with the class of each.

    Attributes:
        root: the folder that holds the class folders; below the folder that was asked for when that one only wraps it.
        ids: path of each picture relative to `root`, with `/` between its parts; sorted, unique.
        labels: class of each picture, or None when nothing is known about classes.
        classes: the classes that have pictures.
        skipped: files and folders that are no part of the data set, each with its reason.
    """

    root: Path
    ids: tuple[str, ...]
    labels: tuple[str, ...] | None
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def path(self, picture: str) -> Path:
        """Return the file of a picture id."""
        return self.root / picture

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Number of pictures of each class; empty without labels."""
        of_class = Counter(self.labels or ())
        return {name: of_class[name] for name in self.classes}

    @classmethod
    def open(
        cls, root: str | Path, classes: Sequence[str] | None = None, aliases: Mapping[str, str] | None = None
    ) -> Self:
        """Return the pictures of a folder with one folder per class.

        Without `classes`, every folder in `root` is a class, named as it is spelled; when `root` holds one folder and
        that one holds the class folders (as archives unpack), the inner one is taken. With `classes`, a class folder
        is any folder up to three levels down whose name, once normalised, is one of them or an alias of one; labels
        are then spelled as in `classes`, and other folders are skipped. Within a class folder, pictures may lie at
        any depth.

        Args:
            root: the folder.
            classes: the classes to take; None for all.
            aliases: other folder names, each with the class of `classes` it stands for.

        Raises:
            DatasetNotFoundError: there is no such folder, or it is a file.
            DataFormatError: it has no class folder with pictures.
            DuplicateNameError: two folders are the same class.
            UnknownNameError: a wanted class has no folder.
        """
        if classes is not None:
            scenes, absent = cls.open_wanted(root, classes, aliases or {})
            if absent:
                others = [s.path.rpartition("/")[2] for s in scenes.skipped if s.reason == _NOT_WANTED]
                raise names.unknown(absent, others or scenes.classes, f"classes in {root}")
            return scenes
        root = _checked(root)
        skipped: list[Skipped] = []
        folders = _every_folder(root, _unwrapped(root, skipped), skipped)
        return cls._of(root, folders, sorted(folders.values()), skipped)

    @classmethod
    def open_wanted(
        cls, root: str | Path, classes: Sequence[str], aliases: Mapping[str, str]
    ) -> tuple[Self, tuple[str, ...]]:
        """Return what there is of the wanted classes as `open` does, and the classes that have no folder.

        Raises:
            DatasetNotFoundError: there is no such folder, or it is a file.
            DataFormatError: no wanted class has pictures.
            DuplicateNameError: two folders are the same class.
        """
        root = _checked(root)
        skipped: list[Skipped] = []
        folders = _wanted_folders(root, classes, aliases, skipped)
        present = set(folders.values())
        return cls._of(root, folders, classes, skipped), tuple(name for name in classes if name not in present)

    @classmethod
    def open_flat(cls, root: str | Path) -> Self:
        """Return all pictures in a folder, at any depth, without labels.

        Raises:
            DatasetNotFoundError: there is no such folder, or it is a file.
            DataFormatError: it holds no picture.
        """
        root = _checked(root)
        found = walk(root, "")
        if not found.pictures:
            raise DataFormatError(f"{root} holds no picture (JPEG, PNG, TIFF or BMP){_seen(found.skipped)}")
        return cls(root, tuple(sorted(found.pictures)), None, (), _sorted(found.skipped))

    @classmethod
    def _of(cls, asked: Path, folders: Mapping[str, str], order: Sequence[str], skipped: list[Skipped]) -> Self:
        """Collect the pictures of class folders, given as path relative to `asked` -> class."""
        label_of: dict[str, str] = {}
        for folder, name in folders.items():
            found = walk(asked, folder)
            skipped += found.skipped
            if not found.pictures:
                skipped.append(Skipped(folder, f"class {name!r} has no pictures"))
            label_of.update(dict.fromkeys(found.pictures, name))
        if not label_of:
            raise DataFormatError(_no_classes(asked, skipped))
        wrapper = _shared_parts([folder.split("/")[:-1] for folder in folders])
        start = sum(len(part) + 1 for part in wrapper)
        found_classes = set(label_of.values())
        return cls(
            asked.joinpath(*wrapper),
            tuple(picture[start:] for picture in sorted(label_of)),
            tuple(label_of[picture] for picture in sorted(label_of)),
            tuple(c for c in order if c in found_classes),
            _sorted(skipped),
        )


def _checked(given: str | Path) -> Path:
    root = Path(given)
    if root.is_dir():
        return root
    if root.exists():
        raise DatasetNotFoundError(f"{root} is a file; give the folder that holds the pictures")
    above = next((parent for parent in root.absolute().parents if parent.is_dir()), None)
    raise DatasetNotFoundError(f"no folder {root}" + (f" (it ends at {above})" if above else ""))


def _unwrapped(root: Path, skipped: list[Skipped]) -> str:
    """Return the folder to descend to: while one has no picture and one subfolder, which is no class folder itself."""
    inside = ""
    for _ in range(_WRAPPERS):
        listing = subfolders(root, inside)
        if len(listing.folders) != 1 or listing.pictures:
            return inside
        below = subfolders(root, listing.folders[0])
        if below.pictures or not below.folders:
            return inside
        skipped += listing.skipped
        inside = listing.folders[0]
    return inside


def _every_folder(root: Path, inside: str, skipped: list[Skipped]) -> dict[str, str]:
    listing = subfolders(root, inside)
    skipped += listing.skipped
    skipped += [Skipped(p, _OUTSIDE, lost=True) for p in listing.pictures]
    folders = {folder: folder.rpartition("/")[2] for folder in listing.folders}
    names.index(list(folders.values()), f"class folders in {root / inside}")
    return folders


def _wanted_folders(
    root: Path, classes: Sequence[str], aliases: Mapping[str, str], skipped: list[Skipped]
) -> dict[str, str]:
    names.index(classes, "wanted classes")
    class_of = {names.key(alias): name for alias, name in aliases.items()} | {names.key(c): c for c in classes}
    folders: dict[str, str] = {}
    _descend(root, "", class_of, _WRAPPERS, folders, skipped)
    taken: dict[str, str] = {}
    for folder, name in folders.items():
        if (other := taken.setdefault(name, folder)) != folder:
            raise DuplicateNameError(f"{root}: the folders {other!r} and {folder!r} are both class {name!r}; keep one")
    return folders


def _descend(
    root: Path, inside: str, class_of: Mapping[str, str], depth: int, folders: dict[str, str], skipped: list[Skipped]
) -> bool:
    """Enter class folders below `inside` into `folders`; return whether there was any."""
    listing = subfolders(root, inside)
    skipped += listing.skipped
    skipped += [Skipped(p, _OUTSIDE, lost=True) for p in listing.pictures]
    any_class = False
    for folder in listing.folders:
        if name := class_of.get(names.key(folder.rpartition("/")[2])):
            folders[folder] = name
            any_class = True
            continue
        below: list[Skipped] = []
        if depth > 1 and _descend(root, folder, class_of, depth - 1, folders, below):
            skipped += below
            any_class = True
        else:
            skipped.append(Skipped(folder, _NOT_WANTED))
    return any_class


def _no_classes(root: Path, skipped: Sequence[Skipped]) -> str:
    pictures = sum(s.reason == _OUTSIDE for s in skipped)
    if pictures:
        return f"{root} holds {pictures} pictures but no class folders; expected {root / '<class>' / '<picture>'}"
    return f"{root} holds no class folder with pictures (JPEG, PNG, TIFF or BMP){_seen(skipped)}"


def _shared_parts(paths: Sequence[Sequence[str]]) -> list[str]:
    return [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))]


def _seen(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return "; it is empty"
    return f"; it holds {skipped[0].path!r} ({skipped[0].reason})" + (" and others" if len(skipped) > 1 else "")


def _sorted(skipped: Sequence[Skipped]) -> tuple[Skipped, ...]:
    return tuple(sorted(skipped, key=lambda s: (s.path, s.reason)))
