"""A small world for tests of evaluation: class vectors, and pictures that are a noisy linear image of them."""

from pathlib import Path

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.parts import PartRows
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import json_digest
from zeroscene.scenes.splits import Split
from zeroscene.semantics.table import ClassTable

CLASSES = ("airport", "beach", "bridge", "desert", "farmland", "forest", "harbour", "meadow", "river", "stadium")
ENCODER = EncoderIdentity("tiny", "weights", "preprocessing", "pooled")


def table(classes=CLASSES, columns=6, seed=0) -> ClassTable:
    rng = np.random.default_rng(seed)
    names = tuple(f"attribute {i}" for i in range(columns))
    return ClassTable(classes, rng.random((len(classes), columns)), names, "attributes")


def pictures(classes=CLASSES, each=12, width=16, noise=0.25, seed=0) -> Embeddings:
    """Pictures in mixed order; the same classes and seed give the same vectors."""
    rng = np.random.default_rng(seed + 1)
    phi = table(classes).matrix
    W = rng.normal(size=(phi.shape[1], width))
    y = rng.permutation(np.repeat(np.arange(len(classes)), each))
    x = (phi[y] @ W + rng.normal(size=(len(y), width)) * noise).astype(np.float32)
    ids = tuple(f"{classes[c]}/{i:03}.jpg" for i, c in enumerate(y))
    return Embeddings(ids, x, ENCODER, tuple(classes[c] for c in y))


def split(unseen=("beach", "forest", "stadium"), classes=CLASSES, name="1") -> Split:
    return Split("tiny", name, tuple(c for c in classes if c not in unseen), tuple(unseen))


def write_store(folder: Path, x: Embeddings) -> None:
    """Keep the pictures as a store of one part, as `zeroscene embed` does."""
    listing = json_digest(list(x.ids))
    manifest = Manifest(x.encoder, x.width, None, (listing,), len(x), True, len(x), len(x))
    store = EmbeddingStore.begin(folder, manifest)
    store.write(0, PartRows(listing, x.ids, x.labels, [None] * len(x), x.x, None, ()))
    store.finish()
