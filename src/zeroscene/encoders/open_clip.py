"""Models in the format of open_clip, RemoteCLIP, GeoRSCLIP and SkyCLIP among them: the extra `open-clip`.

A model is `open-clip:ARCHITECTURE@WEIGHTS`. The weights are a file (.safetensors, or .pt, .pth and .bin that hold
nothing but tensors), or the tag of published weights in open_clip's own list. Of open_clip, the networks and the
tokenizers are used; pictures go through this package's own preprocessing.

Shapes in names: B texts or pictures, T tokens, H and W of the token grid, D width.
"""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.encoders.preprocessing import Preprocessing, from_settings
from zeroscene.encoders.source import offline, one_line, quiet
from zeroscene.encoders.vision import Layout, Pooling, Resolved, VisionTower
from zeroscene.errors import EncoderError, MissingExtraError
from zeroscene.files import file_digest, json_digest

SCHEME = "open-clip:"

_SAFE = ".safetensors"
_FILES = (_SAFE, ".pt", ".pth", ".bin")
# What open_clip calls the weights of a hub repository whose entry names no file.
_HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_STATED = ("mean", "std", "interpolation", "resize_mode")
# As Pillow numbers them. `random` is of training: open_clip itself encodes such a model's pictures with bicubic.
_RESAMPLE = {"bilinear": 2, "bicubic": 3, "random": 3}


@dataclass(frozen=True)
class ModelId:
    """The two parts of `open-clip:ARCHITECTURE@WEIGHTS`.

    Attributes:
        architecture: name of a model configuration of open_clip, such as `ViT-B-32`.
        weights: path of a file, or tag of published weights.
    """

    architecture: str
    weights: str

    @classmethod
    def parse(cls, name: str) -> "ModelId":
        """Return the parts of an id.

        Raises:
            EncoderError: a part is missing.
        """
        architecture, _, weights = name.removeprefix(SCHEME).partition("@")
        if not architecture or not weights:
            raise EncoderError(
                f"encoder {name!r}: a model of open_clip is {SCHEME}ARCHITECTURE@WEIGHTS, for instance "
                f"{SCHEME}ViT-B-32@laion2b_s34b_b79k or {SCHEME}ViT-B-32@path/to/weights.safetensors"
            )
        return cls(architecture.replace("/", "-"), weights)

    @property
    def file(self) -> Path | None:
        """The weights file, or None where the weights are a tag."""
        path = Path(self.weights).expanduser()
        return path if path.suffix in _FILES or len(path.parts) > 1 else None

    @property
    def name(self) -> str:
        """The id without the folder of its file."""
        return f"{SCHEME}{self.architecture}@{self.file.name if self.file else self.weights}"


def absolute(name: str) -> str:
    """Return an id with its file, where it has one, by an absolute path: so it holds in any working folder."""
    parsed = ModelId.parse(name)
    return f"{SCHEME}{parsed.architecture}@{parsed.file.resolve()}" if parsed.file else name


def is_open_clip(name: str | Path) -> bool:
    """Return whether a name is an id of a model of open_clip."""
    return str(name).startswith(SCHEME)


@dataclass(frozen=True)
class Opened:
    """A model of open_clip, whole, with the digest of its weights and configuration."""

    package: Any
    model: Any
    architecture: str
    name: str
    weights: str


def load_image_tower(
    name: str, pooling: Pooling = "auto", *, download: bool = False
) -> tuple[EncoderIdentity, VisionTower, Preprocessing]:
    """Load the image half of a model of open_clip.

    Args:
        name: `open-clip:ARCHITECTURE@WEIGHTS`.
        pooling: `auto` and `projection` are the vector in the space of texts; `mean` averages the token grid.
        download: fetch published weights that are not in the local cache.

    Raises:
        EncoderError: no such architecture or weights, weights of another architecture or with code in them, a
            preprocessing step or a pooling that this package does not have.
        MissingExtraError: open_clip is not installed.
    """
    if pooling == "cls":
        raise EncoderError(f"{name}: open_clip gives no class token; use pooling auto or mean")
    return image_tower_of(open_model(name, download=download), pooling)


