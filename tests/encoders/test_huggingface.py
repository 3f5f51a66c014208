"""Image encoders: equal to transformers' own models and processors, whatever the architecture."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from small_world import scene
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.speed import fastest
from zeroscene.encoders.vision import build_tower
from zeroscene.errors import EncoderError, MissingExtraError

KINDS = ("vit", "dinov2", "registers", "resnet", "convnext", "swin", "clip", "clip-vision", "siglip")


def projected(model: torch.nn.Module, out: Any) -> torch.Tensor:
    return model.visual_projection(model.vision_model.post_layernorm(out.last_hidden_state))


def reference(folder: Path, pictures_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (pooled, last tokens) as transformers computes them from the same grey levels.

    A CLIP's tokens are taken into the space of texts, as its class token is.
    """
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (torch.tensor(settings[f"image_{k}"]).view(1, 3, 1, 1) for k in ("mean", "std"))
    pixels = (pictures_BCHW / 255 - mean) / std
    with torch.no_grad():
        if folder.name == "clip-vision":
            model = hf.CLIPVisionModelWithProjection.from_pretrained(folder)
            out = model(pixels)
            return out.image_embeds, projected(model, out)
        model = hf.AutoModel.from_pretrained(folder).eval()
        if folder.name in ("clip", "siglip"):
            out = model.get_image_features(pixels)
            return out.pooler_output, projected(model, out) if folder.name == "clip" else out.last_hidden_state
        out = model(pixels)
    if folder.name in ("vit", "dinov2", "registers"):
        return out.last_hidden_state[:, 0], out.last_hidden_state
    return out.pooler_output.flatten(1), out.last_hidden_state


def batch(encoder, count: int = 3) -> torch.Tensor:
    return torch.stack([encoder.prepare(scene("harbor", i, 70, 90)) for i in range(count)])


@pytest.mark.parametrize("kind", KINDS)
def test_pooled_vectors_equal_those_of_transformers(models, kind):
    encoder = load_image_encoder(models(kind), precision="fp32")
    pictures = batch(encoder)
    pooled, _ = reference(models(kind), pictures)
    encoded = encoder.encode(pictures)
    assert encoded.grid_BHWD is None
    assert encoded.pooled_BD.shape == (3, encoder.width)
    torch.testing.assert_close(encoded.pooled_BD, pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "grid", "prefix"),
    [
        ("vit", (4, 4, 16), 1),
        ("dinov2", (4, 4, 16), 1),
        ("registers", (4, 4, 16), 5),
        ("resnet", (2, 2, 24), None),
        ("convnext", (2, 2, 24), None),
        ("swin", (4, 4, 16), 0),
        ("clip", (4, 4, 12), 1),
        ("clip-vision", (4, 4, 12), 1),
        ("siglip", (4, 4, 16), 0),
    ],
)
def test_grid_holds_the_patches_row_by_row_without_class_token_and_registers(models, kind, grid, prefix):
    encoder = load_image_encoder(models(kind), precision="fp32")
    assert encoder.grid == grid
    pictures = batch(encoder)
    _, hidden = reference(models(kind), pictures)
    found = encoder.encode(pictures, grid=True).grid_BHWD
    assert found.shape == (3, *grid)
    for row in range(grid[0]):
        for column in range(grid[1]):
            own = hidden[:, :, row, column] if prefix is None else hidden[:, prefix + row * grid[1] + column]
            torch.testing.assert_close(found[:, row, column], own, rtol=1e-4, atol=1e-5)


def test_grid_starts_in_the_north_west(models):
    encoder = load_image_encoder(models("resnet"), precision="fp32")
    plain = np.full((64, 64, 3), 120, np.uint8)
    marked = plain.copy()
    marked[48:, :16] = 255  # a bright field in the south-west
    grids = [encoder.encode(encoder.prepare(p)[None], grid=True).grid_BHWD[0] for p in (plain, marked)]
    change = (grids[0] - grids[1]).abs().sum(2)
    assert change.argmax() == 2  # row 1, column 0 of 2 x 2


@pytest.mark.parametrize("kind", KINDS)
def test_preprocessing_agrees_with_the_models_own_processor(models, kind):
    encoder = load_image_encoder(models(kind), precision="fp32")
    processor = hf.AutoImageProcessor.from_pretrained(models(kind), backend="pil")
    for height, width in ((80, 80), (70, 95), (300, 211)):
        picture = scene("harbor", 0, height, width)
        own = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"][0]
        mean, std = (torch.tensor(getattr(processor, f"image_{k}")).view(3, 1, 1) for k in ("mean", "std"))
        grey = (own * std + mean) * 255
        mine = encoder.prepare(picture).float()
        assert mine.shape == grey.shape
        assert (mine - grey).abs().max() <= 2.01


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_is_close_to_fp32(models, kind):
    exact, rounded = (load_image_encoder(models(kind), precision=p) for p in ("fp32", "bf16"))
    pictures = batch(exact)
    one, other = exact.encode(pictures, grid=True), rounded.encode(pictures, grid=True)
    assert other.pooled_BD.dtype == other.grid_BHWD.dtype == torch.float32
    assert torch.cosine_similarity(one.pooled_BD, other.pooled_BD).min() > 0.999
    assert exact.identity == rounded.identity


@pytest.mark.parametrize(("kind", "count"), [("resnet", 11), ("vit", 1), ("clip", 8)])
def test_openvino_gives_the_same_vectors(models, kind, count):
    pytest.importorskip("openvino", reason="the extra `fast` is not installed")
    plain = load_image_encoder(models(kind), precision="fp32")
    fast = load_image_encoder(models(kind), precision="fp32", backend="openvino")
    pictures = batch(plain, count)
    one, other = plain.encode(pictures, grid=True), fast.encode(pictures, grid=True)
    torch.testing.assert_close(other.pooled_BD, one.pooled_BD, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other.grid_BHWD, one.grid_BHWD, rtol=1e-3, atol=1e-4)
    assert fast.encode(pictures).grid_BHWD is None
    assert fast.identity == plain.identity


