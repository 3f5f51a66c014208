"""Dual encoders: both towers of one image-text model, opened together (CLIP and SigLIP layouts, open_clip, `tiny`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeroscene.encoders.base import ImageEncoder, TextEncoder, require_same_model
from zeroscene.encoders.huggingface import Backend, HuggingFaceImageEncoder, image_encoder_of
from zeroscene.encoders.open_clip import image_tower_of, is_open_clip, open_model
from zeroscene.encoders.open_clip_text import open_clip_texts_of
from zeroscene.encoders.source import load_model, locate
from zeroscene.encoders.speed import Precision, arithmetic
from zeroscene.encoders.text import text_encoder_of
from zeroscene.errors import EncoderError


@dataclass(frozen=True)
class DualEncoder:
    """Two towers into one space, where the cosine of a picture and a text says how well they go together.

    Attributes:
        image: the tower of pictures, its output the projection.
        text: the tower of texts.
        logit_scale: the model's own factor from cosines to logits. softmax(logit_scale * cosine) over the texts is the
            probability that CLIP was trained to give.
        logit_bias: added to the logits by models that answer each pair of picture and text by itself (SigLIP):
            sigmoid(logit_scale * cosine + logit_bias). A softmax does not change with it.

    Raises:
        EncoderMismatchError: the towers are not of one model, or the pictures are not in the space of texts.
    """

    image: ImageEncoder
    text: TextEncoder
    logit_scale: float
    logit_bias: float = 0.0

    def __post_init__(self) -> None:
        require_same_model(self.image.identity, self.text.identity)


def load_dual_encoder(
    name_or_folder: str | Path,
    *,
    precision: Precision = "auto",
    backend: Backend = "torch",
    download: bool = False,
) -> DualEncoder:
    """Load both towers of an image-text model; its files are read once.

    Args:
        name_or_folder: folder in the Hugging Face layout, hub id, `open-clip:ARCHITECTURE@WEIGHTS`, or `tiny`.
        precision: of the image tower, as for `load_image_encoder`; the text tower is always float32.
        backend: of the image tower; `openvino` needs the extra `fast`.
        download: fetch a model that is not in the local cache; nothing is downloaded without it.

    Raises:
        EncoderError: no such model, it has not both towers, or it cannot be loaded.
        MissingExtraError: OpenVINO or open_clip is asked for and not installed.
    """
    if is_open_clip(name_or_folder):
        return _of_open_clip(str(name_or_folder), precision, backend, download)
    source = locate(name_or_folder, download=download)
    loaded = load_model(source)
    for part, of in (("vision_model", "pictures"), ("text_model", "texts"), ("logit_scale", "logits")):
        if not hasattr(loaded.model, part):
            raise EncoderError(
                f"{source.name} is no image-text model: it has no part for {of}; prompts need both towers (a model in "
                "the layout of CLIP or SigLIP, open-clip:ARCHITECTURE@WEIGHTS, or tiny)"
            )
    return DualEncoder(
        image_encoder_of(source, loaded, precision, "projection", backend),
        text_encoder_of(source, loaded),
        *_logits(loaded.model),
    )


def _of_open_clip(name: str, precision: Precision, backend: Backend, download: bool) -> DualEncoder:
    opened = open_model(name, download=download)
    image = HuggingFaceImageEncoder(*image_tower_of(opened), arithmetic(precision), backend)
    return DualEncoder(image, open_clip_texts_of(opened, name, download), *_logits(opened.model))


def _logits(model: Any) -> tuple[float, float]:
    """Return scale and bias; all these models keep the logarithm of the scale."""
    bias = getattr(model, "logit_bias", None)
    return float(model.logit_scale.exp()), 0.0 if bias is None else float(bias)
