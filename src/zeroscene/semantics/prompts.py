"""Prompts: sets of templates for pictures from above, which of them an encoder gets, and what may be wrong with texts.

A caption model was trained on sentences, and the vector of a bare class name lies off the place where its pictures
are; the mean over an ensemble of templates lies nearer, and depends less on how any one of them is worded
(docs/prompts.md has the figures).
"""

from collections.abc import Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Final

import numpy as np

from zeroscene.encoders.base import Reading, TextEncoder, readings
from zeroscene.errors import OptionError
from zeroscene.semantics import knowledge
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import check_templates
from zeroscene.vectors import unit_rows

PLAIN: Final = ("{}",)
"""The text itself."""

TEMPLATE_SETS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "plain": PLAIN,
        "aerial": (
            "a satellite photo of {}.",
            "an aerial photograph of {}.",
            "an overhead view of {}.",
            "a remote sensing image of {}.",
            "{} seen from above.",
            "a high-resolution aerial image showing {}.",
        ),
        "satellite": (
            "a satellite photo of {}.",
            "a satellite image of {}.",
            "a satellite view of the {}.",
            "a satellite picture showing {}.",
            "{} seen from space.",
            "a cloud-free satellite scene of {}.",
            "a low-resolution satellite image of {}.",
            "a high-resolution satellite image of {}.",
        ),
        "large": (
            *(
                f"{article} {view} {joint} {{}}."
                for (article, view), joint in product(
                    (
                        ("a", "satellite photo"),
                        ("a", "satellite image"),
                        ("an", "aerial photo"),
                        ("an", "aerial image"),
                        ("a", "remote sensing image"),
                        ("an", "overhead view"),
                    ),
                    ("of", "of the", "showing"),
                )
            ),
            "{} seen from above.",
            "{} photographed from a plane.",
            "{} in a satellite picture.",
            "a view from above of {}.",
            "a map tile that shows {}.",
            "an orthophoto of {}.",
        ),
    }
)
"""Named sets; written for any image-text model, chosen on no data set."""

DEFAULT: Final = "large"
"""The set that image-text models get: from some twenty templates on, it matters little which."""

NEAR: Final = 0.98
"""Cosine from which on the vectors of two classes are called near-identical.

Of the 19 classes of WHU-RS19, no two reach 0.97 in any of six image-text models, whichever of 106 prompts is taken.
"""

_HARD_TEXT: Final = 0.35
"""A text with so few letters a token, as a share of English, is in a script or language that the encoder spells out."""
_HARD_LIST: Final = 0.6
"""The same for all texts together, which a single rare word does not decide."""
_LIST: Final = 4
_MOST_NAMED: Final = 3


def read_templates(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the prompts that a user named, the name of a set standing for its templates; the text itself where none.

    Raises:
        OptionError: a word that is no set and holds no `{}`.
    """
    if not given:
        return PLAIN
    chosen = tuple(dict.fromkeys(one for word in given for one in TEMPLATE_SETS.get(word, (word,))))
    for word in chosen:
        if "{}" not in word:
            raise OptionError(f"template {word!r} must hold {{}} exactly once, or be one of {', '.join(TEMPLATE_SETS)}")
    check_templates(chosen)
    return chosen


def default_templates(encoder: TextEncoder) -> tuple[str, ...]:
    """Return the templates for an encoder of which nobody said any.

    The text tower of an image-text model gets those of the set `large` that it reads: all of them, unless it knows
    whole words only (`tiny`), and then those in its words. Without any, and for a sentence encoder, the text itself.
    """
    if encoder.identity.output != "text-projection":
        return PLAIN
    read = readings(encoder, [template.replace("{}", "") for template in TEMPLATE_SETS[DEFAULT]])
    if read is None:
        return TEMPLATE_SETS[DEFAULT]
    known = tuple(
        template for template, one in zip(TEMPLATE_SETS[DEFAULT], read, strict=True) if not (one.unknown and one.whole)
    )
    return known or PLAIN


def prompt_warnings(table: ClassTable, encoder: TextEncoder | None = None) -> list[str]:
    """Return what a user should know about text vectors before trusting them, one sentence each, or nothing.

    Two classes have the same text, or vectors with a cosine of `NEAR` or more; or, asked of the encoder, texts are in a
    language or script that it hardly knows.

    Args:
        table: as `text_table` makes it; other tables get the check of vectors alone.
        encoder: what made it.
    """
    texts = table.provenance.get("texts")
    said = {name: list(texts[name]) for name in table.classes if name in texts} if isinstance(texts, Mapping) else {}
    same = _same_texts(said)
    warnings = [
        f"{a!r} and {b!r} have the same text {text!r}: it counts for both, and tells neither from the other"
        for (a, b), text in same.items()
    ]
    unit = unit_rows(table.matrix)
    cosines = unit @ unit.T
    for i, j in np.argwhere(np.triu(cosines >= NEAR, k=1)):
        pair = table.classes[i], table.classes[j]
        if pair not in same:
            warnings.append(
                f"{pair[0]!r} and {pair[1]!r} are nearly the same to the encoder (cosine {cosines[i, j]:.3f}); "
                "describe what sets them apart, or make one class of them"
            )
    return warnings + ([] if encoder is None else _language_warnings(said, encoder))


def _same_texts(texts: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """Return the pairs of classes that share a text, with the first such text."""
    first: dict[tuple[str, str], str] = {}
    owners: dict[str, list[str]] = {}
    for name, own in texts.items():
        for text in own:
            known = owners.setdefault(" ".join(text.lower().split()), [])
            for other in known:
                if other != name:
                    first.setdefault((other, name), text)
            known.append(name)
    return first


def _language_warnings(texts: Mapping[str, Sequence[str]], encoder: TextEncoder) -> list[str]:
    """Return warnings about texts of which the encoder makes unknown tokens, or far more tokens than of English."""
    every = [(name, text) for name, own in texts.items() for text in own]
    read = readings(encoder, [_letters(text) for _, text in every])
    english = readings(encoder, [knowledge.phrase(name) for name in knowledge.known_classes()])
    if read is None or english is None or any(one.whole for one in read):
        return []
    usual = _letters_a_token([knowledge.phrase(name) for name in knowledge.known_classes()], english)
    warnings, hard = [], 0
    for (name, text), one in zip(every, read, strict=True):
        own = _letters_a_token([text], [one])
        if one.unknown:
            told = f"{one.unknown} of {one.tokens} tokens of its text {text!r} are unknown to {encoder.identity.name}"
        elif own < _HARD_TEXT * usual:
            told = (
                f"{encoder.identity.name} spells its text {text!r} out ({own:.1f} letters a token; English {usual:.1f})"
            )
        else:
            continue
        hard += 1
        if hard <= _MOST_NAMED:
            warnings.append(f"class {name!r}: {told}; say it in usual words of a language that it was trained on")
    if hard > _MOST_NAMED:
        warnings.append(f"{hard - _MOST_NAMED} more texts are as foreign to {encoder.identity.name}")
    together = _letters_a_token([text for _, text in every], read)
    if not hard and len(every) >= _LIST and together < _HARD_LIST * usual:
        warnings.append(
            f"{encoder.identity.name} takes the texts apart into {together:.1f} letters a token (English {usual:.1f}): "
            "they seem to be in a language that it hardly knows; say them in English"
        )
    return warnings


def _letters(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text)


def _letters_a_token(texts: Sequence[str], read: Sequence[Reading]) -> float:
    letters = sum(letter.isalnum() for text in texts for letter in text)
    return letters / max(sum(one.tokens for one in read), 1)
