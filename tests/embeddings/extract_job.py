"""A process that embeds a folder, for tests that kill it."""

import sys
from pathlib import Path

import torch

from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.scenes.folder import SceneFolder

torch.set_num_threads(1)
encoder, root, store = map(Path, sys.argv[1:])
loaded = load_image_encoder(encoder)
scenes = SceneFolder.open(root)
print("ready", flush=True)
extract(scenes, loaded, store, batch=2, part=5, grid=True, workers=2)
print("done", flush=True)
