"""Where a pretrained model's files lie: a local folder, or the local cache of the Hugging Face hub.

Nothing is downloaded unless the caller says so, and weights are safetensors only: no pickle is ever loaded.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zeroscene.encoders import tiny
from zeroscene.encoders.base import FineTuned
from zeroscene.errors import DataFormatError, EncoderError
from zeroscene.files import file_digest, json_digest, read_json

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_FILES = ("*.json", "*.txt", "*.model", "model*.safetensors", "*/config.json", "*/model.safetensors")
_WEIGHTS = "model.safetensors"
_NUMBER = re.compile(r"\d+")
_MOST_NAMED = 4
TRAINING, TRAINING_FORMAT = "training.json", "zeroscene-training-1"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth")


@dataclass(frozen=True)
class Source:
    """A model's files.

    Attributes:
        name: hub id, or the folder's own name.
        folder: where the files lie.
    """

    name: str
    folder: Path

    def config(self, file: str) -> dict[str, Any] | None:
        """Return a JSON object of the folder, or None where there is no such file.

        Raises:
            DataFormatError: it is not JSON.
        """
        path = self.folder / file
        return dict(read_json(path)) if path.is_file() else None

    def fine_tuned(self) -> FineTuned | None:
        """Return what the folder says that the model was fine-tuned on (`training.json`), or None.

        Raises:
            DataFormatError: the note is damaged.
        """
        note = self.config(TRAINING)
        if note is None or note.get("format") != TRAINING_FORMAT:
            return None
        try:
            split = note["split"]
            return FineTuned(str(split["dataset"]), str(split["fingerprint"]), tuple(split["seen"]))
        except (KeyError, TypeError) as error:
            raise DataFormatError(
                f"{self.folder / TRAINING} does not say what {self.name} was fine-tuned on; repeat `finetune`"
            ) from error

    def weights(self, within: str = "") -> list[Path]:
        """Return the safetensors files that hold the weights.

        Args:
            within: a folder inside the model's folder.

        Raises:
            EncoderError: there are none, or only pickled ones, which are never loaded.
        """
        folder = self.folder / within
        if (folder / _WEIGHTS).is_file():
            return [folder / _WEIGHTS]
        if (index := folder / f"{_WEIGHTS}.index.json").is_file():
            shards = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
            if absent := [shard.name for shard in shards if not shard.is_file()]:
                raise EncoderError(f"{self.name}: weights file {absent[0]} named in {index.name} is missing")
            return shards
        if pickled := [name for name in _PICKLES if (folder / name).is_file()]:
            raise EncoderError(
                f"{self.name}: {folder} has its weights only as {pickled[0]}, a pickle, which can run any code and is "
                "never loaded; convert it once where you trust it: load it with transformers there and call "
                "model.save_pretrained(folder)"
            )
        raise EncoderError(f"{self.name}: no {_WEIGHTS} in {folder}; is the download complete?")

    def weights_digest(self, *within: str) -> str:
        """Return the digest of all weights files, those of the folders `within` included."""
        files = [path for folder in ("", *within) for path in self.weights(folder)]
        return json_digest([file_digest(path) for path in files])


def locate(name_or_folder: str | Path, *, download: bool = False) -> Source:
    """Return where the files of a model lie.

    Args:
        name_or_folder: a folder in the Hugging Face layout, `tiny` for the encoder that ships with the package, or a
            hub id such as `facebook/dinov2-base`.
        download: fetch a hub id that is not in the local cache.

    Raises:
        EncoderError: no such folder, the shipped encoder is damaged, or a hub id that is not cached and may not, or
            cannot, be downloaded.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EncoderError(f"{folder} is not a model in the Hugging Face layout: it has no config.json")
        return Source(folder.resolve().name, folder)
    name = str(name_or_folder)
    if name == tiny.NAME:
        return Source(name, tiny.shipped())
    if not _HUB_ID.fullmatch(name):
        raise EncoderError(f"encoder {name!r}: no such folder, and not a Hugging Face hub id")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        cached = huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES), local_files_only=not download)
    except LocalEntryNotFoundError as error:
        if download:
            raise EncoderError(f"encoder {name!r} cannot be downloaded: the hub is out of reach") from error
        raise EncoderError(
            f"encoder {name!r} is neither a folder nor in the local Hugging Face cache; "
            "allow its download (download=True, on the command line --download)"
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise EncoderError(f"encoder {name!r} cannot be downloaded: {one_line(error)}") from error
    return Source(name, Path(cached))


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, float32.

    Attributes:
        model: the model.
        missing: names of its parameters that the weights file does not hold.
        unused: names in the weights file that the model has no place for, such as the classifier of another task.
    """

    model: torch.nn.Module
    missing: tuple[str, ...]
    unused: tuple[str, ...] = ()

    def require(self, source: Source, unused: str = "") -> None:
        """Refuse a model of which a part that is used has no weights.

        Args:
            source: for the message.
            unused: parameters with this word in their name may be missing.

        Raises:
            EncoderError: parameters are missing; they are named.
        """
        needed = [name for name in self.missing if not unused or unused not in name]
        if needed:
            raise EncoderError(
                f"{source.name}: the weights file lacks {len(needed)} parameters of the model in config.json "
                f"({_listed(needed)}), which would be random numbers"
            )


def load_model(source: Source) -> Loaded:
    """Load the model that a folder's config.json describes, from safetensors.

    Raises:
        EncoderError: no usable weights, damaged weights, an architecture that transformers does not know, or weights
            of other shapes or with more layers than config.json says; the parameters are named.
    """
    import transformers
    from safetensors import SafetensorError

    source.weights()
    architecture = ((source.config("config.json") or {}).get("architectures") or [""])[0]
    # AutoModel would load such a tower without the projection that its name promises.
    auto = getattr(transformers, architecture, None) if architecture.endswith("WithProjection") else None
    try:
        with quiet():
            model, report = (auto or transformers.AutoModel).from_pretrained(
                source.folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # else its error names none of them
            )
    except SafetensorError as error:
        raise EncoderError(f"{source.name}: the weights in {source.folder} are damaged: {one_line(error)}") from error
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        raise EncoderError(f"{source.name}: cannot load the model in {source.folder}: {one_line(error)}") from error
    if mismatched := sorted(report["mismatched_keys"]):
        shapes = [f"{name}: {_shape(there)} in the file, {_shape(wanted)} wanted" for name, there, wanted in mismatched]
        raise EncoderError(f"{source.name}: weights and config.json disagree about shapes: {_listed(shapes)}")
    unused = tuple(sorted(report["unexpected_keys"]))
    if surplus := _surplus(model, unused):
        raise EncoderError(
            f"{source.name}: the weights file holds {len(surplus)} parameters of layers that config.json does not "
            f"have ({_listed(surplus)}); the two belong to different models"
        )
    return Loaded(model.eval().requires_grad_(False), tuple(sorted(report["missing_keys"])), unused)


def _surplus(model: torch.nn.Module, unused: Sequence[str]) -> list[str]:
    """Return unused parameters that differ from used ones by a number only: layers too many."""
    used = {_NUMBER.sub("#", name) for name, _ in model.named_parameters()}
    return [name for name in unused if _NUMBER.search(name) and _NUMBER.sub("#", name) in used]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )


def _shape(size: Sequence[int]) -> str:
    return " x ".join(map(str, size)) or "one number"


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the loading report and bars of transformers: what matters in them is checked here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def offline(wanted: bool = True) -> Iterator[None]:
    """Keep the libraries of the Hugging Face hub from the network, cached files excepted."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = wanted or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def one_line(error: BaseException) -> str:
    """Return an error's text on one line, cut to a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:240] + " ..."
