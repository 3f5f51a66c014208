"""Models of open_clip: equal to what the package itself computes, from files that cannot run code, never in silence.

The package is often absent, because it needs torchvision. The tests then run on a stand-in with its functions
(open_clip_stand_in.py); those that ask for `package` also run on the real one where it is installed.
"""

import importlib
import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import open_clip_stand_in
import pytest
import torch
import transformers as hf
from safetensors.torch import save_file

from small_world import scene
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.open_clip import ModelId
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError, MissingExtraError
from zeroscene.semantics.annotate import annotate_texts
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.serving.sources import Origin

SMALL = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 16, "layers": 2, "head_width": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
NEEDS = "open_clip is not installed or cannot be imported here (extra open-clip)"


def real_package():
    try:
        return importlib.import_module("open_clip")
    except Exception as error:  # what a torchvision that does not fit raises has many types
        pytest.skip(f"{NEEDS}: {type(error).__name__}")


def with_small_models(package, folder: Path):
    """Return the package with two architectures of a few parameters that differ in their activation only."""
    for name, more in {"small": {}, "small-quickgelu": {"quick_gelu": True}, "small-squash": {}}.items():
        (folder / f"{name}.json").write_text(json.dumps(SMALL | more))
        package.add_model_config(folder / f"{name}.json")
    return package


@pytest.fixture(params=["stand-in", "real"])
def package(request, tmp_path, monkeypatch):
    """Return open_clip: the stand-in, and the real package where there is one."""
    if request.param == "real":
        return with_small_models(real_package(), tmp_path)
    monkeypatch.setitem(sys.modules, "open_clip", open_clip_stand_in)
    return with_small_models(open_clip_stand_in, tmp_path)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return the stand-in alone: for what would need gigabytes of published weights otherwise."""
    monkeypatch.setitem(sys.modules, "open_clip", open_clip_stand_in)
    return with_small_models(open_clip_stand_in, tmp_path)


def weights(package, folder: Path, seed: int = 0, name: str = "weights.safetensors") -> Path:
    torch.manual_seed(seed)
    state = package.create_model("small").state_dict()
    if name.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
    else:
        torch.save({"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / name)
    return folder / name


def pictures(encoder, count: int = 3) -> torch.Tensor:
    return torch.stack([encoder.prepare(scene("harbor", i, 70, 90)) for i in range(count)])


def of_the_package(package, file: Path):
    model = package.create_model("small", pretrained=str(file)).eval()
    settings = package.get_model_preprocess_cfg(model)
    mean, std = (torch.tensor(settings[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return model, lambda grey: (grey / 255 - mean) / std


def test_pooled_vectors_are_those_of_encode_image(package, tmp_path):
    file = weights(package, tmp_path)
    encoder = load_image_encoder(f"open-clip:small@{file}", precision="fp32")
    shown = pictures(encoder)
    model, pixels = of_the_package(package, file)
    with torch.no_grad():
        expected = model.encode_image(pixels(shown))
    assert encoder.width == 12
    torch.testing.assert_close(encoder.encode(shown).pooled_BD, expected, rtol=1e-4, atol=1e-5)


def test_grid_holds_the_patches_row_by_row_in_the_space_of_texts(package, tmp_path):
    file = weights(package, tmp_path)
    encoder = load_image_encoder(f"open-clip:small@{file}", precision="fp32")
    shown = pictures(encoder)
    model, pixels = of_the_package(package, file)
    with torch.no_grad():
        maps = model.visual.forward_intermediates(pixels(shown), indices=1)["image_intermediates"][0]
        projected = model.visual.ln_post(maps.permute(0, 2, 3, 1)) @ model.visual.proj
    assert encoder.grid == (4, 4, 12)
    torch.testing.assert_close(encoder.encode(shown, grid=True).grid_BHWD, projected, rtol=1e-4, atol=1e-5)
    averaged = load_image_encoder(f"open-clip:small@{file}", precision="fp32", pooling="mean")
    seen = averaged.encode(shown, grid=True)
    torch.testing.assert_close(seen.pooled_BD, maps.mean((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.grid_BHWD, maps.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


def as_open_clip(clip: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the parameters of a CLIP in the Hugging Face layout under their names in open_clip."""
    seen, read = "vision_model.", "text_model."
    found = {
        "visual.conv1.weight": clip[f"{seen}embeddings.patch_embedding.weight"],
        "visual.class_embedding": clip[f"{seen}embeddings.class_embedding"],
        "visual.positional_embedding": clip[f"{seen}embeddings.position_embedding.weight"],
        "visual.proj": clip["visual_projection.weight"].T,
        "token_embedding.weight": clip[f"{read}embeddings.token_embedding.weight"],
        "positional_embedding": clip[f"{read}embeddings.position_embedding.weight"],
        "text_projection": clip["text_projection.weight"].T,
        "logit_scale": clip["logit_scale"],
    }
    norms = {"visual.ln_pre": f"{seen}pre_layrnorm", "visual.ln_post": f"{seen}post_layernorm"}
    norms["ln_final"] = f"{read}final_layer_norm"
    parts = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for layer, (theirs, ours) in product(range(2), (("visual.", seen), ("", read))):
        block, own = f"{theirs}transformer.resblocks.{layer}.", f"{ours}encoder.layers.{layer}."
        norms |= {block + name: own + part for name, part in parts.items()}
        norms[f"{block}attn.out_proj"] = f"{own}self_attn.out_proj"
        for kind in ("weight", "bias"):
            found[f"{block}attn.in_proj_{kind}"] = torch.cat([clip[f"{own}self_attn.{q}_proj.{kind}"] for q in "qkv"])
    found |= {f"{name}.{kind}": clip[f"{part}.{kind}"] for name, part in norms.items() for kind in ("weight", "bias")}
    return {name: tensor.contiguous() for name, tensor in found.items()}


