"""A small data set and a small random network, both made on the spot."""

import json
from pathlib import Path

import pytest
import torch

from small_world import data_set
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.scenes.folder import SceneFolder

CLASSES = ("beach", "dense residential", "freeway")


def save_encoder(folder: Path, seed: int) -> Path:
    """Save a small random ResNet in the Hugging Face layout."""
    from transformers import ResNetConfig, ResNetModel

    torch.manual_seed(seed)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    processor = {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"), seed=0)


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> HuggingFaceImageEncoder:
    return load_image_encoder(encoder_folder)


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceImageEncoder:
    return load_image_encoder(save_encoder(tmp_path_factory.mktemp("other"), seed=1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return data_set(tmp_path / "scenes", CLASSES, each=8, height=40, width=48)


@pytest.fixture
def scenes(root: Path) -> SceneFolder:
    return SceneFolder.open(root)
