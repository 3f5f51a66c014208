"""The files of a map, opened as others open them: they agree on place and class, to the bit."""

import ctypes
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.warp import transform
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import Point

from small_map import CLASSES, PLACES, small_map
from zeroscene.errors import DataFormatError, DatasetNotFoundError, StoreError
from zeroscene.maps import outputs
from zeroscene.maps.cells import NODATA, NONE
from zeroscene.maps.cog import write_raster
from zeroscene.maps.colours import class_colours
from zeroscene.maps.scene_map import SceneMap

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def gdalinfo(path: Path) -> str:
    """Return what `gdalinfo` prints: the program's, or that of GDAL's library, which is what the program calls."""
    if program := shutil.which("gdalinfo"):
        return subprocess.run([program, path], capture_output=True, text=True, check=True).stdout
    folder = Path(rasterio.__file__).parent.parent / "rasterio.libs"
    libraries = sorted(folder.glob("libgdal*"))
    if not libraries:
        pytest.skip("neither the program gdalinfo nor a GDAL library inside rasterio")
    gdal = ctypes.CDLL(str(libraries[0]))
    gdal.GDALOpen.restype, gdal.GDALOpen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    gdal.GDALInfo.restype, gdal.GDALInfo.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_void_p]
    gdal.GDALClose.argtypes = [ctypes.c_void_p]
    gdal.GDALAllRegister()
    opened = gdal.GDALOpen(str(path).encode(), 0)
    said = gdal.GDALInfo(opened, None).decode()
    gdal.GDALClose(opened)
    return said


@pytest.fixture(scope="module", params=PLACES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[SceneMap, Path]:
    scene = small_map(request.param)
    folder = tmp_path_factory.mktemp("map")
    scene.write(folder)
    return scene, folder


def equal(one: SceneMap, other: SceneMap) -> bool:
    arrays = ("klass", "confidence", "margin", "share")
    return (
        all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in arrays)
        and (one.classes, one.transform, one.crs) == (other.classes, other.transform, other.crs)
        and dict(one.provenance) == dict(other.provenance)
    )