@pytest.mark.parametrize("pooling", ["auto", "mean"])
def test_a_clip_is_the_same_encoder_in_both_layouts(tmp_path, pooling):
    with_small_models(real_package(), tmp_path)
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    text = layers | {"vocab_size": 49408, "max_position_embeddings": 24, "hidden_act": "gelu"}
    vision = layers | {"image_size": 32, "patch_size": 8, "hidden_act": "gelu"}
    torch.manual_seed(0)
    clip = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    clip.save_pretrained(tmp_path / "clip")
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "size": 32, "crop_size": 32})
    )
    save_file(as_open_clip(clip.state_dict()), tmp_path / "clip.safetensors")
    one = load_image_encoder(tmp_path / "clip", precision="fp32", pooling=pooling)
    other = load_image_encoder(f"open-clip:small@{tmp_path / 'clip.safetensors'}", precision="fp32", pooling=pooling)
    assert one.identity.preprocessing == other.identity.preprocessing
    seen, found = (encoder.encode(pictures(encoder), grid=True) for encoder in (one, other))
    torch.testing.assert_close(found.pooled_BD, seen.pooled_BD, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.grid_BHWD, seen.grid_BHWD, rtol=1e-4, atol=1e-5)


def test_texts_are_those_of_encode_text_in_the_space_of_the_pictures(package, tmp_path):
    file = weights(package, tmp_path)
    reader = load_text_encoder(f"open-clip:small@{file}")
    model, _ = of_the_package(package, file)
    texts = ["a harbour", "a beach", "from above"]
    with torch.no_grad():
        expected = model.encode_text(package.get_tokenizer("small")(texts), normalize=True).numpy()
    assert reader.width == load_image_encoder(f"open-clip:small@{file}").width == 12
    np.testing.assert_allclose(reader.encode_texts(texts), expected, rtol=1e-4, atol=1e-5)
    assert reader.encode_texts([]).shape == (0, 12)


def test_a_text_that_is_too_long_is_named_and_not_cut_off(package, tmp_path):
    reader = load_text_encoder(f"open-clip:small@{weights(package, tmp_path)}")
    assert reader.longest == 24
    longest = " ".join("a" * 22) if package is not open_clip_stand_in else "a" * 22
    assert reader.encode_texts([longest]).shape == (1, 12)
    with pytest.raises(EncoderError, match=r"reads 24 tokens, the text '.*' has 25; shorten it"):
        reader.encode_texts(["fine", longest + (" b" if package is not open_clip_stand_in else "b")])
    with pytest.raises(EncoderError, match="192 or more"):
        reader.encode_texts([longest * 20])


