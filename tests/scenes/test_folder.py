import os
from pathlib import Path

import pytest

from small_world import lay_out
from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError, UnknownNameError
from zeroscene.scenes.folder import SceneFolder


def reasons(scenes: SceneFolder) -> dict[str, str]:
    return {s.path: s.reason for s in scenes.skipped}


def test_one_folder_per_class(tmp_path: Path) -> None:
    scenes = SceneFolder.open(lay_out(tmp_path, "harbor/b.jpg", "harbor/a.jpg", "Beach/1.png"))
    assert scenes.ids == ("Beach/1.png", "harbor/a.jpg", "harbor/b.jpg")
    assert scenes.labels == ("Beach", "harbor", "harbor")
    assert scenes.classes == ("Beach", "harbor")
    assert scenes.counts == {"Beach": 1, "harbor": 2}
    assert len(scenes) == 3
    assert all(scenes.path(i).is_file() for i in scenes.ids)
    assert scenes.skipped == ()


def test_all_picture_suffixes_in_any_case(tmp_path: Path) -> None:
    files = ["a.jpg", "b.JPEG", "c.Png", "d.tif", "e.TIFF", "f.BMP", "g.jpe"]
    assert len(SceneFolder.open(lay_out(tmp_path, *(f"x/{f}" for f in files), "y/1.jpg"))) == len(files) + 1


def test_pictures_may_lie_deeper_in_a_class_folder(tmp_path: Path) -> None:
    scenes = SceneFolder.open(lay_out(tmp_path, "forest/north/2020/1.jpg", "forest/2.jpg", "river/1.jpg"))
    assert scenes.ids == ("forest/2.jpg", "forest/north/2020/1.jpg", "river/1.jpg")
    assert scenes.labels == ("forest", "forest", "river")


@pytest.mark.parametrize("wrapper", ["Images", "UCMerced_LandUse/Images", "a/b/c"])
def test_folders_that_only_wrap_the_class_folders_are_entered(tmp_path: Path, wrapper: str) -> None:
    lay_out(tmp_path, f"{wrapper}/harbor/1.jpg", f"{wrapper}/beach/1.jpg")
    (tmp_path / "readme.txt").write_text("land use")
    scenes = SceneFolder.open(tmp_path)
    assert scenes.root == tmp_path / wrapper
    assert scenes.ids == ("beach/1.jpg", "harbor/1.jpg")
    assert "not a picture" in reasons(scenes)["readme.txt"]


def test_ids_do_not_depend_on_whether_classes_are_given(tmp_path: Path) -> None:
    lay_out(tmp_path, "Images/harbor/1.jpg", "Images/beach/1.jpg")
    assert SceneFolder.open(tmp_path).ids == SceneFolder.open(tmp_path, ["beach", "harbor"]).ids
    assert SceneFolder.open(tmp_path).ids == SceneFolder.open(tmp_path / "Images").ids


def test_a_data_set_of_one_class_is_a_data_set(tmp_path: Path) -> None:
    scenes = SceneFolder.open(lay_out(tmp_path, "harbor/1.jpg", "harbor/2.jpg"))
    assert scenes.classes == ("harbor",)
    assert scenes.root == tmp_path


def test_everything_left_out_is_listed_with_its_reason(tmp_path: Path) -> None:
    lay_out(tmp_path, "harbor/1.jpg", "beach/1.jpg", "loose.jpg", "harbor/._1.jpg", ".cache/x.jpg", "__MACOSX/a/1.jpg")
    (tmp_path / "harbor/notes.txt").write_text("x")
    (tmp_path / "harbor/Thumbs.db").write_text("x")
    (tmp_path / "harbor/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "beach/up").symlink_to(tmp_path)
    (tmp_path / "island").mkdir()
    scenes = SceneFolder.open(tmp_path)
    assert scenes.ids == ("beach/1.jpg", "harbor/1.jpg")
    found = reasons(scenes)
    assert set(found) == {
        "loose.jpg", "harbor/._1.jpg", ".cache", "__MACOSX", "harbor/notes.txt", "harbor/Thumbs.db",
        "harbor/gone.jpg", "beach/up", "island",
    }  # fmt: skip
    assert "outside the class folders" in found["loose.jpg"]
    assert "hidden" in found["harbor/._1.jpg"]
    assert "link is broken" in found["harbor/gone.jpg"]
    assert "folder above" in found["beach/up"]


def test_an_empty_class_folder_is_reported_and_is_no_class(tmp_path: Path) -> None:
    lay_out(tmp_path, "harbor/1.jpg", "beach/1.jpg")
    (tmp_path / "island").mkdir()
    scenes = SceneFolder.open(tmp_path)
    assert scenes.classes == ("beach", "harbor")
    assert reasons(scenes) == {"island": "class 'island' has no pictures"}


def test_folders_that_are_one_class_are_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "Parking Lot/1.jpg", "parking_lot/1.jpg")
    with pytest.raises(DuplicateNameError, match=r"'Parking Lot' and 'parking_lot' are the same name"):
        SceneFolder.open(tmp_path)
    with pytest.raises(DuplicateNameError, match=r"'Parking Lot' and 'parking_lot' are both class 'parkinglot'"):
        SceneFolder.open(tmp_path, ["parkinglot"])


