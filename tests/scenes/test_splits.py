from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.errors import DuplicateNameError, SplitError
from zeroscene.names import key
from zeroscene.scenes.splits import Split, random_splits

# fmt: off
UCM = (
    "agricultural", "airplane", "baseballdiamond", "beach", "buildings", "chaparral", "denseresidential", "forest",
    "freeway", "golfcourse", "harbor", "intersection", "mediumresidential", "mobilehomepark", "overpass", "parkinglot",
    "river", "runway", "sparseresidential", "storagetanks", "tenniscourt",
)
# fmt: on

class_lists = st.lists(st.text("abcdefgh", min_size=1, max_size=5), min_size=2, max_size=12, unique_by=key)


@given(class_lists, st.data())
def test_a_random_split_divides_the_classes(classes: list[str], data: st.DataObject) -> None:
    unseen = data.draw(st.integers(1, len(classes) - 1))
    for split in random_splits("x", classes, unseen, 2, seed=data.draw(st.integers(0, 5))):
        assert len(split.unseen) == unseen
        assert sorted(split.seen + split.unseen) == sorted(classes)
        assert list(split.seen) == [c for c in classes if c in split.seen]


@given(class_lists, st.randoms(use_true_random=False))
def test_a_random_split_depends_neither_on_order_nor_on_spelling(classes: list[str], random: object) -> None:
    respelled = [c.upper() + "_" for c in classes]
    random.shuffle(respelled)  # type: ignore[attr-defined]
    one, other = random_splits("x", classes, 1, 1, seed=3)[0], random_splits("x", respelled, 1, 1, seed=3)[0]
    assert one.fingerprint == other.fingerprint


def test_golden_random_split_never_changes() -> None:
    split = random_splits("ucmerced", UCM, 5, 3, seed=0)[2]
    assert split.name == "random-16-5-seed0-3"
    assert split.unseen == ("agricultural", "denseresidential", "overpass", "river", "sparseresidential")


def test_more_splits_begin_with_the_same() -> None:
    assert random_splits("x", UCM, 5, 25)[:5] == random_splits("x", UCM, 5, 5)


def test_seeds_differ_and_splits_of_one_seed_differ() -> None:
    splits = random_splits("x", UCM, 5, 25, seed=0) + random_splits("x", UCM, 5, 25, seed=1)
    assert len({s.fingerprint for s in splits}) == 50
    assert len({s.name for s in splits}) == 50


def test_all_different_splits_can_be_had_and_no_more() -> None:
    splits = random_splits("x", ["a", "b", "c", "d"], 2, 6)
    assert len({s.fingerprint for s in splits}) == 6
    with pytest.raises(SplitError, match="7 splits of 2/2 classes were asked for; there are 6"):
        random_splits("x", ["a", "b", "c", "d"], 2, 7)


def test_every_class_is_unseen_about_equally_often() -> None:
    splits = random_splits("x", UCM, 5, 420)
    times = [sum(c in s.unseen for s in splits) for c in UCM]
    assert min(times) > 70  # 100 expected
    assert max(times) < 130


@pytest.mark.parametrize("unseen", [0, 3, 4, -1])
def test_a_side_without_classes_is_refused(unseen: int) -> None:
    with pytest.raises(SplitError, match="x has 3 classes"):
        random_splits("x", ["a", "b", "c"], unseen, 1)


def test_a_data_set_of_one_class_cannot_be_split() -> None:
    with pytest.raises(SplitError, match="x has 1 classes; 1 unseen ones leave 0 seen ones"):
        random_splits("x", ["only"], 1, 1)


def test_duplicate_classes_are_refused() -> None:
    with pytest.raises(DuplicateNameError, match="'a b' and 'A_B' are the same name"):
        random_splits("x", ["a b", "A_B", "c"], 1, 1)


def test_a_split_refuses_overlap_emptiness_and_duplicates() -> None:
    with pytest.raises(SplitError, match="parkinglot cannot be seen and unseen at once"):
        Split("x", "1", ("Parking Lot", "a"), ("parking_lot",))
    with pytest.raises(SplitError, match="at least one seen and one unseen"):
        Split("x", "1", ("a",), ())
    with pytest.raises(DuplicateNameError):
        Split("x", "1", ("a", "A"), ("b",))


def test_a_split_that_names_unknown_classes_is_refused_with_the_nearest() -> None:
    with pytest.raises(SplitError, match=r"'harbour' \(nearest: harbor\)"):
        Split("x", "1", ("harbour",), ("beach",)).check_classes(["harbor", "beach", "river"])


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 3))
def test_holdout_keeps_a_share_of_each_seen_class(size: int, fraction: float, seed: int) -> None:
    ids = [f"{c}/{i}" for c in "abc" for i in range(size)]
    labels = [i[0] for i in ids]
    split = Split("x", "1", ("a", "b"), ("c",)).with_holdout(ids, labels, fraction, seed)
    for name in "ab":
        kept = sum(i.startswith(name) for i in split.held_out)
        assert 1 <= kept <= size - 1
        assert abs(kept - size * fraction) <= 1
    assert not any(i.startswith("c") for i in split.held_out)
    backwards = replace(split, held_out=()).with_holdout(ids[::-1], labels[::-1], fraction, seed)
    assert backwards == split


def test_holdout_of_a_class_does_not_depend_on_the_other_classes() -> None:
    ids = [f"{c}/{i}" for c in "abc" for i in range(10)]
    labels = [i[0] for i in ids]
    one = Split("x", "1", ("a", "b"), ("c",)).with_holdout(ids, labels)
    other = Split("x", "1", ("a", "c"), ("b",)).with_holdout(ids, labels)
    assert [i for i in one.held_out if i[0] == "a"] == [i for i in other.held_out if i[0] == "a"]


def test_holdout_refuses_what_cannot_be_shared() -> None:
    split = Split("x", "1", ("a",), ("b",))
    with pytest.raises(SplitError, match="'a' has 1 pictures; GZSL needs two"):
        split.with_holdout(["1"], ["a"])
    with pytest.raises(SplitError, match="between 0 and 1"):
        split.with_holdout(["1", "2"], ["a", "a"], 1.0)
