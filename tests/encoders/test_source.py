"""Where models come from: what is refused, and in which words."""

import json
import shutil

import pytest
import torch

from small_world import scene
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.source import locate
from zeroscene.errors import EncoderError


@pytest.fixture
def vit(models, tmp_path):
    return shutil.copytree(models("vit"), tmp_path / "vit")


def test_pickled_weights_are_refused_and_the_way_out_is_named(vit):
    (vit / "model.safetensors").unlink()
    torch.save({}, vit / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"only as pytorch_model\.bin, a pickle.*save_pretrained"):
        load_image_encoder(vit)


def test_absent_weights_are_named(vit):
    (vit / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"no model\.safetensors"):
        load_image_encoder(vit)


@pytest.mark.parametrize("keep", [0, 7, 500])
def test_cut_off_weights_are_damaged_weights(vit, keep):
    weights = vit / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(EncoderError, match=r"vit: .*damaged"):
        load_image_encoder(vit)


def test_parameters_that_would_be_random_are_refused(vit):
    from safetensors.torch import load_file, save_file

    tensors = load_file(vit / "model.safetensors")
    lost = next(name for name in tensors if name.endswith("weight") and "layer" in name)
    save_file({k: v for k, v in tensors.items() if k != lost}, vit / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError, match="lacks 1 parameters"):
        load_image_encoder(vit)


def test_weights_of_another_shape_are_refused(vit):
    config = json.loads((vit / "config.json").read_text())
    (vit / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(EncoderError, match="vit: "):
        load_image_encoder(vit)


def test_a_missing_shard_is_named(vit):
    (vit / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (vit / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(EncoderError, match="model-00001-of-00002"):
        load_image_encoder(vit)


def test_sharded_weights_give_the_same_vectors(models, tmp_path):
    import transformers as hf

    whole = load_image_encoder(models("vit"), precision="fp32")
    folder = shutil.copytree(models("vit"), tmp_path / "sharded", ignore=shutil.ignore_patterns("*.safetensors"))
    hf.AutoModel.from_pretrained(models("vit")).save_pretrained(folder, max_shard_size="8KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    sharded = load_image_encoder(folder, precision="fp32")
    pictures = torch.stack([whole.prepare(scene("harbor", i)) for i in range(2)])
    torch.testing.assert_close(sharded.encode(pictures).pooled_BD, whole.encode(pictures).pooled_BD)


def test_an_unknown_architecture_is_refused(vit):
    (vit / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(EncoderError, match="cannot load the model"):
        load_image_encoder(vit)


def test_a_model_without_preprocessing_is_refused(vit):
    (vit / "preprocessor_config.json").unlink()
    with pytest.raises(EncoderError, match=r"no preprocessor_config\.json"):
        load_image_encoder(vit)


def test_a_sentence_encoder_is_no_image_encoder(models):
    with pytest.raises(EncoderError, match="preprocessing is not known"):
        load_image_encoder(models("sentence"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"no config\.json"):
        locate(tmp_path)


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/vit", "a/b/c"])
def test_a_path_that_is_not_there_is_not_taken_for_a_hub_id(name):
    with pytest.raises(EncoderError, match="no such folder"):
        locate(name)


def test_a_hub_id_is_not_downloaded_unless_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match=r"neither a folder nor in the local .* cache.*download=True"):
        locate("facebook/dinov2-base")


def test_a_cached_hub_id_is_found_without_the_network(models, tmp_path, monkeypatch):
    snapshot = tmp_path / "models--some--vit" / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(models("vit"), snapshot)
    (tmp_path / "models--some--vit" / "refs").mkdir()
    (tmp_path / "models--some--vit" / "refs" / "main").write_text(snapshot.name)
    import huggingface_hub

    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: real(*a, cache_dir=tmp_path, **k))
    encoder = load_image_encoder("some/vit")
    assert encoder.identity.name == "some/vit"
    assert encoder.identity.fingerprint == load_image_encoder(models("vit")).identity.fingerprint
