from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import CLASSES, pictures, split

from zeroscene.errors import DataFormatError, SplitError
from zeroscene.evaluation.protocol import carve


def test_every_picture_of_the_split_has_one_place():
    x, s = pictures(), split()
    trial = carve(x, s)
    unseen, held, train = (
        set(part.ids)
        for part in (trial.test.unseen_pictures, trial.test.seen_pictures, trial.train_generalised.pictures)
    )
    assert unseen == {i for i, label in zip(x.ids, x.labels, strict=True) if label in s.unseen}
    assert not held & train
    assert held | train == set(trial.train_all.pictures.ids) == set(x.ids) - unseen
    assert held == set(trial.split.held_out)


def test_a_fifth_of_each_seen_class_is_held_out_by_the_seed():
    one, same, other = (carve(pictures(), split(), seed=seed) for seed in (3, 3, 4))
    assert {c: one.test.seen_pictures.labels.count(c) for c in one.split.seen} == dict.fromkeys(one.split.seen, 2)
    assert one.split.held_out == same.split.held_out != other.split.held_out


def test_held_out_pictures_that_the_split_names_are_kept():
    x = pictures()
    named = split().with_holdout(x.ids, x.labels, 0.5, seed=9)
    assert carve(x, named, holdout=0.2, seed=1).split == named


def test_pictures_of_other_classes_are_left_out():
    trial = carve(pictures(), split(unseen=("beach",), classes=CLASSES[:5]))
    labels = {*trial.train_all.pictures.labels, *trial.test.unseen_pictures.labels, *trial.test.seen_pictures.labels}
    assert labels == set(CLASSES[:5])


def test_another_spelling_is_the_same_class():
    s = split()
    spelled = replace(s, seen=tuple(c.upper() for c in s.seen), unseen=tuple(c.title() for c in s.unseen))
    assert carve(pictures(), spelled).train_all.pictures.ids == carve(pictures(), s).train_all.pictures.ids


def test_a_class_that_the_pictures_do_not_have_is_named_with_its_nearest():
    with pytest.raises(SplitError, match=r"'beech' \(nearest: beach\)"):
        carve(pictures(), split(unseen=("beech",)))


def test_held_out_pictures_must_be_of_seen_classes():
    x = pictures()
    stranger = next(i for i in x.ids if i.startswith("beach"))
    with pytest.raises(SplitError, match=f"held-out picture '{stranger}' is not a picture of a seen class"):
        carve(x, replace(split(), held_out=(stranger,)))


def test_a_hold_out_must_leave_pictures_on_either_side():
    x = pictures()
    of_airport = tuple(i for i in x.ids if i.startswith("airport"))
    whole = split().with_holdout(x.ids, x.labels)
    with pytest.raises(SplitError, match="no training pictures of airport"):
        carve(x, replace(whole, held_out=tuple({*whole.held_out, *of_airport})))
    with pytest.raises(SplitError, match="no held-out pictures of airport"):
        carve(x, replace(whole, held_out=tuple(set(whole.held_out) - set(of_airport))))


def test_pictures_without_labels_cannot_be_divided():
    with pytest.raises(DataFormatError, match="no labels"):
        carve(replace(pictures(), labels=None), split())


def test_the_order_of_the_pictures_does_not_decide_what_is_held_out():
    x = pictures()
    turned = x.take(np.arange(len(x))[::-1])
    assert carve(turned, split(), seed=2).split.held_out == carve(x, split(), seed=2).split.held_out
