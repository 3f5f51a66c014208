"""What is said of classes to an encoder: as a user asks for it, or as the encoder can read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from zeroscene.encoders.base import TextEncoder, readings
from zeroscene.errors import DatasetNotFoundError, OptionError, UnknownNameError
from zeroscene.evaluation.annotation import SYNTHETIC, read_vocabulary
from zeroscene.semantics import text
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.prompts import default_templates, read_templates
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.semantics.withheld import mask_names, refuse_names

Withhold = Literal["mask", "refuse"]

AUTO: Final = "auto"
"""Names, and attributes for an encoder that cannot read them."""
_ATTRIBUTES: Final = "attributes"


@dataclass(frozen=True)
class Words:
    """What is said of classes.

    Attributes:
        texts: for `semantics.text.text_table`.
        templates: prompts, each with one `{}`.
        notes: what a user should know, a sentence each.
    """

    texts: text.Texts
    templates: tuple[str, ...]
    notes: tuple[str, ...] = ()


def words_for(
    classes: Sequence[str],
    encoder: TextEncoder,
    *,
    texts: str | Mapping[str, str | Sequence[str]] = AUTO,
    templates: Sequence[str] | None = None,
    vocabulary: str | None = None,
    withhold: Withhold | None = None,
) -> Words:
    """Return what is said of classes to an encoder.

    Args:
        classes: class names.
        encoder: what is to read it.
        texts: `names`, `synonyms`, `descriptions`, `attributes` (what the knowledge base says of a class, but for what
            says its name), a CSV of class and text, texts of each class, or `auto`: names, or attributes for an encoder
            of whole words (`tiny`) that does not know them.
        templates: prompts and names of sets (`semantics.prompts.TEMPLATE_SETS`); what suits the encoder where none.
        vocabulary: words for attributes: `knowledge`, `synthetic`, or a CSV; what suits the encoder where None.
        withhold: `mask` replaces a class's name and synonyms in its texts, `refuse` stops at such a text.

    Raises:
        OptionError: a template that is none, a text that says its class's name where that is refused, or names where
            they are to be withheld.
        UnknownNameError: the knowledge base does not know a class.
        DatasetNotFoundError, DataFormatError: a file that is not there, or holds no texts or words.
    """
    chosen = read_templates(templates) if templates else default_templates(encoder)
    if not isinstance(texts, str):
        return Words(_withheld(classes, texts, withhold), chosen)
    unread = _unread(classes, encoder) if texts == AUTO else []
    given = (_ATTRIBUTES if unread else "names") if texts == AUTO else texts
    try:
        said = _attributes(classes, encoder, vocabulary) if given == _ATTRIBUTES else text.read_texts(given)
    except DatasetNotFoundError as error:
        choices = ", ".join((*get_args(text.Said), _ATTRIBUTES))
        raise DatasetNotFoundError(f"texts {given}: not one of {choices}, and no such file") from error
    except UnknownNameError as error:
        if not unread:
            raise
        raise UnknownNameError(f"{encoder.identity.name} reads no names like {unread[0]!r}, and: {error}") from error
    notes: tuple[str, ...] = ()
    if unread:
        shown = text.class_texts(unread[:1], said)[0][0]
        notes = (
            f"{encoder.identity.name} does not know what {', '.join(map(repr, unread[:3]))}"
            f"{' ...' if len(unread) > 3 else ''} means: classes are said by their attributes instead "
            f"({unread[0]}: {shown})",
        )
    return Words(_withheld(classes, said, withhold), chosen, notes)


def suiting_vocabulary(encoder: TextEncoder) -> Vocabulary:
    """Return the words for attributes that an encoder reads: of drawn scenes for one of whole words, else all."""
    return read_vocabulary(SYNTHETIC) if _of_whole_words(encoder) else Vocabulary.of_knowledge()


def _attributes(classes: Sequence[str], encoder: TextEncoder, vocabulary: str | None) -> dict[str, list[str]]:
    words = suiting_vocabulary(encoder) if vocabulary is None else read_vocabulary(vocabulary)
    # An encoder of whole words knows a thing by the word alone, and has read no class names.
    return text.attribute_texts(knowledge_table(classes), words, withheld=not _of_whole_words(encoder))


def _of_whole_words(encoder: TextEncoder) -> bool:
    return any(one.whole for one in readings(encoder, ["a"]) or ())


def _unread(classes: Sequence[str], encoder: TextEncoder) -> list[str]:
    """Return the classes whose name an encoder of whole words cannot read; other encoders read any."""
    said = [own[0] for own in text.class_texts(classes, "names")]
    read = readings(encoder, said) or []
    return [name for name, one in zip(classes, read, strict=False) if one.whole and one.unknown]


def _withheld(classes: Sequence[str], texts: text.Texts, withhold: Withhold | None) -> text.Texts:
    if withhold is None:
        return texts
    if texts in ("names", "synonyms"):
        raise OptionError(f"texts {texts!r} are the names that are to be withheld; take descriptions or attributes")
    said = dict(zip(classes, text.class_texts(classes, texts), strict=True))
    if withhold == "mask":
        return mask_names(said)
    refuse_names(said)
    return said
