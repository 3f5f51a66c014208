"""A stand-in for the package open_clip: its functions by name and argument, over networks of a few parameters.

open_clip needs torchvision, which not every machine has in a form that fits its torch. What the tests ask of this
module they ask of the real package too, where it is installed (`package` in test_open_clip.py); the stand-in cannot
show that a published model gives the right numbers.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

_OPENAI = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28), "interpolation": "bicubic", "resize_mode": "shortest"}
_CONFIGS: dict[str, dict[str, Any]] = {}
_PRETRAINED: dict[str, dict[str, dict[str, Any]]] = {
    "small-squash": {
        tag: {"hf_hub": f"nobody/{tag}/", "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear",
              "resize_mode": "squash"}
        for tag in ("first_s1b", "second_s2b")
    },
    "small": {
        "first_s1b": {"hf_hub": "nobody/small/", **_OPENAI},
        "second_s2b": {"hf_hub": "nobody/other/", **_OPENAI, "mean": (0.1, 0.2, 0.3)},
        "elsewhere": {"url": "https://example.org/weights.pt", **_OPENAI},
    },
}  # fmt: skip


def add_model_config(path: str | Path) -> None:
    _CONFIGS[Path(path).stem] = json.loads(Path(path).read_text())


def list_models() -> list[str]:
    return list(_CONFIGS)


def get_model_config(model_name: str) -> dict[str, Any] | None:
    return copy.deepcopy(_CONFIGS.get(model_name))


def list_pretrained_tags_by_model(model: str) -> list[str]:
    return list(_PRETRAINED.get(model, {}))


def get_pretrained_cfg(model: str, tag: str) -> dict[str, Any]:
    return _PRETRAINED.get(model, {}).get(tag, {})


def get_model_preprocess_cfg(model: Any) -> dict[str, Any]:
    return model.visual.preprocess_cfg


class SimpleTokenizer:
    """One token a letter, between two marks; too long texts are cut off in silence, as in open_clip."""

    sot_token_id, eot_token_id = 48, 49

    def __init__(self, context_length: int):
        self.context_length = context_length

    def __call__(self, texts: str | list[str], context_length: int | None = None) -> torch.Tensor:
        texts, length = [texts] if isinstance(texts, str) else texts, context_length or self.context_length
        result = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in zip(result, texts, strict=True):
            ids = [self.sot_token_id, *(1 + ord(c) % 47 for c in text.lower()), self.eot_token_id]
            if len(ids) > length:
                ids = [*ids[: length - 1], self.eot_token_id]
            row[: len(ids)] = torch.tensor(ids)
        return result


def get_tokenizer(model_name: str = "", context_length: int | None = None) -> SimpleTokenizer:
    return SimpleTokenizer(context_length or _CONFIGS[model_name]["text_cfg"]["context_length"])


class _QuickGELU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class _Block(nn.Module):
    def __init__(self, width: int, act: type[nn.Module]):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(width), nn.MultiheadAttention(width, 2, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), act(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, attn_mask: torch.Tensor | None = None) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=attn_mask)[0]
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    def __init__(self, image_size: int, patch_size: int, width: int, layers: int, out: int, act: type[nn.Module]):
        super().__init__()
        self.image_size = (image_size, image_size)
        self.side = image_size // patch_size
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        self.positional_embedding = nn.Parameter(torch.randn(self.side**2 + 1, width))
        self.blocks = nn.ModuleList(_Block(width, act) for _ in range(layers))
        self.attn_pool = None
        self.ln_post, self.proj = nn.LayerNorm(width), nn.Parameter(torch.randn(width, out) / 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_intermediates(x)["image_features"]

    def forward_intermediates(
        self, x: torch.Tensor, indices: int | None = None, output_fmt: str = "NCHW"
    ) -> dict[str, Any]:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        kept = []
        for block in self.blocks:
            x = block(x)
            kept.append(x[:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side)))
        return {
            "image_intermediates": kept[-(indices or 0) :],
            "image_features": self.ln_post(x)[:, 0] @ self.proj,
        }


class CLIP(nn.Module):
    def __init__(self, embed_dim: int, vision_cfg: Any, text_cfg: Any, quick_gelu: bool = False):
        super().__init__()
        act = _QuickGELU if quick_gelu else nn.GELU
        keep = ("image_size", "patch_size", "width", "layers")
        self.visual = VisionTransformer(**{k: vision_cfg[k] for k in keep}, out=embed_dim, act=act)
        width, length = text_cfg["width"], text_cfg["context_length"]
        self.token_embedding = nn.Embedding(text_cfg["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.randn(length, width))
        self.blocks = nn.ModuleList(_Block(width, act) for _ in range(text_cfg["layers"]))
        self.ln_final, self.text_projection = nn.LayerNorm(width), nn.Parameter(torch.randn(width, embed_dim) / 4)
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        self.register_buffer("attn_mask", torch.full((length, length), -torch.inf).triu(1), persistent=False)

    def encode_image(self, image: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        features = self.visual(image)
        return nn.functional.normalize(features, dim=-1) if normalize else features

    def encode_text(self, text: torch.Tensor, normalize: bool = False) -> torch.Tensor:
        x = self.token_embedding(text) + self.positional_embedding
        for block in self.blocks:
            x = block(x, self.attn_mask)
        x = self.ln_final(x)[torch.arange(len(x)), text.argmax(-1)] @ self.text_projection
        return nn.functional.normalize(x, dim=-1) if normalize else x


def create_model(
    model_name: str,
    pretrained: str | None = None,
    *,
    precision: str = "fp32",
    device: str = "cpu",
    force_preprocess_cfg: dict[str, Any] | None = None,
    require_pretrained: bool = False,
    weights_only: bool = True,
) -> CLIP:
    model = CLIP(**_CONFIGS[model_name])
    if pretrained is None and require_pretrained:
        raise RuntimeError("Required pretrained weights could not be loaded.")
    if pretrained is not None:
        if pretrained.endswith(".safetensors"):
            from safetensors.torch import load_file

            state = load_file(pretrained, device=device)
        else:
            state = torch.load(pretrained, map_location=device, weights_only=weights_only)
        state = state.get("state_dict", state)
        model.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state.items()})
    stated = _OPENAI | {"size": model.visual.image_size} | (force_preprocess_cfg or {})
    model.visual.preprocess_cfg = stated  # type: ignore[assignment]
    return model
