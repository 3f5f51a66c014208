"""The stream of windows: the pixels of each, in order, each block decoded once, whatever the raster."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo_world import noise, write_raster
from zeroscene.errors import PictureError
from zeroscene.maps import windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.windows import Rectangle, WindowReader, rectangles
from zeroscene.scenes.geo import GeoRaster


def keep(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy())


def reader(raster: GeoRaster, layout: Layout, workers: int = 2) -> WindowReader:
    return WindowReader(raster, layout, keep, ahead=5, workers=workers)


def expect(raster: GeoRaster, layout: Layout, least: int) -> None:
    """Compare each window of the stream with the same window read alone."""
    parts = rectangles(raster, layout, least)
    found = list(reader(raster, layout).windows(parts))
    places = [(row, column) for part in parts for row in part.rows for column in part.columns]
    assert [(cut.row, cut.column) for cut in found] == places
    assert sorted(places) == list(np.ndindex(*layout.windows))
    (high, wide), n = layout.stride, layout.steps
    for cut in found:
        pixels, valid = raster.read(layout.at(cut.row, cut.column))
        np.testing.assert_array_equal(cut.pixels, valid.reshape(n, high, n, wide).sum(axis=(1, 3)))
        if cut.picture is None:
            assert not valid.any()
        else:
            np.testing.assert_array_equal(cut.picture.numpy(), pixels)


@st.composite
def rasters(draw):
    """Values, nodata and arrangement of a small raster: any type, any number of bands, from all data to none."""
    dtype = draw(st.sampled_from(["uint8", "uint16", "int16", "float32"]))
    height, width = draw(st.sampled_from([(1, 1), (1, 70), (70, 1), (17, 23), (90, 40), (140, 60)]))
    values = noise(draw(st.integers(1, 6)), height, width, dtype, draw(st.integers(0, 9)))
    hole = draw(st.sampled_from(["none", "some", "all"]))
    gone = {"none": 0, "some": height * width // 3, "all": height * width}[hole]
    empty = np.nan if dtype == "float32" else 0
    values.reshape(len(values), -1)[:, :gone] = empty
    blocks = draw(st.sampled_from([(16, 16), (32, 16), (None, None), (None, 3), (None, 5)]))
    layout = {"blockysize": blocks[1]} if blocks[1] else {}
    if blocks[0]:
        layout |= {"tiled": True, "blockxsize": blocks[0], "interleave": draw(st.sampled_from(["pixel", "band"]))}
    return values, {"nodata": empty, **layout}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=rasters(), down=st.integers(1, 40), across=st.integers(1, 40), steps=st.integers(1, 3),
    least=st.sampled_from([1, 7, 512]),
)  # fmt: skip
def test_any_raster_gives_the_windows_that_reading_them_alone_gives(tmp_path, given, down, across, steps, least):
    values, options = given
    down, across = max(down, values.shape[1] // 12), max(across, values.shape[2] // 12)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, **options))
    expect(raster, Layout(raster.height, raster.width, (down, across), steps), least)


@pytest.fixture
def tiled(tmp_path) -> GeoRaster:
    values = noise(3, 300, 420)
    values[:, 100:180, 50:300] = 0
    path = write_raster(
        tmp_path / "r.tif", values, nodata=0, tiled=True, blockxsize=32, blockysize=16, compress="deflate"
    )
    return GeoRaster.open(path)


def test_each_pixel_is_decoded_once(tiled):
    stream = reader(tiled, Layout.of(tiled, 40, 0.75))
    assert len(list(stream.windows(rectangles(tiled, stream.layout, 50)))) > 1000
    assert stream.decoded == tiled.width * tiled.height


def test_a_raster_too_wide_to_be_held_is_read_in_swaths(tiled, monkeypatch):
    monkeypatch.setattr(windows, "_BAND", 4 * 150 * (40 + 20 + 2 * 128))
    layout = Layout.of(tiled, 40)
    parts = rectangles(tiled, layout, 50)
    assert len({part.columns for part in parts}) == 4
    assert all(len(part.columns) * 20 + 20 <= 150 for part in parts)
    stream = reader(tiled, layout)
    list(stream.windows(parts))
    assert 1 < stream.decoded / (tiled.width * tiled.height) < 1.5
    expect(tiled, layout, 50)


def test_a_raster_in_strips_is_never_read_in_swaths(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "_BAND", 1)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", noise(3, 60, 90), blockysize=4))
    assert {part.columns for part in rectangles(raster, Layout.of(raster, 20), 10)} == {range(8)}


def test_windows_without_data_are_not_prepared(tiled):
    layout = Layout.of(tiled, 20, 0)
    found = list(reader(tiled, layout).windows(rectangles(tiled, layout, 512)))
    empty = [cut for cut in found if cut.picture is None]
    assert len(empty) == 4 * 12
    assert all(cut.pixels.sum() == 0 for cut in empty)


def test_only_what_is_asked_for_is_read(tiled):
    stream = reader(tiled, Layout.of(tiled, 20, 0))
    assert [(c.row, c.column) for c in stream.windows([Rectangle(range(7, 8), range(3))])] == [(7, 0), (7, 1), (7, 2)]
    assert stream.decoded <= 128 * 64
    assert list(reader(tiled, stream.layout).windows([])) == []


def test_the_reader_stops_when_nobody_takes_windows_any_more(tiled):
    layout = Layout.of(tiled, 20)
    stream = reader(tiled, layout).windows(rectangles(tiled, layout, 512))
    next(stream)
    stream.close()


def test_a_file_that_breaks_while_it_is_read_is_named(tiled):
    layout = Layout.of(tiled, 20)
    content = tiled.path.read_bytes()
    tiled.path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(PictureError, match=r"r\.tif: rows \d+ to \d+ cannot be decoded") as caught:
        list(reader(replace(tiled), layout).windows(rectangles(tiled, layout, 512)))
    assert "\n" not in str(caught.value)
