"""`zeroscene map`: from a raster to the files of a map, with words alone or a model, and one line where it cannot."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shell
from typer.testing import CliRunner

from geo_world import write_raster
from small_world import SEEN, UNSEEN, save
from zeroscene import names
from zeroscene.cli.main import app
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.maps.scene_map import SceneMap
from zeroscene.scenes.synthetic.mosaic import Mosaic, write_mosaic

CLASSES = ("beach", "dense_residential", "desert", "freeway", "lake", "river")
ASKED = "beach, dense residential, desert, freeway, lake, river"

runner = CliRunner()
run = partial(shell.run, "map")
error = partial(shell.error, "map")


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return write_mosaic(tmp_path_factory.mktemp("mosaic") / "m.tif", CLASSES, rows=5, columns=6, cell=64, border=0)


@pytest.fixture(scope="module")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model fitted on the seen classes of the small world."""
    out = tmp_path_factory.mktemp("map") / "model"
    seen = [word for name in SEEN for word in ("--seen", name)]
    fit = ["fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", *seen, "-o", out]
    assert runner.invoke(app, [str(word) for word in fit]).exit_code == 0
    return out


def cells_of(mosaic: Mosaic, folder: Path) -> Path:
    """Write each cell of a mosaic as a picture."""
    with rasterio.open(mosaic.path) as file:
        pixels = file.read().transpose(1, 2, 0)
    for row, column in np.ndindex(mosaic.labels.shape):
        save(folder / f"{row:02d}-{column:02d}.png", np.ascontiguousarray(pixels[mosaic.window(row, column)]))
    return folder


def test_words_alone_map_a_raster(mosaic, tmp_path):
    said = run(mosaic.path, "--classes", ASKED, "-o", tmp_path / "out")
    made = SceneMap.read(tmp_path / "out")
    assert made.shape == (10, 12)
    assert f"{made.counts()['beach']}" in said
    truth = np.repeat(np.repeat(mosaic.labels, 2, 0), 2, 1)
    assert (made.klass == truth).mean() > 0.5
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"map.tif", "areas.geojson", "map.qml", "preview.png", "run.json"} <= files
    assert not any(name.startswith(".") for name in files)


@pytest.mark.parametrize("by", ["words", "model"])
def test_without_overlap_a_map_is_what_the_other_commands_say_of_the_pictures(mosaic, model, tmp_path, by):
    """The default window of tiny is a cell of this mosaic, 110 m."""
    asked = ASKED if by == "words" else ", ".join(SEEN + UNSEEN)
    with_model = [] if by == "words" else ["--model", model]
    run(mosaic.path, "--classes", asked, *with_model, "--overlap", 0, "-o", tmp_path / "out")
    pictures, answers = cells_of(mosaic, tmp_path / "cells"), tmp_path / "answers.json"
    if by == "words":
        words = ["label", pictures, *asked.split(", "), "-o", answers]
    else:
        words = ["predict", model, pictures, "--classes", asked, "-o", answers]
    assert runner.invoke(app, [str(word) for word in words]).exit_code == 0
    made = SceneMap.read(tmp_path / "out")
    told = json.loads(answers.read_text())["predictions"]
    assert [made[row, column].name for row, column in np.ndindex(made.shape)] == [one["class"] for one in told]
    probability = [one["probability"] for one in told]
    np.testing.assert_allclose(made.confidence.ravel(), np.array(probability, float), rtol=1e-4)


def test_the_result_says_how_it_was_made(mosaic, model, tmp_path):
    value = json.loads(
        run(mosaic.path, "--model", model, "-c", ASKED, "--least", 0.2, "-o", tmp_path / "out", "--json")
    )
    known = value["provenance"]
    assert known["raster"]["name"] == "m.tif"
    assert known["layout"]["window"] == [64, 64]
    assert known["encoder"]["name"] == "tiny"
    assert known["method"]["name"] == "kernel"
    assert known["seen"] == list(SEEN)
    assert {names.key(name) for name in known["subtracted"]} <= {names.key(name) for name in SEEN}
    assert known["options"] == {"refine": "none", "least": 0.2, "share": 0.5}
    assert sum(known["cells"].values()) == 120
    assert str(tmp_path) not in json.dumps(value)


def test_kept_vectors_answer_about_other_classes(mosaic, tmp_path):
    run(mosaic.path, "--classes", ASKED, "--store", tmp_path / "kept", "-o", tmp_path / "one")
    store = EmbeddingStore.open(tmp_path / "kept" / "vectors")
    written = {part: store.part_path(part).stat().st_mtime_ns for part in range(store.part_count)}
    run(mosaic.path, "--classes", "beach, lake, forest", "--store", tmp_path / "kept", "-o", tmp_path / "two")
    assert {part: store.part_path(part).stat().st_mtime_ns for part in range(store.part_count)} == written
    assert SceneMap.read(tmp_path / "two").classes == ("beach", "lake", "forest")
    told = error(mosaic.path, "-c", ASKED, "--overlap", 0, "--store", tmp_path / "kept", "-o", tmp_path / "three")
    assert "was made with windows of 64 x 64 pixels that overlap by 0.5" in told
    assert not (tmp_path / "three").exists()


