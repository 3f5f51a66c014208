"""Text encoders in the Hugging Face layout: sentence encoders, and the text towers of CLIP and SigLIP.

Shapes in names: B texts, T tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize

from zeroscene.encoders.base import EncoderIdentity, Reading
from zeroscene.encoders.open_clip import is_open_clip
from zeroscene.encoders.open_clip_text import OpenClipTextEncoder, load_open_clip_texts
from zeroscene.encoders.source import Loaded, Source, load_model, locate, one_line, quiet
from zeroscene.encoders.speed import device
from zeroscene.errors import EncoderError
from zeroscene.files import file_digest, json_digest, read_json

Pool = Literal["mean", "cls", "max"]

_BATCH = 64
_VOCABULARY = (
    "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
    "tokenizer.model",
)  # fmt: skip
_UNLIMITED = 1 << 20
_MOST_NAMED = 8


@dataclass(frozen=True)
class _Recipe:
    """What a sentence encoder's files say about the way from tokens to a vector."""

    pool: Pool = "mean"
    dense: tuple[str, ...] = ()
    limit: int = _UNLIMITED
    lower: bool = False
    prompt: str = ""


class HuggingFaceTextEncoder:
    """A pretrained text model; satisfies `encoders.base.TextEncoder`. Always float32."""

    def __init__(
        self,
        identity: EncoderIdentity,
        tower: torch.nn.Module,
        tokenizer: Any,
        recipe: _Recipe,
        to_full_length: bool,
    ):
        self._identity = identity
        self._tower = tower.eval().requires_grad_(False).to(device())
        self._tokenizer = tokenizer
        self._recipe = recipe
        self._to_full_length = to_full_length
        self._width = int(self._encode(self._tokens(["a"])).shape[1])

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        return self._identity

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self._width

    @property
    def longest(self) -> int:
        """Number of tokens, the marks at both ends included, that the encoder reads."""
        return self._recipe.limit

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), D) float32 vectors of unit length.

        Raises:
            EncoderError: a text has more tokens than the encoder reads; the text is named, nothing is cut off. Or, of
                an encoder that reads whole words only: a text has words that are not in its vocabulary; all are named.
        """
        self._require_known(texts)
        vectors = np.empty((len(texts), self._width), np.float32)
        tokens = self._tokens(texts)
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda i: (len(tokens[i]), i))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            vectors[rows] = self._encode([tokens[i] for i in rows])
        return vectors

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Return how each text is taken apart; none is refused."""
        if not texts:
            return []
        unknown, whole = self._tokenizer.unk_token_id, _reads_whole_words(self._tokenizer)
        with quiet():
            read = self._tokenizer(list(texts), truncation=False, padding=False, add_special_tokens=False)["input_ids"]
        return [Reading(len(ids), ids.count(unknown), whole) for ids in read]

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        given = [self._recipe.prompt + (text.lower() if self._recipe.lower else text) for text in texts]
        with quiet():
            tokens: list[list[int]] = self._tokenizer(given, truncation=False, padding=False)["input_ids"]
        for text, ids in zip(texts, tokens, strict=True):
            if len(ids) > self._recipe.limit:
                shown = text if len(text) <= 60 else text[:60] + " ..."
                raise EncoderError(
                    f"{self._identity.name} reads {self._recipe.limit} tokens, the text {shown!r} has {len(ids)}; "
                    "shorten it, or split it into several texts of the class"
                )
        return tokens

    def _require_known(self, texts: Sequence[str]) -> None:
        unknown = [word for text in texts for word in _unknown_words(self._tokenizer, self._recipe.prompt + text)]
        if unknown:
            words = list(dict.fromkeys(word.lower() for word in unknown))
            shown = ", ".join(map(repr, words[:_MOST_NAMED])) + (" ..." if len(words) > _MOST_NAMED else "")
            raise EncoderError(
                f"{self._identity.name} does not know the {'word' if len(words) == 1 else 'words'} {shown}; "
                f"it reads {len(self._tokenizer):,} words and no others: say it with those"
            )

    @torch.no_grad()
    def _encode(self, tokens: list[list[int]]) -> npt.NDArray[np.float32]:
        full: dict[str, Any] = {"padding": "longest"}
        if self._to_full_length:
            full = {"padding": "max_length", "max_length": self._recipe.limit}
        batch = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt", return_attention_mask=True, **full)
        vectors_BD = self._tower(batch["input_ids"].to(device()), batch["attention_mask"].to(device()))
        unit: npt.NDArray[np.float32] = normalize(vectors_BD.float(), dim=1).cpu().numpy()
        return unit


