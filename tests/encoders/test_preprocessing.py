"""Every form in which preprocessing is written becomes one geometry."""

import json

import pytest

from zeroscene.encoders.preprocessing import read_preprocessing
from zeroscene.encoders.source import Source
from zeroscene.errors import EncoderError
from zeroscene.pixels import Geometry

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 1.0]}


def read(tmp_path, **settings):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALF | settings))
    return read_preprocessing(Source("model", tmp_path))


@pytest.mark.parametrize(
    ("settings", "geometry"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2}, ((224, 224), None, "bilinear")),
        (
            {"image_processor_type": "SiglipImageProcessor", "size": {"height": 384, "width": 256}, "resample": 3},
            ((384, 256), None, "bicubic"),
        ),
        (
            {
                "feature_extractor_type": "CLIPFeatureExtractor",
                "size": 224,
                "crop_size": 224,
                "do_center_crop": True,
                "resample": 3,
            },
            (224, (224, 224), "bicubic"),
        ),
        (
            {
                "image_processor_type": "BitImageProcessor",
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 224},
            },
            (256, (224, 224), "bicubic"),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.875},
            (256, (224, 224), "bicubic"),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 288}, "crop_pct": 0.95},
            (303, (288, 288), "bicubic"),
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 384}},
            ((384, 384), None, "bicubic"),
        ),
        (
            {
                "image_processor_type": "DINOv3ViTImageProcessorFast",
                "size": {"height": 224, "width": 224},
                "resample": 2,
            },
            ((224, 224), None, "bilinear"),
        ),
    ],
)
def test_sizes(tmp_path, settings, geometry):
    assert read(tmp_path, **settings).geometry == Geometry(*geometry)


def test_normalisation_becomes_one_product_and_one_sum(tmp_path):
    found = read(tmp_path, image_processor_type="ViTImageProcessor", size={"height": 8, "width": 8})
    assert found.scale == pytest.approx((4 / 255, 2 / 255, 1 / 255))
    assert found.shift == pytest.approx((-2, -1, -0.5))


def test_without_normalisation_only_the_rescaling_is_left(tmp_path):
    found = read(
        tmp_path,
        image_processor_type="MobileViTImageProcessor",
        size={"shortest_edge": 288},
        crop_size={"height": 256, "width": 256},
    )
    assert found.blue_first
    assert found.scale == pytest.approx((1 / 255,) * 3)
    assert found.shift == (0, 0, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"height": 8, "width": 8}, "resample": 0}, "resample = 0 is not supported"),
        ({"size": {"longest_edge": 8}}, "size = .* is not supported"),
        ({"size": {"height": 8, "width": 8}, "do_resize": False}, "do_resize is false"),
        ({"size": {"height": 8, "width": 8}, "image_mean": [0.5], "image_std": [1.0]}, "1 channels"),
        ({}, "cannot be understood"),
        (
            {"size": {"height": 8, "width": 8}, "do_center_crop": True, "crop_size": {"height": 9, "width": 9}},
            "larger than the picture",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path, settings, message):
    with pytest.raises(EncoderError, match=f"model: preprocessor_config.json.*{message}"):
        read(tmp_path, image_processor_type="NewerThanThisPackage", **settings)


def test_the_processor_of_a_model_that_reads_texts_too_holds_it_as_a_part(tmp_path):
    part = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}, "do_center_crop": True}
    alone = read(tmp_path, **part, crop_size=224)
    (tmp_path / "preprocessor_config.json").unlink()
    both = {"image_processor": HALF | part | {"crop_size": 224}, "processor_class": "CLIPProcessor"}
    (tmp_path / "processor_config.json").write_text(json.dumps(both))
    assert read_preprocessing(Source("model", tmp_path)) == alone
