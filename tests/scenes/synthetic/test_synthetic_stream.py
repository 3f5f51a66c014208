"""The stream that an encoder may learn from: every fact true, nothing that a class is made of."""

import hashlib
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from zeroscene import names
from zeroscene.scenes.synthetic.captions import FACTS, caption, words
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.free import withheld
from zeroscene.scenes.synthetic.grammar import Composition, Part, Rule, rule
from zeroscene.scenes.synthetic.lines import LINES
from zeroscene.scenes.synthetic.stream import Lesson, lesson
from zeroscene.scenes.synthetic.things import THINGS
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX
from zeroscene.scenes.synthetic.world import CLASSES

GOLDEN = {
    (0, 0, 64): ("f10f101b577104b333201c4a8130c0a539f86b47c45b13a600b279567cefb4b5", "c7f673fce5335576"),
    (7, 1999, 96): ("a36a8f1fb90079b98cdaef7005f1b00a37474c8e9469c1db972e858ca7490f88", "455e6ac062a5a4ff"),
}


class TestTheSameEverywhere:
    @pytest.mark.parametrize("arguments", GOLDEN, ids=str)
    def test_lessons_are_the_recorded_ones(self, arguments: tuple[int, int, int]) -> None:
        drawn = lesson(*arguments)
        facts = hashlib.sha256(" ".join(sorted(drawn.facts)).encode()).hexdigest()[:16]
        assert (hashlib.sha256(drawn.pixels.tobytes()).hexdigest(), facts) == GOLDEN[arguments]

    @pytest.mark.parametrize("hash_seed", ["0", "4711"])
    def test_another_process_draws_and_says_the_same(self, hash_seed: str) -> None:
        code = (
            "import hashlib, random\n"
            "from zeroscene.scenes.synthetic.stream import lesson\n"
            "from zeroscene.scenes.synthetic.captions import caption\n"
            "chance = random.Random(1)\n"
            "for i in range(20):\n"
            "    one = lesson(5, i, 24)\n"
            "    print(hashlib.sha256(one.pixels.tobytes()).hexdigest(), caption(one.facts, chance).text)\n"
        )
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
        chance = random.Random(1)
        drawn = [lesson(5, i, 24) for i in range(20)]
        said = [f"{hashlib.sha256(d.pixels.tobytes()).hexdigest()} {caption(d.facts, chance).text}" for d in drawn]
        assert run.stdout.splitlines() == said

    def test_seed_and_index_matter(self) -> None:
        assert len({lesson(s, i, 24).pixels.tobytes() for s in range(3) for i in range(20)}) == 60


class TestWithheld:
    """What a class is made of is never in the stream; told by the words of the rules, not by the code that filters."""

    def test_no_lesson_can_be_drawn_from_a_rule(self, lessons: list[Lesson]) -> None:
        possible = {made for one in RULES.values() for made in producible(one)}
        assert not [one.composition for one in lessons if ingredients(one.composition) in possible]

    def test_what_is_left_of_a_lesson_when_small_things_vanish_is_hardly_ever_a_class(
        self, lessons: list[Lesson]
    ) -> None:
        alike = 0
        for one in lessons:
            seen = [p for p in one.composition.parts if not p.attribute or one.attributes[INDEX[p.attribute]]]
            alike += bool(withheld(replace(one.composition, parts=tuple(seen))))
        assert alike < len(lessons) / 100

    def test_no_lesson_holds_all_that_a_class_needs(self, lessons: list[Lesson]) -> None:
        for one in lessons:
            parts = {(part.what, part.layout) for part in one.composition.parts}
            for name, own in RULES.items():
                if one.composition.ground not in own.grounds:
                    continue
                needed = [set(itertools.product(s.what, s.layouts)) for s in own.slots if s.chance >= 1]
                allowed = set().union(*(set(itertools.product(s.what, s.layouts)) for s in own.slots))
                whole = all(parts & choices for choices in needed) if needed else parts <= allowed
                assert not whole, (name, one.composition)

    @pytest.mark.parametrize("name", CLASSES)
    def test_what_a_rule_makes_is_withheld(self, name: str) -> None:
        """The filter knows every composition of every class, also with something foreign added to it."""
        chance = random.Random(name)
        for _ in range(30):
            made = RULES[name].compose(chance)
            assert name in withheld(made)
            if any(slot.chance >= 1 for slot in RULES[name].slots):
                more = Composition(made.ground, (*made.parts, Part("grave", "scattered")), made.metres)
                assert name in withheld(more)

    def test_the_stream_has_every_ground_thing_line_and_layout(self, lessons: list[Lesson]) -> None:
        """What is withheld are combinations: of everything that they are made of there are examples."""
        parts = [part for one in lessons for part in one.composition.parts]
        assert set(THINGS) | set(LINES) <= {part.what for part in parts}
        of_classes = {
            (what, layout)
            for own in RULES.values()
            for slot in own.slots
            for what in slot.what
            for layout in slot.layouts
        }
        assert len(of_classes - {(part.what, part.layout) for part in parts}) < 0.25 * len(of_classes)


