"""The forms of a network that this processor runs fastest, chosen by what it is, never by timing.

Choosing by capability keeps a run deterministic: two runs on one machine give the same bits.
"""

import copy
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zeroscene.encoders.preprocessing import Preprocessing
from zeroscene.encoders.vision import VisionTower

Precision = Literal["auto", "fp32", "bf16"]
Arithmetic = Literal["fp32", "bf16"]


def device() -> torch.device:
    """Return the GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic(precision: Precision) -> Arithmetic:
    """Return the arithmetic to use: `auto` is bfloat16 exactly where it is an instruction of the processor."""
    if precision != "auto":
        return precision
    if device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return "bf16" if any(getattr(torch.cpu, name, bool)() for name in native) else "fp32"


class TorchTower:
    """A vision tower run by torch: on a processor, each core takes its share of a batch.

    Sharing each layer among the cores instead, as torch does by itself, makes them wait for each other hundreds of
    times a batch: as fast on an idle machine, several times slower beside any other busy process.
    """

    def __init__(self, tower: VisionTower, precision: Arithmetic):
        self._tower = fastest(tower, precision)
        self._device = device()
        self._threads = torch.get_num_threads() if self._device.type == "cpu" else 1
        # The number of threads is a setting of the calling thread: that of the others stays.
        self._pool = ThreadPoolExecutor(self._threads, "encode", torch.set_num_threads, (1,))

    def behind(self, preprocessing: Preprocessing) -> "TorchTower":
        """Return the same tower behind another preprocessing; the weights are shared."""
        other = copy.copy(self)
        other._tower = self._tower.behind(preprocessing)
        return other

    @torch.no_grad()
    def __call__(self, pictures_BCHW: torch.Tensor, grid: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return pooled vectors (B, D) and, when asked for, the grid (B, H, W, D)."""
        if self._threads == 1 or len(pictures_BCHW) < self._threads:
            return self._run(pictures_BCHW, grid)
        shares = list(self._pool.map(lambda part: self._run(part, grid), pictures_BCHW.tensor_split(self._threads)))
        grids = [own for _, own in shares if own is not None]
        return torch.cat([pooled for pooled, _ in shares]), torch.cat(grids) if grids else None

    @torch.no_grad()
    def _run(self, pictures_BCHW: torch.Tensor, grid: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
        pooled_BD, grid_BHWD = self._tower(pictures_BCHW.to(self._device, non_blocking=True))
        return pooled_BD, grid_BHWD if grid else None


def fastest(tower: VisionTower, precision: Arithmetic) -> VisionTower:
    """Return the tower folded, channels-last, in the given arithmetic, on the fastest device."""
    if tower.layout.convolutional:
        folded = _folded(tower)
        tower = folded if _same(tower, folded) else tower
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return tower.to(device(), dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _folded(tower: VisionTower) -> VisionTower:
    """Return a copy with batch normalisation folded into the convolution before it, and ReLUs that write in place.

    Which normalisation follows which convolution is read from the order of definition, so `_same` has the last word.
    """
    tower = copy.deepcopy(tower)
    for module in tower.modules():
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in itertools.pairwise(children):
            if not (isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d)):
                continue
            if conv.out_channels == norm.num_features:
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, torch.nn.Identity())
    for module in tower.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = True
    return tower


@torch.no_grad()
def _same(tower: VisionTower, other: VisionTower) -> bool:
    noise = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    try:
        pairs = zip(tower(noise), other(noise), strict=True)
    except (RuntimeError, ValueError, TypeError):
        return False
    return all(
        mine is None or (theirs is not None and torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4 * mine.abs().max()))
        for mine, theirs in pairs
    )
