"""What fine-tuning may look at: training pictures of seen classes, by construction."""

from dataclasses import replace

import pytest

from small_world import data_set
from zeroscene.errors import DataFormatError, SplitError
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split
from zeroscene.training.pictures import SeenPictures, readable

CLASSES = ("beach", "desert", "lake", "river")
SPLIT = Split("small", "1", ("beach", "desert", "lake"), ("river",))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> SceneFolder:
    return SceneFolder.open(data_set(tmp_path_factory.mktemp("scenes"), CLASSES, each=5))


@pytest.fixture(scope="module")
def bound(scenes) -> Split:
    return SPLIT.with_holdout(scenes.ids, scenes.labels)


def test_no_picture_of_the_test_is_among_them(scenes, bound):
    seen = SeenPictures.of(scenes, bound)
    assert len(seen) == 3 * 4
    assert set(seen.labels) == set(SPLIT.seen)
    assert not set(seen.ids) & set(bound.held_out)
    assert [seen.labels[i] for i in range(len(seen))] == [SPLIT.seen[c] for c in seen.y]
    assert seen.scenes().path(seen.ids[0]).is_file()


def test_some_classes_of_them(scenes, bound):
    two = SeenPictures.of(scenes, bound).of_classes(["lake", "Beach"])
    assert two.seen == ("beach", "lake")
    assert set(two.labels) == {"beach", "lake"}
    assert two.split == bound


def test_a_split_must_name_its_held_out_pictures(scenes):
    with pytest.raises(SplitError, match="names no held-out pictures; bind it"):
        SeenPictures.of(scenes, SPLIT)


@pytest.mark.parametrize("what", ["held out", "of none of the classes"])
def test_a_picture_of_the_test_cannot_be_put_among_them(scenes, bound, what):
    seen = SeenPictures.of(scenes, bound)
    stranger = bound.held_out[0] if what == "held out" else "river/river 00.png"
    label = "beach" if what == "held out" else "river"
    with pytest.raises(SplitError, match=what):
        replace(seen, ids=(*seen.ids, stranger), labels=(*seen.labels, label))


def test_an_unseen_class_cannot_be_made_seen(scenes, bound):
    with pytest.raises(SplitError, match="river cannot be trained on, not being seen"):
        replace(SeenPictures.of(scenes, bound), seen=(*SPLIT.seen, "river"))


def test_a_class_without_pictures_is_named(scenes, bound):
    none_left = replace(bound, held_out=tuple(i for i in scenes.ids if i.startswith("lake")))
    with pytest.raises(SplitError, match="no training pictures of the seen classes lake"):
        SeenPictures.of(scenes, none_left)


def test_pictures_without_classes_are_refused(scenes, bound):
    with pytest.raises(DataFormatError, match="has no class folders"):
        SeenPictures.of(SceneFolder.open_flat(scenes.root), bound)


def test_pictures_that_cannot_be_read_are_left_out_with_their_reason(tmp_path):
    root = data_set(tmp_path / "scenes", CLASSES, each=3)
    (root / "lake" / "lake 01.png").write_bytes(b"no picture at all")
    found = readable(SceneFolder.open(root), SPLIT.seen)
    assert len(found) == 3 * 3 - 1
    assert set(found.labels) == set(SPLIT.seen)
    assert [(skipped.path, "text" in skipped.reason) for skipped in found.skipped] == [("lake/lake 01.png", True)]
