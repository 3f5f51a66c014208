"""Class names as users give them: words, files of words, a known benchmark, a folder of pictures."""

from collections.abc import Sequence
from pathlib import Path

from zeroscene.errors import DatasetNotFoundError, OptionError


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
        raise OptionError("no classes: name them, or give @FILE, --dataset or --folder")
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
