"""What the command line keeps beside a fitted method: how its options were chosen, its class table, its encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zeroscene import names
from zeroscene.errors import EncoderError, OptionError
from zeroscene.evaluation.results import Choice
from zeroscene.files import read_json, write_json
from zeroscene.methods.registry import AnyMethod, load_method
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.sources import Origin

if TYPE_CHECKING:
    from zeroscene.encoders.base import ImageEncoder

_CHOICE = "selection.json"
_TABLES = {"attributes": "classes.csv", "embedding": "classes.safetensors"}


def keep(folder: Path, choice: Choice, table: ClassTable, origin: Origin | None) -> None:
    """Write the choice, the class table and the encoder's place beside a saved method."""
    write_json(folder / _CHOICE, choice.to_json())
    for name in _TABLES.values():
        (folder / name).unlink(missing_ok=True)
    table.write(folder / _TABLES[table.kind])
    if origin is not None:
        origin.write(folder)


@dataclass(frozen=True)
class Model:
    """A fitted method and what was kept beside it.

    Attributes:
        folder: where it lies.
        method: the fitted method.
    """

    folder: Path
    method: AnyMethod

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model of a folder.

        Raises:
            DatasetNotFoundError: the folder holds no fitted method.
            DataFormatError: it is damaged.
        """
        return cls(folder, load_method(folder))

    @cached_property
    def gamma(self) -> float:
        """What is subtracted from the scores of seen classes when unseen ones are asked about too; 0 if not chosen."""
        path = self.folder / _CHOICE
        return Choice.from_json(read_json(path), str(path)).gamma if path.is_file() else 0.0

    @cached_property
    def table(self) -> ClassTable | None:
        """The class table of the fit, where it was kept."""
        for name in _TABLES.values():
            if (self.folder / name).is_file():
                return ClassTable.read(self.folder / name)
        return None

    def encoder(self, given: str | None, **choices: Any) -> "ImageEncoder":
        """Return the image encoder of the fit.

        Args:
            given: hub id or folder that the user names, or None for the one that was noted.
            choices: precision, backend, download.

        Raises:
            EncoderError: no encoder was noted and none is given, or it is not where it was.
            EncoderMismatchError: it is another encoder.
        """
        expected = self.method.require_fitted().encoder
        noted = Origin.read(self.folder)
        if given is not None:
            of_fit = (noted.pooling, None, noted.rotations, noted.statistics) if noted else ("auto",)
            return Origin.of(given, *of_fit).open(expected, **choices)
        if noted is None:
            raise EncoderError(
                f"{self.folder} does not say where its encoder {expected.name!r} is; give --encoder FOLDER_OR_ID"
            )
        return noted.open(expected, **choices)

    def classes(self, wanted: Sequence[str], text_encoder: str | None, download: bool = False) -> ClassTable:
        """Return the vectors of the classes that a user asks about, in the vector space of the fit.

        One table file is read as it is. Names that the fit's own table holds get its rows; other names go the way
        that table was made: through the knowledge base or the sentence encoder.

        Args:
            wanted: one table file, or class names (`@FILE` reads one a line).
            text_encoder: hub id or folder of the sentence encoder, for a table made of text.
            download: allow the sentence encoder to be fetched.

        Raises:
            UnknownNameError: a class is not known there; the nearest are listed.
            OptionError: the table was made of text, and the sentence encoder is not given.
        """
        from zeroscene.serving.class_names import class_names

        if len(wanted) == 1 and Path(wanted[0]).suffix in (".csv", ".safetensors"):
            return ClassTable.read(Path(wanted[0]))
        asked = class_names([part.strip() for word in wanted for part in word.split(",") if part.strip()])
        if self.table is None:
            raise OptionError("the model keeps no class table; give --classes TABLE with a row for every class")
        old = [name for name in asked if name in self.table]
        new = [name for name in asked if name not in self.table]
        if not new:
            return self.table.select(asked)
        made = self._new_classes(self.table, new, text_encoder, download)
        return (self.table.select(old).union(made) if old else made).select(asked)

    def _new_classes(self, own: ClassTable, new: list[str], text_encoder: str | None, download: bool) -> ClassTable:
        source = own.provenance.get("source")
        if source == "knowledge":
            from zeroscene.semantics.knowledge import knowledge_table

            return knowledge_table(new)
        if source == "text" and own.kind == "embedding":
            from zeroscene.serving.texts import vectors_like

            return vectors_like(own.provenance, new, text_encoder, download)
        raise names.unknown(new, own.classes, "classes in the model's own table (give --classes TABLE)")
