"""Text vectors of new classes, in the way a model's own classes were written."""

from collections.abc import Mapping, Sequence
from typing import Any

from zeroscene.encoders.base import TextEncoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import class_texts, text_table
from zeroscene.semantics.text_cache import CachedTextEncoder
from zeroscene.serving.words import AUTO, words_for


def vectors_like(
    provenance: Mapping[str, Any], new: Sequence[str], source: str | None, download: bool = False
) -> ClassTable:
    """Return text vectors of new classes in the way a table was made: encoder, prompts, names or descriptions.

    Args:
        provenance: of a table that `text_table` made.
        new: class names.
        source: hub id or folder of the text encoder.
        download: allow it to be fetched.

    Raises:
        OptionError: the text encoder is not given.
        UnknownNameError: the table was made of what the knowledge base says, and it does not know a new class.
    """
    if source is None:
        raise OptionError(
            f"{', '.join(map(repr, new))}: not in the model's own table, which text encoder "
            f"{provenance['encoder']['name']!r} made; give --text-encoder FOLDER_OR_ID to embed new names"
        )
    encoder = CachedTextEncoder(load_text_encoder(source, download=download))
    words = words_for(new, encoder, texts=_way(provenance["texts"], encoder), templates=provenance["templates"])
    return text_table(new, encoder, texts=words.texts, templates=words.templates)


def _way(said: Mapping[str, Sequence[str]], encoder: TextEncoder) -> str:
    """Return the way in which one of the classes, and so all of them, were said; texts of a user's own have none."""
    for way in ("descriptions", "synonyms", "attributes"):
        for name, texts in said.items():
            try:
                words = words_for([name], encoder, texts=way, templates=["{}"])
            except (UnknownNameError, OptionError):
                continue
            # A class without synonyms is said by its name alone, which says nothing about the others.
            if tuple(texts) == class_texts([name], words.texts)[0] and (way != "synonyms" or len(texts) > 1):
                return way
    return AUTO