def test_a_map_that_is_read_is_the_map_that_was_written(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    assert equal(SceneMap.read(folder), scene)


def test_the_raster_is_a_cloud_optimised_geotiff_with_names_and_colours(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    valid, errors, warnings = cog_validate(folder / "map.tif", strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(folder / "map.tif") as file:
        assert file.descriptions == ("class", "confidence", "margin", "share")
        assert file.nodata == -1
        assert (file.read(1) == np.where(scene.nodata, -1, scene.klass + 1).clip(-1) * ~scene.rejected).all()
        assert json.loads(file.tags()["CLASSES"]) == list(CLASSES)
        assert file.tags(1) == {"CLASS_0": NONE, **{f"CLASS_{i}": name for i, name in enumerate(CLASSES, start=1)}}
        assert file.colormap(1)[1][:3] == tuple(bytes.fromhex(class_colours(CLASSES)["forest"][1:]))


def test_gdalinfo_says_the_names_of_the_classes(written: tuple[SceneMap, Path]) -> None:
    said = gdalinfo(written[1] / "map.tif")
    assert "LAYOUT=COG" in said
    assert "ColorInterp=Palette" in said
    assert "Color Table (RGB with 5 entries)" in said
    for i, name in enumerate((NONE, *CLASSES)):
        assert f"{i}: {name}" in said
    assert said.count("NoData Value=-1") == 4
    assert '<GDALRasterAttributeTable tableType="thematic">' in said


def test_bounds_and_reference_systems_agree_to_the_bit(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    with rasterio.open(folder / "map.tif") as file:
        assert (file.bounds, file.crs, file.transform) == (scene.bounds, scene.crs, scene.transform)
    areas = geopandas.read_file(folder / "areas.gpkg", layer="areas")
    corners = [
        scene.transform @ (column + right, row + down)
        for row, column in np.argwhere(~scene.nodata).tolist()
        for right in (0, 1)
        for down in (0, 1)
    ]
    assert areas.total_bounds.tolist() == [*np.min(corners, axis=0), *np.max(corners, axis=0)]
    if scene.crs is None:
        assert areas.crs is None
    else:
        assert rasterio.crs.CRS.from_user_input(areas.crs) == scene.crs
    outline = geopandas.read_file(folder / "areas.geojson")
    if scene.crs is None:
        assert "pixels of the raster" in outline.crs.name
    else:
        assert outline.crs == "EPSG:4326"
    if scene.crs is None or scene.crs.is_geographic:
        assert outline.total_bounds.tolist() == areas.total_bounds.tolist()


@pytest.mark.filterwarnings("ignore:Geometry is in a geographic CRS")
def test_areas_are_valid_dissolved_and_complete(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    areas = geopandas.read_file(folder / "areas.gpkg", layer="areas")
    assert areas.geom_type.unique().tolist() == ["Polygon"]
    assert areas.is_valid.all()
    assert areas.groupby("class")["cells"].sum().to_dict() == {k: n for k, n in scene.counts().items() if n}
    if scene.crs is not None:
        of_class = areas.groupby("class")["area_m2"].sum().to_dict()
        assert of_class == pytest.approx({k: a for k, a in scene.areas().items() if a}, rel=1e-6)
    cell = abs(scene.transform.determinant)
    assert (areas.area / cell).to_list() == pytest.approx(areas["cells"].to_list(), rel=1e-6)
    assert len(areas.dissolve("class").explode()) == len(areas)  # no two neighbours of a class
    mean = (areas["confidence"] * areas["cells"]).sum() / areas["cells"].sum()
    assert mean == pytest.approx(float(np.nanmean(scene.confidence, dtype=np.float64)), abs=1e-6)


def test_geojson_is_wound_as_its_standard_says(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    value = json.loads((folder / "areas.geojson").read_text(encoding="utf-8"))
    assert ("crs" in value) == (scene.crs is None)
    for feature in value["features"]:
        for i, ring in enumerate(feature["geometry"]["coordinates"]):
            x, y = (np.array(ring) - ring[0]).T
            assert (np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0) == (i == 0)
            assert ring[0] == ring[-1]


def test_styles_name_what_the_map_shows(written: tuple[SceneMap, Path]) -> None:
    scene, folder = written
    colours = class_colours(CLASSES)
    entries = ET.parse(folder / "map.qml").getroot().findall("pipe/rasterrenderer/colorPalette/paletteEntry")
    found = {int(e.get("value", "")): (e.get("label"), e.get("color")) for e in entries}
    present = np.unique(scene.klass[scene.klass >= 0]).tolist()
    assert {code: value for code, value in found.items() if code} == {
        i + 1: (CLASSES[i], colours[CLASSES[i]]) for i in present
    }
    assert found[0][0] == NONE
    categories = ET.parse(folder / "areas.qml").getroot().findall("renderer-v2/categories/category")
    assert [c.get("value") for c in categories] == [label for _, (label, _) in sorted(found.items())]
    kept = pyogrio.read_dataframe(folder / "areas.gpkg", layer="layer_styles").iloc[0]
    assert kept["styleQML"] == (folder / "areas.qml").read_text(encoding="utf-8")
    assert bool(kept["useAsDefault"])
    assert kept["f_table_name"] == "areas"


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*PLACES]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 10_000),
    st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)), min_size=5, max_size=5),
)
def test_a_point_has_the_same_class_in_every_file(
    tmp_path_factory: pytest.TempPathFactory,
    place: str,
    rows: int,
    columns: int,
    seed: int,
    points: list[tuple[float, float]],
) -> None:
    scene = small_map(place, rows, columns, seed)
    folder = tmp_path_factory.mktemp("point")
    scene.write(folder)
    areas = geopandas.read_file(folder / "areas.gpkg", layer="areas")
    outlines = geopandas.read_file(folder / "areas.geojson")
    random = np.random.default_rng(seed)
    with rasterio.open(folder / "map.tif") as file:
        codes = file.read(1)
        for right, down in points:
            row, column = int(random.integers(rows)), int(random.integers(columns))
            x, y = scene.transform @ (column + right, row + down)
            name = scene.at(x, y).name
            assert name == scene[row, column].name
            code = int(codes[file.index(x, y)])
            assert (None if code == NODATA else (NONE, *CLASSES)[code]) == name
            assert next(iter(file.sample([(x, y)], 1)))[0] == code
            assert areas[areas.contains(Point(x, y))]["class"].to_list() == ([name] if name else [])
            if scene.crs is not None:
                (x,), (y,) = transform(scene.crs, "EPSG:4326", [x], [y])
            there = outlines[outlines.contains(Point(x, y))]
            assert [one["class"] for _, one in there.iterrows()] == ([name] if name else [])  # no area has no columns


def test_overviews_show_cells_that_exist(tmp_path: Path) -> None:
    write_raster(small_map("utm", rows=300, columns=700), tmp_path / "map.tif")
    assert cog_validate(tmp_path / "map.tif", strict=True, quiet=True)[0]
    with rasterio.open(tmp_path / "map.tif") as file:
        assert file.overviews(1) == [2, 4]
        whole = file.read()
        known = {tuple(cell) for cell in whole.reshape(4, -1).T.tolist()}
        rows, columns = (np.arange(n) for n in (150, 350))
        small = file.read(out_shape=(4, len(rows), len(columns)))
    assert {tuple(cell) for cell in small.reshape(4, -1).T.tolist()} <= known


def test_holes_are_holes(tmp_path: Path) -> None:
    scene = small_map("utm", rows=5, columns=5)
    klass = np.zeros((5, 5), np.int16)
    klass[1, 1] = klass[2, 2] = klass[3, 1:4] = 1
    even = np.full((5, 5), 0.5, np.float32)
    SceneMap(CLASSES, klass, even, even, even, scene.transform, scene.crs).write(tmp_path)
    areas = geopandas.read_file(tmp_path / "areas.gpkg", layer="areas")
    assert areas["class"].to_list() == ["forest", "dense_residential", "dense_residential"]
    assert areas["cells"].to_list() == [20, 4, 1]  # cells that touch at a corner are two areas
    assert areas.is_valid.all()
    assert areas.union_all().area == pytest.approx(25 * 110 * 110)


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        small_map("rotated").write(tmp_path / folder)
    one, other = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in ("one", "other"))
    assert one == other
    assert set(one) == {*outputs.FILES, "run.json"}


