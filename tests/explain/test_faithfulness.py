"""Covering what a map calls decisive lowers the class's score faster than covering anything else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from explain_world import World, training

from zeroscene.errors import DataFormatError, OptionError, UnknownNameError
from zeroscene.explain.evidence import explain
from zeroscene.explain.faithfulness import Faithfulness, Worth, blurred, measure
from zeroscene.methods.dsva.method import DSVA

SHARES = (0.0, 0.5, 1.0)


def test_maps_of_the_class_delete_and_insert_faster_than_random_orders(world: World) -> None:
    measured = [
        measure(
            world.method, world.encoder, world.pictures[one.picture].pixels, world.candidates, one.chosen,
            one.class_map_HW, steps=8, orders=2,
        )
        for one in explain(world.method, world.x, world.candidates)
    ]  # fmt: skip
    worth = Worth.of(measured)
    assert worth.deletion[0] > 0
    assert worth.insertion[0] > 0
    assert worth.better > 0.7


def test_the_ends_are_the_picture_and_its_blur(world: World) -> None:
    name = world.x.ids[0]
    scores = world.method.scores(world.x.take([0]), world.candidates)
    column = scores.classes.index("river")
    lead = scores.values[0, column] - np.delete(scores.values[0], column).mean()
    one = measure(
        world.method, world.encoder, world.pictures[name].pixels, world.candidates, "river",
        np.zeros((8, 8), np.float32), steps=1, orders=1,
    )  # fmt: skip
    assert one.shares == (0, 1)
    assert one.deletion[0] == pytest.approx(lead, abs=1e-3)
    assert one.deletion == pytest.approx(one.insertion[::-1], abs=1e-4)
    assert (one.deletion_gain, one.insertion_gain) == pytest.approx((0, 0), abs=1e-4)


def test_areas_and_gains_of_hand_made_curves() -> None:
    one = Faithfulness("a", "sea", SHARES, (1.0, 0.0, 0.0), (0.0, 1.0, 1.0), (1.0, 0.5, 0.0), (0.0, 0.5, 1.0))
    assert (one.deletion_gain, one.insertion_gain) == (0.25, 0.25)
    assert one.to_json()["areas"] == {
        "deletion": 0.25, "insertion": 0.75, "random_deletion": 0.5, "random_insertion": 0.5,
    }  # fmt: skip
    flat = Faithfulness("b", "sea", SHARES, *[(1.0, 1.0, 1.0)] * 4)
    worth = Worth.of([one, flat])
    assert (worth.pictures, worth.better) == (2, 0.5)
    assert worth.deletion == pytest.approx((0.125, 0.125 * 2**0.5))
    assert Worth.of([one]).deletion == (0.25, 0.0)
    with pytest.raises(OptionError, match="one measured picture"):
        Worth.of([])


def test_the_cover_has_the_picture_s_colours_and_no_detail() -> None:
    picture = torch.zeros(3, 80, 80, dtype=torch.uint8)
    picture[:, :, ::2] = 200
    cover = blurred(picture, (8, 8))
    assert cover.shape == picture.shape
    assert (cover == 100).all()


def test_the_map_of_a_class_is_its_weights_over_the_places(world: World) -> None:
    x = world.x.take([3])
    map_HW = next(explain(world.method, x, world.candidates, chosen="sea")).class_map_HW
    weights_CA = world.method.class_weights(world.candidates)["local"].numpy()
    row = world.candidates.classes.index("sea")
    lead_A = weights_CA[row] - np.delete(weights_CA, row, 0).mean(0)
    maps_RA = next(world.method.look(x)).maps_NRA[0].numpy()
    np.testing.assert_allclose(map_HW.ravel(), maps_RA @ lead_A, rtol=1e-3, atol=1e-3)


def test_what_cannot_be_measured_is_told(world: World) -> None:
    pixels = world.pictures[world.x.ids[0]].pixels
    flat = np.zeros((8, 8), np.float32)
    with pytest.raises(DataFormatError, match=r"map of \(4, 4\) for a token grid of \(8, 8\)"):
        measure(world.method, world.encoder, pixels, world.candidates, "sea", flat[:4, :4])
    with pytest.raises(UnknownNameError, match=r"'see' \(nearest: sea\)"):
        measure(world.method, world.encoder, pixels, world.candidates, "see", flat)
    with pytest.raises(OptionError, match="at least 1"):
        measure(world.method, world.encoder, pixels, world.candidates, "sea", flat, orders=0)
    only_global = DSVA(predict="global", epochs=0).fit(*training(world))
    assert next(explain(only_global, world.x, world.candidates)).class_map_HW is None


def test_a_method_that_looks_closer_looks_at_the_covered_picture_too(world: World, tmp_path: Path) -> None:
    method = DSVA(focus="crop", epochs=0).fit(*training(world, tmp_path))
    name = world.x.ids[0]
    one = measure(
        method, world.encoder, world.pictures[name].pixels, world.candidates, "harbor", np.eye(8, dtype=np.float32),
        steps=1, orders=1,
    )  # fmt: skip
    assert one.deletion[0] != one.deletion[1]
