"""The mosaic: a GeoTIFF of which every pixel is known, and the truth about its cells."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window
from rasterio.windows import bounds as window_bounds

from zeroscene.errors import DataFormatError, DatasetNotFoundError, DuplicateNameError, OptionError, UnknownNameError
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.mosaic import METRES, NODATA, Mosaic, _regions, fitting, write_mosaic

SMALL = {"rows": 5, "columns": 7, "cell": 48, "border": 20, "seed": 3}


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory: pytest.TempPathFactory) -> Mosaic:
    return write_mosaic(tmp_path_factory.mktemp("mosaic") / "m.tif", **SMALL)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TestRaster:
    def test_it_is_a_tiled_geotiff_of_three_bytes_in_utm(self, mosaic: Mosaic) -> None:
        with rasterio.open(mosaic.path) as file:
            assert (file.driver, file.count, set(file.dtypes)) == ("GTiff", 3, {"uint8"})
            assert file.crs.to_epsg() == 32632
            assert file.crs.linear_units == "metre"
            assert file.profile["tiled"]
            assert file.block_shapes == [(256, 256)] * 3
            assert (file.height, file.width) == mosaic.shape == (2 * 20 + 5 * 48, 2 * 20 + 7 * 48)
            assert file.transform.a == -file.transform.e == mosaic.gsd == METRES / 48

    def test_nodata_is_the_border_and_nothing_else(self, mosaic: Mosaic) -> None:
        with rasterio.open(mosaic.path) as file:
            assert file.nodatavals == (NODATA,) * 3
            inside = np.zeros(mosaic.shape, bool)
            inside[20:-20, 20:-20] = True
            for band in (1, 2, 3):
                assert np.array_equal(file.read_masks(band) > 0, inside)
            assert np.array_equal(file.dataset_mask() > 0, inside)

    def test_cells_are_scenes_of_their_class(self, mosaic: Mosaic) -> None:
        with rasterio.open(mosaic.path) as file:
            for row, column in np.ndindex(mosaic.labels.shape):
                down, right = mosaic.window(row, column)
                pixels = file.read(window=Window.from_slices(down, right)).transpose(1, 2, 0)
                drawn = mosaic.draw(row, column)
                assert drawn.label == mosaic.label(row, column)
                assert drawn.gsd == mosaic.gsd
                assert np.array_equal(pixels, np.maximum(drawn.pixels, 1))

    def test_no_two_cells_are_the_same_scene(self, mosaic: Mosaic) -> None:
        drawn = {mosaic.draw(row, column).pixels.tobytes() for row, column in np.ndindex(mosaic.labels.shape)}
        assert len(drawn) == mosaic.labels.size

    @pytest.mark.parametrize(("cell", "border"), [(16, 0), (100, 1), (300, 7), (256, 0)])
    def test_cells_of_any_size_lie_across_blocks_unharmed(self, tmp_path: Path, cell: int, border: int) -> None:
        made = write_mosaic(tmp_path / "m.tif", rows=3, columns=2, cell=cell, border=border)
        with rasterio.open(made.path) as file:
            pixels = file.read().transpose(1, 2, 0)
        for row, column in np.ndindex(3, 2):
            assert np.array_equal(pixels[made.window(row, column)], np.maximum(made.draw(row, column).pixels, 1))


class TestTruth:
    def test_outlines_are_where_the_raster_has_the_cells(self, mosaic: Mosaic) -> None:
        truth = json.loads(mosaic.truth.read_text())
        assert truth["crs"]["properties"]["name"].endswith(":32632")
        assert len(truth["features"]) == mosaic.labels.size
        with rasterio.open(mosaic.path) as file:
            for feature in truth["features"]:
                at = feature["properties"]
                (outline,) = feature["geometry"]["coordinates"]
                box = (min(x for x, _ in outline), min(y for _, y in outline),
                       max(x for x, _ in outline), max(y for _, y in outline))  # fmt: skip
                window = Window.from_slices(*mosaic.window(at["row"], at["column"]))
                assert box == pytest.approx(window_bounds(window, file.transform))
                assert box == pytest.approx(mosaic.bounds(at["row"], at["column"]))
                assert at["class"] == mosaic.label(at["row"], at["column"])

    def test_it_reads_back(self, mosaic: Mosaic) -> None:
        read = Mosaic.read(mosaic.path)
        assert np.array_equal(read.labels, mosaic.labels)
        assert (read.classes, read.seed, read.cell, read.border, read.metres) == (
            mosaic.classes, 3, 48, 20, METRES,
        )  # fmt: skip
        assert np.array_equal(read.draw(2, 3).pixels, mosaic.draw(2, 3).pixels)

    def test_another_file_beside_it_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetNotFoundError, match=r"m.geojson"):
            Mosaic.read(tmp_path / "m.tif")
        (tmp_path / "m.geojson").write_text('{"type": "FeatureCollection", "features": []}')
        with pytest.raises(DataFormatError, match="is not the truth about a mosaic"):
            Mosaic.read(tmp_path / "m.tif")


class TestTheSameEverywhere:
    def test_the_same_seed_gives_the_same_bytes(self, mosaic: Mosaic, tmp_path: Path) -> None:
        again = write_mosaic(tmp_path / "again.tif", **SMALL)
        assert sha256(again.path) == sha256(mosaic.path)
        assert sha256(again.truth) == sha256(mosaic.truth)

    def test_another_seed_gives_another_layout_and_other_scenes(self, mosaic: Mosaic, tmp_path: Path) -> None:
        other = write_mosaic(tmp_path / "other.tif", **{**SMALL, "seed": 4})
        assert not np.array_equal(other.labels, mosaic.labels)
        assert sha256(other.path) != sha256(mosaic.path)

    def test_the_layout_is_the_recorded_one(self) -> None:
        labels = _regions(5, 0, 6, 10)
        assert ["".join(map(str, row)) for row in labels] == RECORDED


RECORDED = ["1144422222", "1144442222", "1044442220", "0004334400", "0003334400", "0003344440"]


class TestRegions:
    @given(st.integers(1, 40), st.integers(-3, 3), st.integers(1, 30), st.integers(1, 30))
    @settings(max_examples=40, deadline=None)
    def test_every_cell_has_a_class(self, classes: int, seed: int, rows: int, columns: int) -> None:
        labels = _regions(classes, seed, rows, columns)
        assert labels.shape == (rows, columns)
        assert 0 <= labels.min() <= labels.max() < classes

    def test_neighbours_are_mostly_of_one_class(self) -> None:
        labels = _regions(20, 0, 60, 80)
        same = np.concatenate([(labels[1:] == labels[:-1]).ravel(), (labels[:, 1:] == labels[:, :-1]).ravel()])
        assert 0.55 < same.mean() < 0.8  # a twentieth, if cells did not know of each other

    def test_no_class_is_preferred(self) -> None:
        counts = np.bincount(_regions(20, 0, 90, 90).ravel(), minlength=20)
        assert counts.min() > 0.6 * counts.mean()
        assert counts.max() < 1.5 * counts.mean()


class TestClasses:
    def test_all_that_have_scenes_of_this_size(self, mosaic: Mosaic) -> None:
        assert mosaic.classes == fitting(METRES)
        assert len(fitting(METRES)) >= 30
        for name in fitting(METRES):
            assert RULES[name].metres[0] <= METRES <= RULES[name].metres[1]

    def test_the_ones_that_are_named(self, tmp_path: Path) -> None:
        made = write_mosaic(tmp_path / "m.tif", ["Lake", "river"], rows=4, columns=4, cell=16)
        assert made.classes == ("lake", "river")
        assert set(made.labels.ravel()) == {0, 1}

    def test_larger_scenes_on_larger_cells(self, tmp_path: Path) -> None:
        made = write_mosaic(tmp_path / "m.tif", ["stadium"], rows=1, columns=1, cell=64, metres=150)
        assert made.gsd == 150 / 64
        assert made.draw(0, 0).attributes.any()


class TestBadInput:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"rows": 0}, "rows 0 is out of range; give 1 or more"),
            ({"columns": 2.5}, "columns 2.5 is not an integer"),
            ({"border": -1}, "border -1 is out of range; give 0 or more"),
            ({"cell": 15}, "size 15 is too small"),
            ({"seed": "0"}, "seed '0' is not an integer"),
            ({"metres": 10.0}, "no class has scenes 10 m wide"),
            ({"metres": float("nan")}, "no class has scenes nan m wide"),
            ({"classes": []}, "at least one class"),
            ({"classes": ["lake", "stadium"]}, "scenes of class 'stadium' are 135 to 165 m wide, the cells 110 m"),
        ],
    )
    def test_it_is_refused_in_one_line(self, tmp_path: Path, wrong: dict, message: str) -> None:
        with pytest.raises(OptionError, match=message):
            write_mosaic(tmp_path / "m.tif", **wrong)
        assert not list(tmp_path.iterdir())

    def test_classes(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match=r"'laek' \(nearest: lake"):
            write_mosaic(tmp_path / "m.tif", ["laek"])
        with pytest.raises(DuplicateNameError, match="the same name"):
            write_mosaic(tmp_path / "m.tif", ["lake", "Lake"])

    def test_another_format(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=r"cannot write m.png: a mosaic is a GeoTIFF"):
            write_mosaic(tmp_path / "m.png")


class TestKilled:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
    def test_nothing_bears_the_name_of_a_mosaic_that_was_not_finished(
        self, tmp_path: Path, how: signal.Signals
    ) -> None:
        code = (
            "import sys; from pathlib import Path; from zeroscene.scenes.synthetic.mosaic import write_mosaic\n"
            "write_mosaic(Path(sys.argv[1]), rows=400, columns=40, cell=64)"
        )
        job = subprocess.Popen([sys.executable, "-c", code, tmp_path / "m.tif"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 1 << 16 for path in tmp_path.glob(".writing-*.tif")):
            assert job.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.send_signal(how)
        assert job.wait() != 0
        assert not list(tmp_path.glob("m.*"))
        if how == signal.SIGINT:
            assert not list(tmp_path.iterdir())
        # What a killed process leaves is hidden and in nobody's way.
        write_mosaic(tmp_path / "m.tif", rows=1, columns=1, cell=16)
        assert sorted(path.name for path in tmp_path.glob("m.*")) == ["m.geojson", "m.tif"]
