"""One vision tower for all architectures: grey levels in, a pooled vector and the token grid out.

Shapes in names: B pictures, T tokens, H and W of the token grid, D width.
"""

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch

from zeroscene.encoders.preprocessing import Preprocessing
from zeroscene.encoders.source import Loaded, Source, one_line
from zeroscene.errors import EncoderError

Pooling = Literal["auto", "mean", "cls", "projection"]
Resolved = Literal["mean", "cls", "projection", "pooler"]

# A class token and up to this many registers can stand before the patches.
_MOST_PREFIX = 17


@dataclass(frozen=True)
class Layout:
    """How a model arranges its last hidden state.

    Attributes:
        grid: (H, W) of the token grid, or None when the tokens do not form one.
        prefix: tokens before the patches: class token and registers.
        convolutional: the last hidden state is (B, D, H, W).
    """

    grid: tuple[int, int] | None
    prefix: int
    convolutional: bool


class VisionTower(torch.nn.Module):
    """The image half of a model with its preprocessing's arithmetic and its pooling built in."""

    def __init__(
        self,
        vision: torch.nn.Module,
        projection: torch.nn.Module | None,
        preprocessing: Preprocessing,
        layout: Layout,
        pooling: Resolved,
    ):
        super().__init__()
        self.vision = vision
        self.projection = projection
        self.layout = layout
        self.pooling = pooling
        self.blue_first = preprocessing.blue_first
        self.scale: torch.Tensor
        self.shift: torch.Tensor
        self.register_buffer("scale", torch.tensor(preprocessing.scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(preprocessing.shift).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return pooled vectors (B, D) and the grid (B, H, W, D) or None, of uint8 pictures (B, 3, height, width)."""
        if self.blue_first:
            pictures_BCHW = pictures_BCHW.flip(1)
        # The arithmetic is float32 whatever the weights are: bfloat16 would round each grey level twice.
        pixels_BCHW = torch.addcmul(self.shift.float(), pictures_BCHW.float(), self.scale.float())
        out = self.vision(pixels_BCHW.to(self.scale.dtype, memory_format=torch.channels_last))
        hidden = out.last_hidden_state
        return self._pool(hidden, out), self._grid(hidden)

    def behind(self, preprocessing: Preprocessing) -> "VisionTower":
        """Return the tower behind another preprocessing of the same picture size; the weights are shared."""
        other = copy.copy(self)
        other._buffers = {
            name: torch.tensor(values, dtype=self.scale.dtype, device=self.scale.device).view(1, 3, 1, 1)
            for name, values in (("scale", preprocessing.scale), ("shift", preprocessing.shift))
        }
        other.blue_first = preprocessing.blue_first
        return other

    def _pool(self, hidden: torch.Tensor, out: Any) -> torch.Tensor:
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "mean":
            if self.layout.convolutional:
                return hidden.float().mean((2, 3))
            return hidden[:, self.layout.prefix :].float().mean(1)
        pooled_BD: torch.Tensor = out.pooler_output.flatten(1)
        return pooled_BD if self.projection is None else self.projection(pooled_BD)

    def _grid(self, hidden: torch.Tensor) -> torch.Tensor | None:
        if self.layout.grid is None:
            return None
        if self.layout.convolutional:
            return hidden.permute(0, 2, 3, 1)
        tokens_BTD = hidden[:, self.layout.prefix :]
        last_norm = getattr(self.vision, "post_layernorm", None)
        if self.projection is not None and last_norm is not None:
            # A patch takes the way of the class token, so that texts can be compared with places too.
            tokens_BTD = self.projection(last_norm(tokens_BTD))
        return tokens_BTD.reshape(tokens_BTD.shape[0], *self.layout.grid, tokens_BTD.shape[2])


def build_tower(loaded: Loaded, source: Source, preprocessing: Preprocessing, pooling: Pooling) -> VisionTower:
    """Return the vision tower of a loaded model.

    The pooling `auto` is: the projection into the space of texts for a model with two towers; the model's own
    pooled vector for a convolutional network, and for a transformer that has no class token or normalises it only
    there; the class token of the last layer for the others.

    Raises:
        EncoderError: not an image model, no such pooling in this model, or a part that is used has no weights.
    """
    model = loaded.model
    projection = getattr(model, "visual_projection", None)
    dual = hasattr(model, "vision_model") and (hasattr(model, "get_image_features") or projection is not None)
    vision: torch.nn.Module = model.vision_model if dual else model  # type: ignore[assignment]
    height, width = preprocessing.geometry.size
    try:
        with torch.no_grad():
            out = vision(torch.zeros(1, 3, height, width))
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise EncoderError(
            f"{source.name} does not encode pictures of {height} x {width}, the size its own preprocessing gives: "
            f"{one_line(error)}"
        ) from error
    hidden = getattr(out, "last_hidden_state", None)
    if not isinstance(hidden, torch.Tensor) or hidden.ndim not in (3, 4):
        raise EncoderError(f"{source.name} is not an image encoder: it gives no last hidden state of pictures")
    layout = _layout(hidden, vision, height, width)
    trained_pooler = getattr(out, "pooler_output", None) is not None and not any("pooler" in m for m in loaded.missing)
    resolved = _resolve(pooling, layout, dual, trained_pooler, vision, source)
    loaded.require(source, unused="" if resolved in ("pooler", "projection") else "pooler")
    return VisionTower(vision, projection if resolved == "projection" else None, preprocessing, layout, resolved).eval()


def _layout(hidden: torch.Tensor, vision: torch.nn.Module, height: int, width: int) -> Layout:
    if hidden.ndim == 4:
        return Layout((hidden.shape[2], hidden.shape[3]), 0, True)
    patch = getattr(getattr(vision, "config", None), "patch_size", None) or 4
    down, right = (patch, patch) if isinstance(patch, int) else tuple(patch)
    tokens = hidden.shape[1]
    # Hierarchical transformers halve the grid between stages.
    for stage in range(5):
        rows, columns = height // (down << stage), width // (right << stage)
        if rows and columns and 0 <= tokens - rows * columns <= _MOST_PREFIX:
            return Layout((rows, columns), tokens - rows * columns, False)
    return Layout(None, 0, False)


def _resolve(
    pooling: Pooling, layout: Layout, dual: bool, trained_pooler: bool, vision: torch.nn.Module, source: Source
) -> Resolved:
    if pooling == "projection" or (pooling == "auto" and dual):
        if not dual:
            raise EncoderError(f"{source.name} has no projection into a space of texts; use pooling auto, mean or cls")
        return "projection"
    has_class_token = not layout.convolutional and layout.prefix > 0
    if pooling == "cls":
        if not has_class_token:
            raise EncoderError(f"{source.name} has no class token; use pooling auto or mean")
        return "cls"
    if pooling == "mean":
        if layout.grid is None:
            raise EncoderError(f"{source.name}: the tokens do not form a grid to average; use pooling auto")
        return "mean"
    # CLIP towers normalise the class token only on its way into the pooled vector.
    normalised_in_pooler = any(name.endswith("post_layernorm") for name, _ in vision.named_modules())
    if trained_pooler and (layout.convolutional or not has_class_token or normalised_in_pooler):
        return "pooler"
    if has_class_token:
        return "cls"
    if layout.grid is None:
        raise EncoderError(f"{source.name}: neither a class token nor a token grid to pool")
    return "mean"
