"""Where a cell of an encoder's grid lies in the picture that was decoded."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import Affine

from zeroscene.errors import DataFormatError
from zeroscene.explain.maps import Box, Frame, Georeference, halfway, high, places
from zeroscene.pixels import Geometry, resize_crop

GRID = (7, 7)


def brightness(picture: np.ndarray, geometry: Geometry, grid: tuple[int, int]) -> np.ndarray:
    """Return the mean brightness of each cell of what an encoder sees: the simplest map there is."""
    seen = resize_crop(picture, geometry).float().mean(0)
    height, width = seen.shape
    down, right = height // grid[0], width // grid[1]
    return seen.reshape(grid[0], down, grid[1], right).mean((1, 3)).numpy()


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (224, 224), (100, 1000)])
def test_one_bright_object_off_the_middle_is_found_where_it_is(size: tuple[int, int]) -> None:
    geometry = Geometry(256, (224, 224))
    frame = Frame.of(geometry, *size)
    for row, column in ((0, 0), (1, 5), (6, 3)):
        cell = frame.cell(row, column, GRID)
        picture = np.zeros((*size, 3), np.uint8)
        picture[cell.slices()] = 255
        map_HW = brightness(picture, geometry, GRID)
        (place,) = places(map_HW, frame)
        middle = ((cell.left + cell.right) / 2, (cell.top + cell.bottom) / 2)
        assert place.peak == pytest.approx(middle)
        assert place.box.to_json() == pytest.approx(cell.to_json(), abs=0.01)
        spread = np.nan_to_num(frame.spread(map_HW), nan=-1)
        y, x = np.unravel_index(spread.argmax(), spread.shape)
        assert picture[y, x].all()


def test_the_frame_of_a_resize_and_a_crop() -> None:
    # 300 x 500 becomes 256 x 426, of which the crop leaves out 16 above and 101 at the left.
    frame = Frame.of(Geometry(256, (224, 224)), 300, 500)
    down, right = 300 / 256, 500 / 426
    assert frame.box.to_json() == Box(101 * right, 16 * down, 325 * right, 240 * down).to_json()


def test_a_squeezed_picture_is_seen_whole_and_a_strip_only_in_its_middle() -> None:
    assert Frame.of(Geometry((80, 80), None), 60, 90).box == Box(0, 0, 90, 60)
    strip = Frame.of(Geometry(80, (80, 80)), 20, 1000)
    assert (strip.box.left + strip.box.right) / 2 == pytest.approx(500, abs=1)
    assert (strip.box.top, strip.box.bottom) == (0, 20)


@given(
    st.integers(1, 40), st.integers(1, 40), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 2**32 - 1)
)
def test_a_spread_map_keeps_its_range_and_a_flat_one_its_value(
    height: int, width: int, grid: tuple[int, int], seed: int
) -> None:
    frame = Frame(Box(0, 0, width, height), height, width)
    map_HW = np.random.default_rng(seed).normal(size=grid).astype(np.float32)
    spread = frame.spread(map_HW)
    assert spread.shape == (height, width)
    assert map_HW.min() - 1e-5 <= spread.min() <= spread.max() <= map_HW.max() + 1e-5
    np.testing.assert_allclose(frame.spread(np.full(grid, 2.5, np.float32)), 2.5, rtol=1e-6)


def test_what_the_encoder_did_not_see_has_no_value() -> None:
    spread = Frame(Box(2, 1, 6, 5), 6, 8).spread(np.ones((2, 2), np.float32))
    seen = np.isfinite(spread)
    assert seen[1:5, 2:6].all()
    assert seen.sum() == 16


def test_values_run_straight_between_the_middles_of_cells() -> None:
    spread = Frame(Box(0, 0, 8, 1), 1, 8).spread(np.array([[0.0, 4.0]], np.float32))
    np.testing.assert_allclose(spread[0], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4])


def test_places_are_connected_cells_above_half_way_highest_first() -> None:
    map_HW = np.array([[8, 0, 0, 0], [6, 0, 0, 9], [0, 5, 0, 0]], np.float32)
    assert halfway(map_HW) == 4.5
    first, second, third = places(map_HW, Frame(Box(0, 0, 40, 30), 30, 40))
    assert (first.value, first.cells, first.box) == (9, 1, Box(30, 10, 40, 20))
    assert (second.value, second.cells, second.box, second.peak) == (8, 2, Box(0, 0, 10, 20), (5, 5))
    assert third.cells == 1  # a corner is no side
    assert third.to_json() == {"peak": [15, 25], "box": [10, 20, 20, 30], "value": 5, "cells": 1}


def test_a_map_of_one_value_is_high_nowhere() -> None:
    flat = np.full((3, 3), 7, np.float32)
    assert not high(flat).any()
    assert places(flat, Frame(Box(0, 0, 3, 3), 3, 3)) == ()
    with pytest.raises(DataFormatError, match="finite"):
        places(np.full((3, 3), np.nan, np.float32), Frame(Box(0, 0, 3, 3), 3, 3))


def test_places_of_a_raster_have_map_coordinates(tmp_path: Path) -> None:
    file = tmp_path / "scene.tif"
    transform = Affine(2, 0, 500_000, 0, -2, 5_600_000)
    with rasterio.open(
        file, "w", driver="GTiff", height=30, width=40, count=3, dtype="uint8", crs="EPSG:32632", transform=transform
    ) as raster:
        raster.write(np.zeros((3, 30, 40), np.uint8))
    ground = Georeference.of_file(file, 30, 40)
    assert ground is not None
    (place,) = places(np.array([[0, 0], [0, 1]], np.float32), Frame(Box(0, 0, 40, 30), 30, 40))
    assert place.to_json(ground)["map"] == {
        "crs": "EPSG:32632",
        "peak": [500_060, 5_599_955],
        "bounds": [500_040, 5_599_940, 500_080, 5_599_970],
    }
    halved = Georeference.of_file(file, 15, 20)
    assert halved is not None
    assert halved.point(20, 15) == ground.point(40, 30)


def test_a_picture_without_coordinates_has_none(tmp_path: Path) -> None:
    assert Georeference.of_file(tmp_path / "a.png", 3, 3) is None
    assert Georeference.of_file(tmp_path / "missing.tif", 3, 3) is None
