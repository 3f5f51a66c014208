"""Text vectors of new classes, in the way a model's own classes were written."""

from collections.abc import Mapping, Sequence
from typing import Any

from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.semantics import knowledge
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import text_table


def vectors_like(
    provenance: Mapping[str, Any], new: Sequence[str], source: str | None, download: bool = False
) -> ClassTable:
    """Return text vectors of new classes in the way a table was made: encoder, prompts, names or descriptions.

    Args:
        provenance: of a table that `text_table` made.
        new: class names.
        source: hub id or folder of the sentence encoder.
        download: allow it to be fetched.

    Raises:
        OptionError: the sentence encoder is not given.
        UnknownNameError: the table was made of descriptions, and the knowledge base has none of a new class.
    """
    if source is None:
        raise OptionError(
            f"{', '.join(map(repr, new))}: not in the model's own table, which sentence encoder "
            f"{provenance['encoder']['name']!r} made; give --text-encoder FOLDER_OR_ID to embed new names"
        )
    described = any(_is_description(name, texts) for name, texts in provenance["texts"].items())
    encoder = load_text_encoder(source, download=download)
    return text_table(new, encoder, texts="descriptions" if described else "names", templates=provenance["templates"])


def _is_description(name: str, texts: Sequence[str]) -> bool:
    try:
        return list(texts) == [knowledge.description(name)]
    except UnknownNameError:
        return False
