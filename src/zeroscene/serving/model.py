"""What the command line keeps beside a fitted method: how its options were chosen, its class table, its encoder."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zeroscene import names
from zeroscene.errors import EncoderError, OptionError, UnknownNameError, ZeroSceneError
from zeroscene.evaluation.results import Choice
from zeroscene.files import read_json, write_json
from zeroscene.methods.confidence import Confidence
from zeroscene.methods.registry import AnyMethod, load_method
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_entries import can_be_named, remedy
from zeroscene.semantics.bank_file import BankFile
from zeroscene.semantics.bank_parts import Entry
from zeroscene.semantics.contrast import distinct
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.bank import BANK, Bank
from zeroscene.serving.class_names import given_table, named
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.sources import Origin

if TYPE_CHECKING:
    from zeroscene.encoders.base import ImageEncoder

CONFIDENCE = "confidence.json"
_CHOICE = "selection.json"


def keep(folder: Path, choice: Choice, table: ClassTable, origin: Origin | None) -> None:
    """Write the choice, the class bank and the encoder's place beside a saved method.

    A bank that was there stays in the history of the new one.
    """
    write_json(folder / _CHOICE, choice.to_json())
    BankFile(folder / BANK).write(ClassBank.of(table), f"fitted with {len(table)} classes", "zeroscene fit")
    if origin is not None:
        origin.write(folder)


def replaced(folder: Path) -> str | None:
    """Return what a new model in a folder replaces there, a sentence, or None where there is none."""
    if not (folder / BANK).is_file():
        return None
    with suppress(ZeroSceneError):
        count = len(BankFile(folder / BANK).read())
        return (
            f"{folder} held a model of {count} classes, which this one replaces; its classes stay in the history "
            f"(zeroscene classes history {folder})"
        )
    return f"{folder} held a model whose class bank is damaged; this one replaces it"


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
    def confidence(self) -> Confidence | None:
        """What turns scores into probabilities, where it was kept."""
        path = self.folder / CONFIDENCE
        return Confidence.read(path) if path.is_file() else None

    def contrast(self, candidates: ClassTable) -> ClassTable | None:
        """Return the classes of the fit that are not among the candidates and mean something else, if there are any."""
        own = self.table
        if own.space != candidates.space or all(name in candidates for name in own.classes):
            return None
        return distinct(candidates, own)

    @cached_property
    def bank(self) -> ClassBank:
        """The classes of the model, as they are now.

        Raises:
            DatasetNotFoundError: the model has no class bank.
            DataFormatError: it is damaged, or was changed by hand.
            EncoderMismatchError: it was made for another model.
        """
        kept = Bank.at(self.folder)
        held = kept.file.read()
        kept.require_fit(held)
        return held

    @property
    def table(self) -> ClassTable:
        """The class table of all classes of the bank.

        Raises:
            DatasetNotFoundError, DataFormatError, EncoderMismatchError: as for `bank`.
        """
        return self.bank.table

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

    def classes(
        self, wanted: Sequence[str] | None = None, text_encoder: str | None = None, download: bool = False
    ) -> ClassTable:
        """Return the vectors of the classes that a user asks about, in the vector space of the fit.

        One table file is read as it is. Names that the bank holds get its vectors; other names are made in its way,
        for this once: through the knowledge base or the text encoder.

        Args:
            wanted: one table file or bank, or class names (`@FILE` reads one a line); all of the bank without.
            text_encoder: hub id or folder of the text encoder, for a bank of words; where it was last time without.
            download: allow the text encoder to be fetched.

        Raises:
            UnknownNameError: a class is not known there; the nearest are listed.
            OptionError: the bank is empty, or a name alone says nothing to it; the message says what to do.
            EncoderMismatchError: the text encoder is another one than the bank was made for.
        """
        if (given := given_table(wanted or ())) is not None:
            return given
        if not wanted:
            if not len(self.bank):
                raise OptionError(f"the class bank of {self.folder} is empty; add a class: zeroscene classes add")
            return self.table
        asked = named(wanted)
        bank = self.bank
        if new := [name for name in asked if name not in bank]:
            for entry in self._made(bank, new, text_encoder, download):
                bank = bank.added(entry)
        return bank.table.select(asked)

    def labeller(
        self,
        wanted: Sequence[str] | None = None,
        *,
        encoder: str | None = None,
        text_encoder: str | None = None,
        gamma: float | None = None,
        download: bool = False,
    ) -> Labeller:
        """Return what answers about classes.

        Args:
            wanted, text_encoder, download: as in `classes`.
            encoder: where the image encoder is, if it moved since the fit.
            gamma: what is subtracted from the scores of seen classes; that of the fit where None.

        Raises:
            UnknownNameError, OptionError, EncoderMismatchError: as in `classes`.
        """
        asked = self.classes(wanted, text_encoder, download)
        return Labeller(
            self.method,
            asked,
            lambda: self.encoder(encoder, download=download),
            self.confidence,
            self.contrast(asked) if len(asked) == 1 else None,
            self.gamma if gamma is None else gamma,
        )

    def _made(self, bank: ClassBank, new: list[str], text_encoder: str | None, download: bool) -> list[Entry]:
        if not can_be_named(bank):
            error = names.unknown(new, bank.classes, f"classes in {self.folder}")
            raise UnknownNameError(f"{error}; add them with `zeroscene classes add`: {remedy(bank)}")
        return Bank.at(self.folder).make(bank, new, encoder=text_encoder, download=download, option="--text-encoder")
