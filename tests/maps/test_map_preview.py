"""The picture of a map: bounded, its cells where they belong, scale and north where they are known."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS

from small_map import CLASSES, PLACES, small_map
from zeroscene.maps.colours import class_colours, rgb
from zeroscene.maps.ground import north
from zeroscene.maps.preview import HEIGHT, WIDTH
from zeroscene.maps.scene_map import SceneMap

HEAD, MARGIN = 96, 40  # of the map in the picture


def picture(scene: SceneMap) -> Image.Image:
    return Image.open(io.BytesIO(scene._repr_png_())).convert("RGB")


def plain(rows: int, columns: int, classes: tuple[str, ...] = ("forest", "sea")) -> SceneMap:
    klass = (np.arange(rows * columns) % len(classes)).reshape(rows, columns).astype(np.int16)
    even = np.full(klass.shape, 0.5, np.float32)
    place = Affine(100, 0, 5e5, 0, -100, 5.2e6)
    return SceneMap(classes, klass, even, even, even, place, CRS.from_epsg(32632), {"raster": {"name": "a $x$.tif"}})


@pytest.mark.parametrize("place", PLACES)
def test_cells_are_drawn_in_their_colours(place: str) -> None:
    scene = small_map(place)
    drawn = np.asarray(picture(scene))
    found = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    colours = class_colours(CLASSES)
    assert {rgb(colours[CLASSES[i]]) for i in np.unique(scene.klass[scene.klass >= 0])} <= found


def test_the_first_row_is_up_and_the_first_column_left() -> None:
    scene = plain(1, 4, ("forest", "sea", "desert", "cloud"))
    drawn = picture(scene)
    colours = class_colours(scene.classes)
    for column, name in enumerate(scene.classes):
        assert drawn.getpixel((MARGIN + 125 + 250 * column, HEAD + 125)) == rgb(colours[name])
    upright = picture(plain(4, 1, scene.classes))
    for row, name in enumerate(scene.classes):
        assert upright.getpixel((MARGIN + 115, HEAD + 115 + 230 * row)) == rgb(colours[name])


@pytest.mark.parametrize(
    ("rows", "columns", "classes"), [(1, 1, 1), (1, 500, 3), (500, 1, 3), (30, 40, 70), (20, 20, 200)]
)
def test_pictures_are_bounded(rows: int, columns: int, classes: int) -> None:
    scene = plain(rows, columns, tuple(f"class with a rather long name {i}" for i in range(classes)))
    width, height = picture(scene).size
    assert 300 <= width <= WIDTH
    assert 150 <= height <= HEIGHT


def test_more_cells_than_can_be_drawn_are_thinned_out() -> None:
    scene = plain(3000, 2)
    assert max(picture(scene).size) <= WIDTH


def test_north_is_up_in_degrees_and_turned_away_from_a_central_meridian() -> None:
    assert north(CRS.from_epsg(4326), 9, 48) == pytest.approx(0, abs=1e-9)
    # Convergence in UTM: atan(tan(dlon) sin(lat)), here 3 degrees east of the meridian at 48.
    x, y = 723_700, 5_320_900
    expected = np.degrees(np.arctan(np.tan(np.radians(3)) * np.sin(np.radians(48))))
    assert north(CRS.from_epsg(32632), x, y) == pytest.approx(-expected, abs=0.02)
    assert north(CRS.from_epsg(3995), 0, 0) is None  # at the pole every direction is south


def test_plots_have_a_legend_and_the_coordinates_of_the_map() -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    scene = plain(4, 6)
    figure, axes = pyplot.subplots()
    assert scene.plot(axes) is axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["forest", "sea"]
    left, bottom, right, top = scene.bounds
    assert (axes.get_xlim(), axes.get_ylim()) == ((left, right), (bottom, top))
    pyplot.close(figure)
    alone = scene.plot()
    assert alone.get_legend() is not None
    pyplot.close(alone.figure)
