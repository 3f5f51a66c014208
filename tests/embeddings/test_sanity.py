"""Checkpoint sanity: a sound model passes, and each way of being broken is told in words that name it."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_models import save_vision
from zeroscene.embeddings import probes, sanity
from zeroscene.embeddings.sanity import SelfCheck, known_preprocessings, measure, self_check
from zeroscene.encoders import tiny
from zeroscene.encoders.dual import load_dual_encoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.rotations import RotationAveraged
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError, EncoderMismatchError


@pytest.fixture(scope="module")
def dual():
    return load_dual_encoder("tiny")


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(tiny.WEIGHTS, tmp_path / "mine")


def change(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    save_file(edit(tensors), folder / "model.safetensors", {"format": "pt"})
    return folder


def random_like(tensors, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(t.shape, generator=generator).to(t.dtype) * 0.05 if t.ndim > 1 else t
        for name, t in tensors.items()
    }


def test_the_encoder_that_ships_is_sound(dual):
    found = measure(dual.image, dual.text)
    assert found.sound
    assert found.accuracy > 0.9
    assert found.chance == pytest.approx(1 / 24, abs=1e-4)
    assert found.preprocessings["own"] > 2.5


def test_turned_four_times_it_is_sound_too(dual):
    assert measure(RotationAveraged(dual.image), dual.text).sound


@pytest.mark.parametrize(
    "name", ["mean and deviation 0.5", "grey levels from 0 to 1", "grey levels from 0 to 255", "the order of colours"]
)
def test_wrong_preprocessing_is_told_and_the_right_one_named(dual, name):
    known = known_preprocessings(dual.image.preprocessing)
    wrong = next(one for full, one in known.items() if full.startswith(name))
    (warning,) = measure(dual.image.behind(wrong), dual.text).warnings
    assert "another preprocessing than its folder declares" in warning
    right = "the order of colours" if "order" in name else "the mean and deviation of"
    assert f"with {right}" in warning
    assert "deviations above" in warning


def test_a_wrong_declaration_in_the_folder_is_told(copy):
    file = copy / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"do_normalize": False}))
    broken = load_dual_encoder(copy)
    assert "mend preprocessor_config.json" in measure(broken.image, broken.text).warnings[0]


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_are_told(copy, seed):
    broken = load_dual_encoder(change(copy, lambda tensors: random_like(tensors, seed)))
    found = measure(broken.image, broken.text)
    assert "no better than random" in found.warnings[0]
    assert found.accuracy < 0.3
    assert found.preprocessings is None


def test_a_text_tower_of_other_weights_is_told_twice(dual, copy):
    def other_texts(tensors):
        random = random_like(tensors, 5)
        return {name: random[name] if "text" in name else t for name, t in tensors.items()}

    reader = load_text_encoder(change(copy, other_texts))
    different, random = measure(dual.image, reader).warnings
    assert "different models" in different
    assert "no better than random" in random


def test_a_swapped_projection_is_told(copy):
    def shuffled(tensors):
        order = torch.randperm(len(tensors["text_projection.weight"]), generator=torch.Generator().manual_seed(0))
        return tensors | {"text_projection.weight": tensors["text_projection.weight"][order].contiguous()}

    broken = load_dual_encoder(change(copy, shuffled))
    assert "no better than random" in measure(broken.image, broken.text).warnings[0]


def test_towers_of_different_widths_are_refused(dual, tmp_path):
    with pytest.raises(EncoderMismatchError, match="not the two towers of one model"):
        measure(dual.image, load_text_encoder(save_vision("clip", tmp_path / "clip")))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_random_model_that_reads_english_is_told(tmp_path, kind):
    folder = save_vision(kind, tmp_path / kind)
    reads_english(folder)
    model = load_dual_encoder(folder)
    found = measure(model.image, model.text)
    assert "no better than random" in found.warnings[0]
    assert found.chance == pytest.approx(1 / len(probes.english().texts), abs=1e-4)


def test_a_model_that_reads_neither_vocabulary_says_that_it_was_not_checked(tmp_path):
    model = load_dual_encoder(save_vision("clip", tmp_path / "clip"))
    assert "was not checked" in measure(model.image, model.text).warnings[0]


def test_the_check_runs_once_for_an_encoder(dual, tmp_path, monkeypatch):
    first = self_check(dual.image, dual.text, tmp_path)
    monkeypatch.setattr(sanity, "measure", lambda *_: pytest.fail("measured again"))
    assert self_check(dual.image, dual.text, tmp_path) == first


def test_a_damaged_cache_and_one_that_cannot_be_written_do_not_stop_it(dual, tmp_path, monkeypatch):
    monkeypatch.setattr(sanity, "measure", lambda *_: SelfCheck(1.0, 0.1, 2.0))
    self_check(dual.image, dual.text, tmp_path)
    (file,) = (tmp_path / "self-checks").iterdir()
    file.write_text("{")
    assert self_check(dual.image, dual.text, tmp_path).sound
    file.write_text('{"accuracy": 1}')
    assert self_check(dual.image, dual.text, tmp_path).sound
    (tmp_path / "file").write_text("")
    assert self_check(dual.image, dual.text, tmp_path / "file").sound


def test_probes_are_the_same_every_time_and_say_what_they_show():
    for make in (probes.english, probes.narrow):
        one, other = make(), make.__wrapped__()
        assert len(set(one.texts)) == len(one.texts) == one.right.max() + 1
        assert all(np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@pytest.mark.parametrize("part", ["vision_model", "text_model"])
def test_missing_parameters_are_named(tmp_path, kind, part):
    folder = save_vision(kind, tmp_path / kind)
    lost = f"{part}.encoder.layers.0.mlp.fc1.weight"
    change(folder, lambda tensors: {name: t for name, t in tensors.items() if name != lost})
    with pytest.raises(EncoderError, match=rf"{kind}: the weights file lacks 1 parameters .*\({lost}\).*random"):
        load_dual_encoder(folder)


@pytest.mark.parametrize("part", ["vision_model", "text_model"])
def test_parameters_of_the_wrong_shape_are_named_with_both_shapes(tmp_path, part):
    folder = save_vision("clip", tmp_path / "clip")
    name = f"{part}.encoder.layers.1.mlp.fc2.bias"
    change(folder, lambda tensors: tensors | {name: torch.zeros(5)})
    with pytest.raises(EncoderError, match=rf"clip: .*shapes: {name}: 5 in the file, 16 wanted"):
        load_dual_encoder(folder)


@pytest.mark.parametrize("part", ["vision_model", "text_model"])
def test_layers_that_the_configuration_does_not_have_are_refused(tmp_path, part):
    folder = save_vision("clip", tmp_path / "clip")
    name = f"{part}.encoder.layers.2.mlp.fc1.bias"
    change(folder, lambda tensors: tensors | {name: torch.zeros(32)})
    with pytest.raises(EncoderError, match=rf"holds 1 parameters of layers that .* \({name}\); the two belong to"):
        load_dual_encoder(folder)


def test_other_parameters_that_are_not_used_are_told_by_the_check(copy):
    change(copy, lambda tensors: tensors | {"classifier.weight": torch.zeros(2, 2)})
    broken = load_dual_encoder(copy)
    (warning,) = measure(broken.image, broken.text).warnings
    assert "leaves 1 parameters of its weights file unused (classifier.weight)" in warning


def test_a_model_without_preprocessing_is_refused_by_name(copy):
    (copy / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match=r"mine: no preprocessor_config\.json .* preprocessing is not known"):
        load_dual_encoder(copy)


def test_another_preprocessing_is_another_encoder_with_the_same_weights(dual):
    other = dual.image.behind(known_preprocessings(dual.image.preprocessing)["mean and deviation 0.5"])
    pictures = torch.stack([dual.image.prepare(probes.narrow().pictures[0])])
    assert other.identity.weights == dual.image.identity.weights
    assert other.identity.fingerprint != dual.image.identity.fingerprint
    before = dual.image.encode(pictures).pooled_BD
    assert not torch.allclose(other.encode(pictures).pooled_BD, before, atol=1e-2)
    torch.testing.assert_close(dual.image.encode(pictures).pooled_BD, before)


def test_behind_is_what_a_folder_with_that_declaration_gives(copy):
    file = copy / "preprocessor_config.json"
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    file.write_text(json.dumps(json.loads(file.read_text()) | half))
    own = load_image_encoder("tiny", precision="fp32")
    declared = load_image_encoder(copy, precision="fp32")
    behind = own.behind(known_preprocessings(own.preprocessing)["mean and deviation 0.5"])
    assert behind.identity.fingerprint == declared.identity.fingerprint
    pictures = torch.stack([own.prepare(picture) for picture in probes.narrow().pictures[:2]])
    torch.testing.assert_close(behind.encode(pictures).pooled_BD, declared.encode(pictures).pooled_BD)


def reads_english(folder):
    """Give a model a tokenizer of the words of the English probes."""
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    said = sorted({word for text in probes.english().texts for word in text.split()})
    words = ["<|startoftext|>", "<|endoftext|>", "<unk>", *said]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{words[0]} $A {words[1]}", special_tokens=[(words[0], 0), (words[1], 1)]
    )
    hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=12, unk_token="<unk>", pad_token=words[1], eos_token=words[1]
    ).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = len(words)
    (folder / "config.json").write_text(json.dumps(config))
    rows = torch.randn(len(words), 16, generator=torch.Generator().manual_seed(0))
    change(folder, lambda tensors: tensors | {"text_model.embeddings.token_embedding.weight": rows})
