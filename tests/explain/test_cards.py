"""Cards: of the size they promise, whole in one file, true to the evidence, and safe from names."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from explain_world import World
from PIL import Image

from zeroscene.explain.card import SIDE, Card, make_card, shaded
from zeroscene.explain.classes import explain_class
from zeroscene.explain.evidence import Evidence, Reason, explain
from zeroscene.explain.faithfulness import Faithfulness
from zeroscene.explain.maps import Box, Frame, places
from zeroscene.explain.page import write_class_page, write_page
from zeroscene.explain.png import CLASS_HEIGHT, HEIGHT, MEASURED, WIDTH, write_class_png, write_png
from zeroscene.pixels import Geometry

SQUARE = Geometry((80, 80))
MEASURES = Faithfulness("a", "sea", (0, 0.5, 1), (3.0, 1.0, 0.0), (0.0, 2.0, 3.0), (3.0, 2.0, 0.0), (0.0, 1.0, 3.0))


class Outside(HTMLParser):
    """Collects what a page would fetch, and whether it would run anything."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def hand_made(picture: str = "a.png", chosen: str = "harbor", maps: bool = True) -> Evidence:
    reasons = (
        Reason("small_boats", "objects", 2.0, 1.0, -0.2),
        Reason("sand", "materials", 0.5, -0.1, 0.3),
        Reason("lawn", "materials", -1.0, 0.6, 0.1),
    )
    grid = np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32) if maps else None
    whole = None if grid is None else grid.sum(2)
    return Evidence(picture, chosen, "beach", ((chosen, 1.5), ("beach", 0.2)), reasons, 0.0, grid, whole)


def card_of(world: World, picture: str) -> Card:
    row = world.x.ids.index(picture)
    evidence = next(explain(world.method, world.x.take([row]), world.candidates))
    return make_card(evidence, world.pictures[picture].pixels, world.encoder.geometry)


def test_a_card_shows_what_the_evidence_says(world: World) -> None:
    card = card_of(world, "tennis_court 0")
    evidence = card.evidence
    assert card.title == "tennis court"
    assert [bar.value for bar in card.found] == [r.strength for r in evidence.found(9)]
    assert card.found[0].share == 1
    assert {p.title for p in card.panels} <= {r.attribute.replace("_", " ") for r in evidence.reasons if r.strength > 0}
    assert 4 <= len(card.panels) <= 6
    values = [bar.value for bar in card.differences]
    assert values == sorted(values, reverse=True)
    assert max(card.pixels.shape[:2]) == SIDE


def test_json_holds_places_in_pixels_of_the_original(world: World) -> None:
    card = card_of(world, "harbor 1")
    value = json.loads(json.dumps(card.to_json(), allow_nan=False))
    assert value["size"] == {"height": 128, "width": 128}
    assert value["seen"] == [0, 0, 128, 128]
    name, found = next(iter(value["places"].items()))
    expected = places(card.evidence.map(name), Frame(Box(0, 0, 128, 128), 128, 128))
    assert found == [place.to_json() for place in expected]
    assert "faithfulness" not in value


@pytest.mark.parametrize("shape", [(50, 80), (300, 90), (17, 17)])
def test_the_png_opens_and_has_its_size(tmp_path: Path, shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 90, np.uint8)
    card = make_card(hand_made(), picture, Geometry(80, (80, 80)))
    write_png(card, tmp_path / "card.png")
    with Image.open(tmp_path / "card.png") as opened:
        assert (opened.format, opened.size) == ("PNG", (WIDTH, HEIGHT))
        assert len(np.unique(np.asarray(opened.convert("L")))) > 50


def test_a_measured_card_is_higher_and_tells_its_worth(tmp_path: Path) -> None:
    card = make_card(hand_made(), np.zeros((9, 9, 3), np.uint8), SQUARE, MEASURES)
    write_png(card, tmp_path / "card.png")
    with Image.open(tmp_path / "card.png") as opened:
        assert opened.size == (WIDTH, HEIGHT + MEASURED)
    write_page(card, tmp_path / "card.html")
    assert "The map means something: covered in its order, the class loses 0.50 more" in card.verdict
    assert card.verdict in (tmp_path / "card.html").read_text()
    assert card.to_json()["faithfulness"]["deletion_gain"] == 0.5


def test_pages_are_whole_without_anything_outside(world: World, tmp_path: Path) -> None:
    write_page(card_of(world, "harbor 0"), tmp_path / "picture.html")
    write_class_page(explain_class(world.method, world.table, "sea"), tmp_path / "class.html")
    for name in ("picture", "class"):
        text = (tmp_path / f"{name}.html").read_text()
        page = Outside()
        page.feed(text)
        assert all(address.startswith("data:image/") for address in page.addresses)
        assert not page.tags & {"script", "link", "iframe", "object"}
        assert not re.search(r"url\(|@import|https?:", text)


def test_names_of_files_and_classes_are_text_and_nothing_else(tmp_path: Path) -> None:
    wicked = '<img src=x onerror=alert(1)>&"$\\alpha$.png'
    card = make_card(hand_made(wicked, "<script>x</script>$^$"), np.zeros((9, 9, 3), np.uint8), SQUARE)
    write_page(card, tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text()
    page = Outside()
    page.feed(text)
    assert "script" not in page.tags
    assert "&lt;img src=x onerror=alert(1)&gt;&amp;&#34;$\\alpha$.png" in text
    assert all(address.startswith("data:") for address in page.addresses)
    write_png(card, tmp_path / "card.png")


def test_a_method_without_maps_has_a_card_without_them(tmp_path: Path) -> None:
    card = make_card(hand_made(maps=False), np.zeros((9, 9, 3), np.uint8), SQUARE)
    assert (card.whole, card.panels) == (None, ())
    assert "places" not in card.to_json()
    write_page(card, tmp_path / "card.html")
    write_png(card, tmp_path / "card.png")
    assert "<h2>Where</h2>" not in (tmp_path / "card.html").read_text()


def test_what_the_encoder_did_not_see_is_dark_and_what_is_high_glows() -> None:
    pixels = np.full((40, 80, 3), 200, np.uint8)
    seen = Frame(Box(20, 0, 60, 40), 40, 80)
    out = shaded(pixels, seen, np.array([[0, 1]], np.float32)).astype(int)
    unseen, low, high = out[20, 5], out[20, 22], out[20, 56]
    assert unseen.sum() < low.sum() / 2
    assert np.ptp(low) < 20
    assert high[0] > 1.5 * high[2]
    rim = np.flatnonzero((out[20, 20:60] > 200).all(1)) + 20
    assert 40 in rim  # half way


def test_the_card_of_a_class_names_its_attributes_and_neighbours(world: World, tmp_path: Path) -> None:
    evidence = explain_class(world.method, world.table, "tennis_court")
    write_class_png(evidence, tmp_path / "class.png")
    with Image.open(tmp_path / "class.png") as opened:
        assert opened.size == (WIDTH, CLASS_HEIGHT)
    write_class_page(evidence, tmp_path / "class.html")
    text = (tmp_path / "class.html").read_text()
    assert evidence.weights[0].attribute.replace("_", " ") in text
    assert evidence.near[0].name.replace("_", " ") in text
    assert "never seen" in text
    assert json.loads(json.dumps(evidence.to_json(), allow_nan=False))["near"][0]["class"] == evidence.near[0].name
