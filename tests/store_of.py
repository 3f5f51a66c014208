"""A finished store of given vectors, for tests that need no pictures."""

from pathlib import Path

import numpy as np

from zeroscene.embeddings.parts import PartRows
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.encoders.base import EncoderIdentity

ENCODER = EncoderIdentity("drawn", "w", "p", "pooled")


def store_of(path: Path, x: np.ndarray, part: int, encoder: EncoderIdentity = ENCODER) -> EmbeddingStore:
    """Write a store of (N, D) vectors; the ids are `pictures/0000.png`, ..."""
    starts = range(0, max(len(x), 1), part)
    listings = tuple(f"part {start}" for start in starts)
    store = EmbeddingStore.begin(path, Manifest(encoder, x.shape[1], None, listings, len(x), False, part, 32))
    for k, start in enumerate(starts):
        rows = x[start : start + part]
        ids = [f"pictures/{i:04d}.png" for i in range(start, start + len(rows))]
        nothing = [None] * len(rows)
        store.write(k, PartRows(listings[k], ids, nothing, nothing, rows, None, []))
    store.finish()
    return store
