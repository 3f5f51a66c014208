"""A process that encodes the windows of a raster with one convolution, for tests that kill it."""

import sys
from pathlib import Path

import numpy as np
import torch

from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.pixels import Geometry, resize_crop
from zeroscene.scenes.geo import GeoRaster


class OneConvolution:
    """The smallest network that an image encoder can be."""

    identity = EncoderIdentity("one convolution", "seed 0", "16", "mean")
    width = 8
    grid = None
    geometry = Geometry((16, 16))

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 8, 4, stride=4, bias=False).requires_grad_(False)
        self.convolution.weight.data = torch.randn(8, 3, 4, 4, generator=generator)

    def prepare(self, picture_HWC: np.ndarray) -> torch.Tensor:
        return resize_crop(picture_HWC, self.geometry)

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        return Encoded(self.convolution(pictures_BCHW / 255).mean((2, 3)))


def encode(path: Path, work: Path) -> None:
    """Encode the windows of 16 pixels of a raster."""
    raster = GeoRaster.open(path)
    encode_windows(raster, Layout.of(raster, 16), OneConvolution(), work, batch=8, workers=2)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("ready", flush=True)
    encode(Path(sys.argv[1]), Path(sys.argv[2]))
    print("done", flush=True)
