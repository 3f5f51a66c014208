"""An archive: rasters are encoded once, kept whole or not at all, and asked without being looked at again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from archive_world import CUTTING, added, begun, contents, east, labels, write
from mapping_world import MeanColour, question
from rasterio.warp import transform as reproject

from geo_world import noise, write_raster
from small_world import save, scene
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import (
    DataFormatError,
    DatasetNotFoundError,
    EncoderMismatchError,
    OptionError,
    PictureError,
    StoreError,
)
from zeroscene.maps.archive import shelves as archive_shelves
from zeroscene.maps.archive.add import Adding, add_rasters, rasters_in
from zeroscene.maps.archive.example import Likeness, example_table
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.archive.maps import maps
from zeroscene.maps.archive.pictures import add_pictures
from zeroscene.maps.archive.query import ask
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.time import Period
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions, map_raster
from zeroscene.maps.question import Question
from zeroscene.scenes.geo import GeoRaster
from zeroscene.semantics.table import ClassTable


class Counting(MeanColour):
    """Counts the windows that it encodes."""

    count = 0

    def encode(self, pictures_BCHW, grid=False):
        type(self).count += len(pictures_BCHW)
        return super().encode(pictures_BCHW, grid)


@pytest.fixture
def rasters(tmp_path: Path) -> Path:
    """Two rasters side by side, one of them with a hole, of two years."""
    folder = tmp_path / "rasters"
    folder.mkdir()
    holed = labels(1)
    holed[:2, :3] = -1
    write(folder / "west_2020.tif", holed)
    write(folder / "east_2023.tif", labels(2), transform=east(7))
    return folder


@pytest.fixture
def archive(rasters: Path, tmp_path: Path) -> Archive:
    return added(tmp_path / "archive", rasters, time="%Y")[0]


# --- adding


def test_what_is_kept_is_where_windows_lie_when_and_of_what(archive, rasters):
    partition = next(p for p in archive.partitions() if "west" in p.sources[0].path)
    file = pq.read_table(partition.file)
    assert len(partition) == len(file) == 5 * 6 - 2, "windows without data are left out"
    assert set(file["path"].to_pylist()) == {str(rasters / "west_2020.tif")}
    assert {str(t.date()) for t in file["time"].to_pylist()} == {"2020-01-01"}
    geo = json.loads(file.schema.metadata[b"geo"])
    assert geo["columns"]["geometry"]["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]
    assert geo["columns"]["geometry"]["bbox"] == pytest.approx(list(partition.bounds))
    boxes = np.array([list(box.values()) for box in file["bbox"].to_pylist()])
    assert np.nanmin(boxes[:, 0]) == partition.bounds[0]
    source = partition.sources[0]
    assert source.fingerprint == GeoRaster.open(rasters / "west_2020.tif").fingerprint
    assert (source.layout.window, source.layout.overlap) == ((16, 16), 0.5)


def test_the_file_is_geoparquet_for_others(archive):
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.read_parquet(archive.partitions()[0].file)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()


def test_the_same_raster_again_is_not_encoded_under_any_name(archive, rasters, tmp_path):
    before = contents(archive.path)
    copy = tmp_path / "copy.tif"
    copy.write_bytes((rasters / "west_2020.tif").read_bytes())
    Counting.count = 0
    told = add_rasters(archive, [*rasters_in([rasters]), copy], Counting())
    assert Counting.count == 0
    assert [t.state for t in told] == ["there"] * 3
    assert told[0].notes == ()
    assert told[2].notes == (f"the same content is there as {rasters / 'west_2020.tif'}",)
    assert contents(archive.path) == before


def test_another_time_for_what_is_there_is_told_and_not_taken(archive, rasters):
    _, told = added(archive.path, rasters / "west_2020.tif", time="1999")
    assert "its time stays 2020-01-01, not 1999-01-01" in told[0].notes[0]


def test_an_archive_grows(archive, tmp_path):
    new = write(tmp_path / "new.tif", labels(3), transform=east(30))
    before = contents(archive.path)
    _, told = added(archive.path, new)
    assert (told[0].state, told[0].windows, told[0].time) == ("added", 30, None)
    after = contents(archive.path)
    assert {name: after[name] for name in before} == before
    assert archive.to_json()["windows"] == 28 + 30 + 30


def test_the_order_of_adding_changes_nothing(rasters, tmp_path):
    one, other = rasters / "west_2020.tif", rasters / "east_2023.tif"
    added(tmp_path / "a", one, other, time="%Y")
    added(tmp_path / "b", other, time="%Y")
    added(tmp_path / "b", one, time="%Y")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path):
    folder = tmp_path / "rasters"
    folder.mkdir()
    for k in range(4):
        write(folder / f"r{k}_202{k}.tif", labels(k, 12, 12))
    job = [sys.executable, str(Path(__file__).with_name("archive_world.py")), str(tmp_path / "killed"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    kills = 0
    for moment in (0.0, 0.05, 0.15, 0.3):
        with subprocess.Popen(job, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment + random.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills
    for place in ("killed", "whole"):
        done = [*job[:2], str(tmp_path / place), str(folder)]
        subprocess.run(done, check=True, capture_output=True, env=environment)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_windows_that_a_killed_run_left_beside_their_partition_go(rasters, tmp_path):
    archive, _ = added(tmp_path / "archive", rasters)
    before = contents(archive.path)
    ready = archive.partitions()[0].id
    for left in (ready, f".removing-{ready}", "0123456789abcdef"):
        (archive.work(left) / "vectors").mkdir(parents=True)
        (archive.work(left) / "vectors" / "part.parquet").touch()
    added(archive.path, rasters)
    assert contents(archive.path).keys() - before.keys() == {"work/0123456789abcdef/vectors/part.parquet"}


def test_what_cannot_be_read_is_told_and_the_others_go_on(rasters, tmp_path):
    (rasters / "broken.tif").write_bytes((rasters / "west_2020.tif").read_bytes()[:300])
    (rasters / "empty.tif").touch()
    write_raster(rasters / "complex.tif", noise(1).astype(np.complex64))
    archive, told = added(tmp_path / "archive", rasters)
    assert {Path(t.path).name: t.state for t in told} == {
        "broken.tif": "skipped", "complex.tif": "skipped", "empty.tif": "skipped",
        "east_2023.tif": "added", "west_2020.tif": "added",
    }  # fmt: skip
    assert all("\n" not in t.notes[0] and t.path not in t.notes[0] for t in told if t.state == "skipped")
    assert len(archive.partitions()) == 2


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "empty.tif").touch()
    with pytest.raises(PictureError, match="none of 1 could be added"):
        added(tmp_path / "archive", tmp_path / "r")


def test_a_raster_without_data_and_one_without_a_place_are_there_and_told(tmp_path):
    write(tmp_path / "dark.tif", np.full((3, 3), -1))
    write(tmp_path / "nowhere.tif", labels(5), crs=None, transform=None)
    archive, told = added(tmp_path / "archive", tmp_path / "dark.tif", tmp_path / "nowhere.tif")
    assert told[0].notes == ("no window of it has data",)
    assert told[1].notes == (
        "the metres of a pixel are not known, so that the scale of the windows was not checked",
        "it has no reference system: no question about a region finds it",
    )
    assert len(ask(archive, question())) == 30
    with pytest.raises(OptionError, match="none of its rasters has a place on the ground"):
        ask(archive, question(), Region.of("0,0,1,1"))


def test_metres_of_a_raster_whose_pixels_have_no_size_are_a_skip(rasters, tmp_path):
    write(rasters / "nowhere.tif", labels(5), crs=None, transform=None)
    archive = Archive.begin(tmp_path / "archive", MeanColour.identity, 4, Cutting("16 m"))
    told = {Path(t.path).name: t for t in add_rasters(archive, rasters_in([rasters]), MeanColour())}
    assert "16 m are no number of pixels" in told["nowhere.tif"].notes[0]
    done = add_rasters(archive, [rasters / "nowhere.tif"], MeanColour(), Adding(gsd=1.0))
    assert done[0].state == "added"


def test_another_encoder_is_refused_and_both_are_named(archive, rasters):
    other = EncoderIdentity("other model", "w", "p", "mean")
    with pytest.raises(EncoderMismatchError, match=r"'mean colour'.*'other model'"):
        Archive.begin(archive.path, other, 4, CUTTING)
    with pytest.raises(EncoderMismatchError, match="the question is for 'other model'"):
        ask(archive, _fitted_with(other))


def _fitted_with(encoder: EncoderIdentity) -> Question:
    said = {"encoder": encoder.to_json()}
    table = ClassTable(("like it",), np.ones((1, 4), np.float32), tuple("abcd"), "embedding", provenance=said)
    return Question(Likeness.of_encoder(encoder), table)


def test_other_windows_are_refused(archive):
    with pytest.raises(
        OptionError, match=r"begun with windows of 16 px that overlap by 0.5, now they are windows of 9 px"
    ):
        Archive.begin(archive.path, MeanColour.identity, 4, Cutting("9 px"))


def test_folders_that_are_no_archive_are_refused(tmp_path, archive):
    with pytest.raises(DatasetNotFoundError, match="no archive in"):
        Archive.open(tmp_path)
    with pytest.raises(StoreError, match="holds other things"):
        begun(tmp_path)
    (archive.path / "archive.json").write_text("{}")
    with pytest.raises(StoreError, match="is damaged"):
        Archive.open(archive.path)


def test_a_damaged_partition_is_named(archive):
    file = archive.partitions()[0].file
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=f"{file.name} is damaged; delete this file and add its raster again"):
        archive.partitions()


def test_two_runs_do_not_add_at_once(archive, rasters):
    with archive.writing(), pytest.raises(StoreError, match="another run is adding"):
        added(archive.path, rasters)


# --- questions


def test_answers_are_those_of_the_method_for_every_window(archive):
    one = question()
    answers = ask(archive, one)
    x = np.concatenate([p.read().x for p in archive.partitions()])
    given = question()
    expected = given.scores(x)
    share = np.exp(20 * expected) / np.exp(20 * expected).sum(axis=1, keepdims=True)
    rows = {(Path(r["raster"]).name, r["row"], r["column"]): r for t in answers.tables() for r in t.to_pylist()}
    assert len(answers) == len(rows) == len(x)
    i = 0
    for partition in archive.partitions():
        name, windows = Path(partition.sources[0].path).name, partition.windows()
        for row, column in zip(windows.row.tolist(), windows.column.tolist(), strict=True):
            found = rows[name, row, column]
            assert found["class"] == one.table.classes[expected[i].argmax()]
            assert found["score"] == expected[i].max()
            assert found["probability"] == pytest.approx(share[i].max(), rel=1e-5)
            i += 1


def test_the_top_are_the_most_certain_windows_of_each_class(archive):
    answers = ask(archive, question())
    every = [row for t in answers.tables() for row in t.to_pylist()]
    top = answers.top(3).to_pylist()
    for name in question().table.classes:
        of_class = sorted((r["probability"] for r in every if r["class"] == name), reverse=True)
        assert [r["probability"] for r in top if r["class"] == name] == of_class[:3]
    assert [r["class"] for r in top] == sorted((r["class"] for r in top), key=question().table.classes.index)


def test_a_class_alone_ranks_all_windows_by_its_score(archive):
    given = question(classes=["sand"], contrast=["red earth"])
    answers = ask(archive, Question(given.method, given.table))
    found = answers.top(1000).to_pylist()
    assert len(found) == len(answers)
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)
    assert found[0]["probability"] is None
    assert found[0]["margin"] is None


def test_a_region_gives_the_windows_that_touch_it(archive, tmp_path):
    xs, ys = [500_000 + 8, 500_000 + 24, 500_000 + 24, 500_000 + 8], [5_399_984, 5_399_984, 5_399_968, 5_399_968]
    lon, lat = reproject("EPSG:32632", "OGC:CRS84", xs, ys)[:2]
    ring = [*zip(lon, lat, strict=True), (lon[0], lat[0])]
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    found = [r for t in ask(archive, question(), Region.of(str(path))).tables() for r in t.to_pylist()]
    # The region is cells 1 to 2 of rows 2 to 3; a window covers its own cell and the next.
    assert {(r["row"], r["column"]) for r in found} == {(i, j) for i in (1, 2, 3) for j in (0, 1, 2)}
    assert {Path(r["raster"]).name for r in found} == {"west_2020.tif"}
    with pytest.raises(OptionError, match=r"lies outside of what .* holds: west 9.0"):
        ask(archive, question(), Region.of("20,20,21,21"))


def test_a_time_gives_the_rasters_of_it(archive):
    found = ask(archive, question(), time=Period.of("2023")).tables()
    assert {Path(r["raster"]).name for t in found for r in t.to_pylist()} == {"east_2023.tif"}
    with pytest.raises(OptionError, match="its rasters are of 2020-01-01 to 2023-01-01"):
        ask(archive, question(), time=Period.of("2021"))


def test_few_windows_are_scored_as_all_are_and_nothing_is_laid_out_for_them(archive, rasters):
    for k in range(8):
        write(rasters / f"more_{2000 + k}.tif", labels(20 + k), transform=east(60 + 7 * k))
    added(archive.path, rasters, time="%Y")
    few = ask(archive, question(), Region.box(9.0, 48.7526, 9.0002, 48.7528))
    found = [row for table in few.tables() for row in table.to_pylist()]
    assert not list(archive.path.rglob("rows.npy"))
    everywhere = {
        (r["raster"], r["row"], r["column"]): r for t in ask(archive, question()).tables() for r in t.to_pylist()
    }
    assert list(archive.path.rglob("rows.npy"))
    assert 0 < len(found) == len(few)
    assert all(row == everywhere[row["raster"], row["row"], row["column"]] for row in found)


def test_scores_are_kept_and_a_raster_added_later_is_asked_too(archive, tmp_path):
    first = ask(archive, question()).top(2)
    kept = {p: p.stat().st_ino for p in (archive.path / "laid-out").rglob("rows.npy")}
    assert ask(archive, question()).top(2).equals(first)
    assert {p: p.stat().st_ino for p in (archive.path / "laid-out").rglob("rows.npy")} == kept
    added(archive.path, write(tmp_path / "new.tif", labels(9), transform=east(40)))
    names = {Path(r["raster"]).name for t in ask(archive, question()).tables() for r in t.to_pylist()}
    assert names == {"west_2020.tif", "east_2023.tif", "new.tif"}


@pytest.mark.parametrize("full", [1, 40, 1000])
def test_how_partitions_share_shelves_changes_no_answer(archive, rasters, tmp_path, monkeypatch, full):
    for k in range(6):
        write(rasters / f"more_{2000 + k}.tif", labels(20 + k), transform=east(60 + 7 * k))
    added(archive.path, rasters, time="%Y")
    expected = ask(archive, question()).top(5)
    monkeypatch.setattr(archive_shelves, "FULL", full)
    monkeypatch.setattr(archive_shelves, "LARGE", full)
    assert ask(archive, question()).top(5).equals(expected)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".geojson"])
def test_windows_are_written_with_their_place(archive, tmp_path, suffix):
    path = tmp_path / f"windows{suffix}"
    assert ask(archive, question()).write(path) == 58
    first = ask(archive, question()).top(1).to_pylist()[0]
    assert ask(archive, question()).write(path, top=1) == 4
    if suffix == ".csv":
        head, row = path.read_text().splitlines()[:2]
        assert head.split(",")[0] == '"class"'
        assert first["class"] in row
    elif suffix == ".parquet":
        assert pq.read_table(path)["class"][0].as_py() == first["class"]
        assert b"geo" in pq.read_schema(path).metadata
    else:
        value = json.loads(path.read_text())["features"][0]
        assert value["properties"]["class"] == first["class"]
        west = min(x for x, _ in value["geometry"]["coordinates"][0])
        assert west == first["west"]


def test_bad_questions_are_one_line(archive, tmp_path):
    with pytest.raises(OptionError, match="give 1 or more"):
        ask(archive, question()).top(0)
    with pytest.raises(OptionError, match=r"windows go to .csv"):
        ask(archive, question()).write(tmp_path / "w.xlsx")
    with pytest.raises(DataFormatError, match="is empty: add rasters"):
        ask(begun(tmp_path / "empty"), question())


# --- maps and examples


@pytest.mark.parametrize("refine", ["none", "spatial"])
def test_maps_are_those_of_the_rasters_to_the_bit(archive, rasters, tmp_path, refine):
    options = MapOptions(refine=refine)
    made = list(maps(ask(archive, question()), options))
    assert len(made) == 2
    for source, found in made:
        raster = GeoRaster.open(source.path)
        layout = Layout.of(raster, "16 px", 0.5)
        expected = map_raster(raster, layout, MeanColour(), question(), options, work=tmp_path / source.fingerprint)
        np.testing.assert_array_equal(found.klass, expected.klass)
        np.testing.assert_array_equal(found.confidence, expected.confidence)
        np.testing.assert_array_equal(found.share, expected.share)
        assert (found.transform, found.crs) == (expected.transform, expected.crs)
        assert found.provenance == expected.provenance


def test_maps_need_no_raster(archive, rasters):
    for path in rasters.iterdir():
        path.unlink()
    assert all(made.counts() for _, made in maps(ask(archive, question())))


def test_a_map_of_a_region_is_without_data_outside(archive):
    whole = {s.fingerprint: m for s, m in maps(ask(archive, question()))}
    region = Region.box(9.0, 48.7526, 9.0003, 48.7528)
    for source, made in maps(ask(archive, question(), region)):
        kept = made.klass >= 0
        assert 0 < kept.sum() < (whole[source.fingerprint].klass >= 0).sum()
        np.testing.assert_array_equal(made.klass[kept], whole[source.fingerprint].klass[kept])
        assert made.provenance["region"] == region.name


def test_a_picture_finds_windows_like_it(archive, tmp_path):
    blue = save(tmp_path / "blue.png", np.full((16, 16, 3), (40, 40, 200), np.uint8))
    answers = ask(archive, Question(Likeness.of_encoder(MeanColour.identity), example_table(blue, MeanColour())))
    best = ask(archive, question()).top(1).to_pylist()
    lake = next(r for r in best if r["class"] == "blue lake")
    found = answers.top(3).to_pylist()
    assert found[0]["score"] > 0.95
    assert (lake["raster"], lake["row"], lake["column"]) in {(r["raster"], r["row"], r["column"]) for r in found}
    with pytest.raises(EncoderMismatchError, match="was not encoded by"):
        ask(archive, Question(Likeness.of_encoder(MeanColour.identity), question().table))


# --- whole pictures


def test_pictures_are_one_window_each_and_new_ones_alone_are_encoded(tmp_path):
    folder = tmp_path / "pictures"
    for k in range(5):
        save(folder / "a" / f"p{k}.png", scene(index=k, height=32))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    archive = begun(tmp_path / "archive")
    told = add_pictures(archive, rasters_in([folder]), MeanColour())
    assert [t.state for t in told].count("added") == 5
    assert next(t for t in told if t.state == "skipped").path.endswith("broken.png")
    save(folder / "new.png", scene(index=9, height=32))
    save(folder / "same.png", scene(index=0, height=32))
    Counting.count = 0
    again = {Path(t.path).name: t for t in add_pictures(archive, rasters_in([folder]), Counting())}
    assert Counting.count == 1
    assert [again[name].state for name in ("new.png", "same.png", "broken.png")] == ["added", "there", "skipped"]
    assert len(ask(archive, question())) == 6
    with_place = write_raster(tmp_path / "placed.tif", noise(3, 30, 30))
    add_pictures(archive, [with_place], MeanColour())
    assert len(ask(archive, question(), Region.of("8,48,10,49"))) == 1
