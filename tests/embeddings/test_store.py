"""The store: GeoParquet and NumPy files that others can read, and damage that is noticed."""

import hashlib
import json
import struct
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin

from small_world import scene
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.footprint import Footprint, footprint, geo_metadata
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.errors import DatasetNotFoundError, StoreError
from zeroscene.scenes.folder import SceneFolder


@pytest.fixture
def store(scenes, encoder, tmp_path):
    return extract(scenes, encoder, tmp_path / "store", batch=4, part=7, grid=True)


def save_geotiff(path, crs="EPSG:32632", west=500_000.0, north=5_300_000.0):
    bands = scene("beach", 0, 40, 50).transpose(2, 0, 1)
    settings = {"driver": "GTiff", "height": 40, "width": 50, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=crs, transform=from_origin(west, north, 10, 10), **settings) as f:
        f.write(bands)


def ring(wkb: bytes) -> list[tuple[float, float]]:
    order, kind, rings, points = struct.unpack_from("<BIII", wkb)
    assert (order, kind, rings) == (1, 3, 1)
    return [struct.unpack_from("<dd", wkb, 13 + 16 * i) for i in range(points)]


def test_reopening_reads_the_same(store):
    again = EmbeddingStore.open(store.path)
    assert again.manifest == store.manifest
    one, other = store.read(), again.read()
    assert one.ids == other.ids
    np.testing.assert_array_equal(one.x, other.x)


def test_parts_are_the_whole_in_order(store):
    whole = store.read()
    parts = list(store.iter_parts())
    assert [len(part) for part in parts] == [7, 7, 7, 3]
    np.testing.assert_array_equal(np.vstack([part.x for part in parts]), whole.x)
    assert sum((part.ids for part in parts), ()) == whole.ids
    assert sum((part.labels for part in parts), ()) == whole.labels


def test_grids_come_with_the_pictures_they_belong_to(store):
    whole = store.read(grids=True)
    assert store.read().grids is None
    assert whole.grids.shape == store.manifest.grid
    every = whole.grids.read(range(24))
    chosen = whole.take([20, 2, 9])
    np.testing.assert_array_equal(chosen.grids.read([0, 1, 2]), every[[20, 2, 9]])
    beach = whole.of_classes(["beach"])
    np.testing.assert_array_equal(beach.grids.means(), every[whole.label_indices(["beach"]) == 0].mean((1, 2)))
    parts = list(store.iter_parts(grids=True))
    np.testing.assert_array_equal(np.concatenate([p.grids.read(range(len(p))) for p in parts]), every)


def test_a_store_without_grids_says_so(scenes, encoder, tmp_path):
    store = extract(scenes, encoder, tmp_path / "pooled")
    for ask in (lambda: store.read(grids=True), lambda: next(store.iter_parts(grids=True)), store.check_grids):
        with pytest.raises(StoreError, match=r"keeps no token grids; .*`embed --grid`"):
            ask()


def test_columns_are_plain_arrow_types(store):
    schema = pq.read_schema(store.part_path(0))
    assert [str(schema.field(name).type) for name in ("id", "label", "geometry")] == ["string", "string", "binary"]
    assert str(schema.field("embedding").type).startswith("fixed_size_list<element: float")
    assert schema.field("embedding").type.list_size == store.width
    group = pq.read_metadata(store.part_path(0)).row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {"UNCOMPRESSED"}


def test_pictures_without_georeference_make_valid_geoparquet(store):
    geo = json.loads(pq.read_schema(store.part_path(0)).metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == []
    assert "crs" not in column  # absent stands for OGC:CRS84
    assert "bbox" not in column


def test_georeferenced_pictures_keep_their_outline(root, encoder, tmp_path):
    save_geotiff(root / "beach" / "georeferenced.tif")
    store = extract(SceneFolder.open(root), encoder, tmp_path / "store")
    table = pq.read_table(store.part_path(0)).to_pydict()
    outlines = dict(zip(table["id"], table["geometry"], strict=True))
    found = ring(outlines.pop("beach/georeferenced.tif"))
    assert set(outlines.values()) == {None}
    # 9 degrees east is the central meridian of UTM zone 32; 500 m are 0.0067 degrees of longitude at 47.85 north
    assert found[0] == found[-1]
    longitudes, latitudes = zip(*found, strict=True)
    assert (min(longitudes), max(longitudes)) == pytest.approx((9.0, 9.00668), abs=1e-4)
    assert (min(latitudes), max(latitudes)) == pytest.approx((47.8497, 47.8533), abs=1e-3)
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(found))
    assert area > 0  # counter-clockwise
    column = json.loads(pq.read_schema(store.part_path(0)).metadata[b"geo"])["columns"]["geometry"]
    assert column["geometry_types"] == ["Polygon"]
    assert column["bbox"] == [min(longitudes), min(latitudes), max(longitudes), max(latitudes)]


