"""My folder, my words: pictures named by an image-text model and nothing but the words of the classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zeroscene.embeddings.sanity import self_check
from zeroscene.encoders.base import TextEncoder
from zeroscene.encoders.dual import DualEncoder, load_dual_encoder
from zeroscene.evaluation.results import Choice
from zeroscene.methods.confidence import Confidence, untrained_confidence
from zeroscene.methods.prompts import Prompts
from zeroscene.methods.transduction.refine import TransductionOptions
from zeroscene.semantics.contrast import contrast_names, distinct
from zeroscene.semantics.prompts import prompt_warnings
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import text_table
from zeroscene.semantics.text_cache import CachedTextEncoder
from zeroscene.serving.answers import Answers
from zeroscene.serving.asking import Asking
from zeroscene.serving.class_names import given_table, named
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.model import CONFIDENCE, keep
from zeroscene.serving.sources import Origin
from zeroscene.serving.words import AUTO, Words, words_for


@dataclass(frozen=True)
class WordModel:
    """An image-text model and the classes that were said to it; nothing is learned from pictures.

    Attributes:
        source: what the encoder was called: folder, hub id, open_clip model, or `tiny`.
        dual: both towers.
        table: text vectors of the classes.
        contrast: what else a picture could be, for one class alone: other names of the knowledge base.
        notes: what a user should know about encoder and texts, a sentence each.
    """

    source: str
    dual: DualEncoder
    table: ClassTable
    contrast: ClassTable | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        encoder: str = "tiny",
        *,
        texts: str | Mapping[str, str | Sequence[str]] = AUTO,
        templates: Sequence[str] | None = None,
        download: bool = False,
    ) -> "WordModel":
        """Say the classes to an image-text model, whose two towers are checked once with drawn pictures.

        Args:
            classes: names, one or more.
            encoder: folder, hub id, `open-clip:ARCHITECTURE@WEIGHTS`, or `tiny`, which ships and knows drawn scenes.
            texts: what is said of a class, as in `serving.words.words_for`: names, or attributes to an encoder of few
                words.
            templates: prompts with one `{}`, and names of sets; those that suit the encoder where None.
            download: fetch an encoder that is not in the local cache.

        Raises:
            EncoderError: no such image-text model, or a text that it cannot read.
            OptionError, DuplicateNameError, UnknownNameError: no class, a class twice, or a class without a text.
        """
        dual = load_dual_encoder(encoder, download=download)
        reader = CachedTextEncoder(dual.text)
        words = words_for(classes, reader, texts=texts, templates=templates)
        table = text_table(classes, reader, texts=words.texts, templates=words.templates)
        contrast = _contrast(table, reader, words) if len(table) == 1 else None
        told = self_check(dual.image, dual.text).warnings
        return cls(encoder, dual, table, contrast, (*told, *words.notes, *prompt_warnings(table, reader)))

    @classmethod
    def asked(
        cls,
        wanted: Sequence[str],
        encoder: str = "tiny",
        *,
        texts: str | Mapping[str, str | Sequence[str]] = AUTO,
        templates: Sequence[str] | None = None,
        download: bool = False,
    ) -> "WordModel":
        """Return the model for classes as a user asks for them.

        Args:
            wanted: one table or bank of vectors of the model's own text tower, which is read as it is, or names with
                commas between, `@FILE` for one a line.
            encoder, texts, templates, download: as in `of`.

        Raises:
            EncoderError, OptionError, DuplicateNameError, UnknownNameError: as in `of`.
            DatasetNotFoundError, DataFormatError: there is no such file, or it is damaged.
        """
        if (given := given_table(wanted)) is not None:
            return cls(encoder, load_dual_encoder(encoder, download=download), given)
        return cls.of(named(wanted), encoder, texts=texts, templates=templates, download=download)

    @cached_property
    def method(self) -> Prompts:
        """Cosines of pictures and words."""
        return Prompts.untrained(self.dual.image.identity, self.table)

    @cached_property
    def confidence(self) -> Confidence:
        """The model's own probabilities, which nobody has checked on pictures."""
        return untrained_confidence(self.dual.logit_scale)

    @property
    def labeller(self) -> Labeller:
        """What answers about pictures."""
        return Labeller(
            self.method, self.table, lambda: self.dual.image, self.confidence, self.contrast, notes=self.notes
        )

    def save(self, folder: Path) -> None:
        """Keep encoder, method and classes in a folder: a model for `predict`, `classes add` and Python.

        Raises:
            StoreError: it cannot be written.
        """
        self.method.save(folder)
        self.confidence.write(folder / CONFIDENCE)
        choice = Choice(selection="defaults", options={}, gamma=0.0, note="words alone; nothing was chosen")
        keep(folder, choice, self.table, Origin.of(self.source, "projection"))


def label(
    pictures: str | Path,
    classes: Sequence[str],
    encoder: str = "tiny",
    *,
    texts: str | Mapping[str, str | Sequence[str]] = AUTO,
    templates: Sequence[str] | None = None,
    refine: bool = False,
    least: float | None = None,
    examples: str | Path | None = None,
    download: bool = False,
) -> Answers:
    """Name the pictures of a folder by words alone.

    Args:
        pictures: folder of pictures, nested or not, or an embedding store of this encoder.
        classes: the names to choose among, any words.
        encoder, texts, templates, download: as in `WordModel.of`.
        refine: let the set of pictures correct its scores, without labels; the classes may have any size.
        least: answers of less probability become `none of these`.
        examples: folder with a few pictures for some of the classes, a folder a class.

    Raises:
        DatasetNotFoundError: there are no such pictures.
        EncoderError, OptionError, DuplicateNameError, UnknownNameError: as in `WordModel.of`.
        EncoderMismatchError: the store is of another encoder.
    """
    model = WordModel.of(classes, encoder, texts=texts, templates=templates, download=download)
    asking = Asking(refine=TransductionOptions() if refine else None, least=least)
    return model.labeller.label(Path(pictures), asking, examples=None if examples is None else Path(examples))


def _contrast(table: ClassTable, reader: TextEncoder, words: Words) -> ClassTable:
    """Return the other names of the knowledge base in the same templates, by attributes where names cannot be read."""
    others = contrast_names(table.classes)
    said = words_for(others, reader, templates=words.templates)
    return distinct(table, text_table(others, reader, texts=said.texts, templates=said.templates))
