"""Regions and outlines: what shares ground with what, exactly, over the antimeridian and in turned rasters too."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.errors import DataFormatError, OptionError
from zeroscene.maps.archive.footprints import Outlines, metadata
from zeroscene.maps.archive.region import Region

DEGREES = CRS.from_epsg(4326)


def squares(*corners: tuple[float, float], side: float = 1.0) -> Outlines:
    """Return squares in degrees by their south-western corners."""
    return Outlines(np.array([[(x, y), (x + side, y), (x + side, y + side), (x, y + side)] for x, y in corners]))


def geojson(path: Path, geometry: dict) -> Region:
    path.write_text(json.dumps({"type": "Feature", "properties": {}, "geometry": geometry}))
    return Region.of(str(path))


def test_windows_that_share_ground_lie_in_a_box_and_those_that_only_touch_it_do_not():
    found = Region.of("1,0,3,1").touches(squares((0, 0), (1, 0), (2.5, 0.5), (3, 0), (1, 1), (1.5, -0.5)))
    assert found.tolist() == [False, True, True, False, False, True]


def test_a_box_inside_of_one_window_and_one_around_all_are_found():
    windows = squares((0, 0), (1, 0))
    assert Region.of("0.4,0.4,0.6,0.6").touches(windows).tolist() == [True, False]
    assert Region.of("-9,-9,9,9").touches(windows).all()


def test_a_polygon_is_exact_where_its_bounding_box_is_not(tmp_path):
    triangle = geojson(tmp_path / "t.geojson", {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [0, 4], [0, 0]]]})
    windows = squares((0.2, 0.2), (1.4, 1.4), (2.6, 2.6))
    assert triangle.may_touch(windows.boxes).all()
    assert triangle.touches(windows).tolist() == [True, True, False]


def test_a_window_in_the_hole_of_a_polygon_is_outside(tmp_path):
    rings = [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]], [[3, 3], [6, 3], [6, 6], [3, 6], [3, 3]]]
    region = geojson(tmp_path / "h.geojson", {"type": "MultiPolygon", "coordinates": [rings]})
    assert region.touches(squares((1, 1), (4, 4), (2.5, 4))).tolist() == [True, False, True]


def shared_area(one: np.ndarray, other: np.ndarray) -> float:
    """Return the area that two convex polygons share: one is cut along each side of the other."""
    points = list(other)
    a, b = one[1] - one[0], one[2] - one[0]
    around = one if a[0] * b[1] - a[1] * b[0] > 0 else one[::-1]
    for start, end in zip(around, np.roll(around, -1, axis=0), strict=True):
        side = [(end - start)[0] * (p - start)[1] - (end - start)[1] * (p - start)[0] for p in points]
        cut = []
        for k, (p, s) in enumerate(zip(points, side, strict=True)):
            before, t = points[k - 1], side[k - 1]
            if (s > 0) != (t > 0):
                cut.append(before + (p - before) * (t / (t - s)))
            if s > 0:
                cut.append(p)
        points = cut
    if len(points) < 3:
        return 0.0
    x, y = np.array(points).T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=3, unique=True),
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    st.floats(0, 1.5),
)
def test_polygons_and_turned_windows_overlap_where_points_of_both_do(triangle, place, turn):
    ring = np.array(triangle)
    if shared_area(ring, np.array([(-9, -9), (9, -9), (9, 9), (-9, 9)])) < 0.1:
        return
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.5
    turned = square @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + place
    area = shared_area(ring, turned)
    found = bool(Region("triangle", ((ring,),)).touches(Outlines(turned[None]))[0])
    if area == 0 or area > 1e-4:  # between them lies what is no more than a border
        assert found == (area > 0)


def test_outlines_follow_a_turned_raster_and_come_back_from_wkb():
    turned = Affine.translation(10, 50) * Affine.rotation(30) * Affine.scale(0.001, -0.001)
    found = Outlines.of(DEGREES, turned, np.array([[0, 0, 10, 20], [10, 20, 20, 40]]))
    expected = [turned * corner for corner in ((0, 0), (0, 10), (20, 10), (20, 0))]
    np.testing.assert_allclose(found.corners[0], expected)
    again = Outlines.of_wkb(found.wkb())
    np.testing.assert_array_equal(again.corners, found.corners)
    np.testing.assert_allclose(found.centres[0], turned * (10, 5))


def test_outlines_are_counterclockwise_whichever_way_a_raster_is_written():
    for flip in (1, -1):
        corners = Outlines.of(DEGREES, Affine(0.1, 0, 5, 0, flip * 0.1, 5), np.array([[0, 0, 4, 4]])).corners[0]
        x, y = corners.T
        assert (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() > 0


def test_a_window_over_the_antimeridian_is_found_on_both_sides_and_nowhere_else():
    over = Outlines.of(CRS.from_epsg(3832), Affine(1000, 0, 3_280_000, 0, -1000, 0), np.array([[0, 0, 200, 200]]))
    assert over.crossing.tolist() == [True]
    assert Region.of("179,-1,179.9,0").touches(over).all() or Region.of("-180,-1,-179,0").touches(over).all()
    assert Region.of("179.9,-1,-179.9,0").touches(over).all()
    assert not Region.of("-10,-1,10,0").touches(over).any()
    column = json.loads(metadata(over))["columns"]["geometry"]
    assert column["geometry_types"] == ["MultiPolygon"]
    np.testing.assert_allclose(Outlines.of_wkb(over.wkb()).boxes, over.boxes)


def test_windows_without_a_reference_system_lie_nowhere():
    nowhere = Outlines.of(None, Affine.identity(), np.array([[0, 0, 5, 5]]))
    assert nowhere.wkb().to_pylist() == [None]
    assert not nowhere.known.any()
    assert not Region.of("-180,-90,180,90").touches(nowhere).any()


@pytest.mark.parametrize("crs", [{}, {"crs": None}, {"crs": {"properties": {"name": "EPSG:4326"}}}])
def test_polygons_are_in_degrees_where_the_file_names_no_other_system_and_empty_ones_are_passed_over(tmp_path, crs):
    square = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    shapes = [
        {"type": "Polygon", "coordinates": []}, {"type": "Polygon"}, {"type": "MultiPolygon", "coordinates": None},
        {"type": "MultiPolygon", "coordinates": [[], [square]]}, None,
    ]  # fmt: skip
    features = [{"type": "Feature", "properties": None, "geometry": shape} for shape in shapes]
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features, **crs}))
    found = Region.of(str(path))
    assert [len(rings) for rings in found.polygons] == [1]
    assert found.touches(squares((0.5, 0.5), (1.5, 1.5))).tolist() == [True, False]


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "0,5,1,5", "0,6,1,5", "0,0,200,1", "0,-91,1,1", "1,1,1,2", ""])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(OptionError, match="west,south,east,north"):
        Region.of(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"type": "FeatureCollection", "features": []}, "no polygon"),
        ({"type": "Point", "coordinates": [1, 2]}, "no polygon"),
        ([1, 2], "no GeoJSON"),
        ({"type": "Polygon", "coordinates": [[[500000, 0], [500001, 0], [500000, 9]]]}, "outside of -180..180"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "fewer than three"),
        ({"type": "Polygon", "coordinates": [["x"]]}, "damaged"),
        ({"type": "Polygon", "coordinates": 5}, "damaged"),
        ({"type": "Polygon", "coordinates": [5]}, "damaged"),
        ({"type": "MultiPolygon", "coordinates": {"a": 1}}, "damaged"),
        ({"type": "Polygon", "coordinates": [[[10**400, 0], [1, 1], [0, 1]]]}, "damaged"),
        ({"type": "Polygon", "coordinates": []}, "no polygon"),
        ({"type": "Polygon", "coordinates": None}, "no polygon"),
        ({"type": "Polygon"}, "no polygon"),
        ({"type": "FeatureCollection", "features": None}, "no polygon"),
        ({"type": "FeatureCollection", "features": 5}, "no polygon"),
        ({"type": "Polygon", "coordinates": [], "crs": {"properties": None}}, "without a name; write it in longitude"),
        ({"type": "Polygon", "coordinates": [], "crs": 4326}, "without a name; write it in longitude"),
        (
            {"type": "Polygon", "coordinates": [], "crs": {"properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}},
            "write it in longitude and latitude",
        ),
    ],
)
def test_a_file_without_polygons_in_degrees_is_refused(tmp_path, value, message):
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps(value))
    with pytest.raises(DataFormatError, match=message):
        Region.of(str(path))


def test_windows_off_the_earth_lie_nowhere_and_those_beside_them_do():
    disk = CRS.from_string("+proj=geos +h=35785831 +lon_0=41 +sweep=y +ellps=WGS84 +units=m")
    boxes = np.array([[row, column, row + 1, column + 1] for row in range(8) for column in range(8)])
    found = Outlines.of(disk, Affine(1.6e6, 0, -6.4e6, 0, -1.6e6, 6.4e6), boxes)
    known = found.known.reshape(8, 8)
    assert known[3:5, 3:5].all()
    assert not known[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert [value is None for value in found.wkb().to_pylist()] == (~found.known).tolist()
    assert Region.of("35,-5,47,5").touches(found).any()


def test_windows_in_a_system_that_leads_nowhere_lie_nowhere():
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    assert not Outlines.of(local, Affine(2, 0, 0, 0, -2, 0), np.array([[0, 0, 5, 5]])).known.any()
