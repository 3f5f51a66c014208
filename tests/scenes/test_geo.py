"""GeoRaster: which pixels a raster of any kind gives, where they lie, how large they are, and what is refused."""

import copy as copying
import os
import shutil
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.shutil import copy

from geo_world import METRE, UTM, noise, write_raster
from zeroscene.errors import DatasetNotFoundError, OptionError, PictureError
from zeroscene.scenes.geo import GeoRaster


def whole(raster: GeoRaster) -> tuple[np.ndarray, np.ndarray]:
    return raster.read((0, 0, raster.height, raster.width))


def shown(values: np.ndarray) -> np.ndarray:
    """Return (3, H, W) bytes as a picture."""
    return values.transpose(1, 2, 0)


def test_bytes_are_taken_as_they_are(tmp_path):
    values = noise()
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values))
    pixels, valid = whole(raster)
    assert raster.stretch is None
    assert (raster.width, raster.height, raster.bands, raster.dtype) == (50, 40, (1, 2, 3), "uint8")
    assert (raster.crs, raster.transform) == (CRS.from_epsg(32632), METRE)
    np.testing.assert_array_equal(pixels, shown(values))
    assert valid.all()


@pytest.mark.parametrize("window", [(-3, -4, 10, 11), (35, 45, 10, 11), (5, 6, 7, 8), (-9, 60, 5, 5), (-1, -1, 60, 60)])
def test_what_lies_beyond_the_raster_is_black_and_without_data(tmp_path, window):
    values = noise()
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values))
    pixels, valid = raster.read(window)
    row, column, height, width = window
    padded = np.pad(shown(values), ((70, 70), (70, 70), (0, 0)))
    expected = padded[row + 70 : row + 70 + height, column + 70 : column + 70 + width]
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(valid, expected.any(axis=2))


@pytest.mark.parametrize(
    "layout",
    [
        {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"},
        {"tiled": True, "blockxsize": 16, "blockysize": 16, "interleave": "band"},
        {"blockysize": 7, "compress": "lzw", "predictor": 2},
        {"bigtiff": "yes"},
    ],
    ids=["tiled", "bands apart", "striped", "BigTIFF"],
)
def test_the_arrangement_of_a_file_changes_no_pixel(tmp_path, layout):
    values = noise(4)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, **layout))
    np.testing.assert_array_equal(whole(raster)[0], shown(values[:3]))


@pytest.mark.parametrize("driver", ["VRT", "COG", "PNG", "JP2OpenJPEG", "HFA"])
def test_other_formats_give_the_same_pixels(tmp_path, driver):
    values = noise(3, 64, 80)
    path = write_raster(tmp_path / "r.tif", values)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    copy(path, tmp_path / "copy", driver=driver, **lossless)
    raster = GeoRaster.open(tmp_path / "copy")
    np.testing.assert_array_equal(whole(raster)[0], shown(values))
    assert raster.crs == CRS.from_epsg(32632)
    assert raster.gsd == (1, 1)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_bands_are_grey(tmp_path, count):
    values = noise(count)
    pixels, _ = whole(GeoRaster.open(write_raster(tmp_path / "r.tif", values)))
    np.testing.assert_array_equal(pixels, shown(np.repeat(values[:1], 3, axis=0)))


def test_bands_are_red_green_and_blue_as_the_file_calls_them(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise(4), photometric="minisblack")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
    assert GeoRaster.open(path).bands == (4, 3, 2)
    assert GeoRaster.open(path, bands=(1, 2, 3)).bands == (1, 2, 3)
    np.testing.assert_array_equal(whole(GeoRaster.open(path, bands=[4]))[0][..., 1], noise(4)[3])


def test_a_palette_is_looked_up_and_its_transparent_entry_has_no_data(tmp_path):
    path = tmp_path / "r.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=1, width=3, dtype="uint8", nodata=9) as file:
        file.write(np.array([[[0, 1, 9]]], np.uint8))
        file.write_colormap(1, {0: (10, 20, 30, 255), 1: (200, 100, 50, 255), 9: (1, 2, 3, 255)})
    pixels, valid = whole(GeoRaster.open(path, stretch="percentiles"))
    assert pixels.tolist() == [[[10, 20, 30], [200, 100, 50], [0, 0, 0]]]
    assert valid.tolist() == [[True, True, False]]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64"])