def test_a_checkpoint_of_tensors_gives_the_vectors_of_the_same_safetensors(package, tmp_path):
    safe, pickled = weights(package, tmp_path), weights(package, tmp_path, name="epoch.pt")
    one, other = (load_image_encoder(f"open-clip:small@{file}", precision="fp32") for file in (safe, pickled))
    torch.testing.assert_close(one.encode(pictures(one)).pooled_BD, other.encode(pictures(other)).pooled_BD)


class _Harmful:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("load", [load_image_encoder, load_text_encoder])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(package, tmp_path, load):
    torch.save({"state_dict": {}, "more": _Harmful(tmp_path / "ran")}, tmp_path / "harmful.pt")
    with pytest.raises(EncoderError, match=r"more than tensors.*never loaded; convert it once where you trust it"):
        load(f"open-clip:small@{tmp_path / 'harmful.pt'}")
    assert not (tmp_path / "ran").exists()


def test_identity_is_of_weights_and_architecture_and_not_of_the_place(package, tmp_path):
    def fingerprint(name: str) -> str:
        return load_image_encoder(name).identity.fingerprint

    (tmp_path / "elsewhere").mkdir()
    one = fingerprint(f"open-clip:small@{weights(package, tmp_path)}")
    assert fingerprint(f"open-clip:small@{weights(package, tmp_path / 'elsewhere', name='b.safetensors')}") == one
    assert fingerprint(f"open-clip:small@{weights(package, tmp_path, 1, 'c.safetensors')}") != one
    # The activation is not in the weights file, so the same file is another encoder under another architecture.
    assert fingerprint(f"open-clip:small-quickgelu@{tmp_path / 'weights.safetensors'}") != one
    assert load_text_encoder(f"open-clip:small@{tmp_path / 'weights.safetensors'}").identity.output == "text-projection"


def test_weights_of_another_architecture_are_refused(package, tmp_path):
    save_file({"visual.proj": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(
        EncoderError, match=r"open-clip:small@.*other.safetensors: open_clip cannot load it: "
    ) as raised:
        load_image_encoder(f"open-clip:small@{tmp_path / 'other.safetensors'}")
    assert "\n" not in str(raised.value)


def test_a_file_keeps_the_ratio_of_sides_where_open_clip_does(package, tmp_path):
    encoder = load_image_encoder(f"open-clip:small@{weights(package, tmp_path)}")
    assert encoder.geometry.size == (32, 32)
    assert (encoder.geometry.resize, encoder.geometry.crop, encoder.geometry.interpolation) == (32, (32, 32), "bicubic")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open-clip:smal@x.pt", r"open_clip has no architecture 'smal'; nearest: small"),
        ("open-clip:small@nowhere.pt", r"no weights file nowhere\.pt"),
        ("open-clip:small@folder/weights.npz", r"a file that ends in one of \.safetensors, \.pt"),
        ("open-clip:small", r"ARCHITECTURE@WEIGHTS, for instance open-clip:ViT-B-32@laion2b_s34b_b79k"),
        ("open-clip:@x.pt", r"ARCHITECTURE@WEIGHTS"),
    ],
)
def test_what_an_id_lacks_is_said(package, name, message):
    for load in (load_image_encoder, load_text_encoder):
        with pytest.raises(EncoderError, match=message):
            load(name)


def test_the_class_token_is_not_to_be_had(package, tmp_path):
    with pytest.raises(EncoderError, match="no class token; use pooling auto or mean"):
        load_image_encoder(f"open-clip:small@{weights(package, tmp_path)}", pooling="cls")


def test_a_model_annotates_classes(package, tmp_path):
    reader = load_text_encoder(f"open-clip:small@{weights(package, tmp_path)}")
    table = annotate_texts(
        ["harbor", "beach"],
        Vocabulary(("ships", "sand"), ("things", "ground"), (("ships",), ("sand",))),
        reader,
        texts={"harbor": ["ships at a quay"], "beach": ["sand by the sea"]},
    )
    assert table.columns == ("ships", "sand")
    assert table.provenance["encoder"]["output"] == "text-projection"


def test_ids_name_a_file_or_a_tag():
    assert ModelId.parse("open-clip:ViT-B-32@laion2b_s34b_b79k").file is None
    assert ModelId.parse("open-clip:ViT-B/32@weights.pt") == ModelId("ViT-B-32", "weights.pt")
    assert ModelId.parse("open-clip:ViT-B-32@weights.pt").file == Path("weights.pt")
    parsed = ModelId.parse("open-clip:ViT-B-32@/data/a@b/weights.safetensors")
    assert parsed.file == Path("/data/a@b/weights.safetensors")
    assert parsed.name == "open-clip:ViT-B-32@weights.safetensors"


