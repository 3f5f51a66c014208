"""Small random models, saved in the Hugging Face layout and loaded through the code that loads real ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

HALF = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}
SQUARE = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2, **HALF}
CLIP_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "do_center_crop": True,
    **HALF,
}
BIT = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 36},
    "crop_size": {"height": 28, "width": 28},
    "do_center_crop": True,
    "resample": 3,
    **HALF,
}
CONVNEXT = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 64},
    "crop_pct": 0.875,
    "resample": 3,
    **HALF,
}
_TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_WORDS = "[PAD] [UNK] [CLS] [SEP] a an the of and airport forest dense runway with trees beach sea sand from above"


def _clip() -> hf.CLIPModel:
    text = _TRANSFORMER | {"vocab_size": 40, "max_position_embeddings": 12, "eos_token_id": 1, "bos_token_id": 0}
    vision = _TRANSFORMER | {"image_size": 32, "patch_size": 8}
    return hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))


def _siglip() -> hf.SiglipModel:
    text = _TRANSFORMER | {"vocab_size": 40, "max_position_embeddings": 12, "projection_size": 16}
    vision = _TRANSFORMER | {"image_size": 32, "patch_size": 8}
    return hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))


_VISION = {"image_size": 32, "patch_size": 8, **_TRANSFORMER}
_CNN = {"num_channels": 3, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}

MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "vit": (lambda: hf.ViTModel(hf.ViTConfig(**_VISION), add_pooling_layer=False), SQUARE),
    "dinov2": (
        lambda: hf.Dinov2Model(
            hf.Dinov2Config(image_size=42, patch_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
        ),
        BIT,
    ),
    "registers": (
        lambda: hf.Dinov2WithRegistersModel(
            hf.Dinov2WithRegistersConfig(
                image_size=42, patch_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2
            )
        ),
        BIT,
    ),
    "resnet": (lambda: hf.ResNetModel(hf.ResNetConfig(embedding_size=8, layer_type="bottleneck", **_CNN)), CONVNEXT),
    "convnext": (lambda: hf.ConvNextModel(hf.ConvNextConfig(**_CNN)), CONVNEXT),
    "swin": (
        lambda: hf.SwinModel(
            hf.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
        ),
        SQUARE,
    ),
    "clip": (_clip, CLIP_PROCESSOR),
    "clip-vision": (
        lambda: hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**_VISION, projection_dim=12)),
        CLIP_PROCESSOR,
    ),
    "siglip": (_siglip, {**SQUARE, "image_processor_type": "SiglipImageProcessor"}),
}


def save_wordpiece(folder: Path) -> None:
    """Save a WordPiece tokenizer of a few words, such as a sentence encoder ships."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: i for i, word in enumerate(_WORDS.split())}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    marks = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **marks).save_pretrained(folder)


def save_clip_tokenizer(folder: Path) -> None:
    """Save a tokenizer with the marks of CLIP, whose last one is where the text tower reads its vector."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<|startoftext|>", "<|endoftext|>", "<unk>", *_WORDS.split()[4:]]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{words[0]} $A {words[1]}", special_tokens=[(words[0], 0), (words[1], 1)]
    )
    hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=12, unk_token="<unk>", pad_token=words[1], eos_token=words[1]
    ).save_pretrained(folder)


def save_vision(kind: str, folder: Path) -> Path:
    """Save a tiny vision model with its preprocessing."""
    build, processor = MODELS[kind]
    torch.manual_seed(0)
    model = build().eval()
    # Fresh running statistics are mean 0 and variance 1, under which a wrong fold would go unseen.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    if kind in ("clip", "siglip"):
        save_clip_tokenizer(folder)
    return folder


def save_sentence_encoder(folder: Path, pooling: str = "mean", dense: bool = False) -> Path:
    """Save a tiny BERT in the layout of sentence-transformers."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    config = hf.BertConfig(vocab_size=len(_WORDS.split()), max_position_embeddings=16, **_TRANSFORMER)
    hf.BertModel(config).save_pretrained(folder)
    save_wordpiece(folder)
    modules = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    paths = ["", "1_Pooling", "2_Dense", "3_Normalize"] if dense else ["", "1_Pooling", "2_Normalize"]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(zip(modules, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    flags = {f"pooling_mode_{p}": p.startswith(pooling) for p in ("mean_tokens", "cls_token", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 10, "do_lower_case": False}))
    if dense:
        (folder / "2_Dense").mkdir()
        settings = {"in_features": 16, "out_features": 6, "bias": True}
        settings["activation_function"] = "torch.nn.modules.activation.Tanh"
        (folder / "2_Dense" / "config.json").write_text(json.dumps(settings))
        layer = torch.nn.Linear(16, 6)
        save_file({"linear.weight": layer.weight, "linear.bias": layer.bias}, folder / "2_Dense" / "model.safetensors")
    return folder
