"""Class names in every script: one key for spellings that look alike, and words that lose nothing of their letters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene import names
from zeroscene.errors import DuplicateNameError

# Written as escapes, so that no editor composes them: vowel signs and tone marks are characters of their own.
RIVER_HINDI = "\u0928\u0926\u0940"
TIME_HINDI, TOMORROW_HINDI = "\u0915\u093e\u0932", "\u0915\u0932"
RIVER_THAI = "\u0e41\u0e21\u0e48\u0e19\u0e49\u0e33"
FOREST_FRENCH = "for\u00eat"


@pytest.mark.parametrize("name", [RIVER_HINDI, TIME_HINDI, RIVER_THAI, FOREST_FRENCH])
def test_a_word_keeps_its_vowel_signs_and_tone_marks(name):
    assert names.words(name) == names.key(name) == name
    assert names.words(f"{name}_{name}") == f"{name} {name}"


def test_names_that_differ_in_a_vowel_sign_alone_are_two():
    assert names.index([TIME_HINDI, TOMORROW_HINDI], "classes") == {TIME_HINDI: 0, TOMORROW_HINDI: 1}


def test_composed_and_decomposed_spellings_are_one_name():
    decomposed = unicodedata.normalize("NFD", FOREST_FRENCH)
    assert decomposed != FOREST_FRENCH
    assert names.key(decomposed) == names.key(FOREST_FRENCH)
    assert names.words(decomposed) == FOREST_FRENCH
    with pytest.raises(DuplicateNameError, match="are the same name"):
        names.index([FOREST_FRENCH, decomposed], "classes")


@pytest.mark.parametrize("name", ["\U0001f3d6", "\U0001f3d6\ufe0f", "\ufe0f", "\u0301", "-_ ", ""])
def test_pictures_and_marks_on_no_letter_are_no_name(name):
    assert names.key(name) == names.words(name) == ""
    assert names.key(f"beach {name}") == "beach"


@pytest.mark.parametrize("name", ["BaseballDiamond", "baseball_diamond", "Baseball-Diamond ", "baseball  diamond"])
def test_spellings_in_case_and_separators_are_one_name(name):
    assert names.key(name) == "baseballdiamond"
    assert names.words(name) == "baseball diamond"


@given(st.text())
def test_a_key_is_the_key_of_every_form_of_the_name_and_of_itself(name):
    forms = {names.key(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}
    assert forms == {names.key(name)}
    assert names.key(names.key(name)) == names.key(name)
