"""A map as an object: indexing, places, counts, areas."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod
from rasterio import Affine
from rasterio.crs import CRS

from small_map import CLASSES, PLACES, small_map
from zeroscene.errors import DataFormatError, DuplicateNameError, OptionError, UnknownNameError
from zeroscene.maps.ground import cell_areas
from zeroscene.maps.scene_map import NODATA, NONE, REJECTED, SceneMap

WHOLE_EARTH = 510_065_621_724_089.0  # m2, the surface of the WGS84 ellipsoid


def two_by_three(**changed: object) -> SceneMap:
    given: dict[str, object] = {
        "classes": ("forest", "sea"),
        "klass": np.array([[0, 1, 1], [NODATA, REJECTED, 0]], np.int16),
        "confidence": np.array([[0.9, 0.8, 0.7], [np.nan, 0.3, 0.5]], np.float32),
        "margin": np.array([[0.8, 0.6, 0.4], [np.nan, 0.1, 0.25]], np.float32),
        "share": np.array([[1, 1, 0.75], [0.2, 1, 1]], np.float32),
        "transform": Affine(100, 0, 600_000, 0, -100, 5_200_000),
        "crs": CRS.from_epsg(32632),
    }
    return SceneMap(**{**given, **changed})  # type: ignore[arg-type]


def test_a_cell_says_class_confidence_margin_and_share() -> None:
    scene = two_by_three()
    cell = scene[0, 2]
    assert (cell.row, cell.column, cell.name, cell.share) == (0, 2, "sea", 0.75)
    assert cell.confidence == np.float32(0.7)
    assert cell.margin == np.float32(0.4)
    assert str(scene[-1, -1]) == "forest (0.50)"


def test_a_cell_without_data_is_no_cell_of_none_of_these() -> None:
    scene = two_by_three()
    assert scene[1, 1].name == NONE
    assert scene[1, 0].name is None
    assert scene[1, 0].confidence is None
    assert str(scene[1, 0]) == "no class: 20 % of the cell has data"
    assert scene.rejected.tolist() == [[False, False, False], [False, True, False]]
    assert scene.nodata.tolist() == [[False, False, False], [True, False, False]]


def test_a_part_of_a_map_is_a_map_of_the_same_places() -> None:
    scene = small_map("rotated")
    part = scene[2:7, 4:]
    assert part.shape == (5, 9)
    for row, column in np.ndindex(*part.shape):
        x, y = part.transform @ (column + 0.5, row + 0.5)
        assert part.at(x, y).name == scene.at(x, y).name == scene[row + 2, column + 4].name
    assert scene[3, :].shape == (1, 13)
    assert scene[:, -1].klass.tolist() == scene.klass[:, -1:].tolist()


def test_points_belong_to_the_cell_they_lie_in() -> None:
    scene = two_by_three()
    assert scene.at(600_050, 5_199_950).name == "forest"
    assert scene.at(600_299.9, 5_199_800.1).name == "forest"
    assert scene.at(600_100, 5_199_950).name == "sea"  # on an edge: the higher column


@pytest.mark.parametrize("point", [(599_999.9, 5_199_950), (600_300, 5_199_950), (600_050, 5_199_800), (np.nan, 0)])
def test_points_outside_are_said_to_be_so(point: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match=r"outside the map: x from 600000 to 600300, y from 5199800 to 5200000, EPSG"):
        two_by_three().at(*point)


@pytest.mark.parametrize("place", [place for place, (crs, _) in PLACES.items() if crs])
def test_places_in_degrees_are_found(place: str) -> None:
    from rasterio.warp import transform

    scene = small_map(place)
    x, y = scene.transform @ (7.4, 3.6)
    (longitude,), (latitude,) = transform(scene.crs, "EPSG:4326", [x], [y])
    assert scene.at_lonlat(longitude, latitude) == scene[3, 7]


def test_a_map_in_pixels_knows_no_degrees_and_no_areas() -> None:
    scene = small_map("pixels")
    assert scene.at(7.5, 3.5) == scene[3, 7]
    with pytest.raises(OptionError, match=r"has no reference system; use at\(x, y\)"):
        scene.at_lonlat(9, 48)
    with pytest.raises(DataFormatError, match=r"has no reference system; use counts\(\)"):
        scene.areas()
    assert repr(scene).startswith("<SceneMap: 9 x 13 cells of 1 pixels, no reference system: a map in pixels")


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ((2, 0), IndexError, "no row 2: it has 2, counted from 0"),
        ((0, -4), IndexError, "no column -4: it has 3"),
        ((slice(5, 9), slice(None)), IndexError, "no row of the map is in 5:9"),
        ((slice(None, None, 2), 0), OptionError, "leave out no cells"),
        (1, OptionError, r"indexed by row and column: map\[3, 5\]"),
    ],
)
def test_indices_that_are_none(index: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        two_by_three()[index]  # type: ignore[call-overload]


def test_classes_are_found_in_any_spelling() -> None:
    scene = small_map()
    assert (scene.where("DenseResidential") == (scene.klass == 1)).all()
    with pytest.raises(UnknownNameError, match=r"unknown class of the map: 'forrest' \(nearest: forest\)"):
        scene.where("forrest")


def test_counts_and_areas_account_for_every_cell_with_data() -> None:
    scene = two_by_three()
    assert scene.counts() == {"forest": 2, "sea": 2, NONE: 1}
    assert list(small_map().counts()) == [*CLASSES, NONE]
    assert scene[0, :].counts() == {"forest": 1, "sea": 2}
    # 110 km from the middle of a UTM zone lengths are drawn 0.99972 of what they are.
    assert scene.areas()["sea"] == pytest.approx(2 * 100 * 100 / 0.99972**2, rel=2e-5)


def test_of_a_cell_over_the_edge_of_the_raster_the_part_inside_counts(tmp_path: Path) -> None:
    whole, cut = two_by_three(), two_by_three(covered=(1.25, 2.5))
    assert whole.ground is not None
    assert cut.ground is not None
    inside = np.outer([1, 0.25], [1, 1, 0.5])
    assert cut.ground == pytest.approx(whole.ground * inside, rel=1e-6)
    assert cut.areas()["forest"] == pytest.approx(whole.ground[0, 0] + whole.ground[1, 2] * 0.125, rel=1e-6)
    assert cut[1:, 1:].ground == pytest.approx(cut.ground[1:, 1:], rel=1e-9)
    assert cut[:1, :2].ground == pytest.approx(whole.ground[:1, :2], rel=1e-9)
    cut.write(tmp_path / "map")
    assert SceneMap.read(tmp_path / "map").areas() == cut.areas()
    with pytest.raises(DataFormatError, match="cells are left out"):
        two_by_three(covered=(1.0, 3.0))


def test_areas_of_cells_cover_the_earth() -> None:
    areas = cell_areas(Affine(10, 0, -180, 0, -10, 90), CRS.from_epsg(4326), (18, 36))
    assert areas is not None
    assert areas.sum() == pytest.approx(WHOLE_EARTH, rel=1e-12)


@pytest.mark.parametrize("place", [place for place, (crs, _) in PLACES.items() if crs])
def test_areas_of_cells_are_those_of_geodesic_polygons(place: str) -> None:
    from rasterio.warp import transform

    scene = small_map(place)
    assert scene.ground is not None
    geod = Geod(ellps="WGS84")
    for row, column in ((0, 0), (4, 7), (8, 12)):
        ring = [(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)]
        longitude, latitude = transform(scene.crs, "EPSG:4326", *zip(*[scene.transform @ p for p in ring], strict=True))
        assert scene.ground[row, column] == pytest.approx(
            abs(geod.polygon_area_perimeter(longitude, latitude)[0]), 1e-7
        )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"klass": np.zeros((2, 2), np.int16)}, r"confidence is \(2, 3\); give rows and columns as in klass, \(2, 2\)"),
        ({"klass": np.full((2, 3), 2, np.int16)}, "row 0, column 0 klass is no class of 2"),
        ({"confidence": np.full((2, 3), 1.5, np.float32)}, "row 0, column 0 confidence is not between 0 and 1"),
        ({"confidence": np.full((2, 3), 0.5, np.float32)}, "row 1, column 0 confidence and margin are not NaN"),
        ({"margin": np.full((2, 3), -1, np.float32)}, "margin is not a number of 0 or more"),
        ({"share": np.full((2, 3), np.nan, np.float32)}, "share is not between 0 and 1"),
        ({"transform": Affine(0, 0, 0, 0, 0, 0)}, "gives cells no area"),
        ({"classes": ()}, "1 to 32000 classes, not 0"),
    ],
)
def test_maps_that_contradict_themselves_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(DataFormatError, match=message):
        two_by_three(**changed)


def test_no_class_may_have_the_name_of_no_class() -> None:
    with pytest.raises(DuplicateNameError, match="none of these"):
        two_by_three(classes=("forest", "None_of_these"))


def test_a_map_cannot_be_changed() -> None:
    scene = two_by_three()
    with pytest.raises(ValueError, match="read-only"):
        scene.klass[0, 0] = 1


@pytest.mark.parametrize("cells", [(1, 1), (2, 2), (1, 2), (3, 1)])
@pytest.mark.parametrize("west", [-180.0, 0.0, -180.125])
def test_the_whole_earth_keeps_its_area_in_a_few_cells_too(cells: tuple[int, int], west: float) -> None:
    rows, columns = cells
    areas = cell_areas(Affine(360 / columns, 0, west, 0, -180 / rows, 90), CRS.from_epsg(4326), cells)
    assert areas is not None
    assert areas.sum() == pytest.approx(WHOLE_EARTH, rel=1e-12)
    np.testing.assert_allclose(areas, areas[:, :1].repeat(columns, 1), rtol=1e-12)


def test_wide_cells_keep_their_area_in_projections_and_over_the_antimeridian() -> None:
    half = 20_037_508.342789244
    world = cell_areas(Affine(2 * half, 0, -half, 0, -2 * half, half), CRS.from_epsg(3857), (1, 1))
    fine = cell_areas(Affine(half / 32, 0, -half, 0, -half / 32, half), CRS.from_epsg(3857), (64, 64))
    assert world is not None
    assert fine is not None
    assert world[0, 0] == pytest.approx(fine.sum(), rel=1e-9)
    over = cell_areas(Affine(200, 0, 80, 0, -20, 10), CRS.from_epsg(4326), (1, 1))
    here = cell_areas(Affine(20, 0, -100, 0, -20, 10), CRS.from_epsg(4326), (1, 10))
    assert over is not None
    assert here is not None
    assert over[0, 0] == pytest.approx(here.sum(), rel=1e-12)
    part = cell_areas(Affine(360, 0, -180, 0, -180, 90), CRS.from_epsg(4326), (1, 1), (0.5, 0.25))
    assert part is not None
    assert part[0, 0] == pytest.approx(WHOLE_EARTH / 8, rel=1e-12)


def test_a_map_without_a_reference_system_counts_in_pixels_or_in_units_without_a_name(tmp_path: Path) -> None:
    pixels = two_by_three(crs=None, transform=Affine(40, 0, 0, 0, 40, 0))
    assert repr(pixels).startswith("<SceneMap: 2 x 3 cells of 40 pixels, no reference system: a map in pixels")
    assert pixels[1:, 1:].in_pixels
    units = two_by_three(crs=None, transform=Affine(68.75, 0, 500_412.5, 0, -68.75, 5_400_000))
    assert units.summary.startswith("2 x 3 cells of 68.75 units, no reference system: a map in units that have no name")
    assert not units[1:, 1:].in_pixels
    with pytest.raises(OptionError, match=r"outside the map: .* a map in units that have no name"):
        units.at(0, 0)
    of_two = two_by_three(crs=None, transform=Affine(80, 0, 0, 0, 80, 0), provenance={"layout": {"stride": [40, 40]}})
    assert not of_two.in_pixels
    assert two_by_three(
        crs=None, transform=Affine(40, 0, 0, 0, 40, 0), provenance={"layout": {"stride": [40, 40]}}
    ).in_pixels
    assert not two_by_three().in_pixels


def test_a_map_over_the_rim_of_the_earth_says_that_not_all_cells_have_an_area() -> None:
    scene = two_by_three(crs=CRS.from_string("ESRI:54030"), transform=Affine(11.4e6, 0, -17e6, 0, -8.6e6, 8.6e6))
    assert scene.ground is None
    with pytest.raises(DataFormatError, match="not all of its cells have a longitude and latitude; use counts"):
        scene.areas()
    with pytest.raises(OptionError, match="does not reach there"):
        two_by_three(crs=CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')).at_lonlat(9, 48)