def test_wanted_classes_are_found_below_categories_under_any_spelling(tmp_path: Path) -> None:
    lay_out(tmp_path, "water area/river/1.jpg", "transportation/airport_runway/1.jpg", "transportation/avenue/1.jpg")
    scenes = SceneFolder.open(tmp_path, ["Airport Runway", "river"])
    assert scenes.classes == ("Airport Runway", "river")
    assert scenes.labels == ("Airport Runway", "river")
    assert scenes.ids == ("transportation/airport_runway/1.jpg", "water area/river/1.jpg")
    assert reasons(scenes) == {"transportation/avenue": "the folder is none of the wanted classes"}


def test_aliases_name_wanted_classes(tmp_path: Path) -> None:
    scenes = SceneFolder.open(
        lay_out(tmp_path, "aGrass/1.jpg", "bField/1.jpg"), ["field", "grass"], {"a_grass": "grass", "bfield": "field"}
    )
    assert scenes.labels == ("grass", "field")


def test_a_wanted_class_without_a_folder_is_named_with_the_nearest(tmp_path: Path) -> None:
    lay_out(tmp_path, "harbour/1.jpg", "beach/1.jpg")
    with pytest.raises(UnknownNameError, match=r"'harbor' \(nearest: harbour\)"):
        SceneFolder.open(tmp_path, ["beach", "harbor"])


def test_a_wrong_path_says_how_far_it_is_right(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=f"no folder {tmp_path}/data/ucm .*ends at {tmp_path}"):
        SceneFolder.open(tmp_path / "data/ucm")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    path = lay_out(tmp_path, "a.jpg") / "a.jpg"
    for read in (SceneFolder.open, SceneFolder.open_flat):
        with pytest.raises(DatasetNotFoundError, match="is a file; give the folder"):
            read(path)


def test_pictures_without_class_folders_are_refused_with_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match=r"holds 2 pictures but no class folders; expected .*<class>"):
        SceneFolder.open(lay_out(tmp_path, "1.jpg", "2.jpg"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    for read in (SceneFolder.open, SceneFolder.open_flat):
        with pytest.raises(DataFormatError, match="it is empty"):
            read(tmp_path)


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_text("x")
    with pytest.raises(DataFormatError, match=r"it holds 'data.zip' \(not a picture"):
        SceneFolder.open_flat(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_a_class_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    lay_out(tmp_path, "harbor/1.jpg", "beach/1.jpg")
    (tmp_path / "harbor").chmod(0)
    try:
        assert "cannot be read" in reasons(SceneFolder.open(tmp_path))["harbor"]
    finally:
        (tmp_path / "harbor").chmod(0o755)


def test_flat_folder_has_pictures_and_no_labels(tmp_path: Path) -> None:
    scenes = SceneFolder.open_flat(lay_out(tmp_path, "b.jpg", "sub/a.tif", "sub/.hidden.jpg"))
    assert scenes.ids == ("b.jpg", "sub/a.tif")
    assert scenes.labels is None
    assert scenes.classes == ()
    assert scenes.counts == {}
    assert list(reasons(scenes)) == ["sub/.hidden.jpg"]


def test_a_name_that_is_no_unicode_is_reported_not_fatal(tmp_path: Path) -> None:
    lay_out(tmp_path, "harbor/1.jpg", "beach/1.jpg")
    try:
        (tmp_path / "harbor" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    except (OSError, UnicodeError):
        pytest.skip("this file system refuses such names")
    scenes = SceneFolder.open(tmp_path)
    assert scenes.ids == ("beach/1.jpg", "harbor/1.jpg")
    assert "not valid Unicode" in scenes.skipped[0].reason


def test_the_order_is_that_of_names_not_of_the_file_system(tmp_path: Path) -> None:
    lay_out(tmp_path, *(f"{c}/{i}.jpg" for c in "zxa" for i in (10, 9, 1)))
    scenes = SceneFolder.open(tmp_path)
    assert list(scenes.ids) == sorted(scenes.ids)
    assert scenes.classes == ("a", "x", "z")


def test_ucmerced(shared: Path) -> None:
    scenes = SceneFolder.open(shared / "real/ucmerced")
    assert len(scenes) == 2100
    assert set(scenes.counts.values()) == {100}
    assert len(scenes.classes) == 21
