"""Layout: how metres, pixels and overlap become windows and cells."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine

from geo_world import noise, write_raster
from zeroscene.errors import OptionError
from zeroscene.maps.layout import Layout
from zeroscene.scenes.geo import GeoRaster


@pytest.fixture(scope="module")
def raster(tmp_path_factory) -> GeoRaster:
    """A raster of 400 x 300 pixels of 0.5 m."""
    path = tmp_path_factory.mktemp("raster") / "r.tif"
    return GeoRaster.open(write_raster(path, noise(3, 300, 400), transform=Affine(0.5, 0, 5e5, 0, -0.5, 5e6)))


@pytest.mark.parametrize("window", ["50 m", "50m", "0.05 km", "100 px", "100", 100, 100.0])
def test_a_window_is_said_in_metres_or_pixels(raster, window):
    layout = Layout.of(raster, window)
    assert layout.window == (100, 100)
    assert layout.stride == (50, 50)
    assert layout.shape == (6, 8)
    assert layout.windows == (5, 7)
    assert layout.notes == ()


def test_windows_are_square_on_the_ground_where_pixels_are_not(raster):
    layout = Layout.of(replace(raster, gsd=(0.25, 0.5)), "40 m")
    assert layout.window == (80, 160)


def test_the_ground_sample_distance_can_be_given(raster):
    nowhere = replace(raster, gsd=None, crs=None)
    assert Layout.of(nowhere, "40 m", gsd=0.4).window == (100, 100)
    assert Layout.of(nowhere, "40 m", gsd=(0.4, 0.8)).window == (50, 100)


@pytest.mark.parametrize(
    ("overlap", "steps"), [(0, 1), (0.2, 1), (0.25, 2), (0.5, 2), (0.6, 3), (0.55, 2), (2 / 3, 3), (0.75, 4), (0.9, 10)]
)
def test_a_window_is_a_whole_number_of_strides(raster, overlap, steps):
    layout = Layout.of(raster, 60, overlap)
    assert layout.steps == steps
    assert layout.window == (60, 60)
    assert bool(layout.notes) == (abs(layout.overlap - overlap) > 1e-6)


def test_what_differs_from_the_wish_is_told(raster):
    assert Layout.of(raster, 10, 0.75).notes == (
        "windows of 8 x 8 pixels instead of 10 x 10: strides are whole pixels",
    )
    assert "overlap 0.5 instead of 0.4" in Layout.of(raster, 100, 0.4).notes[0]
    (told,) = Layout.of(raster, 350).notes
    assert "350 x 350 pixels are larger than the raster (400 x 300)" in told


def test_a_raster_smaller_than_a_window_has_one(raster):
    layout = Layout.of(raster, 1000, 0.75)
    assert layout.windows == (1, 1)
    assert layout.shape == (2, 2)
    assert layout.cell_pixels().sum() == 400 * 300


def test_cells_have_a_place_on_the_ground(raster):
    layout = Layout.of(raster, "50 m")
    assert layout.transform(raster.transform) == Affine(25, 0, 5e5, 0, -25, 5e6)
    turned = Affine(0.4, 0.3, 10, 0.3, -0.4, 20)
    place = replace(layout, stride=(30, 20)).transform(turned)
    assert (place.a * 2 + place.b * 3 + place.c) == pytest.approx(turned.a * 40 + turned.b * 90 + turned.c)
    assert (place.d * 2 + place.e * 3 + place.f) == pytest.approx(turned.d * 40 + turned.e * 90 + turned.f)


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), down=st.integers(1, 20), across=st.integers(1, 20),
    steps=st.integers(1, 5),
)  # fmt: skip
def test_every_pixel_is_in_a_cell_and_every_cell_in_a_window(height, width, down, across, steps):
    layout = Layout(height, width, (down, across), steps)
    votes = np.zeros(layout.shape, int)
    for row, column in np.ndindex(*layout.windows):
        top, left, high, wide = layout.at(row, column)
        assert top < height
        assert left < width
        assert (high, wide) == layout.window
        votes[layout.cells(row, column)] += 1
    for row, column in np.ndindex(*layout.shape):
        rows, columns = layout.covering(row, column)
        assert votes[row, column] == len(rows) * len(columns) >= 1
    assert layout.cell_pixels().sum() == height * width
    assert layout.cell_pixels().min() >= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overlap": 1.0}, "overlap 1 is out of range"),
        ({"overlap": -0.1}, "overlap -0.1 is out of range"),
        ({"window": "wide"}, "'wide' is no length"),
        ({"window": "110 ft"}, "'110 ft' is no length"),
        ({"window": 0}, "out of range"),
        ({"window": float("nan")}, "out of range"),
        ({"window": "0 m"}, "out of range"),
        ({"window": "0.2 m"}, r"smaller than a pixel of .*\(0.5 x 0.5 m\)"),
        ({"window": "50 m", "gsd": 0.0}, "gsd 0 x 0 m is out of range"),
        ({"window": "50 m", "gsd": (1.0, -1.0)}, "out of range"),
        ({"window": 100, "gsd": -1.0}, "gsd -1 x -1 m is out of range"),
        ({"window": "60 km"}, r"windows of 120000 x 120000 pixels are too large to be held \(.* has 400 x 300\)"),
    ],
)
def test_what_is_out_of_range_is_refused(raster, options, words):
    with pytest.raises(OptionError, match=words):
        Layout.of(raster, **{"window": 50, **options})


def test_metres_need_pixels_of_a_known_size(raster):
    with pytest.raises(OptionError, match=r"r\.tif has no reference system.*give the window in pixels"):
        Layout.of(replace(raster, gsd=None, crs=None), "50 m")
    with pytest.raises(OptionError, match="without a known scale"):
        Layout.of(replace(raster, gsd=None), "50 m")
