"""Change: cells seen at both dates, how likely their class changed, and no answer where one date is missing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from archive_world import added, begun, contents, east, labels, write
from mapping_world import COLOURS, MeanColour, question
from rasterio import Affine

from geo_world import METRE
from small_world import save, scene
from zeroscene.errors import OptionError, StoreError
from zeroscene.maps.archive import change as change_of
from zeroscene.maps.archive.add import Adding
from zeroscene.maps.archive.change import UNCHANGED, Change, change
from zeroscene.maps.archive.change_files import write_changes
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.pictures import add_pictures
from zeroscene.maps.archive.reach import Reach
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.source import Source
from zeroscene.maps.archive.time import Period, TimeRule
from zeroscene.maps.layout import Layout
from zeroscene.maps.scene_map import SceneMap

OLD, NEW = Period.of("2020"), Period.of("2023")
CLASSES = tuple(COLOURS)


def archive_of(tmp_path: Path, **rasters: Path) -> Archive:
    for time, path in rasters.items():
        archive, _ = added(tmp_path / "archive", path, time=time.strip("_").replace("_", "-"))
    return archive


def blocks(*rows: str) -> np.ndarray:
    """Return labels of cells, three by three for each letter: r, g, b, s; a dot is nodata."""
    small = np.array([["rgbs.".index(letter) for letter in row] for row in rows])
    return np.where(small == 4, -1, small).repeat(3, 0).repeat(3, 1)


def changes(archive: Archive, *how, scale: float = 20.0) -> list[Change]:
    return list(change(archive, question(scale=scale), OLD, NEW, *how))


def test_classes_before_and_after_and_the_probability_of_both_looks(tmp_path):
    old, new = blocks("rrg", "bbs"), blocks("rgg", "bb.")
    archive = archive_of(tmp_path, _2020=write(tmp_path / "o.tif", old), _2023_05=write(tmp_path / "n.tif", new))
    found = changes(archive)[0]
    # In the middle of a block all windows over a cell lie within it.
    middle = np.s_[1::3, 1::3]
    assert found.before[middle].tolist() == [[0, 0, 1], [2, 2, -1]]
    assert found.after[middle].tolist() == [[0, 1, 1], [2, 2, -1]]
    assert found.changed[middle].tolist() == [[False, True, False], [False, False, False]]
    assert found.known[middle].tolist() == [[True, True, True], [True, True, False]]
    assert found.probability[1, 4] > 0.9
    assert found.distance == 0
    assert [Path(s.path).name for s in found.earlier] == ["o.tif"]


def test_probability_is_one_minus_the_chance_that_both_looks_say_the_same(tmp_path):
    old, new = labels(1), labels(2)
    archive = archive_of(tmp_path, _2020=write(tmp_path / "o.tif", old), _2023=write(tmp_path / "n.tif", new))
    found = changes(archive)[0]
    looks = []
    for path in ("o.tif", "n.tif"):
        partition = next(p for p in archive.partitions() if p.sources[0].path.endswith(path))
        values = question().distributions(partition.read().x, 20.0)
        windows, (rows, columns) = partition.windows(), partition.sources[0].layout.shape
        sums, counts = np.zeros((rows, columns, 4)), np.zeros((rows, columns, 1))
        for row, column, value in zip(windows.row, windows.column, values, strict=True):
            sums[row : row + 2, column : column + 2] += value
            counts[row : row + 2, column : column + 2] += 1
        looks.append(sums / counts)
    np.testing.assert_allclose(found.probability, 1 - (looks[0] * looks[1]).sum(axis=2), atol=1e-6)
    assert (found.probability[found.changed] >= 0.5 - 1e-6).all()


def test_cells_seen_at_one_date_only_have_no_answer(tmp_path):
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", labels(1)),
        _2023=write(tmp_path / "n.tif", labels(1), transform=east(3)),
    )
    found = changes(archive)[0]
    assert found.known[:, :4].all()
    assert not found.known[:, 4:].any()
    assert np.isnan(found.probability[:, 4:]).all()
    assert (found.before[:, 4:] == -1).all()
    assert (found.after[:, 4:] >= 0).all()


def test_other_grids_are_matched_by_the_centres_of_cells(tmp_path):
    whole = blocks("rg", "bs")
    archive = archive_of(
        tmp_path, _2020=write(tmp_path / "o.tif", whole), _2023=write(tmp_path / "n.tif", whole, transform=east(0.25))
    )
    found = changes(archive)[0]
    assert found.distance == pytest.approx(0.25)
    assert found.known.all()
    assert not found.changed[1::3, 1::3].any()


def test_rasters_in_two_reference_systems_are_compared_on_the_ground(tmp_path):
    whole = blocks("rg", "bs")
    with rasterio.open(write(tmp_path / "o.tif", whole)) as file:
        bounds = rasterio.warp.transform_bounds(file.crs, "EPSG:32631", *file.bounds)
    place = Affine.translation(bounds[0], bounds[3]) * Affine.scale(1, -1)
    there = write(tmp_path / "n.tif", whole, crs="EPSG:32631", transform=place)
    found = changes(archive_of(tmp_path, _2020=tmp_path / "o.tif", _2023=there))[0]
    assert found.known.mean() > 0.8
    assert not found.changed[1::3, 1::3].any()
    assert 0 < found.distance < 1


def test_the_latest_look_counts_at_both_times_and_no_ground_twice(tmp_path):
    place = write(tmp_path / "a.tif", blocks("rr"))
    archive = archive_of(
        tmp_path,
        _2020_01=place,
        _2020_06=write(tmp_path / "b.tif", blocks("gg"), noise=3),
        _2023_01=write(tmp_path / "c.tif", blocks("bb")),
        _2023_06=write(tmp_path / "d.tif", blocks("s."), noise=3),
    )
    latest, earlier = changes(archive)
    assert [Path(c.source.path).name for c in (latest, earlier)] == ["d.tif", "c.tif"]
    assert (latest.before[1, 1], latest.after[1, 1]) == (1, 3)
    assert not earlier.known[1, 1], "it was seen later by another"
    assert (earlier.before[1, 4], earlier.after[1, 4]) == (1, 2)
    assert not (latest.known & earlier.known).any()


def test_a_region_keeps_to_its_cells(tmp_path):
    archive = archive_of(
        tmp_path, _2020=write(tmp_path / "o.tif", labels(1)), _2023=write(tmp_path / "n.tif", labels(2))
    )
    with rasterio.open(tmp_path / "n.tif") as file:
        west, south, east_, north = rasterio.warp.transform_bounds(file.crs, "OGC:CRS84", *file.bounds)
    left = Region.box(west, south, (west + east_) / 2, north)
    found = changes(archive, left)[0]
    assert found.known[:, :3].all()
    assert not found.known[:, 5:].any()


def test_rasters_without_a_place_are_compared_where_they_are_of_one_grid(tmp_path):
    nowhere = {"crs": None, "transform": None}
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", blocks("rg"), **nowhere),
        _2023=write(tmp_path / "n.tif", blocks("gg"), **nowhere),
        _2023_02=write(tmp_path / "m.tif", blocks("ggg"), **nowhere),
    )
    other, same = changes(archive)
    assert not other.known.any()
    assert same.changed[1, 1]
    assert not same.changed[1, 4]


def test_looks_that_are_unsure_are_neither_changed_nor_unchanged(tmp_path):
    whole = blocks("rg")
    archive = archive_of(
        tmp_path, _2020=write(tmp_path / "o.tif", whole), _2023=write(tmp_path / "n.tif", whole, noise=9)
    )
    sure, unsure = changes(archive)[0], changes(archive, scale=0.5)[0]
    assert not sure.unsure[1, 1]
    assert unsure.unsure[1, 1]
    assert not unsure.changed[1, 1]


# --- files


@pytest.fixture
def two(tmp_path: Path) -> Archive:
    old, new = blocks("rrg", "bbs"), blocks("rgg", "bb.")
    return archive_of(tmp_path, _2020=write(tmp_path / "o.tif", old), _2023=write(tmp_path / "new.tif", new))


def test_files_agree_with_the_change(two, tmp_path):
    found, out = changes(two), tmp_path / "out"
    summary = write_changes(found, out, {"archive": "a"})
    one = found[0]
    with rasterio.open(out / "new" / "change.tif") as file:
        before, after, probability = file.read()
        assert file.crs.to_epsg() == 32632
        assert file.transform == METRE * Affine.scale(8)
        assert file.nodata == -1
        assert file.descriptions == ("before", "after", "probability")
    np.testing.assert_array_equal(before, np.where(one.known, one.before, -1))
    np.testing.assert_array_equal(after, np.where(one.known, one.after, -1))
    np.testing.assert_array_equal(probability, np.where(one.known, one.probability, -1))
    shown = SceneMap.read(out / "new")
    assert shown.classes[0] == UNCHANGED
    assert shown[1, 4].name == "red earth to green field"
    assert shown[1, 1].name == UNCHANGED
    rows = list(csv.DictReader((out / "cells.csv").open()))
    assert len(rows) == one.changed.sum() + one.unsure.sum() == summary["changed"] + summary["unsure"]
    assert [float(r["probability"]) for r in rows] == sorted((float(r["probability"]) for r in rows), reverse=True)
    for row in rows:
        cell = shown.at(float(row["x"]), float(row["y"]))
        if row["state"] == "changed":
            assert cell.name == f"{row['before']} to {row['after']}"
    moves = list(csv.DictReader((out / "transitions.csv").open()))
    assert sum(int(m["cells"]) for m in moves) == one.known.sum() == summary["cells"]
    assert float(moves[0]["hectares"]) == pytest.approx(int(moves[0]["cells"]) * 64 / 1e4, rel=2e-3)
    assert json.loads((out / "run.json").read_text()) == summary


def test_the_same_change_gives_the_same_files_again(two, tmp_path):
    for _ in range(2):
        write_changes(changes(two), tmp_path / "out", {})
    (tmp_path / "out" / "run.json").unlink()
    with pytest.raises(StoreError, match="holds other things than a change"):
        write_changes(changes(two), tmp_path / "out", {})


def test_a_question_that_is_refused_leaves_the_folder_as_it_is(two, tmp_path):
    with pytest.raises(OptionError, match="does not end before"):
        write_changes(change(two, question(), NEW, OLD), tmp_path / "new", {})
    assert not (tmp_path / "new").exists()
    write_changes(changes(two), tmp_path / "out", {})
    before = contents(tmp_path / "out")
    with pytest.raises(OptionError, match=r"nothing in .* is of 2029"):
        write_changes(change(two, question(), OLD, Period.of("2029")), tmp_path / "out", {})
    assert contents(tmp_path / "out") == before


def test_pictures_have_no_cells_to_compare(tmp_path):
    archive = begun(tmp_path / "pictures")
    for year, seed in (("2020", 1), ("2023", 2)):
        picture = save(tmp_path / f"{year}.png", scene(index=seed, height=32))
        add_pictures(archive, [picture], MeanColour(), Adding(TimeRule.of(year)))
    with pytest.raises(OptionError, match="no rasters of both times, only pictures"):
        list(change(archive, question(), OLD, NEW))


def test_rasters_of_an_earlier_question_leave_the_folder_and_other_things_stay(two, tmp_path):
    out = tmp_path / "out"
    write_changes(changes(two), out, {})
    (out / "mine").mkdir()
    added(two.path, write(tmp_path / "later.tif", labels(5)), time="2025")
    write_changes(change(two, question(), OLD, Period.of("2025")), out, {})
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["later", "mine"]


def test_rasters_of_a_run_that_was_interrupted_leave_the_folder_too(two, tmp_path):
    def broken():
        yield from changes(two)
        raise StoreError("interrupted")

    out = tmp_path / "out"
    with pytest.raises(StoreError, match="interrupted"):
        write_changes(broken(), out, {})
    assert (out / "new").is_dir()
    assert json.loads((out / "run.json").read_text())["finished"] is False
    write_changes([], out, {})
    assert not (out / "new").exists()


def test_hectares_of_what_has_no_place_are_not_known(tmp_path):
    nowhere = {"crs": None, "transform": None}
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", blocks("rg"), **nowhere),
        _2023=write(tmp_path / "n.tif", blocks("gg"), **nowhere),
    )
    summary = write_changes(changes(archive), tmp_path / "out", {})
    assert {t["hectares"] for t in summary["transitions"]} == {None}
    assert {r["hectares"] for r in csv.DictReader((tmp_path / "out" / "transitions.csv").open())} == {""}


def test_a_raster_whose_cells_were_all_seen_later_is_told_as_that(tmp_path):
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", labels(1)),
        _2023_01=write(tmp_path / "n.tif", labels(2)),
        _2023_06=write(tmp_path / "m.tif", labels(3)),
    )
    later, earlier = write_changes(changes(archive), tmp_path / "out", {})["rasters"]
    assert later["notes"] == []
    assert earlier["notes"] == [
        "none of its cells is left: later rasters of the later time saw the same ground, and count there"
    ]


def test_dates_without_a_common_cell_leave_tables_that_are_empty(tmp_path):
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", labels(1)),
        _2023=write(tmp_path / "n.tif", labels(2), transform=east(99)),
    )
    summary = write_changes(changes(archive), tmp_path / "out", {})
    assert (summary["cells"], summary["changed"]) == (0, 0)
    assert summary["rasters"][0]["notes"] == ["no raster of the earlier date covers it"]
    assert not (tmp_path / "out" / "n").exists()


def test_bad_times_and_a_class_alone_are_refused(two):
    with pytest.raises(OptionError, match="does not end before the later one"):
        list(change(two, question(), NEW, OLD))
    with pytest.raises(OptionError, match="does not end before the later one"):
        list(change(two, question(), Period.of("2020/"), NEW))
    with pytest.raises(OptionError, match=r"nothing in .* is of 2019"):
        list(change(two, question(), Period.of("2019"), NEW))
    with pytest.raises(OptionError, match="name two or more"):
        list(change(two, question(classes=["sand"], contrast=["red earth"]), OLD, NEW))


# --- systems that do not reach each other, and rasters that are far apart


def test_a_later_raster_of_the_whole_earth_is_compared_with_earlier_ones_in_utm(tmp_path):
    here = Affine(100, 0, 500_000, 0, -100, 5_400_000)
    old = write(tmp_path / "o.tif", blocks("rg", "bs"), crs="EPSG:32611", transform=here)
    world = Affine(0.9375, 0, -180, 0, -0.9375, 90)
    new = write(tmp_path / "n.tif", labels(1, 24, 48), crs="EPSG:4326", transform=world)
    archive = archive_of(tmp_path, _2020=old, _2023=new)
    found = changes(archive)[0]
    assert not found.known.any()
    elsewhere = Affine(11_000, 0, 480_000, 0, -11_000, 5_420_000)
    old = write(tmp_path / "p.tif", blocks("rg", "bs"), crs="EPSG:32612", transform=elsewhere)
    found = changes(archive_of(tmp_path, _2020_06=old))[0]
    rows, columns = np.nonzero(found.known)
    assert len(rows) == 1
    longitude, latitude = -180 + 7.5 * (columns + 0.5), 90 - 7.5 * (rows + 0.5)
    assert [longitude.item(), latitude.item()] == [-108.75, 48.75]


def test_a_system_that_leads_nowhere_is_compared_with_itself_only(tmp_path):
    local = rasterio.crs.CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    archive = archive_of(
        tmp_path,
        _2020=write(tmp_path / "o.tif", blocks("rg")),
        _2020_02=write(tmp_path / "p.tif", blocks("rg"), crs=local),
        _2023=write(tmp_path / "n.tif", blocks("gg"), crs=local),
    )
    (found,) = changes(archive)
    assert [Path(s.path).name for s in found.earlier] == ["p.tif"]
    assert found.changed[1, 1]
    assert not found.changed[1, 4]


def test_rasters_that_are_far_apart_are_not_compared_cell_by_cell(tmp_path, monkeypatch):
    places = [east(0), east(3), east(5000), east(10_000)]
    for k, place in enumerate(places):
        old = write(tmp_path / f"o{k}.tif", labels(k), transform=place)
        new = write(tmp_path / f"n{k}.tif", labels(k + 9), transform=place, crs="EPSG:32632")
        archive = archive_of(tmp_path, _2020=old, _2023=new)
    compared, places_of = [], change_of._places

    def counted(source, other):
        compared.append((Path(source.path).name, Path(other.path).name))
        return places_of(source, other)

    monkeypatch.setattr(change_of, "_places", counted)
    found = changes(archive)
    pairs = {(new, old) for new, old in compared if old.startswith("o")}
    assert pairs == {
        ("n0.tif", "o0.tif"),
        ("n0.tif", "o1.tif"),
        ("n1.tif", "o0.tif"),
        ("n1.tif", "o1.tif"),
        ("n2.tif", "o2.tif"),
        ("n3.tif", "o3.tif"),
    }
    assert len(compared) == len(pairs) + 1
    monkeypatch.setattr(change_of.Reach, "meets", lambda _self, _one, others: np.ones(len(others.radii), np.bool_))
    for one, other in zip(found, changes(archive), strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)
        np.testing.assert_array_equal(one.before, other.before)
        assert [s.path for s in one.earlier] == [s.path for s in other.earlier]


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32632", Affine(10, 0, 5e5, 0, -10, 5.4e6)),
        ("EPSG:4326", Affine(0.01, 0, 178, 0, -0.01, 10)),
        ("EPSG:4326", Affine(0.9, 0, -180, 0, -0.6, 90)),
        ("EPSG:3413", Affine(20_000, 0, -4e6, 0, -20_000, 3e6)),
        ("EPSG:3857", Affine(100_000, 0, -2e7, 0, -100_000, 1.5e7)),
    ],
)
def test_every_cell_of_a_raster_lies_in_its_reach(crs, transform):
    source = Source("a", "f", Layout(300, 400, (5, 5)), rasterio.crs.CRS.from_string(crs), transform, None)
    rows, columns = np.mgrid[:300:7, :400:7] + 0.5
    x, y = (transform.a * columns + transform.c).ravel(), (transform.e * rows + transform.f).ravel()
    for px, py in list(zip(x, y, strict=True))[::41]:
        small = Affine(transform.a / 1e3, 0, px, 0, transform.e / 1e3, py)
        other = Source("b", "f", Layout(2, 2, (1, 1)), source.crs, small, None)
        assert Reach.of([other]).meets(0, Reach.of([source])).all()
