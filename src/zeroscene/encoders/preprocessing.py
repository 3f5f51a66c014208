"""Preprocessing as a model's own files state it: geometry on uint8, then one multiplication and one addition."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

from zeroscene.encoders.source import Source, one_line, quiet
from zeroscene.errors import EncoderError, OptionError
from zeroscene.files import json_digest
from zeroscene.pixels import Geometry

Statistics = Literal["own", "imagenet"]
IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of channels, grey levels in [0, 1]."""

_FILE = "preprocessor_config.json"
# Where transformers 5 saves the processor of a model that reads texts too.
_WITH_TEXTS, _PART = "processor_config.json", "image_processor"
_INTERPOLATION: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
# A class of transformers that does not name a step in its settings does not take it.
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
# ConvNeXt's processor: from this edge on, the picture is squeezed into the square without a crop.
_CONVNEXT_SQUEEZE = 384


@dataclass(frozen=True)
class Preprocessing:
    """What happens to a decoded picture before the first layer.

    Attributes:
        geometry: resize and crop, on uint8.
        scale: per channel, multiplies grey levels 0-255.
        shift: per channel, is added after `scale`.
        blue_first: the model reads blue, green, red.
    """

    geometry: Geometry
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]
    blue_first: bool = False

    def with_statistics(self, mean: tuple[float, float, float], deviation: tuple[float, float, float]) -> Self:
        """Return the same geometry with another mean and standard deviation of channels, for grey levels in [0, 1]."""
        scale = (1 / 255 / deviation[0], 1 / 255 / deviation[1], 1 / 255 / deviation[2])
        shift = (-mean[0] / deviation[0], -mean[1] / deviation[1], -mean[2] / deviation[2])
        return replace(self, scale=scale, shift=shift)

    @property
    def digest(self) -> str:
        """Digest of all that the pixels depend on."""
        return json_digest(asdict(self))


def read_preprocessing(source: Source) -> Preprocessing:
    """Read a model's preprocessing from its own preprocessor_config.json, or from the image part of its processor's.

    The class of transformers that the file names fills in what the file leaves out; pictures never pass through it.

    Raises:
        EncoderError: no such file, or a step that this package does not have.
    """
    raw = source.config(_FILE) or (source.config(_WITH_TEXTS) or {}).get(_PART)
    if raw is None:
        raise EncoderError(f"{source.name}: no {_FILE} in {source.folder}, so its preprocessing is not known")
    from transformers import AutoImageProcessor

    try:
        with quiet():
            processor = AutoImageProcessor.from_pretrained(source.folder, backend="pil", local_files_only=True)
        settings = dict.fromkeys(_STEPS, False) | processor.to_dict()
    except (ImportError, ValueError, OSError, AttributeError):
        # A processor without a Pillow twin: its file is complete, because such classes are newer than short forms.
        settings = raw
    try:
        return from_settings(settings)
    except (EncoderError, OptionError) as error:
        raise EncoderError(f"{source.name}: {_FILE}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{source.name}: {_FILE} cannot be understood: {one_line(error)}") from error


def from_settings(settings: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that settings in the words of transformers describe.

    Raises:
        EncoderError: a step that this package does not have.
        OptionError: sizes that contradict each other.
    """
    if settings.get("rescale_offset"):
        raise EncoderError("rescale_offset is not supported")
    factor = float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0
    normalise = settings.get("do_normalize", "image_mean" in settings)
    mean = _three(settings["image_mean"]) if normalise else (0.0, 0.0, 0.0)
    std = _three(settings["image_std"]) if normalise else (1.0, 1.0, 1.0)
    return Preprocessing(
        _geometry(settings),
        (factor / std[0], factor / std[1], factor / std[2]),
        (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2]),
        bool(settings.get("do_flip_channel_order", False)),
    )


def _geometry(settings: Mapping[str, Any]) -> Geometry:
    if not settings.get("do_resize", True):
        raise EncoderError("do_resize is false, but pictures of all sizes must become one size")
    resample = int(settings.get("resample", 2))
    if resample not in _INTERPOLATION:
        raise EncoderError(f"resample = {resample} is not supported; bilinear (2) and bicubic (3) are")
    filter_ = _INTERPOLATION[resample]
    size = settings["size"]
    if isinstance(size, Mapping) and "shortest_edge" in size and "longest_edge" not in size:
        edge = int(size["shortest_edge"])
        if "crop_pct" in settings and settings["crop_pct"] is not None:
            if edge >= _CONVNEXT_SQUEEZE:
                return Geometry((edge, edge), None, filter_)
            return Geometry(int(edge / settings["crop_pct"]), (edge, edge), filter_)
        # Without a crop of its own such a model would see every picture in another size, which cannot be a batch.
        return Geometry(edge, _crop(settings) or (edge, edge), filter_)
    if isinstance(size, Mapping) and not {"height", "width"} <= size.keys():
        raise EncoderError(f"size = {dict(size)} is not supported; shortest_edge, or height and width are")
    return Geometry(_pair(size), _crop(settings), filter_)


def _crop(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    return _pair(settings["crop_size"]) if settings.get("do_center_crop", False) else None


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, Mapping):
        if "shortest_edge" in size:
            return int(size["shortest_edge"]), int(size["shortest_edge"])
        return int(size["height"]), int(size["width"])
    if isinstance(size, int | float):
        return int(size), int(size)
    height, width = size
    return int(height), int(width)


def _three(values: Any) -> tuple[float, float, float]:
    if isinstance(values, int | float):
        values = [values] * 3
    if len(values) != 3:
        raise EncoderError(f"mean and standard deviation of {len(values)} channels; pictures are RGB")
    red, green, blue = (float(value) for value in values)
    return red, green, blue
