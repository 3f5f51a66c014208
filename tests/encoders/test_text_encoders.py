"""Text encoders: equal to a plain computation with transformers, whole texts only, unit length."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from small_world import scene
from tiny_models import save_sentence_encoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError

TEXTS = ["an airport", "a dense forest with trees", "beach", "sand and sea from above", "the runway of an airport"]


def hidden(folder, text: str) -> torch.Tensor:
    """Return (T, D): the last hidden state of one text alone, without padding."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return hf.AutoModel.from_pretrained(folder)(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("mean", lambda h: h.mean(0)), ("cls", lambda h: h[0]), ("max", lambda h: h.amax(0))],
)
def test_pooling_is_read_from_the_sentence_transformers_files(tmp_path, pooling, pool):
    folder = save_sentence_encoder(tmp_path, pooling)
    encoder = load_text_encoder(folder)
    found = encoder.encode_texts(TEXTS)
    assert found.shape == (5, encoder.width) == (5, 16)
    assert found.dtype == np.float32
    for text, vector in zip(TEXTS, found, strict=True):
        expected = torch.nn.functional.normalize(pool(hidden(folder, text)), dim=0)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    assert encoder.identity.output == f"sentence-{pooling}"


def test_the_newer_form_of_the_pooling_file_is_read(tmp_path):
    folder = save_sentence_encoder(tmp_path)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"embedding_dimension": 16, "pooling_mode": "cls"}))
    assert load_text_encoder(folder).identity.output == "sentence-cls"


def test_a_dense_layer_follows_the_pooling(tmp_path):
    folder = save_sentence_encoder(tmp_path, dense=True)
    encoder = load_text_encoder(folder)
    layer = load_file(folder / "2_Dense" / "model.safetensors")
    pooled = hidden(folder, TEXTS[0]).mean(0)
    expected = torch.tanh(layer["linear.weight"] @ pooled + layer["linear.bias"])
    expected = torch.nn.functional.normalize(expected, dim=0)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[:1])[0], expected, atol=1e-5)
    assert encoder.width == 6


def test_a_model_without_sentence_files_averages_its_tokens(models, tmp_path):
    folder = shutil.copytree(models("sentence"), tmp_path / "plain", ignore=shutil.ignore_patterns("modules.json"))
    np.testing.assert_allclose(
        load_text_encoder(folder).encode_texts(TEXTS), load_text_encoder(models("sentence")).encode_texts(TEXTS)
    )


@pytest.mark.parametrize("kind", ["sentence", "clip", "siglip"])
def test_vectors_do_not_depend_on_company_and_order(models, kind):
    encoder = load_text_encoder(models(kind))
    together = encoder.encode_texts(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[::-1])[::-1], together, atol=1e-5)
    np.testing.assert_allclose(np.vstack([encoder.encode_texts([t]) for t in TEXTS]), together, atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, encoder.width)


def test_clip_texts_lie_in_the_space_of_its_pictures(models):
    folder = models("clip")
    texts, eyes = load_text_encoder(folder), load_image_encoder(folder, precision="fp32")
    assert texts.width == eyes.width == 12
    tokens = hf.AutoTokenizer.from_pretrained(folder)(TEXTS, return_tensors="pt", padding=True)
    pictures = torch.stack([eyes.prepare(scene("harbor", i)) for i in range(2)])
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    model = hf.CLIPModel.from_pretrained(folder)
    with torch.no_grad():
        out = model(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            pixel_values=(pictures / 255 - mean) / std,
        )
    expected = out.logits_per_image / model.logit_scale.exp()
    seen = torch.nn.functional.normalize(eyes.encode(pictures).pooled_BD, dim=1).numpy()
    np.testing.assert_allclose(seen @ texts.encode_texts(TEXTS).T, expected.detach(), atol=1e-5)


def test_siglip_reads_texts_padded_to_full_length(models):
    folder = models("siglip")
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(TEXTS, return_tensors="pt", padding="max_length", max_length=12)
    with torch.no_grad():
        expected = hf.AutoModel.from_pretrained(folder).get_text_features(tokens["input_ids"]).pooler_output
    expected = torch.nn.functional.normalize(expected, dim=1)
    np.testing.assert_allclose(load_text_encoder(folder).encode_texts(TEXTS), expected, atol=1e-5)


def test_a_text_that_is_too_long_is_named_and_never_cut(models):
    encoder = load_text_encoder(models("sentence"))
    assert encoder.longest == 10
    encoder.encode_texts(["forest " * 8])
    with pytest.raises(EncoderError, match=r"reads 10 tokens, the text 'forest forest.*has 11"):
        encoder.encode_texts(["sea", "forest " * 9])


def test_the_identity_follows_tokenizer_and_pooling(models, tmp_path):
    first = load_text_encoder(models("sentence")).identity
    assert load_text_encoder(save_sentence_encoder(tmp_path / "cls", "cls")).identity.fingerprint != first.fingerprint
    other = shutil.copytree(models("sentence"), tmp_path / "other")
    (other / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    assert load_text_encoder(other).identity.fingerprint != first.fingerprint
    assert load_text_encoder(shutil.copytree(models("sentence"), tmp_path / "same")).identity.fingerprint == (
        first.fingerprint
    )


def test_what_is_no_text_encoder_is_refused(models, tmp_path):
    with pytest.raises(EncoderError, match="no tokenizer"):
        load_text_encoder(models("vit"))
    folder = save_sentence_encoder(tmp_path)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_lasttoken": True}))
    with pytest.raises(EncoderError, match=r"pooling .*lasttoken.* is not supported"):
        load_text_encoder(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(EncoderError, match="cannot load the tokenizer"):
        load_text_encoder(folder)


def test_a_real_sentence_encoder_knows_what_is_alike(shared):
    encoder = load_text_encoder(shared / "real" / "encoders" / "all-minilm-l6-v2")
    assert encoder.width == 384
    forest, trees, airport, planes = encoder.encode_texts(
        ["a dense forest", "many trees seen from above", "an airport with runways", "aeroplanes parked at a terminal"]
    )
    assert min(forest @ trees, airport @ planes) > max(forest @ airport, forest @ planes, trees @ airport)
