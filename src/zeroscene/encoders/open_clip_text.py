"""The text half of a model of open_clip (`encoders.open_clip`).

Shapes in names: B texts, T tokens, D width.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.encoders.base import EncoderIdentity, Reading
from zeroscene.encoders.open_clip import Opened, explained, open_model
from zeroscene.encoders.speed import device
from zeroscene.errors import EncoderError
from zeroscene.files import json_digest

_BATCH = 64
# A tokenizer of open_clip cuts a text off in silence; one that may give so many times the tokens shows that it did.
_ROOM = 8


class OpenClipTextEncoder:
    """The text half of a model of open_clip; satisfies `encoders.base.TextEncoder`. Always float32."""

    def __init__(self, identity: EncoderIdentity, model: Any, tokenizer: Any):
        self._identity = identity
        self._model = model.to(device())
        self._tokenizer = tokenizer
        self._width = int(self._encode(["a"]).shape[1])

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
        return int(self._tokenizer.context_length)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), D) float32 vectors of unit length.

        Raises:
            EncoderError: a text has more tokens than the encoder reads; the text is named, nothing is cut off.
        """
        self._require_short(texts)
        vectors = np.empty((len(texts), self._width), np.float32)
        for start in range(0, len(texts), _BATCH):
            vectors[start : start + _BATCH] = self._encode(texts[start : start + _BATCH])
        return vectors

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Return how each text is taken apart; the pieces are of bytes, and none is unknown."""
        room = _ROOM * self.longest
        empty = self._tokenizer([""], context_length=room)[0]
        filler = empty.mode().values
        marks = int((empty != filler).sum())
        lengths = [int((self._tokenizer([text], context_length=room) != filler).sum()) for text in texts]
        return [Reading(max(length - marks, 0), 0) for length in lengths]

    def _require_short(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        room = _ROOM * self.longest
        filler = self._tokenizer([""], context_length=room)[0].mode().values
        for text in texts:
            read, there = (
                int((self._tokenizer([text], context_length=length) != filler).sum()) for length in (self.longest, room)
            )
            if there > read:
                shown = text if len(text) <= 60 else text[:60] + " ..."
                raise EncoderError(
                    f"{self._identity.name} reads {self.longest} tokens, the text {shown!r} has "
                    f"{there if there < room else f'{room} or more'}; shorten it, or split it into several texts of "
                    "the class"
                )

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        tokens_BT = self._tokenizer(list(texts), context_length=self.longest).to(device())
        unit: npt.NDArray[np.float32] = self._model.encode_text(tokens_BT, normalize=True).float().cpu().numpy()
        return unit


def load_open_clip_texts(name: str, *, download: bool = False) -> OpenClipTextEncoder:
    """Load the text half of a model of open_clip; its texts are in the space of its pictures.

    Args:
        name: `open-clip:ARCHITECTURE@WEIGHTS`.
        download: fetch published weights that are not in the local cache.

    Raises:
        EncoderError: no such architecture or weights, or weights of another architecture or with code in them.
        MissingExtraError: open_clip is not installed.
    """
    return open_clip_texts_of(open_model(name, download=download), name, download)


def open_clip_texts_of(opened: Opened, name: str, download: bool) -> OpenClipTextEncoder:
    """Return the text half of a model that is opened, and drop its image half; errors are those of the loader."""
    with explained(name, download):
        tokenizer = opened.package.get_tokenizer(opened.architecture)
    # Texts never pass through it, and it is most of the model.
    opened.model.visual = torch.nn.Identity()
    read = [int(tokenizer.context_length), tokenizer(["A harbour, 3 piers & 20 boats!"]).tolist()]
    identity = EncoderIdentity(opened.name, opened.weights, json_digest(read), "text-projection")
    return OpenClipTextEncoder(identity, opened.model, tokenizer)
