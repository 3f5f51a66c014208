"""Class names withheld from texts: a test of what a class looks like must not say what it is called."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from zeroscene import names
from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.semantics import knowledge

_MOST_NAMED: Final = 3


def names_in(text: str, name: str) -> list[str]:
    """Return the words of a class's name and its synonyms that stand in a text, longest first, in any case and number.

    The synonyms are those of the knowledge base; a class that it does not know has its name alone.
    """
    read = names.composed(text)
    found = [match for phrase in _own_words(name) for match in _as_word(phrase).findall(read)]
    return sorted(dict.fromkeys(found), key=len, reverse=True)


def refuse_names(texts: Mapping[str, Sequence[str]]) -> None:
    """Refuse texts that say what their class is called: a zero-shot test by descriptions must not contain the answer.

    Raises:
        OptionError: such texts; the classes are named with the words.
    """
    told = [
        f"{name!r} ({', '.join(map(repr, words))})"
        for name, own in texts.items()
        if (words := list(dict.fromkeys(word for text in own for word in names_in(text, name))))
    ]
    if told:
        more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
        raise OptionError(
            f"texts say what their class is called: {', '.join(told[:_MOST_NAMED])}{more}; write them without, or let "
            "the words be masked"
        )


def mask_names(texts: Mapping[str, Sequence[str]], mask: str = "scene") -> dict[str, list[str]]:
    """Return the texts with the name of their class, and its synonyms, replaced by a word that says nothing.

    Args:
        texts: texts of each class.
        mask: the word.

    Raises:
        OptionError: nothing but the name is left of a text.
    """
    masked = {}
    for name, own in texts.items():
        phrases = sorted(_own_words(name), key=len, reverse=True)
        masked[name] = [_masked(text, phrases, mask) for text in own]
        for text, left in zip(own, masked[name], strict=True):
            if not names.key(left.replace(mask, "")):
                raise OptionError(f"class {name!r}: the text {text!r} is its name and nothing else; describe it")
    return masked


def _own_words(name: str) -> Iterator[str]:
    try:
        yield from dict.fromkeys((*knowledge.synonyms(name), names.words(name)))
    except UnknownNameError:
        yield names.words(name)


def _as_word(phrase: str) -> re.Pattern[str]:
    """Return what finds a phrase as whole words, in singular and plural, its words parted by anything but letters."""
    *first, last = phrase.split()
    stem = next((last.removesuffix(ending) for ending in ("ies", "y") if last.endswith(ending)), None)
    singular = last if last.endswith("ss") else last.removesuffix("s")
    forms = f"{re.escape(stem)}(?:y|ies|ys)" if stem else f"{re.escape(singular)}(?:s|es|ses)?"
    return re.compile(r"(?<!\w)" + r"[\W_]+".join([*map(re.escape, first), forms]) + r"(?!\w)", re.IGNORECASE)


def _masked(text: str, phrases: Sequence[str], mask: str) -> str:
    text = names.composed(text)
    for phrase in phrases:
        text = _as_word(phrase).sub(mask, text)
    return text