class _SentenceTower(torch.nn.Module):
    """Pooling over the tokens of a language model, then the dense layers that a sentence encoder may have."""

    def __init__(self, language: torch.nn.Module, pool: Pool, dense: torch.nn.Sequential):
        super().__init__()
        self.language, self.pool, self.dense = language, pool, dense

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        hidden_BTD = self.language(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        mask_BT1 = mask_BT.unsqueeze(2)
        if self.pool == "cls":
            pooled_BD = hidden_BTD[:, 0]
        elif self.pool == "max":
            pooled_BD = hidden_BTD.masked_fill(mask_BT1 == 0, -torch.inf).amax(1)
        else:
            pooled_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
        vectors_BD: torch.Tensor = self.dense(pooled_BD)
        return vectors_BD


class _DualTower(torch.nn.Module):
    """The text half of a model with two towers, in the space of its pictures."""

    def __init__(self, text: torch.nn.Module, projection: torch.nn.Module | None, masked: bool):
        super().__init__()
        self.text, self.projection, self.masked = text, projection, masked

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        out = self.text(input_ids=ids_BT, attention_mask=mask_BT if self.masked else None)
        pooled_BD: torch.Tensor = out.pooler_output
        return pooled_BD if self.projection is None else self.projection(pooled_BD)


def load_text_encoder(
    name_or_folder: str | Path, *, download: bool = False
) -> HuggingFaceTextEncoder | OpenClipTextEncoder:
    """Load a text encoder from a folder in the Hugging Face layout, by hub id, or a model of open_clip.

    A model with two towers (CLIP, SigLIP, those of open_clip) gives its texts in the space of its pictures: their
    cosine with the vectors of `load_image_encoder` of the same model is its zero-shot score. Any other model is a
    sentence encoder: pooling, dense layers and length come from its sentence-transformers files; without such files
    the tokens are averaged.

    Args:
        name_or_folder: folder, a hub id such as `sentence-transformers/all-MiniLM-L6-v2`, or
            `open-clip:ARCHITECTURE@WEIGHTS` (see `encoders.open_clip`).
        download: fetch a hub id that is not in the local cache; nothing is downloaded without it.

    Raises:
        EncoderError: no such model, weights that are absent, damaged or pickled, no tokenizer, or a pooling or layer
            that this package does not have.
        MissingExtraError: open_clip is asked for and not installed.
    """
    if is_open_clip(name_or_folder):
        return load_open_clip_texts(str(name_or_folder), download=download)
    source = locate(name_or_folder, download=download)
    return text_encoder_of(source, load_model(source))


def text_encoder_of(source: Source, loaded: Loaded) -> HuggingFaceTextEncoder:
    """Return the text encoder of a model that is loaded; errors are those of `load_text_encoder`."""
    tokenizer = _tokenizer(source)
    model = loaded.model
    text_model = getattr(model, "text_model", None)
    if text_model is None:
        recipe = _recipe(source)
        loaded.require(source, unused="pooler")
        tower: torch.nn.Module = _SentenceTower(_language(loaded, source), recipe.pool, _dense(source, recipe))
        output = "-".join(["sentence", recipe.pool, *(["dense"] * len(recipe.dense))])
        to_full_length = False
    else:
        loaded.require(source)
        recipe = _Recipe()
        # SigLIP was trained on texts padded to full length, with the padding in sight.
        to_full_length = str(getattr(model.config, "model_type", "")).startswith("siglip")
        tower = _DualTower(text_model, getattr(model, "text_projection", None), masked=not to_full_length)
        output = "text-projection"
    recipe = _limited(recipe, tokenizer, model)
    read = [recipe.limit, recipe.lower, recipe.prompt, to_full_length]
    vocabulary = [file_digest(path) for name in _VOCABULARY if (path := source.folder / name).is_file()]
    identity = EncoderIdentity(
        source.name, source.weights_digest(*recipe.dense), json_digest([read, vocabulary]), output, source.fine_tuned()
    )
    return HuggingFaceTextEncoder(identity, tower, tokenizer, recipe, to_full_length)


def _tokenizer(source: Source) -> Any:
    from transformers import AutoTokenizer

    if not any((source.folder / name).is_file() for name in _VOCABULARY):
        raise EncoderError(f"{source.name} is not a text encoder: no tokenizer in {source.folder}")
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(source.folder, local_files_only=True)
    except Exception as error:  # the Rust tokenizers raise bare Exception for a damaged file
        raise EncoderError(f"{source.name}: cannot load the tokenizer of {source.folder}: {one_line(error)}") from error


def _unknown_words(tokenizer: Any, text: str) -> list[str]:
    """Return the words that a tokenizer of whole words cannot tell from each other; other tokenizers have none."""
    if not _reads_whole_words(tokenizer):
        return []
    read = tokenizer.backend_tokenizer.encode(text)
    return [text[a:b] for (a, b), i in zip(read.offsets, read.ids, strict=True) if i == tokenizer.unk_token_id]


def _reads_whole_words(tokenizer: Any) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(backend, "model", None)).__name__ == "WordLevel" and tokenizer.unk_token_id is not None


