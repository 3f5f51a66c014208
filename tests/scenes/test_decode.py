import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import simplejpeg
from PIL import Image

from small_world import save, scene
from zeroscene.errors import PictureError
from zeroscene.pixels import Geometry, resize_crop
from zeroscene.scenes.decode import MAX_PIXELS, decode, reduction

SCENE = scene("tennis court", 0, 40, 60)


def write_tiff(path: Path, bands: np.ndarray, **profile: object) -> Path:
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **profile
    ) as f:
        f.write(bands)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_lossless_formats_give_the_exact_pixels(tmp_path: Path, suffix: str) -> None:
    assert np.array_equal(decode(save(tmp_path / f"scene.{suffix}", SCENE)), SCENE)


def test_jpeg_equals_pillow(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.jpg", scene())
    assert np.abs(decode(path).astype(int) - np.asarray(Image.open(path)).astype(int)).max() <= 1


def test_the_content_decides_not_the_suffix(tmp_path: Path) -> None:
    path = save(tmp_path / "scene.png", SCENE).rename(tmp_path / "really_png.jpg")
    assert np.array_equal(decode(path), SCENE)


def test_pictures_are_writable_contiguous_rgb(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "tif"):
        picture = decode(save(tmp_path / f"scene.{suffix}", SCENE))
        assert (picture.shape, picture.dtype) == ((40, 60, 3), np.uint8)
        assert picture.flags.writeable
        assert picture.flags.c_contiguous


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_grey_becomes_three_equal_channels(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"grey.{suffix}", SCENE[..., 1])
    picture = decode(path)
    assert (picture == picture[..., :1]).all()
    assert np.abs(picture[..., 0].astype(int) - np.asarray(Image.open(path)).astype(int)).max() <= 1


@pytest.mark.parametrize("suffix", ["png", "gif", "tif", "bmp"])
def test_a_palette_is_looked_up(tmp_path: Path, suffix: str) -> None:
    image = Image.new("P", (8, 6))
    image.putpalette([10, 20, 30, 200, 150, 100] + [0] * 750)
    image.paste(1, (4, 0, 8, 6))
    picture = decode(save(tmp_path / f"palette.{suffix}", image))
    assert picture[0, 0].tolist() == [10, 20, 30]
    assert picture[5, 7].tolist() == [200, 150, 100]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparent_pixels_become_black(tmp_path: Path, suffix: str) -> None:
    opaque = np.full(SCENE.shape[:2], 255, np.uint8)
    opaque[:, :20] = 0
    decoded = decode(save(tmp_path / f"alpha.{suffix}", np.dstack([SCENE, opaque])))
    assert (decoded[:, :20] == 0).all()
    assert np.array_equal(decoded[:, 20:], SCENE[:, 20:])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"inks.{suffix}", Image.fromarray(SCENE).convert("CMYK"))
    assert np.abs(decode(path).astype(int) - SCENE).mean() <= 6


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_deep_values_are_stretched_between_the_2nd_and_98th_percentile(tmp_path: Path, dtype: str) -> None:
    ramp = np.linspace(1000, 3000, 10_000).reshape(100, 100)
    bands = np.stack([ramp, ramp, ramp]).astype(dtype)
    bands[:, 0, 0] = 30_000  # one hot pixel must not darken the rest
    picture = decode(write_tiff(tmp_path / "deep.tif", bands))
    low, high = np.percentile(bands, [2, 98])
    expected = np.clip((bands[0].astype(float) - low) / (high - low) * 255, 0, 255)
    assert np.abs(picture[..., 0] - expected).max() <= 1
    assert picture.min() == 0
    assert picture.max() == 255


def test_the_stretch_keeps_the_ratio_of_bands(tmp_path: Path) -> None:
    ramp = np.linspace(100, 1100, 900).reshape(30, 30)
    picture = decode(write_tiff(tmp_path / "blue.tif", np.stack([ramp / 4, ramp / 2, ramp]).astype(np.uint16)))
    assert picture[..., 2].mean() > 1.5 * picture[..., 1].mean() > 2 * picture[..., 0].mean()


def test_a_16_bit_png_is_stretched_too(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 4095, 2500).reshape(50, 50).astype(np.uint16)).save(path)
    picture = decode(path)
    assert picture.max() == 255
    assert 120 <= picture.mean() <= 135


def test_more_bands_the_first_three_are_rgb(tmp_path: Path) -> None:
    bands = np.stack([np.full((5, 5), value, np.uint8) for value in (10, 20, 30, 40, 50)])
    assert decode(write_tiff(tmp_path / "five.tif", bands, photometric="minisblack"))[2, 2].tolist() == [10, 20, 30]


def test_pixels_without_data_are_black_and_do_not_bend_the_stretch(tmp_path: Path) -> None:
    bands = np.linspace(500, 900, 400).reshape(1, 20, 20).astype(np.float32)
    bands[0, :2] = np.nan
    bands[0, 2:4] = -9999
    picture = decode(write_tiff(tmp_path / "holes.tif", bands, nodata=-9999))
    assert (picture[:4] == 0).all()
    assert picture[4:].mean() == pytest.approx(127.5, abs=3)


def test_a_constant_deep_picture_is_black(tmp_path: Path) -> None:
    assert not decode(write_tiff(tmp_path / "flat.tif", np.full((3, 4, 4), 700, np.uint16))).any()


def test_bits_below_eight_fill_the_range(tmp_path: Path) -> None:
    bands = np.array([[[0, 1], [1, 0]]], np.uint8)
    picture = decode(write_tiff(tmp_path / "bits.tif", bands, nbits=1))
    assert picture[..., 0].tolist() == [[0, 255], [255, 0]]


