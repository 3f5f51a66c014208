"""The encoder without weights: a plain function of the pixels, the same in any company."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.encoders.handmade import HandmadeEncoder

encoder = HandmadeEncoder()


def prepared(*pictures: np.ndarray) -> torch.Tensor:
    return torch.stack([encoder.prepare(picture) for picture in pictures])


def stripes(period: int, horizontal: bool) -> np.ndarray:
    line = ((np.arange(96) // period) % 2 * 255).astype(np.uint8)
    plane = np.tile(line[:, None] if horizontal else line, (1, 96) if horizontal else (96, 1))
    return np.repeat(plane[:, :, None], 3, axis=2)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_any_picture_gives_finite_vectors_of_the_stated_shapes(height: int, width: int, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    encoded = encoder.encode(prepared(picture), grid=True)
    assert encoded.pooled_BD.shape == (1, encoder.width)
    assert encoded.grid_BHWD.shape == (1, *encoder.grid)
    assert torch.isfinite(encoded.pooled_BD).all()
    assert torch.isfinite(encoded.grid_BHWD).all()


def test_a_vector_does_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(0)
    pictures = prepared(*(rng.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(5)))
    together = encoder.encode(pictures).pooled_BD
    alone = torch.cat([encoder.encode(one[None]).pooled_BD for one in pictures])
    torch.testing.assert_close(together, alone)


def test_a_plain_picture_has_colour_but_neither_edges_nor_texture() -> None:
    grid = encoder.encode(prepared(np.full((50, 80, 3), (40, 120, 200), np.uint8)), grid=True).grid_BHWD
    means, rest = grid[..., :4], grid[..., 4:]
    expected = torch.tensor([360 / 3, (40 - 120) / 2, (200 * 2 - 40 - 120) / 4, (120 - 40) / 2]) / 255
    torch.testing.assert_close(means, expected.expand_as(means))
    assert rest.abs().max() < 1e-3


def test_stripes_show_their_orientation() -> None:
    across, along = encoder.encode(prepared(stripes(8, True), stripes(8, False)), grid=True).grid_BHWD
    energy = slice(8, 16)
    assert across[3, 3, energy].argmax() == 4  # the gradient points down: a quarter turn of eight eighths
    assert along[3, 3, energy].argmax() == 0


def test_fine_stripes_are_rougher_at_the_fine_scale() -> None:
    fine, coarse = encoder.encode(prepared(stripes(1, True), stripes(12, True)), grid=True).grid_BHWD[..., -3]
    assert fine.mean() > 3 * coarse.mean()
