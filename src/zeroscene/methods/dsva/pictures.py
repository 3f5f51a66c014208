"""Embedded pictures as the branches of DSVA are given them, from cached token grids.

What the global and the focus branch are given of a picture does not change in training, so it is worked out once; only
the local branch reads tokens again and again.

Shapes in names: N pictures, R places, D width.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.errors import EncoderError
from zeroscene.methods.contract import Indices
from zeroscene.methods.dsva.net import DSVANet, Views

_BLOCK: Final = 64


def require_grids(x: Embeddings) -> TokenGrids:
    """Return the token grids of pictures.

    Raises:
        EncoderError: they come without; it is said how to get them.
    """
    if x.grids is None:
        raise EncoderError(
            "dsva looks at the places of a picture, and these embeddings keep none: embed again with --grid "
            "(grid=True) and read the store with grids=True"
        )
    return x.grids


class Pictures:
    """Pictures before a net, which decides what they have in common.

    Attributes:
        grid: (H, W) of the token grids.
        count: V, their views; a net is trained on all and asked about the first.
        picture_ND: vector of each picture: its own, or the mean token where that is of another width, and as published.
        place_ND: mean token of each picture.
        focus_ND: the greatest value of each feature over the places of the crop, or of the whole picture.
    """

    def __init__(self, net: DSVANet, x: Embeddings, crop: TokenGrids | None = None):
        self._net, self._x, self._crop, self._grids = net, x, crop, require_grids(x)
        self.grid = self._grids.shape[:2]
        self.count = self._grids.views if x.views is not None else 1
        self._known: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
        self.picture_ND, self.place_ND, self.focus_ND = self._vectors(0)

    def _vectors(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what stays the same of each picture in one view: its vector, its mean and its greatest features."""
        if view not in self._known:
            self._known[view] = self._work_out(view)
        return self._known[view]

    def _work_out(self, view: int) -> tuple[Tensor, Tensor, Tensor]:
        width = self._grids.shape[2]
        reduced = self._reduced(self._grids, view)
        focus = reduced[:, width:] if self._crop is None else self._reduced(self._crop, 0)[:, width:]
        x, own = self._x.x, self._net.inputs != "layernorm" and self._x.width == width
        if view and self._x.views is not None:
            x = self._x.views[:, view - 1]
        picture = self._net.common(torch.from_numpy(np.array(x, np.float32))) if own else reduced[:, :width]
        return picture, reduced[:, :width], focus

    def _reduced(self, grids: TokenGrids, view: int) -> Tensor:
        def reduce(tokens_NRD: Tensor) -> Tensor:
            common = self._net.common(tokens_NRD)
            return torch.cat([common.mean(1), common.amax(1)], 1)

        return torch.from_numpy(grids.reduced(f"mean and greatest, {self._net.inputs}", reduce, view))

    def __len__(self) -> int:
        return len(self.picture_ND)

    def views(self, rows: Indices, local: bool = True, view: int = 0) -> Views:
        """Return what the branches are given of some pictures in one view; tokens are read only for the local one."""
        picture_ND, _, focus_ND = self._vectors(view)
        tokens = self._net.common(torch.from_numpy(self._grids.read(rows, view)).flatten(1, 2)) if local else None
        return Views(picture_ND[rows], tokens, focus_ND[rows])

    def blocks(self, rows: Indices, local: bool = True) -> Iterator[Views]:
        """Yield what the branches are given of some pictures, block by block."""
        for first in range(0, len(rows), _BLOCK):
            yield self.views(rows[first : first + _BLOCK], local)
