"""The leak audit: what it finds among planted copies, what it does not take for one, and what it says."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from small_world import data_set, save, scene
from zeroscene.embeddings.alignment import align
from zeroscene.embeddings.neighbours import chance_threshold, nearest
from zeroscene.embeddings.overlap import Collection, find_overlaps
from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.embeddings.thumbnails import read_thumbnail, sketches
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, OptionError
from zeroscene.scenes.folder import SceneFolder
from zeroscene.vectors import unit_rows

NAMES = ("dense_residential", "harbor", "freeway", "parking_lot")
SIDE = 256
EYE = EncoderIdentity("eye", "w", "p", "o")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("originals"), NAMES, each=3, height=SIDE, width=SIDE)


def picture(root: Path, name: str) -> Image.Image:
    return Image.open(root / name / f"{name} 00.png").convert("RGB")


PLANTS = {
    "re-encoded": lambda image: image.resize((180, 180), Image.Resampling.BICUBIC),
    "near duplicate": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "overlap": lambda image: image.crop((60, 30, 246, 216)),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_a_planted_copy_is_found_and_its_kind_told(originals, tmp_path, kind):
    for name in NAMES:
        save(tmp_path / f"{name}.png", PLANTS[kind](picture(originals, name)))
    audit = find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path)), collection(originals))
    assert {(pair.id, pair.other, pair.kind) for pair in audit.pairs} == {
        (f"{name}.png", f"{name}/{name} 00.png", kind) for name in NAMES
    }
    assert audit.by_pixels


@pytest.mark.parametrize("quality", [50, 90])
def test_a_jpeg_of_a_picture_is_the_picture(originals, tmp_path, quality):
    for name in NAMES:
        picture(originals, name).save(tmp_path / f"{name}.jpg", quality=quality)
    audit = find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path)), collection(originals))
    assert [pair.kind for pair in audit.pairs] == ["re-encoded"] * len(NAMES)


def test_a_neighbouring_tile_is_an_overlap_and_its_share_is_right(originals, tmp_path):
    whole = np.asarray(picture(originals, "dense_residential"))
    save(tmp_path / "left.png", whole[:, :192])
    save(tmp_path / "right.png", whole[:, 64:])
    (pair,) = find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path))).pairs
    assert (pair.id, pair.other, pair.kind) == ("left.png", "right.png", "overlap")
    assert pair.shared == pytest.approx(128 / 192, abs=0.02)
    assert pair.similarity > 0.9


def test_a_copied_file_is_identical_also_where_there_is_nothing_to_see(tmp_path):
    save(tmp_path / "a" / "one.png", np.full((64, 64, 3), 90, np.uint8))
    save(tmp_path / "a" / "other.png", np.full((64, 64, 3), 180, np.uint8))
    (tmp_path / "b").mkdir()
    shutil.copy(tmp_path / "a" / "one.png", tmp_path / "b" / "copy.png")
    audit = find_overlaps(*(Collection.of_folder(SceneFolder.open_flat(tmp_path / side)) for side in "ab"))
    assert [(pair.id, pair.other, pair.kind) for pair in audit.pairs] == [("one.png", "copy.png", "identical")]


def test_different_pictures_of_the_same_classes_do_not_overlap(tmp_path):
    for side, first in (("a", 0), ("b", 10)):
        for name in NAMES:
            for index in range(first, first + 5):
                save(tmp_path / side / f"{name} {index}.png", scene(name, index, SIDE))
    audit = find_overlaps(*(Collection.of_folder(SceneFolder.open_flat(tmp_path / side)) for side in "ab"))
    assert audit.pairs == ()
    assert audit.by_chance == 0
    assert audit.candidates >= 10 * 20


def test_within_one_place_each_pair_stands_once(originals, tmp_path):
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    save(tmp_path / "harbor" / "a copy.jpg", picture(originals, "harbor"))
    audit = find_overlaps(collection(tmp_path))
    assert [(pair.id, pair.other) for pair in audit.pairs] == [("harbor/a copy.jpg", "harbor/harbor 00.png")]


def test_unreadable_pictures_are_listed_and_the_others_compared(originals, tmp_path):
    shutil.copy(originals / "harbor" / "harbor 00.png", tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n, cut off")
    audit = find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path), "mine"), collection(originals))
    assert [pair.id for pair in audit.pairs] == ["good.png"]
    assert list(audit.unreadable) == [("mine", "bad.png")]


def test_vectors_alone_find_copies_and_nothing_else():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 24)).astype(np.float32)
    y = rng.normal(size=(300, 24)).astype(np.float32)
    y[7] = x[5] + 1e-3 * rng.normal(size=24)
    one, other = vectors("one", x), vectors("other", y)
    audit = find_overlaps(one, other)
    assert [(pair.id, pair.other, pair.kind) for pair in audit.pairs] == [("5", "7", "alike")]
    assert not audit.by_pixels
    assert 0.7 < audit.threshold < 0.99


def test_a_collection_of_copies_is_found_whole():
    x = np.random.default_rng(1).normal(size=(200, 16)).astype(np.float32)
    audit = find_overlaps(vectors("one", x), vectors("other", x * np.float32(1.5)))
    assert [(pair.id, pair.other) for pair in audit.pairs] == sorted((str(i), str(i)) for i in range(200))


def test_different_vectors_seldom_reach_the_threshold():
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        x, y = (unit_rows(rng.normal(size=(200, 12)).astype(np.float32)) for _ in range(2))
        threshold = chance_threshold(nearest(y, y, 1, same=True)[1][:, 0], len(x))
        found += int((nearest(x, y, 1)[1] >= threshold).sum())
    assert found <= 6


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_nearest_are_those_of_the_whole_product(m, n, count, seed):
    rng = np.random.default_rng(seed)
    x, z = (rng.normal(size=(size, 5)).astype(np.float32) for size in (m, n))
    rows, cosines = nearest(x, z, count)
    np.testing.assert_allclose(cosines, -np.sort(-(x @ z.T), axis=1)[:, :count], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(x @ z.T, rows, 1), cosines, atol=1e-5)


def test_blocks_do_not_change_the_neighbours(monkeypatch):
    x = unit_rows(np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32))
    whole = nearest(x, x, 4, same=True)
    monkeypatch.setattr("zeroscene.embeddings.neighbours._ROWS", 7)
    monkeypatch.setattr("zeroscene.embeddings.neighbours._COLUMNS", 9)
    parts = nearest(x, x, 4, same=True)
    np.testing.assert_array_equal(whole[0], parts[0])
    assert not (whole[0] == np.arange(50)[:, None]).any()


def test_sketches_do_not_know_the_orientation(originals, tmp_path):
    image = picture(originals, "harbor")
    for turn in range(8):
        turned = np.rot90(np.asarray(image), turn % 4)
        save(tmp_path / f"{turn}.png", turned[:, ::-1] if turn >= 4 else turned)
    for sketch in sketches([read_thumbnail(tmp_path / f"{turn}.png") for turn in range(8)]):
        np.testing.assert_allclose(sketch, np.broadcast_to(sketch[:1], sketch.shape), atol=0.02)


def test_alignment_tells_orientation_and_place(tmp_path):
    whole = scene("dense_residential", 1, SIDE)
    save(tmp_path / "whole.png", whole)
    for turn in range(8):
        turned = np.rot90(whole, turn % 4)
        save(tmp_path / f"{turn}.png", turned[:, ::-1] if turn >= 4 else turned)
    for turn in range(8):
        (fit,) = align([tuple(read_thumbnail(tmp_path / name) for name in ("whole.png", f"{turn}.png"))])
        assert (fit.orientation, fit.shift, fit.shared) == (turn, 0, 1)


def test_two_folders_of_the_same_pictures_are_refused(originals):
    with pytest.raises(OptionError, match=r"the same pictures.*--within"):
        find_overlaps(collection(originals), collection(originals))


def test_stores_of_two_encoders_are_refused_and_the_way_out_is_named():
    x = np.eye(3, dtype=np.float32)
    other = EncoderIdentity("ear", "w2", "p", "o")
    with pytest.raises(EncoderMismatchError, match="give the folders of their pictures"):
        find_overlaps(vectors("one", x), Collection("other", ("0", "1", "2"), None, x, other))


def test_vectors_cannot_be_compared_with_pictures(originals):
    with pytest.raises(DatasetNotFoundError, match=r"one holds vectors only.*same encoder"):
        find_overlaps(vectors("one", np.eye(3, dtype=np.float32)), collection(originals))


def test_pictures_of_which_none_can_be_read_are_refused(originals, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DatasetNotFoundError, match=r"no picture of .* can be read \(bad\.png"):
        find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path)), collection(originals))


def test_the_file_gives_the_pairs_back(originals, tmp_path):
    save(tmp_path / "a, copy.png", picture(originals, "harbor"))
    pairs = find_overlaps(Collection.of_folder(SceneFolder.open_flat(tmp_path)), collection(originals)).pairs
    kept = OverlapFile("the originals", pairs)
    kept.write(tmp_path / "overlap.csv")
    assert OverlapFile.read(tmp_path / "overlap.csv") == kept
    assert OverlapFile("", pairs).fingerprint != kept.fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,other\n", "the first line must be id,other,place"),
        ("id,other,place,kind,similarity,shared\na,b,,guess,1,1\n", "line 2"),
        ("id,other,place,kind,similarity,shared\na,b,,overlap,much,1\n", "line 2"),
        ("id,other,place,kind,similarity,shared\na,b,x,overlap,1,1\na,b,y,overlap,1,1\n", "several places"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, text, said):
    (tmp_path / "overlap.csv").write_text(text)
    with pytest.raises(DataFormatError, match=said):
        OverlapFile.read(tmp_path / "overlap.csv")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no such file of overlaps.*zeroscene audit"):
        OverlapFile.read(tmp_path / "none.csv")


def collection(root: Path) -> Collection:
    return Collection.of_folder(SceneFolder.open(root), "originals")


def vectors(name: str, x: np.ndarray) -> Collection:
    return Collection(name, tuple(str(i) for i in range(len(x))), None, x, EYE)


def test_large_collections_are_looked_through_by_vectors_and_only_candidates_are_read(originals, tmp_path, monkeypatch):
    monkeypatch.setattr("zeroscene.embeddings.overlap._SKETCHED", 0)
    monkeypatch.setattr("zeroscene.embeddings.overlap.CANDIDATES", 1)
    for name in NAMES:
        save(tmp_path / f"{name}.png", PLANTS["turned"](picture(originals, name)))
    (tmp_path / "far.png").write_bytes(b"no picture")
    mine, theirs = SceneFolder.open_flat(tmp_path), SceneFolder.open(originals)
    z = np.eye(len(theirs.ids), dtype=np.float32)
    x = np.stack([z[theirs.ids.index(f"{name}/{name} 00.png")] for name in NAMES])
    of_name = dict(zip(NAMES, x, strict=True))
    rows = np.stack([of_name.get(picture.removesuffix(".png"), z[0]) for picture in mine.ids])
    audit = find_overlaps(
        Collection("mine", mine.ids, tmp_path, rows, EYE), Collection("theirs", theirs.ids, theirs.root, z, EYE)
    )
    assert {pair.id for pair in audit.pairs} == {f"{name}.png" for name in NAMES}
    assert audit.candidates == len(NAMES)
    assert list(audit.unreadable) == [("mine", "far.png")]
