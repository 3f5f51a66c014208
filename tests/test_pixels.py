import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from small_world import scene
from zeroscene.errors import OptionError
from zeroscene.pixels import Geometry, batch_of, resize_crop

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def scenery(height: int, width: int, index: int = 0) -> np.ndarray:
    """Return a scene of little contrast: no step in it is saturated by a filter that overshoots."""
    return scene("dense residential", index, height, width) // 2 + 64


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(224, 224), (96, 130), (300, 310), (1, 1)])
def test_resize_is_within_two_grey_levels_of_pillow(interpolation: str, size: tuple[int, int]) -> None:
    for picture in (scenery(256, 256), scenery(301, 213, index=1), scenery(600, 600, index=2)):
        ours = resize_crop(picture, Geometry(size, None, interpolation)).permute(1, 2, 0).numpy()
        pillows = np.asarray(Image.fromarray(picture).resize(size[::-1], FILTERS[interpolation]))
        assert np.abs(ours.astype(int) - pillows.astype(int)).max() <= 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_saturated_edges_agree_with_pillow_pass_by_pass(interpolation: str) -> None:
    """Pillow may take the vertical pass first; with the horizontal one first, even hard clipped edges agree."""
    blocks = np.kron(np.random.default_rng(0).integers(0, 2, (20, 16, 3)) * 255, np.ones((16, 16, 1))).astype(np.uint8)
    ours = resize_crop(blocks, Geometry((150, 200), None, interpolation)).permute(1, 2, 0).numpy()
    across = Image.fromarray(blocks).resize((200, 320), FILTERS[interpolation])
    pillows = np.asarray(across.resize((200, 150), FILTERS[interpolation]))
    assert np.abs(ours.astype(int) - pillows.astype(int)).max() <= 2


def test_shorter_edge_then_centre_crop() -> None:
    picture = scenery(200, 300)
    ours = resize_crop(picture, Geometry(100, (80, 90), "bilinear")).permute(1, 2, 0).numpy()
    pillows = Image.fromarray(picture).resize((150, 100), Image.Resampling.BILINEAR).crop((30, 10, 120, 90))
    assert np.abs(ours.astype(int) - np.asarray(pillows).astype(int)).max() <= 2


def test_a_picture_that_has_the_size_is_only_cropped() -> None:
    picture = scenery(64, 64)
    out = resize_crop(picture, Geometry(64, (32, 32)))
    assert np.array_equal(out.permute(1, 2, 0).numpy(), picture[16:48, 16:48])
    out.zero_()
    assert picture[16:48, 16:48].any(), "the outcome must not share memory with the picture"


def test_outcome_is_channels_last_bytes() -> None:
    out = resize_crop(scenery(50, 70), Geometry(32, (24, 28)))
    assert out.dtype == torch.uint8
    assert out.shape == (3, 24, 28)
    assert out.permute(1, 2, 0).is_contiguous()


def test_a_picture_that_may_not_be_written_to_is_accepted() -> None:
    picture = scenery(40, 40)
    picture.flags.writeable = False
    assert resize_crop(picture, Geometry(40, (20, 20))).shape == (3, 20, 20)


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 3), (3, 5_000, 3)])
def test_a_long_strip_is_cut_to_its_middle_before_it_grows(shape: tuple[int, int, int]) -> None:
    picture = np.zeros(shape, np.uint8)
    middle = tuple(slice(n // 2 - min(n // 2, 40), n // 2 + 41) for n in shape[:2])
    picture[middle] = 200
    assert bool((resize_crop(picture, Geometry(64, (64, 64))) == 200).all())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_every_picture_ends_in_the_size_of_the_geometry(h: int, w: int, crop_h: int, crop_w: int, square: bool) -> None:
    resize: int | tuple[int, int] = max(crop_h, crop_w) if square else (crop_h + 3, crop_w + 1)
    geometry = Geometry(resize, (crop_h, crop_w))
    assert resize_crop(np.full((h, w, 3), 77, np.uint8), geometry).shape == (3, *geometry.size)


@pytest.mark.parametrize(
    ("resize", "crop", "interpolation", "says"),
    [
        (0, (1, 1), "bicubic", "positive"),
        (224, None, "bicubic", "needs a crop"),
        (200, (224, 224), "bicubic", "larger than the picture"),
        ((224, 200), (224, 224), "bicubic", "larger than the picture"),
        ((224, 224), None, "lanczos", "bilinear or bicubic"),
    ],
)
def test_impossible_geometries_are_refused(resize: object, crop: object, interpolation: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Geometry(resize, crop, interpolation)  # type: ignore[arg-type]


def test_a_batch_holds_its_pictures():
    pictures = [torch.from_numpy(scene(index=i)).permute(2, 0, 1) for i in range(3)]
    assert torch.equal(batch_of(pictures), torch.stack(pictures))
    assert torch.equal(batch_of([p.contiguous() for p in pictures]), torch.stack(pictures))
