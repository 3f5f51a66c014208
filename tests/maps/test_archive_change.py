"""Change: cells seen at both dates, how likely their class changed, and no answer where one date is missing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.warp
from archive_world import added, east, labels, write
from mapping_world import COLOURS, question
from rasterio import Affine

from geo_world import METRE
from zeroscene.errors import OptionError, StoreError
from zeroscene.maps.archive.change import UNCHANGED, Change, change
from zeroscene.maps.archive.change_files import write_changes
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.time import Period
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
