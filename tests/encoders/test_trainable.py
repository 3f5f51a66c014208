"""Models opened for training: the same numbers as when encoding, layers by depth, and the way back into a folder."""

import pytest
import torch
from safetensors.torch import load_file

from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.encoders.trainable import open_trainable
from zeroscene.errors import EncoderError, OptionError

LAYERS = {"vit": 2, "dinov2": 2, "clip": 2, "siglip": 2, "resnet": 4, "convnext": 4, "swin": 2}


def pictures(encoder, count=2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *encoder.geometry.size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_tower_gives_what_the_encoder_gives_and_has_a_gradient(models, kind):
    opened, encoder = open_trainable(models(kind)), load_image_encoder(models(kind), precision="fp32")
    assert opened.identity == encoder.identity
    assert opened.geometry == encoder.geometry
    opened.unfreeze("all")
    pooled, grid = opened.tower(pictures(opened))
    expected = encoder.encode(pictures(opened), grid=True)
    torch.testing.assert_close(pooled.detach(), expected.pooled_BD, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(grid.detach(), expected.grid_BHWD, atol=1e-5, rtol=1e-4)
    (pooled.sum() + grid.square().sum()).backward()
    parts = opened.by_depth()
    assert all(any(p.grad is not None for p in part) for part in parts[: LAYERS[kind] + 1])


@pytest.mark.parametrize(("kind", "layers"), LAYERS.items())
def test_parameters_stand_by_depth_each_once(models, kind, layers):
    opened = open_trainable(models(kind))
    parts = opened.by_depth()
    assert opened.layers == layers
    assert len(parts) == layers + 2
    assert sum(len(part) for part in parts) == len(list(opened.tower.parameters()))
    assert all(parts[: layers + 1])


def test_the_parts_of_a_clip_are_embeddings_layers_and_what_leads_to_texts(models):
    opened = open_trainable(models("clip"))
    names = {id(parameter): name for name, parameter in opened.tower.named_parameters()}
    before, _, last, after = ([names[id(p)] for p in part] for part in opened.by_depth())
    assert "vision.embeddings.patch_embedding.weight" in before
    assert all(".layers.1." in name for name in last)
    assert after == ["vision.post_layernorm.weight", "vision.post_layernorm.bias", "projection.weight"]


@pytest.mark.parametrize(("last", "parts"), [(1, 2), (2, 3), ("all", 4)])
def test_only_what_is_unfrozen_has_a_gradient(models, last, parts):
    opened = open_trainable(models("clip"))
    assert not any(p.requires_grad for p in opened.tower.parameters())
    kept = opened.unfreeze(last)
    assert [bool(part) for part in kept] == [False] * (4 - parts) + [True] * parts
    trained = {id(p) for p in opened.tower.parameters() if p.requires_grad}
    assert trained == {id(p) for part in kept for p in part}


def test_more_layers_than_there_are_is_refused(models):
    with pytest.raises(OptionError, match="unfreeze = 3, but clip has 2 layers; or say all"):
        open_trainable(models("clip")).unfreeze(3)


def test_dropout_stays_off_and_statistics_stay_as_they_were(models):
    opened = open_trainable(models("resnet"))
    assert not any(module.training for module in opened.tower.modules())
    before = {name: value.clone() for name, value in opened.tower.named_buffers()}
    opened.unfreeze("all")
    opened.tower(pictures(opened, 4))[0].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in opened.tower.named_buffers())


def test_a_saved_clip_is_a_clip_with_the_texts_it_had(models, tmp_path):
    source = models("clip")
    opened = open_trainable(source)
    opened.unfreeze(1)
    with torch.no_grad():
        for parameter in opened.by_depth()[-1]:
            parameter.mul_(1.5)
    opened.save(tmp_path, {"note.json": {"a": 1}})
    tuned, plain = (load_image_encoder(folder, precision="fp32") for folder in (tmp_path, source))
    assert tuned.identity.fingerprint != plain.identity.fingerprint
    assert tuned.geometry == plain.geometry
    seen = pictures(opened)
    with torch.no_grad():
        torch.testing.assert_close(tuned.encode(seen).pooled_BD, opened.tower(seen)[0], atol=1e-5, rtol=1e-4)
    words = ["a forest", "the sea from above"]
    texts = [load_text_encoder(folder).encode_texts(words) for folder in (tmp_path, source)]
    assert (texts[0] == texts[1]).all()
    assert (tmp_path / "note.json").is_file()


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_comes_back_as_it_was_written(models, tmp_path, kind):
    opened = open_trainable(models(kind))
    opened.save(tmp_path, {})
    again, first = load_file(tmp_path / "model.safetensors"), load_file(models(kind) / "model.safetensors")
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], value) for name, value in first.items())
    assert load_image_encoder(tmp_path).identity.output == load_image_encoder(models(kind)).identity.output


def test_weights_that_were_missing_are_not_made_up(models, tmp_path):
    """The pooler of this ViT has no weights; saved random ones would be taken for trained."""
    source = models("vit")
    assert not any("pooler" in name for name in load_file(source / "model.safetensors"))
    open_trainable(source).save(tmp_path, {})
    assert not any("pooler" in name for name in load_file(tmp_path / "model.safetensors"))


def test_a_note_of_what_it_was_fine_tuned_on_is_read_with_the_encoder(models, tmp_path):
    split = {"dataset": "small", "name": "1", "fingerprint": "f", "seen": ["beach", "lake"]}
    open_trainable(models("clip")).save(tmp_path, {"training.json": {"format": "zeroscene-training-1", "split": split}})
    for load in (load_image_encoder, load_text_encoder):
        tuned = load(tmp_path).identity.fine_tuned
        assert (tuned.dataset, tuned.split, tuned.seen) == ("small", "f", ("beach", "lake"))
    assert load_image_encoder(models("clip")).identity.fine_tuned is None


def test_a_model_of_open_clip_is_refused():
    with pytest.raises(EncoderError, match="cannot be fine-tuned: take the same model in the Hugging Face layout"):
        open_trainable("open-clip:ViT-B-32@openai")
