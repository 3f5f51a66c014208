"""The tiny encoder: a CLIP of a few megabytes, and a tokenizer that knows the words of captions and no others.

Shapes in names: B pictures, L texts, T tokens, D width of the common space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from zeroscene.files import write_json

MEAN = (0.42, 0.42, 0.38)
DEVIATION = (0.22, 0.21, 0.21)
"""Per channel, near those of lessons; part of the encoder's preprocessing."""

_MARKS = ("<pad>", "<unk>", "<s>", "</s>")
_PAD, _UNKNOWN, _BEGIN, _END = range(len(_MARKS))


@dataclass(frozen=True)
class Shape:
    """The encoder's measures.

    Attributes:
        picture: side of the pictures it looks at, in pixels.
        patch: side of a patch.
        width: of the vision transformer.
        depth: layers of the vision transformer.
        text_width: of the text transformer.
        text_depth: layers of the text transformer.
        space: D, the width of the common space.
        longest: tokens that a text can have, both end marks included.
    """

    picture: int = 80
    patch: int = 10
    width: int = 192
    depth: int = 4
    text_width: int = 128
    text_depth: int = 2
    space: int = 192
    longest: int = 96

    @property
    def grid(self) -> int:
        """Tokens along a side."""
        return self.picture // self.patch


def build_tokenizer(words: Sequence[str], longest: int) -> Any:
    """Return a word-level tokenizer: lower case, commas kept as words, other punctuation read as space.

    Args:
        words: the vocabulary.
        longest: tokens that a text can have.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate((*_MARKS, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=_MARKS[_UNKNOWN]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\w,]|_"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    begin, end = _MARKS[_BEGIN], _MARKS[_END]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, _BEGIN), (end, _END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        pad_token=_MARKS[_PAD],
        unk_token=_MARKS[_UNKNOWN],
        bos_token=begin,
        eos_token=end,
    )


def build_model(shape: Shape, vocabulary: int, seed: int) -> Any:
    """Return a CLIPModel with random weights.

    Args:
        shape: its measures.
        vocabulary: number of tokens.
        seed: of the weights.
    """
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config=_tower(shape.text_width, shape.text_depth, shape.space)
        | {
            "vocab_size": vocabulary,
            "max_position_embeddings": shape.longest,
            "pad_token_id": _PAD,
            "bos_token_id": _BEGIN,
            "eos_token_id": _END,
        },
        vision_config=_tower(shape.width, shape.depth, shape.space)
        | {"image_size": shape.picture, "patch_size": shape.patch},
        projection_dim=shape.space,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config)


def _tower(width: int, depth: int, space: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": max(1, width // 64),
        "projection_dim": space,
        "hidden_act": "gelu",
    }


def look(model: Any, pictures_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit vectors of pictures, (B, D), and of their tokens, (B, T, D), both in the space of texts.

    A token takes the way of the class token: the last normalisation and the projection.

    Args:
        model: a CLIPModel.
        pictures_BCHW: (B, 3, side, side) uint8.
    """
    mean, deviation = (torch.tensor(v, device=pictures_BCHW.device).view(1, 3, 1, 1) for v in (MEAN, DEVIATION))
    tower = model.vision_model
    out = tower(pixel_values=(pictures_BCHW.float() / 255 - mean) / deviation)
    pooled_BD = model.visual_projection(out.pooler_output)
    tokens_BTD = model.visual_projection(tower.post_layernorm(out.last_hidden_state[:, 1:]))
    return normalize(pooled_BD.float(), dim=-1), normalize(tokens_BTD.float(), dim=-1)


def read(model: Any, ids_LT: Tensor) -> Tensor:
    """Return unit vectors of texts, (L, D), of token ids padded at the end."""
    out = model.text_model(input_ids=ids_LT, attention_mask=(ids_LT != _PAD).long())
    return normalize(model.text_projection(out.pooler_output).float(), dim=-1)


def pad(ids: Sequence[Sequence[int]]) -> Tensor:
    """Return token ids as one array, padded at the end: (L, T) int64."""
    width = max(len(row) for row in ids)
    return torch.tensor([[*row, *[_PAD] * (width - len(row))] for row in ids])


def save_encoder(folder: Path, model: Any, tokenizer: Any, shape: Shape) -> None:
    """Write the encoder in the Hugging Face layout, weights in half precision.

    Args:
        folder: it may exist; files of the same names are replaced.
        model: a CLIPModel.
        tokenizer: as `build_tokenizer` makes it.
        shape: of the model.
    """
    from zeroscene.encoders.source import quiet

    with quiet():
        tokenizer.save_pretrained(folder)
        half = build_model(shape, len(tokenizer), 0)
        half.load_state_dict(model.state_dict())
        half.half().save_pretrained(folder)
    size = {"height": shape.picture, "width": shape.picture}
    write_json(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True, "size": {"shortest_edge": shape.picture}, "resample": 3,
            "do_center_crop": True, "crop_size": size,
            "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": list(MEAN), "image_std": list(DEVIATION),
        },
    )  # fmt: skip
