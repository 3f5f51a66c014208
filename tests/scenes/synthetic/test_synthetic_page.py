"""docs/synthetic.md says what is so."""

import re
from collections import Counter
from pathlib import Path

import pytest

from zeroscene.scenes.synthetic.areas import AREA_LAYOUTS, AREAS
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.grammar import rule
from zeroscene.scenes.synthetic.layouts import THING_LAYOUTS
from zeroscene.scenes.synthetic.lines import LINE_LAYOUTS, LINES
from zeroscene.scenes.synthetic.materials import GROUNDS
from zeroscene.scenes.synthetic.mosaic import METRES, fitting
from zeroscene.scenes.synthetic.things import THINGS
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.scenes.synthetic.world import CLASSES
from zeroscene.semantics.knowledge import vocabulary

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "synthetic.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("row", "what", "how"),
    [
        ("grounds", GROUNDS, ("everywhere",)),
        ("areas", ("every ground", "and ice"), AREA_LAYOUTS),
        ("lines", LINES, LINE_LAYOUTS),
        ("things", THINGS, THING_LAYOUTS),
    ],
)
def test_the_grammar_is_listed_whole(row: str, what: tuple, how: tuple) -> None:
    found = re.search(rf"^\| {row} \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
    assert found
    assert found[1].split(", ") == list(what)
    assert found[2].split(", ") == list(how)


def test_areas_are_the_grounds_and_ice() -> None:
    assert set(AREAS) == {*GROUNDS, "ice"}


def test_the_rule_that_is_shown_is_the_rule() -> None:
    shown = re.search(r'"harbor": (rule\(.*?\))\n```', PAGE, re.DOTALL)
    assert shown
    assert eval(shown[1], {"rule": rule}) == RULES["harbor"]


def test_numbers() -> None:
    groups = Counter(attribute.group for attribute in ATTRIBUTES)
    assert (len(CLASSES), len(ATTRIBUTES), len(vocabulary()) - len(ATTRIBUTES)) == (40, 94, 39)
    assert groups == {"objects": 40, "materials": 18, "surface": 12, "layout": 24}
    assert "Ninety-four attributes have a truth: 40 objects, 18 materials, 12 of the surface, 24 of the layout" in PAGE
    assert f"at the {METRES:g} m that are the default, {len(fitting(METRES))} classes can" in PAGE
    assert "stadium" in fitting(150)
    least = {attribute.name: attribute.least for attribute in ATTRIBUTES}
    assert (min(least, key=least.__getitem__), min(least.values())) == ("lane_markings", 0.001)
    assert (max(least, key=least.__getitem__), max(least.values())) == ("empty_expanse", 0.7)