def test_a_store_notes_the_weights_file_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Origin.of("open-clip:ViT-B-32@w/a.pt", "auto").encoder == f"open-clip:ViT-B-32@{tmp_path / 'w' / 'a.pt'}"
    assert Origin.of("open-clip:ViT-B-32@openai", "auto").encoder == "open-clip:ViT-B-32@openai"


def in_cache(stand_in, cache: Path, repository: str, file: str) -> None:
    """Lay a file into a cache of the hub as a download does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("f" * 40)
    (folder / "snapshots" / ("f" * 40)).mkdir(parents=True, exist_ok=True)
    weights(stand_in, folder / "snapshots" / ("f" * 40), name=file)


def test_published_weights_come_from_the_cache_and_are_not_downloaded_in_silence(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match=r"not in the local Hugging Face cache; allow its download .*--download"):
        load_image_encoder("open-clip:small@first_s1b")
    in_cache(stand_in, tmp_path, "nobody/small", "open_clip_pytorch_model.bin")
    encoder = load_image_encoder("open-clip:small@first_s1b")
    assert encoder.identity.name == "open-clip:small@first_s1b"
    # safetensors come first where both are there
    in_cache(stand_in, tmp_path, "nobody/small", "open_clip_model.safetensors")
    assert load_image_encoder("open-clip:small@first_s1b").identity.weights != encoder.identity.weights
    with pytest.raises(EncoderError, match=r"no weights of small 'first_s2b'; nearest: .*first_s1b"):
        load_image_encoder("open-clip:small@first_s2b")
    with pytest.raises(EncoderError, match="not on the Hugging Face hub; download the file"):
        load_image_encoder("open-clip:small@elsewhere")


def test_preprocessing_is_that_of_the_published_weights(stand_in, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    in_cache(stand_in, tmp_path, "nobody/other", "open_clip_model.safetensors")
    in_cache(stand_in, tmp_path, "nobody/first_s1b", "open_clip_model.safetensors")
    file = weights(stand_in, tmp_path)

    def shift(name: str) -> float:
        return round(load_image_encoder(name)._preprocessing.shift[0], 3)

    assert shift("open-clip:small@second_s2b") == round(-0.1 / 0.27, 3)
    squashed = load_image_encoder("open-clip:small-squash@first_s1b")
    assert (squashed.geometry.resize, squashed.geometry.crop) == ((32, 32), None)
    assert squashed.geometry.interpolation == "bilinear"
    # A file states none: what all published weights of the architecture share, else the default of open_clip.
    assert (
        load_image_encoder(f"open-clip:small-squash@{file}").identity.preprocessing == squashed.identity.preprocessing
    )
    assert shift(f"open-clip:small@{file}") == round(-0.48 / 0.27, 3)


@pytest.mark.parametrize("change", [{"resize_mode": "longest"}, {"interpolation": "lanczos"}])
def test_preprocessing_that_this_package_lacks_is_refused(stand_in, tmp_path, monkeypatch, change):
    create = open_clip_stand_in.create_model
    monkeypatch.setattr(stand_in, "create_model", lambda *a, **k: create(*a, **{**k, "force_preprocess_cfg": change}))
    with pytest.raises(EncoderError, match=r"resizing to 32 x 32 by .* is not supported"):
        load_image_encoder(f"open-clip:small@{weights(stand_in, tmp_path)}")


@pytest.mark.parametrize("load", [load_image_encoder, load_text_encoder])
def test_without_the_package_the_extra_is_named(monkeypatch, load):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'zeroscene\[open-clip\]'; it is not in the core because"):
        load("open-clip:ViT-B-32@weights.pt")


def test_a_torchvision_that_does_not_fit_is_said(tmp_path, monkeypatch):
    (tmp_path / "open_clip").mkdir()
    (tmp_path / "open_clip" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms is missing')\n")
    monkeypatch.delitem(sys.modules, "open_clip", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EncoderError, match=r"cannot be imported \(operator torchvision::nms is missing\).*torchvision"):
        load_image_encoder("open-clip:ViT-B-32@weights.pt")
