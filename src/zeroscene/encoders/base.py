"""The protocols every encoder satisfies, and the identity that travels with all it makes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from zeroscene.errors import EncoderMismatchError
from zeroscene.files import json_digest

if TYPE_CHECKING:  # class tables name encoders, and are edited without waiting for torch
    import torch

    from zeroscene.pixels import Geometry


@dataclass(frozen=True)
class FineTuned:
    """What an encoder was fine-tuned on: pictures of the seen classes of one split, held-out ones excepted.

    Attributes:
        dataset: name of the data set.
        split: fingerprint of the split (`scenes.splits.Split`), with its held-out pictures.
        seen: the classes.
    """

    dataset: str
    split: str
    seen: tuple[str, ...]


@dataclass(frozen=True)
class EncoderIdentity:
    """What decides the numbers an encoder gives; two identities are equal or the vectors must not be mixed.

    Attributes:
        name: hub id, or folder name.
        weights: digest of the weights file(s).
        preprocessing: digest of size, crop, interpolation, mean, standard deviation (or of the tokenizer).
        output: which output is taken: pooling, layer, projection.
        fine_tuned: what it was fine-tuned on, if it was; it is in the weights already and does not count again.
    """

    name: str
    weights: str
    preprocessing: str
    output: str
    fine_tuned: FineTuned | None = field(default=None, compare=False)

    @property
    def fingerprint(self) -> str:
        """Digest of the identity; the name does not count, so that a folder that moves stays the same encoder."""
        return json_digest([self.weights, self.preprocessing, self.output])

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON value; without `fine_tuned` where there is nothing to say."""
        value = asdict(self)
        if self.fine_tuned is None:
            del value["fine_tuned"]
        else:
            value["fine_tuned"]["seen"] = list(self.fine_tuned.seen)
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "EncoderIdentity":
        """Return the identity that `to_json` wrote."""
        note = value.get("fine_tuned")
        tuned = FineTuned(note["dataset"], note["split"], tuple(note["seen"])) if note else None
        return cls(**{**value, "fine_tuned": tuned})


def require_same_model(image: EncoderIdentity, text: EncoderIdentity) -> None:
    """Refuse vectors of pictures and texts whose cosine means nothing.

    Args:
        image: what embedded the pictures.
        text: what encoded the texts.

    Raises:
        EncoderMismatchError: they are not the two towers of one image-text model, or the pictures are not in the space
            of its texts.
    """
    if image.weights != text.weights:
        raise EncoderMismatchError(
            f"pictures were encoded by {image.name!r}, texts by {text.name!r}: similarities need the two towers of "
            "one image-text model"
        )
    if image.output.partition(",")[0] != "projection":  # the mean over rotations stays in the space
        raise EncoderMismatchError(
            f"pictures were encoded by {image.name!r} with output {image.output!r}; similarities with text need the "
            "projection (embed with --pooling projection or auto)"
        )


@dataclass(frozen=True)
class Encoded:
    """Output of an image encoder for a batch.

    Attributes:
        pooled_BD: (B, D) float32, one vector a picture.
        grid_BHWD: (B, H, W, D) float32 token grid, rows from north, or None when not asked for.
    """

    pooled_BD: "torch.Tensor"
    grid_BHWD: "torch.Tensor | None" = None


class ImageEncoder(Protocol):
    """Pictures to vectors."""

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        ...

    @property
    def width(self) -> int:
        """D, the length of a pooled vector."""
        ...

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """(H, W, D) of the token grid, or None for an encoder without one."""
        ...

    @property
    def geometry(self) -> "Geometry":
        """How pictures become the size that the model sees: where in a picture a token lies."""
        ...

    def prepare(self, picture_HWC: npt.NDArray[np.uint8]) -> "torch.Tensor":
        """Return one decoded RGB picture (H, W, 3) resized and cropped: (3, height, width) uint8.

        Runs in the decoding threads; the normalisation belongs to `encode`.
        """
        ...

    def encode(self, pictures_BCHW: "torch.Tensor", grid: bool = False) -> Encoded:
        """Return vectors of prepared pictures, (B, 3, height, width) uint8."""
        ...


class TextEncoder(Protocol):
    """Texts to vectors."""

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        ...

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), D) float32 vectors of unit length."""
        ...


@dataclass(frozen=True)
class Reading:
    """How an encoder takes a text apart.

    Attributes:
        tokens: the pieces, without the marks at both ends.
        unknown: how many of them stand for something that it has no piece for.
        whole: whether a piece is a whole word always, so that a word that is not among them cannot be read.
    """

    tokens: int
    unknown: int
    whole: bool = False


def readings(encoder: TextEncoder, texts: Sequence[str]) -> list[Reading] | None:
    """Return how an encoder takes texts apart, or None for one that does not tell."""
    read = getattr(encoder, "read", None)
    found: list[Reading] | None = None if read is None else read(texts)
    return found
