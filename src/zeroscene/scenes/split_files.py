"""Files of splits: our own JSON, lists of splits that others publish, and what a person writes in YAML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError, OptionError, SplitError
from zeroscene.files import read_json, write_json
from zeroscene.names import nearest
from zeroscene.scenes.splits import FORMAT, Split

_KEYS = ("format", "dataset", "name", "id", "seen", "unseen", "held_out")


def read_splits(path: Path) -> list[Split]:
    """Read the splits of a JSON or YAML file.

    A split is a mapping with the lists `seen` and `unseen`, and optionally `name` (or `id`), `dataset` and `held_out`.
    A file holds one split, or a mapping with the list `splits`; there, `dataset` stands beside the list and numbers
    `seen` and `unseen` state how many classes each split has.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: it does not hold splits; says what is wrong in which split.
        SplitError: a split has a class on both sides or an empty side, or other counts than stated.
        DuplicateNameError: a class stands twice in a split, or two splits have one name.
    """
    value = _read_yaml(path) if path.suffix in (".yaml", ".yml") else read_json(path)
    if not isinstance(value, dict) or not ("splits" in value or {"seen", "unseen"} <= value.keys()):
        raise DataFormatError(f"{path}: expected a mapping with the lists 'seen' and 'unseen', or with a list 'splits'")
    entries = value.get("splits", [value])
    if not isinstance(entries, list) or not entries:
        raise DataFormatError(f"{path}: 'splits' must be a list of at least one split")
    dataset = str(value.get("dataset", path.stem))
    splits = [_split(entry, dataset, number, path) for number, entry in enumerate(entries, start=1)]
    if "splits" in value:
        _check_stated_counts(value, splits, path)
    seen_names: set[str] = set()
    for split in splits:
        if split.name in seen_names:
            raise DuplicateNameError(f"{path}: two splits are named {split.name!r}; give each its own name")
        seen_names.add(split.name)
    return splits


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """Write splits as one JSON file that `read_splits` reads.

    Raises:
        OptionError: the file is not named `.json`.
    """
    if path.suffix != ".json":
        raise OptionError(f"splits are written as .json, not {path.name}")
    write_json(path, {"splits": [split.to_json() for split in splits]})


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DatasetNotFoundError(f"no such file: {path}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataFormatError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error


def _split(entry: Any, dataset: str, number: int, path: Path) -> Split:
    where = f"{path}: split {number}"
    if not isinstance(entry, dict) or not {"seen", "unseen"} <= entry.keys():
        raise DataFormatError(f"{where}: expected a mapping with the lists 'seen' and 'unseen'")
    if entry.get("format", FORMAT) != FORMAT:
        raise DataFormatError(f"{where}: the format is {entry['format']!r}, but only {FORMAT!r} is known")
    if strangers := [key for key in entry if key not in _KEYS]:
        close = nearest(str(strangers[0]), _KEYS)
        hint = f"; did you mean {close[0]!r}?" if close else f" (known: {', '.join(_KEYS)})"
        raise DataFormatError(f"{where}: unknown key {strangers[0]!r}{hint}")
    name = str(entry.get("name", entry.get("id", path.stem if number == 1 else number)))
    try:
        return Split(
            str(entry.get("dataset", dataset)),
            name,
            _texts(entry["seen"], f"{where}, seen"),
            _texts(entry["unseen"], f"{where}, unseen"),
            _texts(entry.get("held_out", []), f"{where}, held_out"),
        )
    except (SplitError, DuplicateNameError) as error:
        raise type(error)(f"{path}: {error}") from error


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataFormatError(f"{where}: expected a list of names, not {value!r}")
    for item in value:
        if not isinstance(item, str):
            raise DataFormatError(f"{where}: {item!r} is no text; put names such as 'no' or '7' in quotes")
    return tuple(value)


def _check_stated_counts(value: dict[str, Any], splits: Sequence[Split], path: Path) -> None:
    for side in ("seen", "unseen"):
        stated = value.get(side)
        for split in splits if isinstance(stated, int) else ():
            if (have := len(getattr(split, side))) != stated:
                raise SplitError(f"{path}: split {split.name!r} has {have} {side} classes, the file states {stated}")