def image_tower_of(opened: Opened, pooling: Pooling = "auto") -> tuple[EncoderIdentity, VisionTower, Preprocessing]:
    """Return the image half of a model that is opened; choices and errors are those of `load_image_tower`."""
    preprocessing = _preprocessing(opened)
    resolved: Resolved = "mean" if pooling == "mean" else "projection"
    visual = _Visual(opened.model.visual, resolved)
    try:
        with torch.no_grad():
            out = visual(torch.zeros(1, 3, *preprocessing.geometry.size))
    except (RuntimeError, ValueError, AttributeError, NotImplementedError, AssertionError) as error:
        raise EncoderError(f"{opened.name}: cannot encode a picture: {one_line(error)}") from error
    identity = EncoderIdentity(opened.name, opened.weights, preprocessing.digest, resolved)
    return (
        identity,
        VisionTower(visual, None, preprocessing, Layout(out.grid, 0, False), resolved).eval(),
        preprocessing,
    )


@dataclass(frozen=True)
class _Seen:
    last_hidden_state: torch.Tensor
    pooler_output: torch.Tensor
    grid: tuple[int, int]


class _Visual(torch.nn.Module):
    """A visual tower of open_clip with the outputs that `VisionTower` reads.

    The tokens are those of the same model in the Hugging Face layout: in the space of texts they have taken the way of
    the class token, a norm and a projection; else, or where a tower pools in another way, they are those after the last
    block.
    """

    def __init__(self, visual: Any, pooling: Resolved):
        super().__init__()
        self.visual = visual
        plain = getattr(visual, "attn_pool", None) is None and hasattr(visual, "ln_post")
        self.projects = pooling == "projection" and plain and isinstance(getattr(visual, "proj", None), torch.Tensor)

    def forward(self, pixels_BCHW: torch.Tensor) -> _Seen:
        visual: Any = self.visual
        out = visual.forward_intermediates(pixels_BCHW, indices=1, output_fmt="NCHW")
        map_BDHW = out["image_intermediates"][-1]
        tokens_BTD = map_BDHW.flatten(2).transpose(1, 2)
        if self.projects:
            tokens_BTD = visual.ln_post(tokens_BTD) @ visual.proj
        return _Seen(tokens_BTD, out["image_features"], tuple(map_BDHW.shape[2:]))


def open_model(name: str, *, download: bool = False) -> Opened:
    """Load a model of open_clip, both halves.

    Args:
        name: `open-clip:ARCHITECTURE@WEIGHTS`.
        download: fetch published weights that are not in the local cache.

    Raises:
        EncoderError: no such architecture or weights, or weights of another architecture or with code in them.
        MissingExtraError: open_clip is not installed.
    """
    package = _package()
    wanted = ModelId.parse(name)
    config = package.get_model_config(wanted.architecture)
    if config is None:
        raise _unknown(name, "architecture", wanted.architecture, package.list_models())
    file = _weights(package, wanted, download)
    with explained(name, download):
        model = package.create_model(
            wanted.architecture,
            pretrained=str(file),
            precision="fp32",
            device="cpu",
            force_preprocess_cfg=_stated(package, wanted),
            require_pretrained=True,
            weights_only=True,
        )
    # The activation stands in the configuration alone: the same file under another architecture is another encoder.
    weights = json_digest([config, file_digest(file)])
    return Opened(package, model.eval().requires_grad_(False), wanted.architecture, wanted.name, weights)


def _package() -> Any:
    try:
        return importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        if error.name == "open_clip":
            raise MissingExtraError(
                "models of open_clip need an extra: pip install 'zeroscene[open-clip]'; it is not in the core because "
                "open_clip needs a torchvision that fits the installed torch"
            ) from error
        raise _broken(error) from error
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        raise _broken(error) from error


def _broken(error: Exception) -> EncoderError:
    return EncoderError(
        f"open_clip is installed and cannot be imported ({one_line(error)}); it needs a torchvision that fits the "
        "installed torch: install both in one pip call"
    )


def _weights(package: Any, wanted: ModelId, download: bool) -> Path:
    if wanted.file is None:
        return _published(package, wanted, download)
    if wanted.file.suffix not in _FILES:
        raise EncoderError(f"{wanted.file}: weights of open_clip are a file that ends in one of {', '.join(_FILES)}")
    if not wanted.file.is_file():
        raise EncoderError(f"no weights file {wanted.file}")
    return wanted.file


