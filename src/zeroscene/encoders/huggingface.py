"""Any Hugging Face vision model as an image encoder: ViT, CLIP and SigLIP towers, DINOv2, ResNet, ConvNeXt.

Models of open_clip run through the same class: `encoders.open_clip` gives their tower.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.encoders.open_clip import is_open_clip, load_image_tower
from zeroscene.encoders.openvino import OpenVinoTower
from zeroscene.encoders.preprocessing import IMAGENET, Preprocessing, Statistics, read_preprocessing
from zeroscene.encoders.source import Loaded, Source, load_model, locate
from zeroscene.encoders.speed import Arithmetic, Precision, TorchTower, arithmetic
from zeroscene.encoders.vision import Pooling, VisionTower, build_tower
from zeroscene.errors import EncoderError
from zeroscene.pixels import Geometry, resize_crop

Backend = Literal["torch", "openvino"]


class HuggingFaceImageEncoder:
    """A pretrained vision model with its own preprocessing; satisfies `encoders.base.ImageEncoder`.

    Attributes:
        unused: parameters in its weights file that the model has no place for.
    """

    def __init__(
        self,
        identity: EncoderIdentity,
        tower: VisionTower,
        preprocessing: Preprocessing,
        precision: Arithmetic,
        backend: Backend,
        unused: tuple[str, ...] = (),
    ):
        self._identity = identity
        self._preprocessing = preprocessing
        self.unused = unused
        self.precision = precision
        self.backend = backend
        with torch.no_grad():
            pooled_BD, grid_BHWD = tower(torch.zeros(1, 3, *self.geometry.size, dtype=torch.uint8))
        self._width = int(pooled_BD.shape[1])
        self._grid: tuple[int, int, int] | None = None
        if grid_BHWD is not None:
            _, rows, columns, width = grid_BHWD.shape
            self._grid = rows, columns, width
        self._run: TorchTower | OpenVinoTower = (
            OpenVinoTower(tower, self.geometry.size, precision)
            if backend == "openvino"
            else TorchTower(tower, precision)
        )

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the numbers."""
        return self._identity

    @property
    def width(self) -> int:
        """D, the length of a pooled vector."""
        return self._width

    @property
    def grid(self) -> tuple[int, int, int] | None:
        """(H, W, D) of the token grid, or None for an encoder without one."""
        return self._grid

    @property
    def geometry(self) -> Geometry:
        """How pictures become the size that the model sees."""
        return self._preprocessing.geometry

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to a picture before the first layer."""
        return self._preprocessing

    def behind(self, preprocessing: Preprocessing) -> "HuggingFaceImageEncoder":
        """Return the same weights behind another preprocessing of the same picture size; it is another encoder."""
        other = copy.copy(self)
        other._identity = replace(self._identity, preprocessing=preprocessing.digest)
        other._preprocessing = preprocessing
        other._run = self._run.behind(preprocessing)
        return other

    def prepare(self, picture_HWC: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Return one decoded RGB picture (H, W, 3) resized and cropped: (3, height, width) uint8."""
        return resize_crop(picture_HWC, self.geometry)

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        """Return vectors of prepared pictures, (B, 3, height, width) uint8.

        Raises:
            EncoderError: a grid is asked of an encoder that has none.
        """
        pooled_BD, grid_BHWD = self._run(pictures_BCHW, grid)
        if grid and grid_BHWD is None:
            raise EncoderError(f"{self._identity.name} has no token grid")
        return Encoded(pooled_BD.float().cpu(), grid_BHWD.float().cpu() if grid and grid_BHWD is not None else None)


def load_image_encoder(
    name_or_folder: str | Path,
    *,
    precision: Precision = "auto",
    pooling: Pooling = "auto",
    backend: Backend = "torch",
    statistics: Statistics = "own",
    download: bool = False,
) -> HuggingFaceImageEncoder:
    """Load an image encoder from a folder in the Hugging Face layout, by hub id, or a model of open_clip.

    Args:
        name_or_folder: folder, a hub id such as `facebook/dinov2-base`, or `open-clip:ARCHITECTURE@WEIGHTS` (see
            `encoders.open_clip`).
        precision: `auto` is bfloat16 where it is an instruction of the processor or GPU, else float32. It is not
            part of the encoder's identity: the vectors differ by rounding only.
        pooling: `auto` is the projection for a model with a text tower, the model's own pooled vector for a
            convolutional network, the class token for a transformer (see `vision.build_tower`); `mean` averages
            the token grid, `cls` takes the class token, `projection` the vector in the space of texts.
        backend: `openvino` needs the extra `fast`.
        statistics: `own` normalises channels as the model was trained; `imagenet` by ImageNet's mean and deviation, as
            public implementations do in front of towers that were trained with others. Part of the identity.
        download: fetch a hub id that is not in the local cache; nothing is downloaded without it.

    Raises:
        EncoderError: no such model, weights that are absent, damaged or pickled, an unknown preprocessing step, or a
            pooling that the model does not have.
        DataFormatError: the note of what the model was fine-tuned on is damaged.
        MissingExtraError: OpenVINO or open_clip is asked for and not installed.
    """
    if is_open_clip(name_or_folder):
        if statistics != "own":
            raise EncoderError(f"{name_or_folder}: other statistics than its own are for models of Hugging Face")
        identity, tower, preprocessing = load_image_tower(str(name_or_folder), pooling, download=download)
        return HuggingFaceImageEncoder(identity, tower, preprocessing, arithmetic(precision), backend)
    source = locate(name_or_folder, download=download)
    return image_encoder_of(source, load_model(source), precision, pooling, backend, statistics)


def image_encoder_of(
    source: Source,
    loaded: Loaded,
    precision: Precision = "auto",
    pooling: Pooling = "auto",
    backend: Backend = "torch",
    statistics: Statistics = "own",
) -> HuggingFaceImageEncoder:
    """Return the image encoder of a model that is loaded; choices and errors are those of `load_image_encoder`."""
    preprocessing = read_preprocessing(source)
    if statistics == "imagenet":
        preprocessing = preprocessing.with_statistics(*IMAGENET)
    tower = build_tower(loaded, source, preprocessing, pooling)
    identity = EncoderIdentity(
        source.name, source.weights_digest(), preprocessing.digest, tower.pooling, source.fine_tuned()
    )
    return HuggingFaceImageEncoder(identity, tower, preprocessing, arithmetic(precision), backend, loaded.unused)
