"""The tower and the branches of DSVA as one module, from grey levels to losses, so that both are trained.

Shapes in names: N pictures, C channels, H and W of a picture, R places, D width, A attributes, S seen classes.
"""

import torch
from torch import Tensor, nn

from zeroscene.embeddings.crops import cut
from zeroscene.encoders.vision import VisionTower
from zeroscene.methods.dsva.focus import boxes
from zeroscene.methods.dsva.loss import terms
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.net import Views
from zeroscene.methods.dsva.options import DSVAOptions
from zeroscene.semantics.table import ClassTable
from zeroscene.training.fabric import LOSS


class Student(nn.Module):
    """What is fine-tuned.

    The tower runs in the arithmetic of the run, which can be bfloat16; the branches, whose sums decide between classes
    that differ little, and their losses in float32.
    """

    def __init__(self, tower: VisionTower, head: DSVA, table: ClassTable, options: DSVAOptions):
        """Begin with a tower and the branches fitted on its tokens.

        Args:
            tower: with a token grid.
            head: fitted on the seen classes of `table`.
            table: class vectors of the seen classes.
            options: of the losses and the crop.
        """
        super().__init__()
        assert tower.layout.grid is not None
        self.tower, self.net = tower, head.net()
        self.predicting, self.grid, self.options = head.predicting, tower.layout.grid, options
        self.crops = options.focus == "crop" and "focus" in self.net.branches
        self.phi_SA: Tensor
        self.groups_A: Tensor
        self.register_buffer("phi_SA", self.net.class_vectors(torch.tensor(table.matrix)).detach(), persistent=False)
        self.register_buffer("groups_A", torch.tensor(head.state_["groups"]), persistent=False)

    def forward(self, pictures_NCHW: Tensor, y_N: Tensor) -> dict[str, Tensor]:
        """Return the loss of an episode and its terms, unweighted.

        Args:
            pictures_NCHW: (N, 3, height, width) uint8.
            y_N: class of each.
        """
        views = self.views(pictures_NCHW)
        weights = self.options.weights
        with torch.autocast(pictures_NCHW.device.type, enabled=False):
            looked = self.net(views)
            found = terms(self.net, looked, self.phi_SA, y_N, self.grid, weights, self.options.double_softmax)
            named = {name: getattr(found, name) for name, weight in weights.items() if weight}
            return {LOSS: found.weighted(weights), **named}

    def views(self, pictures_NCHW: Tensor) -> Views:
        """Return what the branches are given of pictures; the crop is where their own maps point."""
        pooled_ND, tokens_NRD = self._look(pictures_NCHW)
        # As on cached grids: a picture's own vector can be of another width, and is not what was published.
        own = self.net.inputs != "layernorm" and pooled_ND.shape[1] == tokens_NRD.shape[2]
        with torch.autocast(pictures_NCHW.device.type, enabled=False):
            picture_ND = pooled_ND if own else tokens_NRD.mean(1)
            views = self.net.views(picture_ND, tokens_NRD)
            if not self.crops:
                return views
            boxes_N4 = self._boxes(views)
        _, crop_NRD = self._look(cut(pictures_NCHW, boxes_N4))
        with torch.autocast(pictures_NCHW.device.type, enabled=False):
            return self.net.views(picture_ND, tokens_NRD, crop_NRD)

    @torch.no_grad()
    def scores(self, pictures_NCHW: Tensor, table: ClassTable) -> Tensor:
        """Return the scores of pictures for the classes of any table, (N, classes)."""
        views = self.views(pictures_NCHW)
        with torch.autocast(pictures_NCHW.device.type, enabled=False):
            phi_CA = self.net.class_vectors(torch.tensor(table.matrix, device=self.phi_SA.device))
            found = self.net(views).attributes
            return torch.stack([self.net.compatibility(b, found[b], phi_CA) for b in self.predicting]).sum(0)

    def _look(self, pictures_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        pooled_ND, grid_NHWD = self.tower(pictures_NCHW)
        return pooled_ND.float(), grid_NHWD.flatten(1, 2).float()

    @torch.no_grad()
    def _boxes(self, views: Views) -> Tensor:
        found_NA, maps_NRA = self.net.found("local", views)
        assert maps_NRA is not None
        return boxes(maps_NRA, found_NA, self.groups_A, self.grid, self.options.crop_threshold)