def test_openvino_absent_names_the_extra(models, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'zeroscene\[fast\]'"):
        load_image_encoder(models("vit"), backend="openvino")


def test_batch_normalisation_is_folded_into_the_convolutions(models):
    encoder = load_image_encoder(models("resnet"), precision="fp32")
    assert not [m for m in encoder._run._tower.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_the_shares_of_the_cores_come_together_in_order(models):
    encoder = load_image_encoder(models("resnet"), precision="fp32")
    pictures = batch(encoder, 7)
    expected = encoder.encode(pictures, grid=True)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        shared_out = load_image_encoder(models("resnet"), precision="fp32")
        for count in (2, 3, 7):
            found = shared_out.encode(pictures[:count], grid=True)
            torch.testing.assert_close(found.pooled_BD, expected.pooled_BD[:count])
            torch.testing.assert_close(found.grid_BHWD, expected.grid_BHWD[:count])
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_network_whose_folded_form_differs_is_left_as_it_is(models):
    from zeroscene.encoders.preprocessing import read_preprocessing
    from zeroscene.encoders.source import load_model, locate

    source = locate(models("resnet"))
    tower = build_tower(load_model(source), source, read_preprocessing(source), "auto")

    class Between(torch.nn.Module):  # a convolution and a normalisation that only seem to follow each other
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(24, 24, 1), torch.nn.BatchNorm2d(24)
            self.norm.running_mean.fill_(0.3)

        def forward(self, x):
            return self.convolution(self.norm(x))

    tower.vision.encoder.stages[-1].layers.append(Between().eval())
    pictures = batch(load_image_encoder(models("resnet")), 2)
    with torch.no_grad():
        expected = tower(pictures)[0]
        torch.testing.assert_close(fastest(tower, "fp32")(pictures)[0], expected)


@pytest.mark.parametrize(
    ("kind", "pooling", "output"),
    [
        ("vit", "auto", "cls"),
        ("vit", "mean", "mean"),
        ("siglip", "auto", "projection"),
        ("clip", "auto", "projection"),
        ("clip", "cls", "cls"),
        ("resnet", "auto", "pooler"),
        ("convnext", "mean", "mean"),
        ("swin", "auto", "pooler"),
    ],
)
def test_the_identity_names_the_pooling(models, kind, pooling, output):
    assert load_image_encoder(models(kind), pooling=pooling).identity.output == output


def test_mean_pooling_averages_the_grid(models):
    for kind in ("vit", "registers", "convnext"):
        encoder = load_image_encoder(models(kind), pooling="mean", precision="fp32")
        encoded = encoder.encode(batch(encoder), grid=True)
        torch.testing.assert_close(encoded.pooled_BD, encoded.grid_BHWD.mean((1, 2)))


@pytest.mark.parametrize(
    ("kind", "pooling", "message"),
    [
        ("resnet", "cls", "no class token"),
        ("siglip", "cls", "no class token"),
        ("vit", "projection", "no projection into a space of texts"),
    ],
)
def test_a_pooling_that_the_model_lacks_is_refused(models, kind, pooling, message):
    with pytest.raises(EncoderError, match=message):
        load_image_encoder(models(kind), pooling=pooling)


def test_a_pooler_without_weights_is_not_used(models, tmp_path):
    """ViT checkpoints often come without their pooler; transformers would fill it with random numbers."""
    folder = shutil.copytree(models("vit"), tmp_path / "vit")
    encoder = load_image_encoder(folder, precision="fp32")
    assert encoder.identity.output == "cls"


def test_the_identity_follows_the_files_and_not_the_folder(models, tmp_path):
    first = load_image_encoder(models("vit")).identity
    moved = shutil.copytree(models("vit"), tmp_path / "elsewhere")
    assert load_image_encoder(moved).identity.fingerprint == first.fingerprint
    settings = json.loads((moved / "preprocessor_config.json").read_text())
    (moved / "preprocessor_config.json").write_text(json.dumps(settings | {"image_mean": [0.1, 0.1, 0.1]}))
    assert load_image_encoder(moved).identity.fingerprint != first.fingerprint


def test_two_towers_share_their_weights_digest(models):
    from zeroscene.encoders.text import load_text_encoder

    eye, reader = load_image_encoder(models("clip")).identity, load_text_encoder(models("clip")).identity
    assert eye.weights == reader.weights
    assert eye.fingerprint != reader.fingerprint


def test_one_picture_gets_the_vector_it_gets_in_a_batch(models):
    encoder = load_image_encoder(models("resnet"), precision="fp32")
    pictures = batch(encoder, 5)
    together = encoder.encode(pictures).pooled_BD
    alone = torch.cat([encoder.encode(p[None]).pooled_BD for p in pictures])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_statistics_of_imagenet_are_what_a_folder_with_them_says(models, tmp_path):
    folder = shutil.copytree(models("clip"), tmp_path / "clip")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    own = load_image_encoder(models("clip"), precision="fp32")
    told, written = (
        load_image_encoder(models("clip"), precision="fp32", statistics="imagenet"),
        load_image_encoder(folder, precision="fp32"),
    )
    pictures = batch(own)
    torch.testing.assert_close(told.encode(pictures).pooled_BD, written.encode(pictures).pooled_BD)
    assert (told.encode(pictures).pooled_BD - own.encode(pictures).pooled_BD).abs().max() > 1e-3
    assert told.identity.fingerprint != own.identity.fingerprint
