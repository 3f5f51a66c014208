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
        picture_ND: vector of each picture: its own, or the mean token where that is of another width, and as published.
        place_ND: mean token of each picture.
        focus_ND: the greatest value of each feature over the places of the crop, or of the whole picture.
    """

    def __init__(self, net: DSVANet, x: Embeddings, crop: TokenGrids | None = None):
        self._net, self._grids = net, require_grids(x)
        self.grid = self._grids.shape[:2]
        reduced = self._reduced(self._grids)
        width = self._grids.shape[2]
        self.place_ND = reduced[:, :width]
        self.focus_ND = reduced[:, width:] if crop is None else self._reduced(crop)[:, width:]
        own = net.inputs != "layernorm" and x.width == width
        self.picture_ND = net.common(torch.from_numpy(np.array(x.x, np.float32))) if own else self.place_ND

    def _reduced(self, grids: TokenGrids) -> Tensor:
        def reduce(tokens_NRD: Tensor) -> Tensor:
            common = self._net.common(tokens_NRD)
            return torch.cat([common.mean(1), common.amax(1)], 1)

        return torch.from_numpy(grids.reduced(f"mean and greatest, {self._net.inputs}", reduce))

    def __len__(self) -> int:
        return len(self.picture_ND)

    def views(self, rows: Indices, local: bool = True) -> Views:
        """Return what the branches are given of some pictures; tokens are read only for the local one."""
        tokens = self._net.common(torch.from_numpy(self._grids.read(rows)).flatten(1, 2)) if local else None
        return Views(self.picture_ND[rows], tokens, self.focus_ND[rows])

    def blocks(self, rows: Indices, local: bool = True) -> Iterator[Views]:
        """Yield what the branches are given of some pictures, block by block."""
        for first in range(0, len(rows), _BLOCK):
            yield self.views(rows[first : first + _BLOCK], local)
