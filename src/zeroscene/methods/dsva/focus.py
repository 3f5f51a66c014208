"""The focus crop of DSVA (Xu et al. 2023, section 3.3): the box around where a picture's strongest attributes are.

For each picture, and in each group of attributes, the map of the strongest attribute is taken; each is brought to
[0, 1], they are averaged, places above a share of the mean are kept, and the box is drawn around the largest connected
component. All pictures of a batch at once, on the device they are on.

Shapes in names: N pictures, R = H W places, A attributes, G groups.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def group_numbers(groups: Sequence[str], attributes: int) -> Tensor:
    """Return the number of each attribute's group, (A,); all are one group where there are no groups."""
    order = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return torch.tensor([order[name] for name in groups] if groups else [0] * attributes)


def boxes(maps_NRA: Tensor, attributes_NA: Tensor, groups_A: Tensor, grid: tuple[int, int], threshold: float) -> Tensor:
    """Return the box to focus on in each picture, (N, 4): left, top, right, bottom in parts of the picture.

    Args:
        maps_NRA: attention maps.
        attributes_NA: how strong each attribute is.
        groups_A: number of each attribute's group (`group_numbers`).
        grid: (H, W).
        threshold: a place is kept when the mean map is above this share of its own mean.
    """
    height, width = grid
    strongest = []
    for group in range(int(groups_A.max()) + 1):
        columns = torch.nonzero(groups_A == group)[:, 0]
        best_N = columns[attributes_NA[:, columns].argmax(1)]
        map_NR = maps_NRA.gather(2, best_N[:, None, None].expand(-1, maps_NRA.shape[1], 1))[..., 0]
        low, high = map_NR.amin(1, keepdim=True), map_NR.amax(1, keepdim=True)
        strongest.append((map_NR - low) / (high - low).clamp_min(1e-12))
    mean_NR = torch.stack(strongest).mean(0)
    kept_NHW = (mean_NR > threshold * mean_NR.mean(1, keepdim=True)).view(-1, height, width)
    return _box(largest_component(kept_NHW))


def largest_component(kept_NHW: Tensor) -> Tensor:
    """Return the largest connected component of each mask, (N, H, W) bool; the whole mask where it is empty.

    Places are connected over their edges. Each place starts with a number of its own and takes the greatest of its
    neighbours' until nothing changes.
    """
    count, height, width = kept_NHW.shape
    numbers = torch.arange(1, height * width + 1, device=kept_NHW.device, dtype=torch.float32)
    labels = numbers.view(1, height, width) * kept_NHW
    while True:
        rows = F.max_pool2d(labels[:, None], (3, 1), stride=1, padding=(1, 0))
        columns = F.max_pool2d(labels[:, None], (1, 3), stride=1, padding=(0, 1))
        spread = torch.maximum(rows, columns)[:, 0] * kept_NHW
        if torch.equal(spread, labels):
            break
        labels = spread
    flat = labels.flatten(1).long()
    sizes = torch.zeros(count, height * width + 1, device=flat.device).scatter_add_(
        1, flat, kept_NHW.flatten(1).float()
    )
    found = (labels == sizes[:, 1:].argmax(1).add(1)[:, None, None]) & kept_NHW
    return torch.where(kept_NHW.flatten(1).any(1)[:, None, None], found, torch.ones_like(found))


def _box(mask_NHW: Tensor) -> Tensor:
    """Return the bounding box of each mask in parts of the grid, (N, 4)."""
    sides = []
    for axis in (1, 2):  # what is left after the rows are gone are columns
        line = mask_NHW.any(axis)
        size = line.shape[1]
        first = line.float().argmax(1)
        last = size - line.flip(1).float().argmax(1)
        sides.append((first / size, last / size))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1)