def test_a_map_takes_the_place_of_another(mosaic, tmp_path):
    run(mosaic.path, "--classes", ASKED, "-o", tmp_path / "out")
    run(mosaic.path, "--classes", "beach, lake", "--overlap", 0, "-o", tmp_path / "out")
    assert SceneMap.read(tmp_path / "out").classes == ("beach", "lake")


def test_a_bank_of_the_model_is_asked_where_no_classes_are_named(mosaic, model, tmp_path):
    run(mosaic.path, "--model", model, "-o", tmp_path / "out")
    assert set(SceneMap.read(tmp_path / "out").classes) == set(SEEN + UNSEEN)


def test_killed_at_any_moment_the_same_command_ends_with_the_same_files(mosaic, tmp_path):
    job = [sys.executable, str(Path(__file__).with_name("map_job.py")), str(mosaic.path)]
    done = subprocess.run([*job, str(tmp_path / "killed"), ASKED], check=True, capture_output=True, text=True)
    assert int(done.stdout.splitlines()[0]) >= 3  # six, where the machine is not busy
    run(mosaic.path, "--classes", ASKED, "--refine", "spatial", "--overlap", 0.75, "-o", tmp_path / "whole")
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("killed", "whole")]
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []


def test_what_speaks_against_the_scale_is_told(mosaic, tmp_path):
    for window, said in (
        ("400 m", "sees the windows at 4.98 m a pixel and was trained at about 1.38; windows of 110 m would suit it"),
        ("30", "windows of 30 pixels are enlarged to the 80 that tiny takes"),
    ):
        done = runner.invoke(app, ["map", str(mosaic.path), "-c", ASKED, "--window", window, "-o", str(tmp_path / "o")])
        assert said in done.stderr


def test_a_window_larger_than_the_raster_is_told(mosaic, tmp_path):
    words = ["map", str(mosaic.path), "-c", ASKED, "--window", "500", "--overlap", "0", "-o", str(tmp_path / "out")]
    done = runner.invoke(app, words)
    assert done.exit_code == 0
    assert "windows of 500 x 500 pixels are larger than the raster" in done.stderr
    assert SceneMap.read(tmp_path / "out").shape == (1, 1)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_raster_that_lies_nowhere_is_a_map_in_pixels(tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (3, 90, 170)).astype(np.uint8)
    path = write_raster(tmp_path / "r.tif", values, crs=None, transform=None)
    said = run(path, "-c", ASKED, "-o", tmp_path / "out")
    assert "a map in pixels" in said
    assert json.loads((tmp_path / "out" / "run.json").read_text())["provenance"]["layout"]["window"] == [80, 80]


def test_bad_input_is_one_line_and_leaves_nothing(mosaic, model, prepared, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    out = tmp_path / "out"
    for words, said in (
        (("absent.tif", "-c", ASKED), "absent.tif"),
        ((tmp_path / "text.tif", "-c", ASKED), "text.tif"),
        ((mosaic.path, "-c", ASKED, "--bands", "4,3,2"), "band"),
        ((mosaic.path, "-c", ASKED, "--bands", "red"), "give them like 4,3,2"),
        ((mosaic.path,), "no classes"),
        ((mosaic.path, "-c", "beach, Beach"), "the same name"),
        ((mosaic.path, "-c", ASKED, "--window", "wide"), "window 'wide' is no length"),
        ((mosaic.path, "-c", ASKED, "--overlap", 1), "overlap 1 is out of range"),
        ((mosaic.path, "-c", ASKED, "--gsd", 0), "gsd"),
        ((mosaic.path, "-c", ASKED, "--encoder-gsd", 0), "gsd 0 is out of range"),
        ((mosaic.path, "-c", ASKED, "--refine", "much"), "'much' is not one of none, spatial"),
        ((mosaic.path, "-c", ASKED, "--least", 2), "'least'"),
        ((mosaic.path, "-c", ASKED, "--share", 0), "'share'"),
        ((mosaic.path, "-c", prepared / "classes.csv"), "prompts compare pictures of 'tiny' with texts"),
        ((mosaic.path, "-c", ASKED, "--model", tmp_path / "none"), "holds no fitted method"),
    ):
        assert said in error(*words, "-o", out), words
        assert not out.exists(), words


def test_a_bank_for_another_encoder_is_refused(mosaic, model, tmp_path):
    """The bank of the model is of attributes; words alone need texts of the image-text model."""
    told = error(mosaic.path, "-c", model / "classes.bank", "-o", tmp_path / "out")
    assert "tiny" in told
    assert not (tmp_path / "out").exists()


def test_a_raster_that_breaks_off_leaves_nothing(tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (3, 300, 300)).astype(np.uint8)
    path = write_raster(tmp_path / "r.tif", values, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 :: 7] = bytes(len(range(len(whole) // 2, len(whole), 7)))
    path.write_bytes(whole)
    assert "r.tif" in error(path, "-c", ASKED, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_left_alone(mosaic, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("dear")
    assert "holds other things" in error(mosaic.path, "-c", ASKED, "-o", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["letter.txt"]
    (tmp_path / "file").write_text("a file")
    assert "cannot write" in error(mosaic.path, "-c", ASKED, "-o", tmp_path / "file")