def test_georeferenced_tiff_is_a_picture_like_any_other(tmp_path: Path) -> None:
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    path = write_tiff(tmp_path / "placed.tif", SCENE.transpose(2, 0, 1), photometric="RGB", **place)
    assert np.array_equal(decode(path), SCENE)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "gif"])
def test_one_pixel_is_a_picture(tmp_path: Path, suffix: str) -> None:
    picture = decode(save(tmp_path / f"dot.{suffix}", SCENE[:1, :1]))
    assert picture.shape == (1, 1, 3)
    assert resize_crop(picture, Geometry(256, (224, 224))).shape == (3, 224, 224)


def bad(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(PictureError) as error:
        decode(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp"])
def test_a_truncated_file_is_refused_not_half_decoded(tmp_path: Path, suffix: str) -> None:
    content = save(tmp_path / f"whole.{suffix}", scene(height=200)).read_bytes()
    for keep in (len(content) // 2, 40, 12, 4):
        bad(tmp_path, f"cut{keep}.{suffix}", content[:keep])


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    assert "empty (0 bytes)" in bad(tmp_path, "nothing.jpg", b"")


def test_a_text_named_jpg_says_so(tmp_path: Path) -> None:
    assert "the content is text" in bad(tmp_path, "notes.jpg", b"Downloaded from the server on Monday.\n" * 3)


def test_a_page_of_an_error_saved_as_png_says_so(tmp_path: Path) -> None:
    assert "the content is text" in bad(tmp_path, "page.png", b"<html><body>404 Not Found</body></html>")


def test_other_formats_are_not_opened(tmp_path: Path) -> None:
    """A PostScript file would start an interpreter, a VRT could name any other file."""
    assert "not a picture" in bad(tmp_path, "scene.tif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n" * 9)
    assert "not a picture" in bad(tmp_path, "other.tif", b'<VRTDataset rasterXSize="5" rasterYSize="5"/>' * 3)


def test_a_missing_file_or_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="No such file"):
        decode(tmp_path / "absent.jpg")
    with pytest.raises(PictureError, match="directory"):
        decode(tmp_path)


def test_stray_bytes_that_harm_no_pixel_are_forgiven(tmp_path: Path) -> None:
    content = simplejpeg.encode_jpeg(scene(), quality=95)
    whole, stray = tmp_path / "whole.jpg", tmp_path / "stray.jpg"
    whole.write_bytes(content)
    stray.write_bytes(content[:-2] + b"\x00\x17\x2a" + content[-2:])
    assert np.abs(decode(stray).astype(int) - decode(whole).astype(int)).max() <= 1


def huge_tiff(path: Path, side: int) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=side, width=side, dtype="uint8", tiled=True, SPARSE_OK=True,
        blockxsize=1024, blockysize=1024,
    ) as f:  # fmt: skip
        f.write(np.full((1, 1024, 1024), 200, np.uint8), window=((0, 1024), (0, 1024)))
    return path


def huge_png(path: Path, side: int) -> Path:
    """Write rows one by one: white in the upper half, black below."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    squeeze = zlib.compressobj(1)
    rows = [b"\0" + b"\xff" * side, b"\0" + b"\0" * side]
    data = b"".join(squeeze.compress(rows[row >= side // 2]) for row in range(side)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def test_a_huge_tiff_is_read_at_reduced_size(tmp_path: Path) -> None:
    picture = decode(huge_tiff(tmp_path / "huge.tif", 20_000))
    assert picture.shape == (4000, 4000, 3)
    assert (picture[:200, :200] == 200).all()
    assert not picture[210:].any()


def test_a_huge_png_is_read_at_reduced_size(tmp_path: Path) -> None:
    picture = decode(huge_png(tmp_path / "huge.png", 20_000))
    assert picture.shape == (4000, 4000, 3)
    assert (picture[:1990] == 255).all()
    assert not picture[2010:].any()


def test_a_large_jpeg_is_read_at_reduced_size(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(simplejpeg.encode_jpeg(np.full((5000, 4001, 1), 90, np.uint8), colorspace="GRAY"))
    picture = decode(path)
    assert picture.shape == (2500, 2001, 3)
    assert np.abs(picture.astype(int) - 90).max() <= 1


def jpeg_that_claims(side: int, progressive: bool) -> bytes:
    image = Image.new("RGB", (16, 16), (90, 90, 90))
    file = io.BytesIO()
    image.save(file, "JPEG", progressive=progressive)
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(content)


def test_a_jpeg_that_cannot_be_reduced_in_bounded_memory_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    assert "progressive JPEG of 20000 x 20000" in bad(tmp_path, "slow.jpg", jpeg_that_claims(20_000, True))
    assert "too many to reduce" in bad(tmp_path, "vast.jpg", jpeg_that_claims(65_000, False))


def test_a_bomb_of_an_interlaced_png_is_refused(tmp_path: Path) -> None:
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 20_000, 20_000, 8, 2, 0, 0, 1) + b"\0" * 9
    assert "interlaced PNG of 20000 x 20000" in bad(tmp_path, "bomb.png", header)


@pytest.mark.parametrize(("height", "width"), [(4096, 4096), (20_000, 20_000), (1, 60_000_000), (4097, 4096)])
def test_reduction_is_the_least_that_fits(height: int, width: int) -> None:
    step = reduction(height, width)
    assert height * width <= MAX_PIXELS * step * step
    assert step == 1 or height * width > MAX_PIXELS * (step - 1) ** 2


def test_ucmerced_pictures_decode(shared: Path) -> None:
    for path in sorted((shared / "real/ucmerced/airplane").glob("*.jpg"))[:5]:
        picture = decode(path)
        assert np.abs(picture.astype(int) - np.asarray(Image.open(path).convert("RGB")).astype(int)).max() <= 1
