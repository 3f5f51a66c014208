"""Class tables from any file that holds one: a CSV, safetensors, or a class bank."""

from pathlib import Path

from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.table import ClassTable

BANK = ".bank"


def read_table(path: Path) -> ClassTable:
    """Read a class table (`ClassTable.read`), or that of all classes of a bank (`.bank`).

    Raises:
        DatasetNotFoundError: there is no such file.
        DataFormatError: it holds no class table; what is wrong is named.
    """
    return ClassBank.read(path).table if path.suffix == BANK else ClassTable.read(path)