def test_one_range_of_the_whole_raster_becomes_bytes(tmp_path, dtype):
    ramp = np.tile(np.linspace(100, 1100, 101), (3, 50, 1)).astype(dtype)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", ramp))
    assert raster.stretch == pytest.approx((120, 1080))  # 2nd and 98th percentile
    pixels, _ = raster.read((0, 0, 10, 101))
    right, _ = raster.read((0, 60, 10, 41))
    np.testing.assert_array_equal(pixels[:, 60:], right)  # never per window
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, -1].tolist() == [255, 255, 255]
    assert pixels[0, 50, 0] == 127 or pixels[0, 50, 0] == 128  # the middle


def test_colours_keep_their_ratios(tmp_path):
    values = np.stack([np.linspace(0, top, 2500).reshape(50, 50) for top in (1000, 500, 250)]).astype("uint16")
    pixels, _ = whole(GeoRaster.open(write_raster(tmp_path / "r.tif", values), stretch=(0, 1000)))
    assert pixels[-1, -1].tolist() == [255, 128, 64]


def test_a_range_of_one_s_own_and_percentiles_of_bytes(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise())
    assert GeoRaster.open(path, stretch=(0, 100)).stretch == (0, 100)
    low, high = GeoRaster.open(path, stretch="percentiles").stretch
    assert (low, high) == pytest.approx(np.percentile(noise(), (2, 98)))


def test_values_without_data_do_not_shape_the_range(tmp_path):
    values = noise(3, 100, 100, "float32")
    values[:, :60] = -9999
    values[0, 70] = np.nan
    values[1, 71, :50] = np.inf
    values[2, 80] = -9999  # one band of three: the pixel has data, the value does not count
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=-9999))
    assert 0 < raster.stretch[0] < raster.stretch[1] <= 200
    pixels, valid = whole(raster)
    assert not valid[:60].any()
    assert not valid[70].any()
    assert (~valid[71]).sum() == 50
    assert valid[80].all()
    assert not pixels[~valid].any()


def test_a_dark_channel_is_no_hole(tmp_path):
    values = noise()
    values[:, 0, 0] = 0
    values[1, 0, 1] = 0
    _, valid = whole(GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0)))
    assert np.argwhere(~valid).tolist() == [[0, 0]]


@pytest.mark.parametrize("nodata", [-9999, 0.5, 1e30])
def test_a_nodata_value_that_the_type_cannot_hold_takes_nothing_away(tmp_path, nodata):
    path = write_raster(tmp_path / "r.tif", noise())
    copy(path, tmp_path / "r.vrt", driver="VRT")
    text = (
        (tmp_path / "r.vrt").read_text().replace("<ColorInterp>", f"<NoDataValue>{nodata}</NoDataValue><ColorInterp>")
    )
    (tmp_path / "r.vrt").write_text(text)
    assert whole(GeoRaster.open(tmp_path / "r.vrt"))[1].all()


def test_alpha_and_mask_say_where_there_is_data(tmp_path):
    values = noise(4)
    values[3] = np.where(np.arange(50) < 20, 0, 255)
    path = write_raster(tmp_path / "alpha.tif", values, photometric="rgb", alpha="yes")
    pixels, valid = whole(GeoRaster.open(path))
    np.testing.assert_array_equal(valid, values[3] > 0)
    assert not pixels[~valid].any()
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_raster(tmp_path / "mask.tif", values[:3])
        with rasterio.open(path, "r+") as file:
            file.write_mask(values[3])
    np.testing.assert_array_equal(whole(GeoRaster.open(path))[1], values[3] > 0)


def test_a_raster_without_data_is_black(tmp_path):
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", np.full((3, 30, 30), np.nan, "float32")))
    pixels, valid = whole(raster)
    assert not valid.any()
    assert not pixels.any()


def test_little_data_in_a_large_raster_is_found(tmp_path):
    values = np.zeros((1, 3000, 1500), "uint16")
    values[0, 1234:1260, 700:750] = np.linspace(1000, 2000, 26 * 50).reshape(26, 50)
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", values, nodata=0, compress="deflate"))
    assert 1000 <= raster.stretch[0] < raster.stretch[1] <= 2000


# --- size of a pixel on the ground


