"""A process that embeds a folder with one convolution, for tests that kill it; it starts without transformers."""

import sys
from pathlib import Path

import numpy as np
import torch

from zeroscene.embeddings.extract import extract
from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.pixels import Geometry, resize_crop
from zeroscene.scenes.folder import SceneFolder


class OneConvolution:
    """The smallest network that an image encoder can be."""

    identity = EncoderIdentity("one convolution", "seed 0", "32", "mean")
    width = 16
    grid = (4, 4, 16)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 16, 8, stride=8).requires_grad_(False)

    def prepare(self, picture_HWC: np.ndarray) -> torch.Tensor:
        return resize_crop(picture_HWC, Geometry((32, 32)))

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        grid_BHWD = self.convolution(pictures_BCHW / 255).permute(0, 2, 3, 1)
        return Encoded(grid_BHWD.mean((1, 2)), grid_BHWD if grid else None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    scenes = SceneFolder.open(Path(sys.argv[1]))
    print("ready", flush=True)
    extract(scenes, OneConvolution(), sys.argv[2], batch=2, part=5, grid=True, views=3, workers=2)
    print("done", flush=True)
