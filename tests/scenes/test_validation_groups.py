"""Groups of seen classes that play unseen in turn."""

import pytest

from zeroscene.scenes.splits import validation_groups

CLASSES = ("airport", "beach", "bridge", "desert", "farmland", "forest", "harbour", "meadow", "river")


@pytest.mark.parametrize("folds", [1, 2, 4])
def test_each_class_plays_unseen_once(folds):
    groups = validation_groups(CLASSES, folds)
    assert len(groups) == folds
    assert sorted(name for group in groups for name in group) == sorted(CLASSES)


@pytest.mark.parametrize(("classes", "groups"), [(1, 0), (2, 2), (3, 3), (4, 2), (5, 2), (7, 3), (9, 4)])
def test_groups_hold_two_classes_where_there_are_enough(classes, groups):
    made = validation_groups(CLASSES[:classes], 4)
    assert len(made) == groups
    assert classes < 4 or all(len(group) >= 2 for group in made)


def test_groups_depend_on_the_seed_and_not_on_order_or_spelling():
    groups = [set(group) for group in validation_groups(CLASSES, 4, seed=1)]
    assert [set(group) for group in validation_groups(CLASSES[::-1], 4, seed=1)] == groups
    spelled = [{name.lower() for name in group} for group in validation_groups([c.title() for c in CLASSES], 4, 1)]
    assert spelled == groups
    assert [set(group) for group in validation_groups(CLASSES, 4, seed=2)] != groups
