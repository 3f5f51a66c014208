"""What a class rests on, beside the others."""

import numpy as np
import pytest
from explain_world import SEEN, World, training

from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.explain.classes import explain_class
from zeroscene.methods.registry import create_method


def test_an_effect_is_what_the_lead_gains_for_one_deviation_more(world: World) -> None:
    one = explain_class(world.method, world.table, "harbor")
    effects = {w.attribute: w.effect for w in one.weights}
    weights = world.method.class_weights(world.table)
    row, column = world.table.classes.index("harbor"), world.table.columns.index("piers")
    gained = np.zeros(len(world.table))
    for branch, weights_CA in weights.items():
        gained += (weights_CA[:, column] * world.method.strength_scale(branch)[1][column]).numpy()
    assert effects["piers"] == pytest.approx(gained[row] - np.delete(gained, row).mean(), rel=1e-4)


def test_a_harbour_rests_on_piers_and_is_near_to_water(world: World) -> None:
    one = explain_class(world.method, world.table, "Harbor")
    assert (one.name, one.seen) == ("harbor", False)
    strongest = [w.attribute for w in one.weights[:6]]
    assert {"piers", "small_boats", "large_ships"} & set(strongest)
    assert [w.effect for w in one.weights] == sorted((w.effect for w in one.weights), reverse=True)
    cosines = [n.cosine for n in one.near]
    assert cosines == sorted(cosines, reverse=True)
    assert {n.name for n in one.near} == set(world.table.classes) - {"harbor"}
    assert [n.seen for n in one.near] == [n.name in SEEN for n in one.near]


def test_what_sets_two_classes_apart_is_opposite_from_the_other_side(world: World) -> None:
    table = world.table.select(["sea", "lake", "freeway"])
    (sea,) = (n for n in explain_class(world.method, table, "lake").near if n.name == "sea")
    (lake,) = (n for n in explain_class(world.method, table, "sea").near if n.name == "lake")
    assert sea.cosine == pytest.approx(lake.cosine, abs=1e-5)
    assert dict(sea.apart) == pytest.approx({name: -value for name, value in lake.apart}, abs=1e-5)


def test_what_cannot_be_explained_is_told(world: World) -> None:
    with pytest.raises(UnknownNameError, match="nearest: harbor"):
        explain_class(world.method, world.table, "harbur")
    with pytest.raises(OptionError, match="two or more"):
        explain_class(world.method, world.table.select(["sea"]), "sea")
    with pytest.raises(OptionError, match="dsva"):
        explain_class(create_method("kernel").fit(*training(world)), world.table, "sea")
