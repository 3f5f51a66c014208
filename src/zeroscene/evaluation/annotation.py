"""How a plan asks for attributes that an image-text model annotates from the training pictures of each split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.evaluation.tables import AnnotatedTable
from zeroscene.options import Options
from zeroscene.semantics.annotate import Words
from zeroscene.semantics.prompts import read_templates
from zeroscene.semantics.text import Texts, attribute_texts, read_texts
from zeroscene.semantics.vocabulary import Vocabulary

SYNTHETIC: Final = "synthetic"


@dataclass(frozen=True)
class Annotation:
    """A class table of a plan that is annotated anew for each training set (`tables.AnnotatedTable`).

    Attributes:
        encoder: image-text model: hub id, folder, or `tiny`.
        pictures: the data set through the image tower of that model, or the folder of the store.
        vocabulary: the attributes.
        texts: descriptions of all classes of the splits.
        templates: prompts for descriptions and attributes, each with one `{}`.
        exemplars: unseen classes of which pictures are shown all the same; what is made from them is marked.
    """

    encoder: str | Path
    pictures: Embeddings | Path
    vocabulary: Vocabulary
    texts: Texts = "descriptions"
    templates: tuple[str, ...] = ("{}",)
    exemplars: tuple[str, ...] = ()

    def open(self, classes: Sequence[str]) -> AnnotatedTable:
        """Return the source of the tables; the text tower is run here, and not again.

        Args:
            classes: all classes of the splits.

        Raises:
            EncoderError: there is no such model, or it does not know a word.
            EncoderMismatchError: the pictures were embedded by another model.
            UnknownNameError: a class without a description.
            SplitError: an exemplar without pictures.
        """
        from zeroscene.embeddings.store import EmbeddingStore
        from zeroscene.encoders.text import load_text_encoder

        reader = load_text_encoder(self.encoder)
        words = Words.of(classes, self.vocabulary, reader, texts=self.texts, templates=self.templates)
        given = self.pictures
        return AnnotatedTable.make(
            given if isinstance(given, Embeddings) else EmbeddingStore.open(given).read(), words, self.exemplars
        )


class AnnotationEntry(Options):
    """A table in a plan's file that is annotated.

    Attributes:
        annotate: what is looked at: `images`, the training pictures of the seen classes.
        encoder: hub id, folder, or `tiny`.
        embeddings: label among the plan's embeddings, or the folder of a store.
        vocabulary: `knowledge`, `synthetic`, or a CSV.
        texts: `descriptions`, `names`, `attributes`, or a CSV.
        templates: prompts; `aerial` stands for six of them.
        exemplars: as in `Annotation`.
    """

    annotate: Literal["images"]
    encoder: str
    embeddings: str
    vocabulary: str = "knowledge"
    texts: str = "descriptions"
    templates: tuple[str, ...] = ()
    exemplars: tuple[str, ...] = ()

    def read(self, base: Path, stores: "dict[str, Path]", classes: Sequence[str]) -> Annotation:
        """Return what is asked for; files are relative to `base`.

        Args:
            base: folder of the plan.
            stores: the plan's embeddings.
            classes: all classes of the splits.

        Raises:
            DatasetNotFoundError: a file is not there.
            DataFormatError: it is no vocabulary, or no list of texts.
        """
        vocabulary = read_vocabulary(self.vocabulary, base)
        return Annotation(
            base / self.encoder if (base / self.encoder).is_dir() else self.encoder,
            stores.get(self.embeddings, base / self.embeddings),
            vocabulary,
            class_texts(self.texts, classes, vocabulary, base),
            read_templates(self.templates),
            self.exemplars,
        )


def read_vocabulary(given: str, base: Path = Path()) -> Vocabulary:
    """Return the vocabulary that a user named.

    Args:
        given: `knowledge`, `synthetic` (in the words of the tiny encoder), or a CSV.
        base: folder that the CSV is relative to.

    Raises:
        DatasetNotFoundError, DataFormatError: a file that is not there, or is no vocabulary.
    """
    if given == "knowledge":
        return Vocabulary.of_knowledge()
    if given != SYNTHETIC:
        return Vocabulary.read(base / given)
    from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES

    return Vocabulary(
        tuple(a.name for a in ATTRIBUTES), tuple(a.group for a in ATTRIBUTES), tuple(a.phrases for a in ATTRIBUTES)
    )


def class_texts(given: str, classes: Sequence[str], vocabulary: Vocabulary, base: Path = Path()) -> Texts:
    """Return the texts of classes that a user named.

    Args:
        given: `names`, `descriptions`, `attributes` (what the knowledge base says of a class, in the words of the
            vocabulary), or a CSV of class and text.
        classes: the classes.
        vocabulary: words for the attributes.
        base: folder that the CSV is relative to.

    Raises:
        UnknownNameError: the knowledge base does not know a class.
        DatasetNotFoundError, DataFormatError: a file that is not there, or holds no texts.
    """
    if given == "attributes":
        from zeroscene.semantics.knowledge import knowledge_table

        return attribute_texts(knowledge_table(classes), vocabulary)
    return read_texts(given, base)