def gsd(tmp_path: Path, crs, transform) -> tuple[float, float] | None:
    return GeoRaster.open(write_raster(tmp_path / "r.tif", noise(1, 20, 20), crs=crs, transform=transform)).gsd


def test_metres_of_a_projection_are_taken_at_their_word(tmp_path):
    assert gsd(tmp_path, UTM, Affine(0.3, 0, 5e5, 0, -0.5, 5e6)) == (0.3, 0.5)


def test_feet_are_metres(tmp_path):
    assert gsd(tmp_path, "EPSG:2263", Affine(1, 0, 1e6, 0, -1, 2e5)) == pytest.approx((0.3048006, 0.3048006))


def test_degrees_are_metres_on_the_ellipsoid_at_the_centre(tmp_path):
    # A degree at 45 degrees north on WGS84: 78,846.8 m of longitude, 111,131.8 m of latitude.
    across, down = gsd(tmp_path, "EPSG:4326", Affine(1e-5, 0, 8, 0, -1e-5, 45 + 10e-5))
    assert across == pytest.approx(0.788468, rel=1e-5)
    assert down == pytest.approx(1.111318, rel=1e-5)


def test_web_mercator_is_undone(tmp_path):
    across, down = gsd(tmp_path, "EPSG:3857", Affine(1, 0, 9e5, 0, -1, 6_446_275.84))  # 50 degrees north
    assert across == pytest.approx(cos(radians(50)), rel=3e-3)
    assert down == pytest.approx(cos(radians(50)), rel=3e-3)


def test_a_turned_and_a_south_up_raster_have_the_pixels_of_the_plain_one(tmp_path):
    turned = Affine(
        0.4 * cos(radians(30)), 0.6 * sin(radians(30)), 5e5, 0.4 * sin(radians(30)), -0.6 * cos(radians(30)), 5e6
    )
    assert gsd(tmp_path, UTM, turned) == pytest.approx((0.4, 0.6))
    assert gsd(tmp_path, UTM, Affine(0.4, 0, 5e5, 0, 0.6, 5e6)) == pytest.approx((0.4, 0.6))


def test_a_raster_that_lies_nowhere_has_none(tmp_path):
    assert gsd(tmp_path, None, None) is None
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", noise(), transform=None))  # a system, but no place in it
    assert (raster.crs, raster.gsd) == (None, None)


def test_a_system_of_another_world_has_none(tmp_path):
    moon = 'GEOGCS["Moon",DATUM["Moon",SPHEROID["Moon",1737400,0]],PRIMEM["0",0],UNIT["degree",0.0174532925199433]]'
    assert gsd(tmp_path, moon, Affine(1e-5, 0, 8, 0, -1e-5, 45)) is None


# --- identity


def test_a_raster_that_moves_or_ages_stays_the_same(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise())
    before = GeoRaster.open(path).fingerprint
    (tmp_path / "elsewhere").mkdir()
    moved = Path(shutil.move(path, tmp_path / "elsewhere" / "other.tif"))
    os.utime(moved, (0, 0))
    assert GeoRaster.open(moved).fingerprint == before


def test_whatever_changes_the_pixels_changes_the_identity(tmp_path):
    values = noise(6)
    values[:, 5, 5] = 7
    open_ = lambda **options: GeoRaster.open(tmp_path / "r.tif", **options).fingerprint  # noqa: E731
    write_raster(tmp_path / "r.tif", values)
    found = [open_(), open_(bands=(3, 2, 1)), open_(stretch=(0, 9)), open_(stretch="percentiles")]
    write_raster(tmp_path / "r.tif", values, nodata=7)
    found.append(open_())
    write_raster(tmp_path / "r.tif", values, transform=Affine(1, 0, 500_001, 0, -1, 5_400_000))
    found.append(open_())
    values[2, 20, 20] += 1
    write_raster(tmp_path / "r.tif", values)
    found.append(open_())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("compress", ["deflate", None])
@pytest.mark.parametrize("name", ["r.tif", "of_it.vrt"])
def test_a_change_between_the_spots_of_the_sample_is_noticed(tmp_path, compress, name):
    values = noise(1, 1200, 1200)
    form = {"tiled": True, **({"compress": compress} if compress else {})}
    write_raster(tmp_path / "r.tif", values, **form)
    copy(tmp_path / "r.tif", tmp_path / "of_it.vrt", driver="VRT")
    before = GeoRaster.open(tmp_path / name).fingerprint
    values[0, 100:130, 100:130] = 7  # spots are 162 pixels apart and 64 wide
    write_raster(tmp_path / "r.tif", values, **form)
    assert GeoRaster.open(tmp_path / name).fingerprint != before


