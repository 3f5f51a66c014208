"""Fixtures of the encoder tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_models import save_sentence_encoder, save_vision


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny model by kind, saved once; tests must not change it."""
    saved: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in saved:
            folder = tmp_path_factory.mktemp("model") / kind
            folder.mkdir()
            saved[kind] = save_sentence_encoder(folder) if kind == "sentence" else save_vision(kind, folder)
        return saved[kind]

    return of
