"""A pretrained vision model opened for training: its tower, its parameters by depth, and the way back into a folder."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from torch import nn

from zeroscene.encoders.base import EncoderIdentity
from zeroscene.encoders.open_clip import is_open_clip
from zeroscene.encoders.preprocessing import read_preprocessing
from zeroscene.encoders.source import Loaded, Source, load_model, locate, quiet
from zeroscene.encoders.vision import Pooling, build_tower
from zeroscene.errors import EncoderError, OptionError
from zeroscene.files import TEMPORARY_PREFIX, write_json
from zeroscene.pixels import Geometry

_CONFIG: Final = "config.json"
# What a model needs beside its weights: how pictures and texts are prepared. Cards and notes are of what it was before.
_KEPT: Final = (
    "preprocessor_config.json", "processor_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.model", "chat_template*",
)  # fmt: skip


class TrainableEncoder:
    """A model whose vision tower can be trained, float32.

    The tower stays in evaluation mode: dropout and stochastic depth are off, and a convolutional network normalises by
    the statistics it was pretrained with, so that a picture has the tokens that the saved encoder will give it.

    Attributes:
        tower: grey levels in, pooled vectors and the token grid out; differentiable.
        identity: of the model as it was opened.
        geometry: how pictures become the size that the model sees.
    """

    def __init__(self, source: Source, loaded: Loaded, pooling: Pooling):
        preprocessing = read_preprocessing(source)
        self.tower = build_tower(loaded, source, preprocessing, pooling)
        self.geometry: Geometry = preprocessing.geometry
        self.identity = EncoderIdentity(
            source.name, source.weights_digest(), preprocessing.digest, self.tower.pooling, source.fine_tuned()
        )
        self._source, self._loaded = source, loaded
        self._stack = _stack(self.tower)

    @property
    def layers(self) -> int:
        """L, the number of layers of a transformer, or of stages of a network that has stages."""
        return len(self._stack[1])

    def by_depth(self) -> tuple[tuple[nn.Parameter, ...], ...]:
        """Return the tower's parameters: those before the layers, those of each layer, those after; L + 2 parts."""
        path, stack = self._stack
        parts: list[list[nn.Parameter]] = [[] for _ in range(len(stack) + 2)]
        entered = False
        for name, parameter in self.tower.named_parameters():
            within = name.removeprefix(f"{path}.") if name.startswith(f"{path}.") else ""
            entered = entered or bool(within)
            depth = int(within.split(".", 1)[0]) + 1 if within else (len(stack) + 1 if entered else 0)
            parts[depth].append(parameter)
        return tuple(tuple(part) for part in parts)

    def unfreeze(self, last: Literal["all"] | int) -> tuple[tuple[nn.Parameter, ...], ...]:
        """Let weights be trained; returns them by depth, frozen parts empty.

        Args:
            last: all weights, or those of so many layers at the end and what comes after them.

        Raises:
            OptionError: there are not as many layers.
        """
        parts = self.by_depth()
        if last != "all" and last > self.layers:
            raise OptionError(f"unfreeze = {last}, but {self.identity.name} has {self.layers} layers; or say all")
        first = 0 if last == "all" else self.layers + 1 - last
        for part in parts[first:]:
            for parameter in part:
                parameter.requires_grad_(True)
        return tuple(part if depth >= first else () for depth, part in enumerate(parts))

    def save(self, folder: Path, notes: Mapping[str, Any]) -> None:
        """Write the model with its weights as they are now into a folder of the Hugging Face layout.

        Preprocessing, tokenizer and text tower stay as they were. `config.json` comes last: a folder without it is no
        model.

        Args:
            folder: may hold other files.
            notes: JSON files that belong to the model, by name.
        """
        model: Any = self._loaded.model
        folder.mkdir(parents=True, exist_ok=True)
        # What the files that were opened do not hold is random, and stays unwritten.
        weights = {name: value for name, value in model.state_dict().items() if name not in self._loaded.missing}
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as name:
            temporary = Path(name)
            with quiet():
                model.save_pretrained(temporary, state_dict=weights)
            for pattern in _KEPT:
                for file in self._source.folder.glob(pattern):
                    shutil.copyfile(file, temporary / file.name)
            for note, value in notes.items():
                write_json(temporary / note, value)
            for file in sorted(temporary.iterdir(), key=lambda file: (file.name == _CONFIG, file.name)):
                file.replace(folder / file.name)


def open_trainable(
    name_or_folder: str | Path, *, pooling: Pooling = "auto", download: bool = False
) -> TrainableEncoder:
    """Open a model for training.

    Args:
        name_or_folder: a folder in the Hugging Face layout, `tiny`, or a hub id.
        pooling: as for `huggingface.load_image_encoder`.
        download: fetch a hub id that is not in the local cache.

    Raises:
        EncoderError: no such model, one of open_clip, or one that cannot be used (`load_image_encoder`).
    """
    if is_open_clip(name_or_folder):
        raise EncoderError(
            f"{name_or_folder} cannot be fine-tuned: take the same model in the Hugging Face layout, with which the "
            "result is a folder of that layout too"
        )
    source = locate(name_or_folder, download=download)
    return TrainableEncoder(source, load_model(source), pooling)


def _stack(tower: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the path and the layers of a tower: the list of modules that lies outermost."""
    lists = [(name, module) for name, module in tower.named_modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        return "", nn.ModuleList()
    return min(lists, key=lambda found: found[0].count("."))