def ingredients(composition: Composition) -> tuple:
    return composition.ground, frozenset(Counter((p.what, p.layout) for p in composition.parts).items())


def producible(own: Rule) -> Iterator[tuple]:
    """Yield the ingredients of everything that a rule can draw."""
    choices = [
        [*itertools.product(sorted(s.what), sorted(s.layouts)), *([None] if s.chance < 1 else [])] for s in own.slots
    ]
    for ground in own.grounds:
        for filled in itertools.product(*choices):
            yield ground, frozenset(Counter(part for part in filled if part).items())


class TestFacts:
    def test_facts_are_known_and_agree_with_the_attributes(self, lessons: list[Lesson]) -> None:
        for one in lessons:
            assert one.facts <= set(FACTS)
            said = {attribute.name for attribute in ATTRIBUTES if attribute.name in one.facts}
            assert said == {a.name for a, there in zip(ATTRIBUTES, one.attributes, strict=True) if there}

    def test_a_thing_in_a_layout_is_there_and_laid_out_so(self, lessons: list[Lesson]) -> None:
        for one in lessons:
            laid = {(part.attribute, part.layout) for part in one.composition.parts}
            for fact in one.facts:
                attribute, _, layout = fact.partition("@")
                if layout:
                    assert attribute in one.facts
                    assert (attribute, layout) in laid

    def test_every_lesson_has_something_to_say(self, lessons: list[Lesson]) -> None:
        assert min(len(one.facts) for one in lessons) >= 1
        assert np.median([len(one.facts) for one in lessons]) >= 8

    def test_no_attribute_is_rare_or_nearly_everywhere(self, lessons: list[Lesson]) -> None:
        shares = np.mean([one.attributes for one in lessons], axis=0)
        outside = {name: float(shares[column]) for name, column in INDEX.items() if not 0.005 <= shares[column] <= 0.7}
        assert not outside

    def test_all_but_three_pairs_of_attributes_can_be_told_apart(self, lessons: list[Lesson]) -> None:
        """A road has its markings and a canopy its grain; all else goes its own way."""
        together = np.triu(np.corrcoef(np.array([one.attributes for one in lessons], float).T), k=1)
        pairs = {(ATTRIBUTES[i].name, ATTRIBUTES[j].name) for i, j in np.argwhere(together > 0.9)}
        assert pairs == {
            ("paved_road", "lane_markings"), ("elevated_deck", "multi_level"), ("coarse_grained", "tree_cover"),
        }  # fmt: skip


class TestNames:
    def test_of_every_class_a_word_of_its_name_is_never_said(self) -> None:
        said = set(words())
        for name in CLASSES:
            unsaid = [word for word in names.words(name).split() if not said & forms(word)]
            assert unsaid, name

    def test_captions_say_no_class_name(self, lessons: list[Lesson]) -> None:
        chance = random.Random(0)
        named = {
            " ".join(form) for name in CLASSES for form in itertools.product(*map(forms, names.words(name).split()))
        }
        for one in lessons:
            text = f" {caption(one.facts, chance).text.replace(',', ' ')} "
            assert not [name for name in named if f" {name} " in text]


def forms(word: str) -> set[str]:
    """Return a word in the singular and the plural."""
    return {word, f"{word}s", f"{word}es", word.removesuffix("s"), f"{word.removesuffix('y')}ies"}


class TestRules:
    @pytest.mark.parametrize(
        ("grounds", "slot", "message"),
        [
            ("lava", "car: row", "not in the grammar: lava"),
            ("sand", "dragon: row", "not in the grammar: dragon"),
            ("sand", "car: upside down", "not in the grammar: upside down"),
            ("sand", "car in a row", "not a slot"),
        ],
    )
    def test_a_misspelt_rule_is_refused(self, grounds: str, slot: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            rule((10, 20), grounds, slot)

    def test_a_rule_composes_within_its_words(self) -> None:
        own = rule((10, 20), "sand, snow", "car: row, grid", "tree, shrub: scattered (50 %)")
        chance = random.Random(0)
        made = [own.compose(chance) for _ in range(200)]
        assert {one.ground for one in made} == {"sand", "snow"}
        assert {part.layout for one in made for part in one.parts if part.what == "car"} == {"row", "grid"}
        assert all(10 <= one.metres <= 20 for one in made)
        assert 60 < sum(len(one.parts) == 2 for one in made) < 140
        assert {ingredients(one) for one in made} <= set(producible(own))
