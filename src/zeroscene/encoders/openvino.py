"""OpenVINO as the engine of a vision tower: the extra `fast`."""

import copy
import warnings
from typing import Any

import torch

from zeroscene.encoders.preprocessing import Preprocessing
from zeroscene.encoders.source import quiet
from zeroscene.encoders.speed import Arithmetic
from zeroscene.encoders.vision import VisionTower
from zeroscene.errors import MissingExtraError

# Larger pieces fall out of the processor's cache; a piece of fixed size compiles to faster kernels than a free one.
_PIECE = 8


class OpenVinoTower:
    """A vision tower compiled by OpenVINO for this processor; pictures run through it in pieces of fixed size."""

    def __init__(self, tower: VisionTower, size: tuple[int, int], precision: Arithmetic):
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError("the OpenVINO backend needs an extra: pip install 'zeroscene[fast]'") from error
        self._openvino = openvino
        self._tower = tower
        self._size = size
        self._hint = {"fp32": "f32", "bf16": "bf16"}[precision]
        self._compiled: dict[bool, Any] = {}

    def behind(self, preprocessing: Preprocessing) -> "OpenVinoTower":
        """Return the same tower behind another preprocessing, compiled again."""
        other = copy.copy(self)
        other._tower, other._compiled = self._tower.behind(preprocessing), {}
        return other

    def __call__(self, pictures_BCHW: torch.Tensor, grid: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return pooled vectors (B, D) and, when asked for, the grid (B, H, W, D)."""
        network = self._compiled.get(grid) or self._compiled.setdefault(grid, self._compile(grid))
        count = len(pictures_BCHW)
        pooled, grids = [], []
        for start in range(0, count, _PIECE):
            piece = pictures_BCHW[start : start + _PIECE].contiguous()
            if len(piece) < _PIECE:
                piece = torch.cat([piece, piece[-1:].expand(_PIECE - len(piece), -1, -1, -1)])
            outputs = network(piece.numpy())
            pooled.append(torch.from_numpy(outputs[0].copy()))
            if grid:
                grids.append(torch.from_numpy(outputs[1].copy()))
        return torch.cat(pooled)[:count], torch.cat(grids)[:count] if grid else None

    def _compile(self, grid: bool) -> Any:
        example = torch.zeros(_PIECE, 3, *self._size, dtype=torch.uint8)
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = _converted(_Outputs(self._tower, grid).eval(), example)
        model.reshape([_PIECE, 3, *self._size])
        settings = {"INFERENCE_PRECISION_HINT": self._hint, "PERFORMANCE_HINT": "LATENCY"}
        return self._openvino.Core().compile_model(model, "CPU", settings)


def _converted(module: torch.nn.Module, example: torch.Tensor) -> Any:
    # openvino.convert_model does the same and reports each use to its maker's servers; the frontend does not.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(module, example_input=example)  # has to outlive the conversion
    return frontend.convert(frontend.load(decoder))


class _Outputs(torch.nn.Module):
    """The tower with only the outputs that are asked for, which are all that OpenVINO then computes."""

    def __init__(self, tower: VisionTower, grid: bool):
        super().__init__()
        self.tower = tower
        self.grid = grid

    def forward(self, pictures_BCHW: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor | None]:
        pooled_BD, grid_BHWD = self.tower(pictures_BCHW)
        return (pooled_BD, grid_BHWD) if self.grid else pooled_BD
