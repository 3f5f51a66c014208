"""Does a map mean anything? Deletion and insertion (Petsiuk et al., RISE, BMVC 2018), beside a random order.

The cells of a picture are covered one after the other, highest on the map first, and the picture is encoded anew each
time: the more the map means, the faster the class's score falls (deletion) - or rises, when the covered picture is
uncovered in that order (insertion). What covers a cell is the picture's own blur, of which a cell's worth is too little
to recognise things by and which, unlike grey, is no new thing in the picture.

Scores compare the classes of one picture only, so what is followed is the lead of a class over the mean of the other
candidates. Areas are mean leads over the share of covered cells, 0 to 1. A map is worth what it gains over a random
order: it deletes faster and inserts faster.

Shapes in names: B pictures to encode, H and W of the token grid, R = H W cells, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from zeroscene import names
from zeroscene.embeddings.crops import Crops, cut
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import DataFormatError, EncoderError, OptionError
from zeroscene.explain.evidence import explainable, lead
from zeroscene.methods.registry import AnyMethod
from zeroscene.pixels import Picture
from zeroscene.scenes.folder import SceneFolder
from zeroscene.semantics.table import ClassTable

Array = npt.NDArray[np.float32]
Order = npt.NDArray[np.int64]

_STEPS: Final = 16
_ORDERS: Final = 4
_BATCH: Final = 64


@dataclass(frozen=True)
class Faithfulness:
    """What covering and uncovering a picture in the order of a map does to its class, beside random orders.

    Attributes:
        picture: its id.
        label: the class that is followed.
        shares: shares of covered (or uncovered) cells, from 0 to 1.
        deletion: lead of the class at each share, covering the highest cells first.
        insertion: the same, uncovering the highest cells first.
        random_deletion, random_insertion: the same in random orders, mean over them.
    """

    picture: str
    label: str
    shares: tuple[float, ...]
    deletion: tuple[float, ...]
    insertion: tuple[float, ...]
    random_deletion: tuple[float, ...]
    random_insertion: tuple[float, ...]

    @property
    def deletion_gain(self) -> float:
        """Area under random deletion less that under the map's; positive where the map falls faster."""
        return _area(self.shares, self.random_deletion) - _area(self.shares, self.deletion)

    @property
    def insertion_gain(self) -> float:
        """Area under the map's insertion less that under random; positive where the map rises faster."""
        return _area(self.shares, self.insertion) - _area(self.shares, self.random_insertion)

    def to_json(self) -> dict[str, Any]:
        """Return areas, gains and curves as a JSON value."""
        curves = {
            "deletion": self.deletion,
            "insertion": self.insertion,
            "random_deletion": self.random_deletion,
            "random_insertion": self.random_insertion,
        }
        return {
            "class": self.label,
            "areas": {name: _short(_area(self.shares, curve)) for name, curve in curves.items()},
            "deletion_gain": _short(self.deletion_gain),
            "insertion_gain": _short(self.insertion_gain),
            "shares": [_short(share) for share in self.shares],
            "curves": {name: [_short(value) for value in curve] for name, curve in curves.items()},
        }


