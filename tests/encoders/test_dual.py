"""Both towers of one model: its own probabilities, from one reading of its files, and clear refusals."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import open_clip_stand_in
import pytest
import torch
import transformers as hf
from test_open_clip import weights, with_small_models

from small_world import scene
from zeroscene.encoders import dual
from zeroscene.encoders.dual import DualEncoder, load_dual_encoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.rotations import RotationAveraged
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError, EncoderMismatchError
from zeroscene.vectors import unit_rows

TEXTS = ["an airport", "a dense forest", "beach"]


def shown(encoder):
    return torch.stack([encoder.image.prepare(scene("harbor", i, 70, 90)) for i in range(3)])


def cosines(encoder, pictures):
    return unit_rows(encoder.image.encode(pictures).pooled_BD.numpy()) @ encoder.text.encode_texts(TEXTS).T


def with_logits(folder, source, scale, bias=None):
    """Copy a model and give it a scale, and a bias, of its own."""
    shutil.copytree(source, folder)
    model = hf.AutoModel.from_pretrained(folder)
    model.logit_scale.data.fill_(np.log(scale))
    if bias is not None:
        model.logit_bias.data.fill_(bias)
    model.save_pretrained(folder)
    return folder, model.eval()


def pixels(pictures):
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(1, 3, 1, 1)
    return (pictures / 255 - mean) / std


def test_a_softmax_of_scaled_cosines_is_the_probability_of_clip_itself(models, tmp_path):
    folder, model = with_logits(tmp_path / "clip", models("clip"), 37.0)
    encoder = load_dual_encoder(folder, precision="fp32")
    pictures = shown(encoder)
    tokens = hf.AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        out = model(tokens["input_ids"], pixels(pictures), tokens["attention_mask"])
    expected = out.logits_per_image.softmax(dim=1).numpy()
    found = np.exp(encoder.logit_scale * cosines(encoder, pictures))
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected, atol=1e-4)
    assert encoder.logit_scale == pytest.approx(37, rel=1e-5)
    assert encoder.logit_bias == 0


def test_the_bias_of_siglip_completes_its_logits(models, tmp_path):
    folder, model = with_logits(tmp_path / "siglip", models("siglip"), 50.0, -7.5)
    encoder = load_dual_encoder(folder, precision="fp32")
    pictures = shown(encoder)
    tokens = hf.AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", max_length=encoder.text.longest, return_tensors="pt"
    )
    with torch.no_grad():
        out = model(tokens["input_ids"], pixels(pictures))
    found = encoder.logit_scale * cosines(encoder, pictures) + encoder.logit_bias
    np.testing.assert_allclose(found, out.logits_per_image.numpy(), atol=2e-3)
    assert encoder.logit_bias == -7.5


def test_a_model_of_open_clip_gives_the_same_towers_as_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", open_clip_stand_in)
    name = f"open-clip:small@{weights(with_small_models(open_clip_stand_in, tmp_path), tmp_path)}"
    encoder = load_dual_encoder(name, precision="fp32")
    pictures = shown(encoder)
    eyes, reader = load_image_encoder(name, precision="fp32"), load_text_encoder(name)
    assert (encoder.image.identity, encoder.text.identity) == (eyes.identity, reader.identity)
    torch.testing.assert_close(encoder.image.encode(pictures).pooled_BD, eyes.encode(pictures).pooled_BD)
    np.testing.assert_array_equal(encoder.text.encode_texts(TEXTS), reader.encode_texts(TEXTS))
    assert encoder.logit_scale == pytest.approx(1 / 0.07)


def test_the_encoder_that_ships_is_one_and_its_files_are_read_once(monkeypatch):
    calls = []
    monkeypatch.setattr(dual, "load_model", lambda source, load=dual.load_model: calls.append(source) or load(source))
    encoder = load_dual_encoder("tiny")
    assert [source.name for source in calls] == ["tiny"]
    assert encoder.image.identity == load_image_encoder("tiny").identity
    assert encoder.text.identity == load_text_encoder("tiny").identity
    assert encoder.image.width == encoder.text.width


@pytest.mark.parametrize(
    ("kind", "told"),
    [("vit", "no part for pictures"), ("clip-vision", "no part for texts"), ("sentence", "no part for pictures")],
)
def test_a_model_without_both_towers_is_refused(models, kind, told):
    with pytest.raises(EncoderError, match=rf"{kind} is no image-text model.*{told}"):
        load_dual_encoder(models(kind))


def test_towers_of_two_models_are_refused_and_the_mean_over_rotations_stays_in_the_space(models):
    clip, tiny = load_dual_encoder(models("clip")), load_dual_encoder("tiny")
    with pytest.raises(EncoderMismatchError, match="two towers of one image-text model"):
        replace(clip, text=tiny.text)
    with pytest.raises(EncoderMismatchError, match="need the projection"):
        DualEncoder(load_image_encoder(models("clip"), pooling="mean"), clip.text, 1.0)
    assert replace(clip, image=RotationAveraged(clip.image)).text is clip.text
