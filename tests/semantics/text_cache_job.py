"""A process that keeps text vectors, and may be killed at it: FOLDER FIRST COUNT."""

import hashlib
import sys
from pathlib import Path

import numpy as np

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.semantics.text_cache import CachedTextEncoder


class Drawn:
    """A vector drawn from the hash of each text; counts what it was asked."""

    def __init__(self, weights: str = "w") -> None:
        self.identity, self.width, self.asked = EncoderIdentity("drawn", weights, "t", "text-projection"), 32, []

    def encode_texts(self, texts):
        self.asked.append(list(texts))
        x = np.stack([self._draw(text) for text in texts]).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def _draw(self, text):
        seed = int.from_bytes(hashlib.sha256((self.identity.weights + text).encode()).digest()[:8], "little")
        return np.random.default_rng(seed).normal(size=self.width)


if __name__ == "__main__":
    folder, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    encoder = CachedTextEncoder(Drawn(), folder)
    print("ready", flush=True)
    for number in range(first, first + count):
        encoder.encode_texts([f"text {number}", f"text {number + 1}"])