def _published(package: Any, wanted: ModelId, download: bool) -> Path:
    """Return the file of published weights in the cache of the Hugging Face hub, safetensors where there are any."""
    entry = package.get_pretrained_cfg(wanted.architecture, wanted.weights)
    if not entry:
        tags = package.list_pretrained_tags_by_model(wanted.architecture)
        raise _unknown(wanted.name, f"weights of {wanted.architecture}", wanted.weights, tags)
    repository, _, file = str(entry.get("hf_hub") or "").rpartition("/")
    if not repository:
        raise EncoderError(
            f"{wanted.name}: these weights are not on the Hugging Face hub; download the file and give it: "
            f"{SCHEME}{wanted.architecture}@FILE"
        )
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    for candidate in (str(Path(file).with_suffix(_SAFE)), file) if file else _HUB_FILES:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, candidate, local_files_only=not download))
        except EntryNotFoundError:  # in the cache or on the hub: the other form may be there
            continue
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise EncoderError(f"{wanted.name} cannot be downloaded: {one_line(error)}") from error
    if download:
        raise EncoderError(f"{wanted.name} cannot be downloaded: the hub is out of reach, or has no weights for it")
    raise EncoderError(
        f"{wanted.name} is not in the local Hugging Face cache; allow its download "
        "(download=True, on the command line --download)"
    )


def _stated(package: Any, wanted: ModelId) -> dict[str, Any] | None:
    """Return the preprocessing of published weights; of a file, what all weights of its architecture agree on.

    A file states none. Where published weights differ, open_clip's default holds, as it does in open_clip for any file.
    """
    tags = package.list_pretrained_tags_by_model(wanted.architecture) if wanted.file else [wanted.weights]
    entries = [package.get_pretrained_cfg(wanted.architecture, tag) for tag in tags]
    stated = [{key: entry[key] for key in _STATED if key in entry} for entry in entries]
    return stated[0] if stated and all(one == stated[0] for one in stated) else None


def _preprocessing(opened: Opened) -> Preprocessing:
    given = opened.package.get_model_preprocess_cfg(opened.model)
    size, mode = given["size"], given.get("resize_mode") or "shortest"
    height, width = (size, size) if isinstance(size, int) else size
    filter_ = given.get("interpolation") or "bicubic"
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width) or filter_ not in _RESAMPLE:
        raise EncoderError(
            f"{opened.name}: resizing to {height} x {width} by {mode!r}, {filter_!r} is not supported; shortest to a "
            "square and squash are, with bilinear or bicubic"
        )
    exact = {"height": height, "width": width}
    return from_settings(
        {
            "size": exact if mode == "squash" else {"shortest_edge": height},
            "do_center_crop": mode == "shortest",
            "crop_size": exact,
            "resample": _RESAMPLE[filter_],
            "image_mean": given["mean"],
            "image_std": given["std"],
        }
    )


def _unknown(name: str, what: str, wanted: str, known: Sequence[str]) -> EncoderError:
    close = names.nearest(wanted, known)
    hint = f"nearest: {', '.join(close)}" if close else "open_clip.list_pretrained() lists what there is"
    return EncoderError(f"{name}: open_clip has no {what} {wanted!r}; {hint}")


@contextmanager
def explained(name: str, download: bool) -> Iterator[None]:
    """Run a call of open_clip without a silent download, and say its errors in one line."""
    try:
        with quiet(), offline(not download):
            yield
    except Exception as error:  # the loaders below open_clip have no common error
        text = one_line(error)
        # torch refuses pickled code with a class of the module `pickle`, and compiled archives with a RuntimeError.
        if type(error).__name__ == "UnpicklingError" or "weights_only" in text:
            raise EncoderError(
                f"{name}: the weights file is damaged, or holds more than tensors, which can run any code and is never "
                "loaded; convert it once where you trust it: load it there and save its state dict with "
                "safetensors.torch.save_file"
            ) from error
        hint = "; what it needs from the hub may be fetched with --download" if isinstance(error, OSError) else ""
        raise EncoderError(f"{name}: open_clip cannot load it: {text}{'' if download else hint}") from error