def test_a_raster_travels_to_other_processes(tmp_path):
    raster = GeoRaster.open(write_raster(tmp_path / "r.tif", noise(dtype="uint16")))
    there = copying.deepcopy(raster)  # as pickle does it
    assert there == raster
    np.testing.assert_array_equal(whole(there)[0], whole(raster)[0])


# --- refusals


def refused(path: Path, error: type[Exception], words: str, **options) -> None:
    with pytest.raises(error, match=words) as caught:
        GeoRaster.open(path, **options)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_raster(tmp_path):
    refused(tmp_path / "no.tif", DatasetNotFoundError, "does not exist")
    refused(tmp_path, DatasetNotFoundError, "is a folder")
    (tmp_path / "empty.tif").touch()
    refused(tmp_path / "empty.tif", PictureError, "empty")
    (tmp_path / "text.tif").write_text("not a raster")
    refused(tmp_path / "text.tif", PictureError, r"text\.tif: not a raster")
    (tmp_path / "wms.xml").write_text("<GDAL_WMS><Service name='TMS'></Service></GDAL_WMS>")
    refused(tmp_path / "wms.xml", PictureError, "not a raster")


@pytest.mark.parametrize("options", [{}, {"compress": "deflate", "tiled": True, "blockxsize": 32, "blockysize": 32}])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_that_is_cut_off(tmp_path, options, share):
    path = write_raster(tmp_path / "r.tif", noise(3, 300, 300), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refused(path, PictureError, "cut off")


def test_a_raster_without_bands(tmp_path):
    path = tmp_path / "r.vrt"
    path.write_text('<VRTDataset rasterXSize="9" rasterYSize="9"></VRTDataset>')
    refused(path, PictureError, "no bands")


def test_a_source_that_is_missing(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise())
    copy(path, tmp_path / "r.vrt", driver="VRT")
    path.unlink()
    refused(tmp_path / "r.vrt", PictureError, r"rows 0 to 39 cannot be decoded.*r\.tif")


def test_a_band_that_does_not_exist(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise(4))
    refused(path, OptionError, r"no band 5: .*r\.tif has bands 1 to 4", bands=(5, 2, 1))
    refused(path, OptionError, "no band 0", bands=(0,))
    refused(path, OptionError, "2 bands are given", bands=(1, 2))


@pytest.mark.parametrize("stretch", [(5, 5), (9, 1), (0, np.nan)])
def test_a_range_without_extent(tmp_path, stretch):
    refused(write_raster(tmp_path / "r.tif", noise()), OptionError, "no extent", stretch=stretch)


def test_complex_values(tmp_path):
    refused(write_raster(tmp_path / "r.tif", noise(1).astype("complex64")), PictureError, "complex")


def test_a_pixel_of_no_size(tmp_path):
    path = write_raster(tmp_path / "r.tif", noise())
    copy(path, tmp_path / "r.vrt", driver="VRT")
    text = (tmp_path / "r.vrt").read_text()
    start, end = text.index("<GeoTransform>"), text.index("</GeoTransform>")
    (tmp_path / "r.vrt").write_text(f"{text[:start]}<GeoTransform>5,0,0,5,0,-1{text[end:]}")
    refused(tmp_path / "r.vrt", PictureError, "size of zero")


def test_a_place_known_from_control_points_or_polynomials_only(tmp_path):
    corners = [GroundControlPoint(r, c, 8 + c / 1e4, 47 - r / 1e4) for r in (0, 40) for c in (0, 50)]
    path = write_raster(tmp_path / "gcp.tif", noise(), crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.gcps = (corners, CRS.from_epsg(4326))
    refused(path, PictureError, "ground control points only; warp it")
    ones = [1.0] * 20
    path = write_raster(tmp_path / "rpc.tif", noise(), crs=None, transform=None)
    with rasterio.open(path, "r+") as file:
        file.rpcs = RPC(0, 1, 47, 1, ones, ones, 20, 20, 8, 1, ones, ones, 25, 25)
    refused(path, PictureError, "polynomials")
