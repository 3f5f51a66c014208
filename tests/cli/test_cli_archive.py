"""`zeroscene archive`: add, list, query and change, as a user types them, and one line where they cannot."""

import csv
import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import shell
from typer.testing import CliRunner

from geo_world import noise, write_raster
from small_world import SEEN, save, scene
from zeroscene.cli.main import app
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.scene_map import SceneMap
from zeroscene.scenes.synthetic.mosaic import write_mosaic

CLASSES = ("beach", "desert", "lake", "river")
ASKED = "beach, desert, lake, river"

runner = CliRunner()
invoke = partial(shell.invoke, "archive")
run = partial(shell.run, "archive")
error = partial(shell.error, "archive")
value = partial(shell.value, "archive")


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mosaics") / "rasters"
    folder.mkdir()
    for seed, year in enumerate((2020, 2023)):
        write_mosaic(folder / f"area_{year}0601.tif", CLASSES, seed, rows=4, columns=5, cell=64, border=0)
    return folder


@pytest.fixture(scope="module")
def archive(mosaics: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "archive"
    told = value("add", path, mosaics, "--encoder", "tiny", "--time", "%Y%m%d", "--window", "110 m")
    assert (told["added"], told["there"], told["skipped"]) == (2, 0, 0)
    return path


def test_what_is_there_is_told_and_needs_neither_encoder_nor_window_again(archive, mosaics):
    told = value("add", archive, mosaics)
    assert (told["added"], told["there"], told["windows"]) == (0, 2, 2 * 7 * 9)
    assert "there already, 2020-06-01" in run("add", archive, mosaics / "area_20200601.tif")


def test_unreadable_rasters_are_listed_and_the_command_ends_well(archive, mosaics, tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    done = invoke("add", archive, tmp_path, mosaics)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"skipped {tmp_path / 'broken.tif'}: ")
    assert "1 skipped" in done.stdout


def test_list_shows_rasters_times_places_and_bytes(archive):
    found = value("list", archive)
    assert (found["rasters"], found["windows"], found["time"]) == (2, 126, ["2020-06-01", "2023-06-01"])
    assert found["bytes"] == sum(p.file.stat().st_size for p in Archive.open(archive).partitions())
    west, south, east, north = found["bounds"]
    assert west < east
    assert south < north
    shown = run("list", archive)
    assert "area_20200601.tif" in shown
    assert "windows of 110 m that overlap by 0.5" in shown


def test_top_windows_of_classes_by_words_alone(archive):
    found = value("query", archive, "--classes", ASKED, "--top", 2)
    assert found["asked"] == 126
    assert {w["class"] for w in found["windows"]} <= set(CLASSES)
    assert all(w["probability"] > 0.5 for w in found["windows"])
    assert len(run("query", archive, "--classes", ASKED).splitlines()) > 5


def test_one_text_and_one_picture_rank_all_windows(archive, mosaics, tmp_path):
    text = value("query", archive, "--text", "clear water", "--top", 3)["windows"]
    assert {w["class"] for w in text} == {"clear water"}
    assert all(w["probability"] is None for w in text)
    picture = save(tmp_path / "desert.png", scene("desert", 5, 64))
    like = value("query", archive, "--example", picture, "--top", 3)["windows"]
    assert [w["score"] for w in like] == sorted((w["score"] for w in like), reverse=True)
    assert like[0]["class"] == "like desert.png"


def test_a_model_that_was_fitted_answers_in_its_classes(archive, prepared, tmp_path):
    seen = [word for name in SEEN for word in ("--seen", name)]
    fit = ["fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", *seen, "-o", tmp_path / "model"]
    assert runner.invoke(app, [str(word) for word in fit]).exit_code == 0
    found = value("query", archive, "--model", tmp_path / "model", "--classes", "desert, river, lake", "--top", 1)
    assert {w["class"] for w in found["windows"]} <= {"desert", "river", "lake"}
    assert all(0 < w["probability"] <= 1 for w in found["windows"])


def test_tables_hold_the_windows_of_a_region_and_a_time(archive, tmp_path):
    west, south, east, north = value("list", archive)["bounds"]
    box = f"{west},{south},{(west + east) / 2},{north}"
    out = tmp_path / "windows.csv"
    told = value("query", archive, "--classes", ASKED, "--region", box, "--time", "2023", "-o", out)
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert told["windows"] == len(rows) < 63
    assert {Path(r["raster"]).name for r in rows} == {"area_20230601.tif"}
    assert all(float(r["west"]) < (west + east) / 2 for r in rows)


def test_maps_are_those_of_map(archive, mosaics, tmp_path):
    run("query", archive, "--classes", ASKED, "--map", tmp_path / "maps")
    done = runner.invoke(
        app, ["map", str(mosaics / "area_20200601.tif"), "-c", ASKED, "--window", "110m", "-o", str(tmp_path / "one")]
    )
    assert done.exit_code == 0
    found, expected = SceneMap.read(tmp_path / "maps" / "area_20200601"), SceneMap.read(tmp_path / "one")
    np.testing.assert_array_equal(found.klass, expected.klass)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert (tmp_path / "maps" / "area_20230601" / "map.tif").is_file()


def test_change_writes_maps_and_tables(archive, tmp_path):
    told = value("change", archive, "--classes", ASKED, "--from", 2020, "--to", 2023, "-o", tmp_path / "out")
    assert told["cells"] == 8 * 10
    assert told["changed"] + told["unsure"] == len((tmp_path / "out" / "cells.csv").read_text().splitlines()) - 1
    assert (tmp_path / "out" / "area_20230601" / "map.tif").is_file()
    assert sum(t["cells"] for t in told["transitions"]) == told["cells"]


def test_pictures_are_windows(tmp_path):
    for k, name in enumerate(("river", "desert", "lake")):
        save(tmp_path / "pictures" / name / f"{name}.png", scene(name, k, 64))
    told = value("add", tmp_path / "a", tmp_path / "pictures", "--encoder", "tiny", "--pictures")
    assert (told["added"], told["windows"]) == (3, 3)
    assert "and 2 more pictures" in run("list", tmp_path / "a")
    assert value("query", tmp_path / "a", "--classes", "river, desert, lake")["asked"] == 3
    assert "only whole pictures" in error(
        "query", tmp_path / "a", "--classes", "river, desert", "--map", tmp_path / "m"
    )


def test_maps_tell_what_is_to_be_known_of_them(tmp_path):
    write_raster(tmp_path / "r.tif", noise(3, 30, 30))
    told = value("add", tmp_path / "a", tmp_path / "r.tif", "--encoder", "tiny", "--window", "16 px")
    scale = next(note for note in told["rasters"][0]["notes"] if "are enlarged to the" in note)
    done = invoke("query", tmp_path / "a", "--classes", ASKED, "--map", tmp_path / "maps")
    assert done.stderr.count(f"note: {tmp_path / 'r.tif'}: {scale}") == 1
    shown = value("query", tmp_path / "a", "--classes", ASKED, "--map", tmp_path / "maps")["maps"][0]
    one = ["map", str(tmp_path / "r.tif"), "-c", ASKED, "--window", "16 px", "-o", str(tmp_path / "one")]
    assert runner.invoke(app, one).exit_code == 0
    made, direct = (SceneMap.read(tmp_path / name).provenance["notes"] for name in ("maps/r", "one"))
    assert made == direct == shown["notes"]
    assert scale in made


def test_a_first_command_that_adds_nothing_begins_no_archive(mosaics, tmp_path):
    one, archive = mosaics / "area_20200601.tif", tmp_path / "a"
    (tmp_path / "broken.tif").write_bytes(b"II*\0 and no more")
    begin = ("add", archive, "--encoder", "tiny")
    assert "is no length; give metres" in error(*begin, one, "--window", "110meters")
    assert "overlap 1.5 is out of range" in error(*begin, one, "--overlap", "1.5")
    assert "is smaller than a pixel" in error(*begin, one, "--window", "0.1 m")
    assert "none of 1 could be added" in error(*begin, tmp_path / "broken.tif")
    assert "no time like the pattern" in error(*begin, one, "--time", "%Y%j")
    assert "none of 1 could be added" in error(*begin, tmp_path / "broken.tif", "--pictures")
    assert not archive.exists()
    assert value(*begin, tmp_path / "broken.tif", one)["added"] == 1
    assert Archive.open(archive).cutting.window == "110 m", "what suits the first that can be read"


def test_windows_of_rasters_that_come_after_pictures_suit_the_encoder(mosaics, tmp_path):
    picture = save(tmp_path / "p.png", scene("lake", 1, 64))
    value("add", tmp_path / "a", picture, "--encoder", "tiny", "--pictures")
    told = value("add", tmp_path / "a", mosaics / "area_20200601.tif")
    assert (told["added"], told["windows"]) == (1, 1 + 7 * 9)
    assert value("list", tmp_path / "a")["window"] == "110 m"


def test_pictures_of_which_none_could_be_read_are_listed(tmp_path):
    picture, broken = save(tmp_path / "p.png", scene("lake", 1, 64)), tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    value("add", tmp_path / "a", picture, "--encoder", "tiny", "--pictures")
    done = invoke("add", tmp_path / "a", broken, "--pictures", code=2)
    assert "none of 1 could be added" in done.stderr
    assert "(no picture could be read)" in run("list", tmp_path / "a")
    found = value("list", tmp_path / "a")
    assert sorted(len(p["rasters"]) for p in found["partitions"]) == [0, 1]


def test_areas_that_are_not_known_are_a_stroke_in_the_table(tmp_path):
    for year in (2020, 2023):
        write_raster(tmp_path / f"r_{year}.tif", noise(year, 40, 40), crs=None, transform=None)
    value("add", tmp_path / "a", *sorted(tmp_path.glob("*.tif")), "--encoder", "tiny", "--time", "%Y", "--window", "16")
    shown = run("change", tmp_path / "a", "-c", ASKED, "--from", 2020, "--to", 2023, "-o", tmp_path / "out")
    rows = shown.splitlines()[2 : shown.splitlines().index("")]
    assert {row.split()[-1] for row in rows} == {"-"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", ASKED, "--top", "0"], "give 1 or more"),
        (["--classes", ASKED, "--text", "water"], "ask one at a time"),
        ([], "name what to look for"),
        (["--text", " "], "--text is empty"),
        (["--text", "water", "--map", "m"], "--map needs --classes"),
        (["--classes", ASKED, "--region", "1,2,3"], "west,south,east,north"),
        (["--classes", ASKED, "--region", "50,50,51,51"], "lies outside of what"),
        (["--classes", ASKED, "--region", "no.geojson"], "no such file"),
        (["--classes", ASKED, "--time", "spring"], "time 'spring' is not known"),
        (["--classes", ASKED, "--time", "1999"], "its rasters are of 2020-06-01 to 2023-06-01"),
        (["--classes", ASKED, "-o", "w.shp"], "windows go to .csv"),
        (["--example", "nothing.png"], "nothing.png"),
    ],
)
def test_bad_questions_are_one_line(archive, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in error("query", archive, *words)


def test_bad_archives_and_bad_adding_are_one_line(archive, mosaics, tmp_path):
    one = mosaics / "area_20200601.tif"
    assert "no archive in" in error("list", tmp_path)
    assert "say what encodes its windows" in error("add", tmp_path / "new", one)
    assert "begun with windows of 110 m" in error("add", archive, one, "--window", "90 m")
    assert "does not exist" in error("add", archive, tmp_path / "nothing.tif")
    assert "time 'then' is not known" in error("add", archive, one, "--time", "then")
    assert "are no numbers of bands" in error("add", archive, one, "--bands", "red")
    assert "holds no raster" in error("add", archive, _empty(tmp_path / "empty"))
    assert "holds other things" in error("add", mosaics, one, "--encoder", "tiny")
    assert "does not end before" in error(
        "change", archive, "-c", ASKED, "--from", "2023", "--to", "2020", "-o", tmp_path / "c"
    )
    assert not (tmp_path / "c").exists()
    write_raster(tmp_path / "noise.tif", noise())
    told = value("add", tmp_path / "unasked", tmp_path / "noise.tif", "--encoder", "tiny", "--window", "16")
    assert told["added"] == 1


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
