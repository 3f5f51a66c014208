"""Reasons add up to the score, and the reasons against are those for the other class."""

import json

import numpy as np
import pytest
from explain_world import UNSEEN, World, training
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.errors import OptionError, UnknownNameError
from zeroscene.explain.evidence import Evidence, Reason, explain
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.registry import create_method

CLASSES = st.sampled_from(UNSEEN)
SLOW = settings(max_examples=12, deadline=None)


@SLOW
@given(chosen=CLASSES, against=CLASSES, subtracted=st.floats(-2, 2))
def test_contributions_add_up_to_the_score(world: World, chosen: str, against: str, subtracted: float) -> None:
    scores = world.method.scores(world.x, world.candidates)
    off = {"river": subtracted}
    for row, one in enumerate(
        explain(world.method, world.x, world.candidates, chosen=chosen, against=against, subtracted=off)
    ):
        ours, theirs = (scores.classes.index(name) for name in (one.chosen, one.other))
        told = dict(one.scores)
        for column, total in ((ours, [r.chosen for r in one.reasons]), (theirs, [r.other for r in one.reasons])):
            assert sum(total) == pytest.approx(scores.values[row, column], abs=1e-3)
            name = scores.classes[column]
            assert told[name] == pytest.approx(scores.values[row, column] - off.get(name, 0), abs=1e-3)
        assert one.margin == pytest.approx(told[one.chosen] - told[one.other], abs=1e-3)


@SLOW
@given(pair=st.lists(CLASSES, min_size=2, max_size=2, unique=True))
def test_why_not_the_other_is_the_opposite(world: World, pair: list[str]) -> None:
    one, other = pair
    off = {"sea": 0.5}
    there = explain(world.method, world.x, world.candidates, chosen=one, against=other, subtracted=off)
    back = explain(world.method, world.x, world.candidates, chosen=other, against=one, subtracted=off)
    for forth, reverse in zip(there, back, strict=True):
        assert [r.difference for r in forth.reasons] == [-r.difference for r in reverse.reasons]
        assert forth.calibration == -reverse.calibration
        assert [r.attribute for r in forth.speaking_for(9)] == [r.attribute for r in reverse.speaking_against(9)]


def test_the_chosen_class_is_the_predicted_and_the_other_the_runner_up(world: World) -> None:
    scores = world.method.scores(world.x, world.candidates)
    for row, one in enumerate(explain(world.method, world.x, world.candidates)):
        ranked = [scores.classes[c] for c in np.argsort(-scores.values[row])]
        assert [name for name, _ in one.scores] == ranked
        assert (one.chosen, one.other) == (ranked[0], ranked[1])
        asked = next(explain(world.method, world.x.take([row]), world.candidates, against=ranked[0]))
        assert (asked.chosen, asked.other) == (ranked[0], ranked[1])


def test_calibration_can_turn_the_choice_and_is_told(world: World) -> None:
    plain = next(explain(world.method, world.x, world.candidates))
    turned = next(explain(world.method, world.x, world.candidates, subtracted={plain.chosen: 99.0}))
    assert turned.chosen != plain.chosen
    back = next(explain(world.method, world.x, world.candidates, chosen=plain.chosen, subtracted={plain.chosen: 99.0}))
    assert back.calibration == -99
    assert back.sentence.endswith("; calibration -99.00")


def test_what_is_drawn_is_found(world: World) -> None:
    evidence = {one.picture: one for one in explain(world.method, world.x, world.candidates)}
    court, harbor = evidence["tennis_court 0"], evidence["harbor 0"]
    assert "tennis_courts" in [r.attribute for r in court.found(5)]
    assert "tennis courts +" in court.sentence
    assert {"piers", "small_boats", "large_ships"} & {r.attribute for r in harbor.found(8)}


def test_strength_is_measured_against_training_pictures(world: World) -> None:
    local = DSVA(predict="local", epochs=0).fit(*training(world))
    mean_A, deviation_A = (v.numpy() for v in local.strength_scale("local"))
    for one in explain(local, world.x, world.candidates):
        found_A = one.maps_HWA.max((0, 1))
        varies = deviation_A > 1e-6
        np.testing.assert_allclose(
            [r.strength for r in np.array(one.reasons, object)[varies]],
            ((found_A - mean_A) / np.where(varies, deviation_A, 1))[varies],
            atol=1e-3,
        )


def test_words_and_json_of_hand_made_reasons() -> None:
    one = Evidence(
        "a.png",
        "harbor",
        "beach",
        (("harbor", 1.5), ("beach", 0.2)),
        (
            Reason("small_boats", "objects", 2.0, 1.0, -0.2),
            Reason("sand", "materials", 0.5, -0.1, 0.3),
            Reason("lawn", "materials", -1.0, 0.6, 0.1),
        ),
        0.0,
    )
    assert one.sentence == "harbor rather than beach: small boats +1.20, lack of lawn +0.50; against: sand -0.40"
    assert one.margin == pytest.approx(1.3)
    assert [r.attribute for r in one.found(9)] == ["small_boats", "sand"]
    assert [r.attribute for r in one.supporting(9)] == ["small_boats", "lawn"]
    value = json.loads(json.dumps(one.to_json()))
    assert (value["class"], value["rather_than"], value["margin"]) == ("harbor", "beach", 1.3)
    assert value["attributes"][1] == {
        "attribute": "sand", "group": "materials", "strength": 0.5, "contribution": -0.1, "contribution_other": 0.3,
        "difference": -0.4,
    }  # fmt: skip


def test_one_class_alone_is_compared_with_nothing(world: World) -> None:
    one = next(explain(world.method, world.x, world.table.select(["sea"])))
    assert (one.chosen, one.other) == ("sea", None)
    assert one.margin == pytest.approx(one.scores[0][1], abs=1e-3)
    assert one.sentence.startswith("sea: ")


def test_a_class_that_is_no_candidate_is_refused_with_the_nearest(world: World) -> None:
    with pytest.raises(UnknownNameError, match=r"candidates: 'tennis curt' \(nearest: tennis_court\)"):
        explain(world.method, world.x, world.candidates, against="tennis curt")


def test_a_method_of_vectors_has_no_reasons(world: World) -> None:
    kernel = create_method("kernel").fit(*training(world))
    with pytest.raises(OptionError, match=r"kernel finds no attributes .* can be explained: dsva$"):
        explain(kernel, world.x, world.candidates)


def test_a_map_is_named_by_its_attribute_in_any_spelling(world: World) -> None:
    one = next(explain(world.method, world.x, world.candidates))
    column = world.table.columns.index("small_boats")
    assert np.array_equal(one.map("Small Boats"), one.maps_HWA[:, :, column])
    with pytest.raises(UnknownNameError, match="'boat'"):
        one.map("boat")
    blind = DSVA(weight_compatibility_local=0, epochs=0).fit(*training(world))
    seen = next(explain(blind, world.x, world.candidates))
    with pytest.raises(OptionError, match="without the local branch"):
        seen.map("piers")