@dataclass(frozen=True)
class Worth:
    """What maps gain over random orders, over pictures.

    Attributes:
        pictures: how many.
        deletion, insertion: (mean, standard deviation) of the gains; the deviation is 0 for one picture.
        better: share of pictures of which the sum of both gains is above 0.
    """

    pictures: int
    deletion: tuple[float, float]
    insertion: tuple[float, float]
    better: float

    @classmethod
    def of(cls, measured: Sequence[Faithfulness]) -> "Worth":
        """Return the worth over pictures.

        Raises:
            OptionError: there are none.
        """
        if not measured:
            raise OptionError("the worth of maps needs one measured picture or more")
        deletion = np.array([one.deletion_gain for one in measured])
        insertion = np.array([one.insertion_gain for one in measured])
        better = float((deletion + insertion > 0).mean())
        return cls(len(measured), _mean(deletion), _mean(insertion), better)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON value."""
        return {
            "pictures": self.pictures,
            "deletion_gain": {"mean": _short(self.deletion[0]), "deviation": _short(self.deletion[1])},
            "insertion_gain": {"mean": _short(self.insertion[0]), "deviation": _short(self.insertion[1])},
            "better_than_random": _short(self.better),
        }


def measure(
    method: AnyMethod,
    encoder: ImageEncoder,
    picture_HWC: Picture,
    table: ClassTable,
    label: str,
    map_HW: Array,
    *,
    picture: str = "",
    steps: int = _STEPS,
    orders: int = _ORDERS,
    seed: int = 0,
) -> Faithfulness:
    """Return what covering a picture in the order of a map does to a class, beside random orders.

    Args:
        method: a fitted method that can be explained.
        encoder: the one that it was fitted with; runs 2 (1 + orders) (steps - 1) + 2 times.
        picture_HWC: (H, W, 3) uint8 RGB.
        table: the candidates.
        label: the class to follow.
        map_HW: the map, a value for each token.
        picture: its id.
        steps: parts in which the cells are covered; at most as many as there are cells.
        orders: random orders.
        seed: of the random orders.

    Raises:
        OptionError: the method cannot be explained, or a number is not positive.
        UnknownNameError: the class is not in the table.
        DataFormatError: the map has another shape than the encoder's grid.
        EncoderError: the encoder has no token grid.
        EncoderMismatchError: it is not the encoder of the fit.
    """
    explainable(method)
    if encoder.grid is None:
        raise EncoderError(f"{encoder.identity.name} has no token grid")
    if map_HW.shape != encoder.grid[:2]:
        raise DataFormatError(f"a map of {map_HW.shape} for a token grid of {encoder.grid[:2]}")
    if steps < 1 or orders < 1:
        raise OptionError("steps and orders must be at least 1")
    prepared = encoder.prepare(picture_HWC)
    counts = np.unique(np.linspace(0, map_HW.size, steps + 1).round().astype(int))
    rng = np.random.default_rng(seed)
    orders_R = [np.argsort(-map_HW, axis=None, kind="stable")] + [rng.permutation(map_HW.size) for _ in range(orders)]
    both = (prepared, blurred(prepared, encoder.grid[:2]))
    pictures = torch.stack(
        [
            _covered(*pair, order[:count], encoder.grid[:2])
            for order in orders_R
            for pair in (both, both[::-1])
            for count in counts
        ]
    )
    leads = _leads(method, encoder, pictures, table, _column(label, table))
    curves = leads.reshape(len(orders_R), 2, len(counts))
    deletion, insertion = (tuple(map(float, curve)) for curve in curves[0])
    random_deletion, random_insertion = (tuple(map(float, curve)) for curve in curves[1:].mean(0))
    shares = tuple(float(count) / map_HW.size for count in counts)
    return Faithfulness(picture, label, shares, deletion, insertion, random_deletion, random_insertion)


def blurred(prepared_CHW: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return a prepared picture without anything smaller than two cells of the grid, (3, height, width) uint8."""
    coarse = (max(1, grid[0] // 2), max(1, grid[1] // 2))
    small = F.adaptive_avg_pool2d(prepared_CHW[None].float(), coarse)
    smooth = F.interpolate(small, size=prepared_CHW.shape[1:], mode="bilinear", align_corners=False)
    return smooth[0].round().clamp(0, 255).to(torch.uint8)


def _covered(picture_CHW: torch.Tensor, cover_CHW: torch.Tensor, cells_R: Order, grid: tuple[int, int]) -> torch.Tensor:
    mask = torch.zeros(grid[0] * grid[1])
    mask[torch.from_numpy(cells_R)] = 1
    whole = F.interpolate(mask.view(1, 1, *grid), size=picture_CHW.shape[1:], mode="nearest-exact")[0]
    return torch.where(whole > 0, cover_CHW, picture_CHW)


@dataclass(frozen=True)
class _Again(Crops):
    """A second look at pictures that are covered in part, and so lie in no folder."""

    prepared_BCHW: torch.Tensor

    def grids(self, ids: Sequence[str], boxes_N4: torch.Tensor) -> TokenGrids:
        """Return the token grids of a box of each picture; all of them, in order."""
        return _grids(self.encoder, cut(self.prepared_BCHW, boxes_N4))[1]


@torch.no_grad()
def _leads(
    method: AnyMethod, encoder: ImageEncoder, pictures_BCHW: torch.Tensor, table: ClassTable, column: int
) -> Array:
    values = []
    for start in range(0, len(pictures_BCHW), _BATCH):
        batch = pictures_BCHW[start : start + _BATCH]
        pooled_BD, grids = _grids(encoder, batch)
        ids = tuple(str(i) for i in range(len(batch)))
        again = _Again(SceneFolder(Path(), ids, None, ()), lambda: encoder, batch)
        values.append(method.scores(Embeddings(ids, pooled_BD, encoder.identity, None, grids, again), table).values)
    leads_CB: Array = lead(np.concatenate(values).T)
    return np.asarray(leads_CB[column], np.float32)


def _grids(encoder: ImageEncoder, pictures_BCHW: torch.Tensor) -> tuple[Array, TokenGrids]:
    encoded = encoder.encode(pictures_BCHW.contiguous(memory_format=torch.channels_last), grid=True)
    assert encoded.grid_BHWD is not None
    # As a store keeps grids, so that an uncovered picture scores as it was predicted.
    return encoded.pooled_BD.numpy(), TokenGrids.of(encoded.grid_BHWD.numpy().astype(np.float16))


def _column(label: str, table: ClassTable) -> int:
    if label not in table:
        raise names.unknown([label], table.classes, "classes among the candidates")
    return names.index(table.classes, "class table")[names.key(label)]


def _area(shares: Sequence[float], curve: Sequence[float]) -> float:
    at, values = np.asarray(shares), np.asarray(curve)
    return float((np.diff(at) * (values[1:] + values[:-1]) / 2).sum())


def _mean(gains: npt.NDArray[np.float64]) -> tuple[float, float]:
    return float(gains.mean()), float(gains.std(ddof=min(1, len(gains) - 1)))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
