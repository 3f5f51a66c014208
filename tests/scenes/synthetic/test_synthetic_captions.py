"""Captions: they say facts of a picture, and their claims tell of which other pictures they are true."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.errors import UnknownNameError
from zeroscene.scenes.synthetic.captions import FACTS, caption, phrases, words
from zeroscene.scenes.synthetic.stream import Lesson
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES

some_facts = st.frozensets(st.sampled_from(FACTS), min_size=1, max_size=30)


def test_facts_are_distinct_and_begin_with_the_attributes() -> None:
    assert len(set(FACTS)) == len(FACTS)
    assert FACTS[: len(ATTRIBUTES)] == tuple(attribute.name for attribute in ATTRIBUTES)


def test_no_two_facts_are_said_alike() -> None:
    said = [phrase for fact in FACTS for phrase in phrases(fact)]
    assert len(set(said)) == len(said)


@given(some_facts, st.integers())
def test_claims_are_facts_of_the_picture(facts: frozenset[str], seed: int) -> None:
    said = caption(facts, random.Random(seed))
    assert said.claims <= facts
    assert 1 <= len(said.claims) <= 8


@given(some_facts, st.integers())
def test_a_caption_says_each_claim_and_nothing_else(facts: frozenset[str], seed: int) -> None:
    said = caption(facts, random.Random(seed))
    rest = said.text
    for claim in sorted(said.claims, key=lambda fact: -max(map(len, phrases(fact)))):
        found = [phrase for phrase in sorted(phrases(claim), key=len, reverse=True) if phrase in rest]
        assert found, (claim, said.text)
        rest = rest.replace(found[0], "#", 1)
    opening = r"(an aerial photo of |a view from above of |a satellite picture showing |seen here, )?"
    assert re.fullmatch(rf"{opening}#((, | and | with )#)*", rest), (said, rest)


@given(some_facts, st.integers())
def test_every_word_is_known(facts: frozenset[str], seed: int) -> None:
    assert set(re.findall(r"[^\s,]+|,", caption(facts, random.Random(seed)).text)) <= set(words())


def test_words_are_lower_case_letters_and_the_comma() -> None:
    assert all(re.fullmatch("[a-z]+|,", word) for word in words())
    assert list(words()) == sorted(set(words()))


def test_the_same_chance_gives_the_same_caption(lessons: list[Lesson]) -> None:
    for one in lessons[:50]:
        assert caption(one.facts, random.Random(3)) == caption(one.facts, random.Random(3))


def test_an_unknown_fact_is_told_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'boat' \(nearest: .*small_boats"):
        phrases("boat")