def test_an_outline_across_the_antimeridian_is_two_polygons(tmp_path):
    save_geotiff(tmp_path / "fiji.tif", "EPSG:3832", west=3_339_584.7 - 250, north=-2_000_000)
    found = footprint(tmp_path / "fiji.tif")
    assert found.crosses
    order, kind, count = struct.unpack_from("<BII", found.wkb)
    assert (order, kind, count) == (1, 6, 2)
    east, west = ring(found.wkb[9 : 9 + 93]), ring(found.wkb[9 + 93 :])
    assert max(x for x, _ in east) == 180
    assert min(x for x, _ in west) == -180
    assert geo_metadata([found])["columns"]["geometry"]["geometry_types"] == ["MultiPolygon"]


def test_bounds_of_several_outlines_hold_them_all():
    column = geo_metadata([Footprint(1, 2, 3, 4), Footprint(-5, 3, -4, 9)])["columns"]["geometry"]
    assert column["bbox"] == [-5, 2, 3, 9]


def test_a_picture_without_georeference_has_no_outline(tmp_path):
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    assert footprint(tmp_path / "broken.tif") is None
    assert footprint(tmp_path / "picture.jpg") is None


def test_a_picture_of_a_system_that_leads_nowhere_has_no_footprint(tmp_path):
    form = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8"}
    nowhere = 'LOCAL_CS["here",UNIT["metre",1]]'
    with rasterio.open(tmp_path / "r.tif", "w", crs=nowhere, transform=from_origin(5, 5, 1, 1), **form) as file:
        file.write(np.ones((1, 8, 8), np.uint8))
    assert footprint(tmp_path / "r.tif") is None


def test_a_grid_file_is_a_plain_numpy_array_with_its_digest_in_the_footer(store):
    path = store.grid_path(1)
    array = np.load(path, allow_pickle=False)
    assert array.dtype == np.float16
    assert array.shape == (7, 1, *store.manifest.grid)
    np.save(store.path / "by-numpy.npy", array)
    assert path.read_bytes() == (store.path / "by-numpy.npy").read_bytes()
    note = json.loads(pq.read_schema(store.part_path(1)).metadata[b"zeroscene:grids"])
    assert note == {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    store.check_grids()


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-2], lambda b: b + b"\0", lambda b: b""], ids=["cut", "longer", "empty"]
)
def test_a_grid_file_of_another_size_is_named_before_it_is_used(store, scenes, encoder, spoil):
    path = store.grid_path(2)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    for use in (
        lambda: store.read(grids=True),
        lambda: list(store.iter_parts(grids=True)),
        lambda: extract(scenes, encoder, store.path, batch=4, part=7, grid=True),
    ):
        with pytest.raises(StoreError, match=r"part-00002.grid.npy is damaged; delete this one file") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert len(store.read()) == 24
    path.unlink()
    assert not store.complete
    untouched = store.grid_path(1).stat().st_mtime_ns
    extract(scenes, encoder, store.path, batch=4, part=7, grid=True)
    assert path.read_bytes() == whole
    assert store.grid_path(1).stat().st_mtime_ns == untouched


def test_a_changed_byte_of_a_grid_is_found_when_every_byte_is_checked(store):
    path = store.grid_path(3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert store.read(grids=True).grids is not None
    with pytest.raises(StoreError, match=r"part-00003.grid.npy is damaged"):
        store.check_grids()


def test_a_grid_file_that_is_spoilt_after_opening_is_named_when_it_is_read(store):
    opened = store.read(grids=True)
    path = store.grid_path(0)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StoreError, match=r"part-00000.grid.npy is damaged"):
        opened.grids.read([3])
    np.testing.assert_array_equal(opened.grids.read([8]), opened.take([8]).grids.read([0]))


@pytest.mark.parametrize("place", [100, 0.3, 0.6, -6])
def test_damage_is_noticed_and_the_remedy_named(store, scenes, encoder, place):
    path = store.part_path(1)
    whole = path.read_bytes()
    position = int(len(whole) * place) if isinstance(place, float) else place % len(whole)
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
    with pytest.raises(StoreError, match=r"part-00001.parquet is damaged; delete this one file"):
        store.read()
    path.unlink()
    extract(scenes, encoder, store.path, batch=4, part=7, grid=True)
    assert path.read_bytes() == whole


def test_a_part_that_is_cut_off_or_of_another_store_is_not_taken_for_done(store, scenes, encoder):
    store.part_path(2).write_bytes(store.part_path(2).read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"part-00002.parquet is damaged"):
        extract(scenes, encoder, store.path, batch=4, part=7, grid=True)
    store.part_path(2).write_bytes(store.part_path(1).read_bytes())
    with pytest.raises(StoreError, match=r"part-00002.parquet is damaged"):
        extract(scenes, encoder, store.path, batch=4, part=7, grid=True)


def test_an_unfinished_store_is_not_read(store):
    store.part_path(3).unlink()
    with pytest.raises(StoreError, match="not finished: 3 of 4 parts; run the same embedding again"):
        store.read()


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no embedding store"):
        EmbeddingStore.open(tmp_path)
    for text in ("{", "[]", '{"format": "another"}', '{"format": "zeroscene-embeddings-1"}'):
        (tmp_path / "store.json").write_text(text)
        with pytest.raises(StoreError, match=r"store.json"):
            EmbeddingStore.open(tmp_path)
