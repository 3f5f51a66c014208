"""Four quarter turns: the vector of a turned picture is the same, its grid turns along."""

import pytest
import torch

from small_world import scene
from zeroscene.encoders.base import ImageEncoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.rotations import RotationAveraged
from zeroscene.errors import EncoderError


@pytest.fixture(scope="module")
def alone(models) -> ImageEncoder:
    return load_image_encoder(models("resnet"), precision="fp32")


@pytest.fixture(scope="module")
def pictures(alone: ImageEncoder) -> torch.Tensor:
    return torch.stack([alone.prepare(scene(name, height=96)) for name in ("freeway", "lake", "beach")])


def test_a_turned_picture_has_the_same_vector_and_a_turned_grid(alone: ImageEncoder, pictures: torch.Tensor) -> None:
    encoder: ImageEncoder = RotationAveraged(alone)
    upright = encoder.encode(pictures, grid=True)
    turned = encoder.encode(torch.rot90(pictures, 1, (2, 3)), grid=True)
    assert upright.grid_BHWD is not None
    assert turned.grid_BHWD is not None
    torch.testing.assert_close(turned.pooled_BD, upright.pooled_BD, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(turned.grid_BHWD, torch.rot90(upright.grid_BHWD, 1, (1, 2)), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(
        alone.encode(torch.rot90(pictures, 1, (2, 3))).pooled_BD, alone.encode(pictures).pooled_BD, atol=1e-4
    )


def test_the_vector_is_the_mean_over_the_turns(alone: ImageEncoder, pictures: torch.Tensor) -> None:
    mean = sum(alone.encode(torch.rot90(pictures, turn, (2, 3))).pooled_BD for turn in range(4)) / 4
    torch.testing.assert_close(RotationAveraged(alone).encode(pictures).pooled_BD, mean)


def test_it_is_another_encoder_than_the_one_it_turns_pictures_for(alone: ImageEncoder) -> None:
    assert RotationAveraged(alone).identity.fingerprint != alone.identity.fingerprint
    assert RotationAveraged(alone).width == alone.width
    assert RotationAveraged(alone).grid == alone.grid


def test_pictures_that_are_not_square_are_refused_in_clear_words(alone: ImageEncoder) -> None:
    with pytest.raises(EncoderError, match=r"96 x 64.*without rotations"):
        RotationAveraged(alone).encode(torch.zeros(1, 3, 96, 64, dtype=torch.uint8))