def test_run_json_says_what_the_files_are(tmp_path: Path) -> None:
    small_map("pixels").write(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert run["classes"] == list(CLASSES)
    assert run["crs"] is run["area_m2"] is None
    assert "no reference system" in run["note"]
    assert set(run["files"]) == set(outputs.FILES)
    assert sum(run["cells"].values()) + run["cells_without_data"] == run["rows"] * run["columns"]


def test_without_the_extra_there_is_plain_geojson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_map().write(tmp_path)
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    paths = small_map(seed=1).write(tmp_path)
    assert not (tmp_path / "areas.gpkg").exists()  # that of the map before would contradict the others
    assert {p.name for p in paths} == {p.name for p in tmp_path.iterdir()}
    assert json.loads((tmp_path / "areas.geojson").read_text(encoding="utf-8"))["features"]


def test_a_map_without_any_data_is_a_map(tmp_path: Path) -> None:
    empty = np.full((3, 4), np.nan, np.float32)
    nothing = np.zeros((3, 4), np.float32)
    scene = SceneMap(("sea",), np.full((3, 4), NODATA), empty, empty, nothing, Affine(9, 0, 0, 0, -9, 0), None, {})
    scene.write(tmp_path)
    assert equal(SceneMap.read(tmp_path), scene)
    assert len(geopandas.read_file(tmp_path / "areas.gpkg", layer="areas")) == 0
    assert json.loads((tmp_path / "areas.geojson").read_text())["features"] == []


def test_an_interrupted_map_does_not_look_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_map().write(tmp_path)
    replace = Path.replace

    def halt(self: Path, target: Path) -> Path:
        if target == tmp_path / "areas.geojson":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as during:
        during.setattr(Path, "replace", halt)
        with pytest.raises(KeyboardInterrupt):
            small_map(seed=1).write(tmp_path)
    with pytest.raises(DatasetNotFoundError, match="writing the map was interrupted; make it again"):
        SceneMap.read(tmp_path)
    small_map(seed=1).write(tmp_path)
    assert equal(SceneMap.read(tmp_path), small_map(seed=1))
    assert {p.name for p in tmp_path.iterdir()} == {*outputs.FILES, "run.json"}


def test_a_map_that_cannot_be_made_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_map().write(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as during:
        during.setattr(outputs.preview, "write_png", full)
        with pytest.raises(StoreError, match=r"cannot write the map into .*: No space left"):
            small_map(seed=1).write(tmp_path)
    assert equal(SceneMap.read(tmp_path), small_map())


def test_folders_that_are_not_for_maps(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write the map into .*/file/map: "):
        small_map().write(tmp_path / "file" / "map")
    with pytest.raises(StoreError, match=r"holds other things than a map \(file, \.\.\.\); give a new or empty folder"):
        small_map().write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_lies_beside_a_map_or_hidden_in_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    small_map().write(tmp_path)
    (tmp_path / "project.qgz").write_text("")
    small_map(seed=1).write(tmp_path)
    assert (tmp_path / "project.qgz").exists()
    assert (tmp_path / ".work").is_dir()


def test_folders_without_a_map(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        SceneMap.read(tmp_path / "none")
    with pytest.raises(DatasetNotFoundError, match=r"holds no map \(run.json is absent\)"):
        SceneMap.read(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataFormatError, match="is not about a map of scene classes"):
        SceneMap.read(tmp_path)


def test_damaged_maps_are_refused(tmp_path: Path) -> None:
    small_map().write(tmp_path)
    raster = tmp_path / "map.tif"
    whole = raster.read_bytes()
    raster.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFormatError, match=r"map\.tif is damaged: .*; make the map again"):
        SceneMap.read(tmp_path)
    raster.unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no such file: .*map\.tif"):
        SceneMap.read(tmp_path)


def test_files_of_a_raster_with_a_transform_and_no_system_do_not_call_its_units_pixels(tmp_path: Path) -> None:
    replace(small_map("pixels"), transform=Affine(68.75, 0, 500_412.5, 0, -68.75, 5_400_000)).write(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert run["note"].endswith("what its transform gives, in units that have no name")
    outline = geopandas.read_file(tmp_path / "areas.geojson")
    assert outline.crs.name == "coordinates of the raster, which has no reference system"
    assert outline.total_bounds[0] >= 500_412.5


@pytest.mark.parametrize("system", ["ESRI:54030", 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_a_map_in_a_system_without_longitude_and_latitude_everywhere_is_written(tmp_path: Path, system: str) -> None:
    whole = Affine(2.62e6, 0, -17e6, 0, -1.91e6, 8.6e6)
    replace(small_map(), crs=rasterio.crs.CRS.from_user_input(system), transform=whole).write(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert run["area_m2"] is None
    assert equal(SceneMap.read(tmp_path), SceneMap.read(tmp_path))
    assert geopandas.read_file(tmp_path / "areas.geojson").total_bounds[0] < -180
