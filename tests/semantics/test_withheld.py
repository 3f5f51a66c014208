"""Class names withheld from texts: found in any case and number, masked or refused, and left out of attributes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.errors import OptionError
from zeroscene.semantics import knowledge
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.text import attribute_texts
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.semantics.withheld import mask_names, names_in, refuse_names


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        ("Two Airports beside a river", "airport", ["Airports"]),
        ("An air-base and an aerodrome", "airport", ["aerodrome", "air-base"]),
        ("Ferries at a pier", "ferry", ["Ferries"]),
        ("rows of parked cars", "parking_lot", []),
        ("seaside houses", "sea", []),
        ("wide grasses", "grass", ["grasses"]),
        ("two campuses", "campus", ["campuses"]),
        ("a \u0928\u0926\u0940 in a field", "\u0928\u0926\u0940", ["\u0928\u0926\u0940"]),
        ("la fore\u0302t noire", "for\u00eat", ["for\u00eat"]),
        ("a frobnicator field", "Frobnicator", ["frobnicator"]),
    ],
)
def test_a_name_its_synonyms_and_their_plurals_are_found_as_whole_words(text, name, found):
    assert names_in(text, name) == found


@given(st.sampled_from(knowledge.known_classes()), st.sampled_from(knowledge.known_classes()))
def test_nothing_of_a_name_is_left_after_masking(name, other):
    text = f"{knowledge.description(name)} Here {knowledge.phrase(name)} and {'; '.join(knowledge.synonyms(name))}."
    masked = mask_names({name: [text]})[name][0]
    assert names_in(masked, name) == []
    refuse_names({name: [masked]})


def test_a_text_without_the_name_stays_as_it_is_to_the_letter():
    said = {"lake": ["Smooth dark  water, trees."], "runway": ["A straight grey strip."]}
    assert mask_names(said) == said
    refuse_names(said)


def test_texts_that_say_the_name_are_refused_with_class_and_word():
    with pytest.raises(OptionError, match=r"'lake' \('Lakes'\); write them without") as error:
        refuse_names({"lake": ["Lakes in a forest"], "runway": ["A straight strip"]})
    assert "runway" not in str(error.value)


def test_a_text_that_is_nothing_but_the_name_cannot_be_masked():
    with pytest.raises(OptionError, match=r"class 'lake': the text 'lakes!' is its name and nothing else"):
        mask_names({"lake": ["water", "lakes!"]})


def test_what_the_knowledge_base_says_of_its_classes_often_says_their_name():
    known = knowledge.known_classes()
    attributes = attribute_texts(knowledge_table(known), Vocabulary.of_knowledge())
    assert len(known) == 111
    assert sum(bool(names_in(knowledge.description(name), name)) for name in known) == 50
    assert sum(bool(names_in(attributes[name][0], name)) for name in known) == 41


def test_attributes_that_say_the_name_are_left_out_and_the_others_stay_in_their_order():
    table, words = knowledge_table(knowledge.known_classes()), Vocabulary.of_knowledge()
    every, withheld = attribute_texts(table, words), attribute_texts(table, words, withheld=True)
    refuse_names(withheld)
    for name in table.classes:
        kept = [phrase for phrase in every[name][0].split(", ") if not names_in(phrase, name)]
        assert withheld[name] == [", ".join(kept)]
    assert withheld["tennis_court"][0].startswith("sports grounds, rectangular shapes")
