"""Class tables as a user names them: one file, or several with labels, which become views of one table."""

from collections.abc import Sequence
from pathlib import Path

from zeroscene.errors import DuplicateNameError, OptionError
from zeroscene.semantics.reading import read_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import join


def read_tables(given: Sequence[str]) -> ClassTable:
    """Return the class table of `FILE`, or of `LABEL=FILE` words, joined (`semantics.views`).

    Raises:
        OptionError: several files and one without a label, or none.
        DuplicateNameError: two labels are the same name.
        DatasetNotFoundError, DataFormatError: a file is not there, or is no class table.
        UnknownNameError: a class of the first table is absent from another.
    """
    if not given:
        raise OptionError("name a class table")
    if len(given) == 1 and (Path(given[0]).is_file() or "=" not in given[0]):
        return read_table(Path(given[0]))
    tables: dict[str, ClassTable] = {}
    for word in given:
        label, separator, path = word.partition("=")
        if not separator or not label.strip() or not path:
            raise OptionError(f"class table {word!r}: with several tables each has a label, LABEL=FILE")
        if label in tables:
            raise DuplicateNameError(f"class tables: {label!r} stands twice; give each its own label")
        tables[label] = read_table(Path(path))
    return join(tables)