def _language(loaded: Loaded, source: Source) -> torch.nn.Module:
    model: Any = loaded.model
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if not hasattr(model, "get_input_embeddings") or hasattr(model.config, "image_size"):
        raise EncoderError(f"{source.name} is not a text encoder")
    module: torch.nn.Module = model
    return module


def _recipe(source: Source) -> _Recipe:
    path = source.folder / "modules.json"
    if not path.is_file():
        return _Recipe()
    pool: Pool = "mean"
    dense: list[str] = []
    for module in read_json(path):
        kind = str(module["type"]).rsplit(".", 1)[-1]
        if kind == "Pooling":
            pool = _pool(source, str(module["path"]))
        elif kind == "Dense":
            dense.append(str(module["path"]))
        elif kind not in ("Transformer", "Normalize"):
            raise EncoderError(f"{source.name}: sentence encoders with a layer {kind!r} are not supported")
    settings = source.config("sentence_bert_config.json") or {}
    prompts = source.config("config_sentence_transformers.json") or {}
    default = prompts.get("default_prompt_name")
    return _Recipe(
        pool,
        tuple(dense),
        int(settings.get("max_seq_length") or _UNLIMITED),
        bool(settings.get("do_lower_case", False)),
        str(prompts["prompts"][default]) if default else "",
    )


def _pool(source: Source, folder: str) -> Pool:
    settings = source.config(f"{folder}/config.json") or {}
    flags = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
    chosen = [flags.get(name, name) for name, value in settings.items() if name.startswith("pooling_mode_") and value]
    if mode := settings.get("pooling_mode"):
        chosen = [str(mode)]
    match chosen:
        case ["mean"]:
            return "mean"
        case ["cls"]:
            return "cls"
        case ["max"]:
            return "max"
    raise EncoderError(f"{source.name}: pooling {chosen or 'unknown'} is not supported; mean, cls and max are")


def _dense(source: Source, recipe: _Recipe) -> torch.nn.Sequential:
    from safetensors.torch import load_file

    layers: list[torch.nn.Module] = []
    for folder in recipe.dense:
        settings = source.config(f"{folder}/config.json") or {}
        linear = torch.nn.Linear(settings["in_features"], settings["out_features"], bias=settings.get("bias", True))
        tensors = load_file(source.weights(folder)[0])
        linear.load_state_dict({name.removeprefix("linear."): tensor.float() for name, tensor in tensors.items()})
        name = str(settings.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
        if name not in ("Tanh", "Identity"):
            raise EncoderError(f"{source.name}: a dense layer with activation {name!r} is not supported")
        layers += [linear, torch.nn.Tanh() if name == "Tanh" else torch.nn.Identity()]
    return torch.nn.Sequential(*layers)


def _limited(recipe: _Recipe, tokenizer: Any, model: Any) -> _Recipe:
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    positions = int(getattr(config, "max_position_embeddings", None) or _UNLIMITED)
    return replace(recipe, limit=min(recipe.limit, int(min(tokenizer.model_max_length, _UNLIMITED)), positions))
