"""Class names as users give them: words, files of words, a known benchmark, a folder of pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zeroscene.errors import DatasetNotFoundError, OptionError

if TYPE_CHECKING:
    from zeroscene.semantics.table import ClassTable

_TABLES = (".csv", ".safetensors", ".bank")


def given_table(given: Sequence[str]) -> "ClassTable | None":
    """Return the class table of the one table file or class bank that a user gave; None where names were given.

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: it holds no class table; what is wrong is named.
    """
    if len(given) == 1 and Path(given[0]).suffix in _TABLES:
        from zeroscene.semantics.reading import read_table

        return read_table(Path(given[0]))
    return None


def named(given: Sequence[str]) -> tuple[str, ...]:
    """Return class names that a user gave with commas between, or as files; errors as for `class_names`."""
    return class_names([part.strip() for word in given for part in word.split(",") if part.strip()])


def class_names(given: Sequence[str] | None, dataset: str | None = None, folder: Path | None = None) -> tuple[str, ...]:
    """Return the class names that a user gave as words, files, a benchmark or a folder.

    Raises:
        OptionError: none were given.
        DatasetNotFoundError: a file or folder is not there.
        UnknownNameError: no such benchmark.
        DuplicateNameError: a class was named twice.
    """
    from zeroscene import names

    wanted: list[str] = []
    for word in given or ():
        wanted += _names_of_file(Path(word[1:])) if word.startswith("@") else [word]
    if dataset is not None:
        from zeroscene.scenes.catalog import benchmark

        wanted += benchmark(dataset).classes
    if folder is not None:
        from zeroscene.scenes.folder import SceneFolder

        wanted += SceneFolder.open(folder).classes
    if not wanted:
        raise OptionError("no classes: name them, or give @FILE with one name a line")
    names.index(wanted, "class names")
    return tuple(wanted)


def _names_of_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetNotFoundError(f"no such file of class names: {path}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not a text file; write one class name a line") from error
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
