"""A class bank where it lies, in a model or on its own, with the text encoder that words go through to become classes.

Where that encoder is is noted beside the bank once somebody has said it, in `classes.bank.encoder`; the bank itself
holds no place of one machine, so that equal banks stay equal files everywhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from zeroscene.encoders.base import EncoderIdentity, TextEncoder, readings
from zeroscene.errors import (
    DatasetNotFoundError,
    EncoderError,
    EncoderMismatchError,
    OptionError,
    StoreError,
    UnknownNameError,
)
from zeroscene.files import read_json, write_json
from zeroscene.semantics import knowledge
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_entries import Teller, made_anew, make, remedy
from zeroscene.semantics.bank_file import BankFile
from zeroscene.semantics.bank_parts import Entry
from zeroscene.semantics.prompts import prompt_warnings
from zeroscene.semantics.text import Texts
from zeroscene.serving.sources import Origin, place

BANK: Final = "classes.bank"
"""The bank of a model, in its folder."""

_RECORD: Final = "method.json"
_TRIED: Final = 8
"""Classes of a bank that are asked in what way it says them."""
_NOTE, _FORMAT = ".encoder", "zeroscene-bank-encoder-1"

_Opener = Callable[[EncoderIdentity], TextEncoder]


@dataclass(frozen=True)
class Bank:
    """A bank and its surroundings.

    Attributes:
        file: the bank.
        model: folder of the fitted method whose bank it is, or None.
        notes: what a user should know about classes that were made here, a sentence each.
    """

    file: BankFile
    model: Path | None = None
    notes: list[str] = field(default_factory=list, compare=False)

    @classmethod
    def at(cls, given: Path) -> Self:
        """Return the bank of a model's folder, or that of a file.

        Raises:
            DatasetNotFoundError: a folder that holds no fitted method.
            OptionError: a file that is not called `.bank`.
        """
        if given.is_dir():
            if not (given / _RECORD).is_file():
                raise DatasetNotFoundError(f"{given} holds no fitted method; give a model's folder, or a .bank file")
            return cls(BankFile(given / BANK), given)
        if given.suffix != ".bank":
            raise OptionError(f"{given} is neither the folder of a model nor a class bank (.bank)")
        return cls(BankFile(given))

    def require_fit(self, bank: ClassBank) -> None:
        """Refuse a bank whose vectors the model does not understand; without a model, every bank will do.

        Raises:
            EncoderMismatchError: it was made for another model.
        """
        if self.model is None:
            return
        record = read_json(self.model / _RECORD)
        # The prompts method takes texts in any templates, and checks the encoder itself.
        if bank.space != record["space"] and record["method"] != "prompts":
            raise EncoderMismatchError(
                f"the bank is of {told(bank.recipe.provenance)}, the model in {self.model} was fitted with class "
                f"vectors of {told(record['table'])}; make a bank in that way, or fit the model again"
            )

    def make(
        self,
        bank: ClassBank,
        wanted: Sequence[str],
        *,
        texts: Mapping[str, Sequence[str]] | None = None,
        values: Mapping[str, float] | None = None,
        encoder: str | None = None,
        download: bool = False,
        option: str = "--encoder",
    ) -> list[Entry]:
        """Return new classes, made as the bank says; what a user should know is added to the notes.

        Args:
            bank: the content of the file.
            wanted: names of the classes.
            texts: what they look like; without it, and without values, what suits bank and encoder.
            values: attribute values of the one class.
            encoder: where the text encoder is; where it was last time without it.
            download: allow it to be fetched.
            option: how the user names the encoder.

        Raises:
            OptionError: the bank cannot be told so, or it is not known where its text encoder is.
            UnknownNameError: a class is not in the knowledge base, or an attribute not in the bank.
            EncoderMismatchError: the bank was made for another encoder; both are named.
            EncoderError: a text is longer than the encoder reads, or in words that it does not know.
        """
        return self._noting(
            bank,
            lambda opened: make(bank, wanted, opened, texts=texts, values=values, said=self._teller()),
            encoder,
            download,
            option,
        )

    def describe(
        self,
        bank: ClassBank,
        name: str,
        *,
        texts: Sequence[str] | None = None,
        values: Mapping[str, float] | None = None,
        encoder: str | None = None,
        download: bool = False,
    ) -> Entry:
        """Return a class of the bank, described anew; what a user should know is added to the notes.

        Args:
            bank: the content of the file.
            name: of the class.
            texts: what it looks like.
            values: attribute values; those that are not named stay.
            encoder, download: as for `make`.

        Raises:
            UnknownNameError: no such class, or an attribute not in the bank.
            OptionError, EncoderMismatchError, EncoderError: as for `make`.
        """

        def anew(opened: _Opener) -> list[Entry]:
            return [made_anew(bank, name, opened, texts=texts, values=values, said=self._teller())]

        return self._noting(bank, anew, encoder, download, "--encoder")[0]

    def _noting(
        self,
        bank: ClassBank,
        make_entries: Callable[[_Opener], list[Entry]],
        encoder: str | None,
        download: bool,
        option: str,
    ) -> list[Entry]:
        asked: dict[str, TextEncoder] = {}

        def opened(expected: EncoderIdentity) -> TextEncoder:
            if expected.fingerprint not in asked:
                asked[expected.fingerprint] = self.reader(expected, encoder, download, option)
            return asked[expected.fingerprint]

        try:
            made = make_entries(opened)
        except UnknownNameError as error:
            raise UnknownNameError(str(error).replace(knowledge.REMEDY, _advice(bank, option))) from error
        for reader in asked.values():
            for entry in made:
                alone = replace(bank, entries=(entry,)).table
                self.notes.extend(prompt_warnings(alone, reader) if alone.kind == "embedding" else ())
        return made

    def _teller(self) -> Teller:
        """Return what says classes of which nobody says anything: as the others, in words that the encoder reads."""
        from zeroscene.serving.words import words_for

        ways: dict[str, str] = {}

        def told(bank: ClassBank, wanted: Sequence[str], reader: TextEncoder) -> Texts:
            if bank.space not in ways:
                ways[bank.space] = _way(bank, reader)
            words = words_for(wanted, reader, texts=ways[bank.space], templates=bank.recipe.templates)
            self.notes.extend(words.notes)
            return words.texts

        return told

    def reader(
        self, expected: EncoderIdentity, given: str | None, download: bool = False, option: str = "--encoder"
    ) -> TextEncoder:
        """Return the text encoder of the bank, and note where it is.

        Args:
            expected: what the bank was made for.
            given: hub id or folder that the user names, or None for where it was last time.
            download: allow it to be fetched.
            option: how the user names it.

        Raises:
            OptionError: nobody has said where it is, or it is not there any more.
            EncoderMismatchError: the one that is given is another one; both are named.
            EncoderError: there is no such encoder.
        """
        from zeroscene.encoders.text import load_text_encoder
        from zeroscene.semantics.text_cache import CachedTextEncoder

        if given is not None:
            reader = load_text_encoder(given, download=download)
            if reader.identity.fingerprint != expected.fingerprint:
                raise EncoderMismatchError(
                    f"{self.file.path} was made for text encoder {expected.name!r} (weights {expected.weights}, "
                    f"{expected.output}); {given} is {reader.identity.name!r} (weights {reader.identity.weights}, "
                    f"{reader.identity.output}); give the right one: {option} FOLDER_OR_ID"
                )
            self.note(given)
            return CachedTextEncoder(reader)
        for known in dict.fromkeys(self._places(expected)):
            with suppress(EncoderError):
                reader = load_text_encoder(known, download=download)
                if reader.identity.fingerprint == expected.fingerprint:
                    return CachedTextEncoder(reader)
        raise OptionError(
            f"words go through text encoder {expected.name!r} (weights {expected.weights}), and {self.file.path} does "
            f"not know where that is; give {option} FOLDER_OR_ID, once"
        )

    def note(self, encoder: str) -> None:
        """Note where the text encoder is; a place that cannot be written is passed over."""
        value = {"format": _FORMAT, "encoder": place(encoder)}
        if self._noted() != value:
            with suppress(StoreError):
                write_json(self.note_path, value)

    @property
    def note_path(self) -> Path:
        """Where the note is."""
        return self.file.path.with_name(self.file.path.name + _NOTE)

    def _noted(self) -> Any:
        return read_json(self.note_path) if self.note_path.is_file() else None

    def _places(self, expected: EncoderIdentity) -> Iterator[str]:
        noted = self._noted()
        if isinstance(noted, dict) and noted.get("format") == _FORMAT:
            yield str(noted["encoder"])
        if self.model is not None and (origin := Origin.read(self.model)):
            record = read_json(self.model / _RECORD)
            if record["encoder"]["weights"] == expected.weights:  # the other tower of the same image-text model
                yield origin.encoder
        yield expected.name


def _way(bank: ClassBank, reader: TextEncoder) -> str:
    """Return the way in which one of the classes, and so all of them, were said; texts of a user's own have none."""
    from zeroscene.semantics.text import class_texts
    from zeroscene.serving.words import AUTO, words_for

    spoken = [entry for entry in bank.entries if entry.texts][:_TRIED]
    for way in ("descriptions", "synonyms", "attributes"):
        for entry in spoken:
            with suppress(UnknownNameError, OptionError):
                said = class_texts([entry.name], words_for([entry.name], reader, texts=way, templates=["{}"]).texts)[0]
                # A class without synonyms is said by its name alone, which says nothing about the others.
                if entry.texts == said and (way != "synonyms" or len(said) > 1):
                    return way
    if bank.recipe.kind == "embedding":
        return AUTO
    read = readings(reader, ["field"])
    return "attributes" if read and read[0].whole else "descriptions"


def told(provenance: Mapping[str, Any]) -> str:
    """Return where class vectors come from, in words: `source 'text' (encoder 'all-minilm', weights 0123)`."""
    source = f"source {provenance.get('source')!r}"
    encoder = provenance.get("encoder")
    if not isinstance(encoder, Mapping):
        return source
    return f"{source} (encoder {encoder.get('name')!r}, weights {encoder.get('weights')})"


def _advice(bank: ClassBank, option: str) -> str:
    """Return how an unknown class gets into a bank, to who adds classes (`--encoder`) or only asks about them."""
    return remedy(bank) if option == "--encoder" else f"add it with `zeroscene classes add`: {remedy(bank)}"
