"""Colours of classes: stable, apart, and of a kind."""

from itertools import combinations

import numpy as np
import pytest

from zeroscene.maps.colours import APART, REJECTED_COLOUR, class_colours, oklab
from zeroscene.semantics.knowledge import known_classes

# As eyes without the pigment for medium wavelengths see linear red, green and blue (Machado et al. 2009, severity 1).
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)


def nearest_other(colours: list[str]) -> np.ndarray:
    lab = oklab(colours)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return (apart + 9 * np.eye(len(colours))).min(axis=1)


def test_lab_of_known_colours() -> None:
    # Ottosson 2020: white is L = 1 without colour; sRGB red and blue as published with the space.
    assert oklab(["#ffffff"]) == pytest.approx(np.array([[1, 0, 0]]), abs=1e-6)
    assert oklab(["#ff0000", "#0000ff"]) == pytest.approx(
        np.array([[0.62796, 0.22486, 0.12585], [0.45201, -0.03246, -0.31153]]), abs=2e-4
    )


def test_all_known_classes_are_apart_from_each_other_and_from_none_of_these() -> None:
    colours = list(class_colours(known_classes()).values())
    assert len(set(colours)) == len(known_classes()) == 111
    assert nearest_other([*colours, REJECTED_COLOUR, "#ffffff"]).min() > APART


def test_seventy_classes_that_nobody_knows_are_apart() -> None:
    colours = list(class_colours([f"class number {i}" for i in range(70)]).values())
    assert nearest_other([*colours, REJECTED_COLOUR]).min() > APART


def test_most_colours_are_apart_without_the_pigment_for_green() -> None:
    values = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in class_colours(known_classes()).values()])
    linear = np.where(values / 255 <= 0.04045, values / 255 / 12.92, ((values / 255 + 0.055) / 1.055) ** 2.4)
    seen = (linear @ DEUTERANOPIA.T).clip(0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    colours = ["#{:02x}{:02x}{:02x}".format(*(round(255 * v) for v in row)) for row in encoded.tolist()]
    assert (nearest_other(colours) > 0.02).mean() > 0.75


def test_a_class_has_its_colour_in_every_map_and_spelling() -> None:
    assert class_colours(["sea", "forest", "gnu"])["forest"] == class_colours(["Forest"])["Forest"]
    assert class_colours(["dense_residential"]) == {
        "dense_residential": class_colours(["DenseResidential"]).popitem()[1]
    }
    assert class_colours(["gnu", "sea"])["gnu"] == class_colours(["forest", "gnu", "zebra herd"])["gnu"]


def test_two_names_of_one_class_differ() -> None:
    given = class_colours(["woods", "forest"])
    assert given["forest"] == class_colours(["forest"])["forest"] != given["woods"]


def test_classes_of_a_kind_have_colours_of_a_kind() -> None:
    given = class_colours(["sea", "river", "forest", "dense_residential", "desert", "old pine forest"])
    hue = {name: np.arctan2(*oklab([colour])[0, [2, 1]]) for name, colour in given.items()}
    for one, other in combinations(("sea", "river"), 2):
        assert abs(hue[one] - hue[other]) < 0.6
    assert abs(hue["old pine forest"] - hue["forest"]) < 0.6
    red, green, blue = (np.array([int(c[i : i + 2], 16) for c in given.values()]) for i in (1, 3, 5))
    assert list(zip(blue > red, red > blue, green > red, strict=True))[:4] == [
        (True, False, True), (True, False, True), (False, True, True), (False, True, False)
    ]  # fmt: skip


def test_more_classes_than_colours_still_get_one() -> None:
    assert len(class_colours([f"class number {i}" for i in range(300)])) == 300
