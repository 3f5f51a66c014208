"""DSVA: deep semantic-visual alignment (Xu et al., ISPRS Journal 2023, arXiv 2402.02094), on cached token grids.

An encoder gives tokens, one for each place of a grid, and a vector of the whole picture. The branches of `net` say
which of the A attributes of the class table a picture shows, and agree with a class c by a(x) . phi(c); a class's score
is the sum over the branches that predict. Training is episodic, 8 classes of 3 pictures, on the losses of `loss`, from
weights that begin as `start` says; an episode sees its pictures in one of the views that were cached. The encoder is
frozen here; `finetune` trains it too.

Options reproduce the public implementation (`behaviour=published`) or, by default, correct it:

    option           published            corrected
    double_softmax   a softmax twice      once
    fresh_optimiser  Adam begins anew     goes on
                     every epoch
    predict          local branch         global, local and focus, or what is chosen
    inputs           LayerNorm, raw       length 1 without the training mean; after signed roots (`power`) where the
                     tokens               encoder has no texts
    compatibility    a(x) . phi(c)        phi(c) of length 1, divided by the length of W^T phi(c)
    start            random               an image-text model's words for the attributes where the class table brings
                                          them (`prompts`), else closed form (`ridge`)

Shapes in names: N pictures, R places, D width, A attributes, S seen classes, C candidate classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

import numpy as np
import torch
from torch import Tensor

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.errors import EncoderError, OptionError
from zeroscene.methods.contract import Indices, Matrix, State, TrainingSet, ZeroShotMethod
from zeroscene.methods.dsva.focus import boxes, group_numbers
from zeroscene.methods.dsva.loss import terms
from zeroscene.methods.dsva.net import BRANCHES, INPUTS, Branch, DSVANet, Looked
from zeroscene.methods.dsva.options import DSVAOptions, Setup
from zeroscene.methods.dsva.pictures import Pictures, require_grids
from zeroscene.methods.dsva.start import centre, level, prompts_start, random_start, ridge_start
from zeroscene.semantics.table import ClassTable
from zeroscene.training.episodes import Episodes
from zeroscene.vectors import products

_SAMPLE: Final = 300
"""Training pictures, at least one a class, that scales are taken from."""


class DSVA(ZeroShotMethod[DSVAOptions]):
    """Attributes by the whole picture, by its places, and by what is worth a closer look.

    `losses_` holds the terms of each episode of the last fit, unweighted; it is not saved.
    """

    name = "dsva"
    title = "DSVA"
    reference = (
        "Xu et al., Deep semantic-visual alignment for zero-shot remote sensing image scene classification, ISPRS "
        "Journal of Photogrammetry and Remote Sensing 2023 (arXiv 2402.02094)"
    )
    reads: ClassVar[Literal["vectors", "grids"]] = "grids"
    Options = DSVAOptions

    @classmethod
    def candidates(cls) -> Sequence[Mapping[str, Any]]:
        """Option sets among which honest selection chooses: train from where the weights begin, or leave them there."""
        return ({}, {"epochs": 0})

    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        self.losses_: list[dict[str, float]] = []
        prompts_AD = matching_prompts(train.pictures, table)
        if self.options.start == "prompts" and prompts_AD is None:
            raise OptionError(_no_prompts(train.pictures, table))
        setup = Setup.of(self.options, prompts_AD is not None)
        if not setup.predicting:
            raise OptionError(f"dsva: predict={self.options.predict} needs a branch whose compatibility has a weight")
        groups_A = group_numbers(table.groups, len(table.columns))
        crop = None
        if setup.crop:
            net, crop = self._fit_with_crop(setup, train, table, prompts_AD, groups_A)
        else:
            net = self._begin(setup, train, table, prompts_AD)
            self._train(net, setup, train, table)
        arrays = {f"net.{name}": value.numpy() for name, value in net.state_dict().items()}
        return arrays | self._scale(net, train, crop) | {
            "groups": groups_A.numpy(),
            "inputs": np.array([INPUTS.index(net.inputs)]),
            "branches": np.array([BRANCHES.index(branch) for branch in setup.branches]),
            "predicting": np.array([BRANCHES.index(branch) for branch in setup.predicting]),
        }  # fmt: skip

    def _fit_with_crop(
        self, setup: Setup, train: TrainingSet, table: ClassTable, prompts_AD: Tensor | None, groups_A: Tensor
    ) -> tuple[DSVANet, TokenGrids]:
        """Fit the other branches, look where they point, encode that once, and go on with the focus branch too."""
        if not {"global", "local"} <= set(setup.branches):
            raise OptionError("dsva: focus=crop needs the local branch, which says where to look, and the global one")
        first = replace(setup, branches=("global", "local"))
        pointing = self._begin(first, train, table, prompts_AD)
        self._train(pointing, setup, train, table)
        crop = self._crop(pointing, train.pictures, groups_A)
        net = self._begin(setup, train, table, prompts_AD, crop)
        net.load_state_dict({**net.state_dict(), **pointing.state_dict()})
        self._train(net, setup, train, table, crop)
        return net, crop

    @torch.no_grad()
    def _crop(self, net: DSVANet, x: Embeddings, groups_A: Tensor) -> TokenGrids:
        """Return the token grids of the crops of pictures."""
        if x.crops is None:
            raise EncoderError(
                "dsva, focus=crop: it looks at the pictures again; give the folder of pictures, or take focus=whole"
            )
        x.check_encoder(x.crops.identity, "the encoder of the crops")
        pictures, parts = Pictures(net, x), []
        for views in pictures.blocks(np.arange(len(x))):
            found_NA, maps_NRA = net.found("local", views)
            assert maps_NRA is not None
            parts.append(boxes(maps_NRA, found_NA, groups_A, pictures.grid, self.options.crop_threshold))
        return x.crops.grids(x.ids, torch.cat(parts))

    def _begin(
        self,
        setup: Setup,
        train: TrainingSet,
        table: ClassTable,
        prompts_AD: Tensor | None,
        crop: TokenGrids | None = None,
    ) -> DSVANet:
        o, phi_SA = self.options, torch.tensor(table.matrix)
        width = require_grids(train.pictures).shape[2]
        net = DSVANet(width, len(table.columns), setup.branches, setup.inputs, o.compatibility == "cosine")
        if setup.centred_classes:
            net.class_mean.data.copy_(phi_SA.mean(0))
        phi_SA = net.class_vectors(phi_SA)
        if setup.start == "random":
            random_start(net, torch.Generator().manual_seed(o.seed))
        if setup.inputs == "layernorm":
            return net
        pictures = Pictures(net, train.pictures, crop)
        inputs = centre(net, pictures)
        sample = list(pictures.blocks(_sample(train.y, o.seed)))
        for branch in setup.branches if setup.start != "random" else ():
            if setup.start == "prompts" and prompts_AD is not None and branch != "focus":
                prompts_start(net, branch, sample, prompts_AD)
            else:
                ridge_start(net, branch, inputs[branch], torch.from_numpy(train.y), phi_SA, o.ridge)
        level(net, sample, phi_SA)
        return net

    def _train(
        self, net: DSVANet, setup: Setup, train: TrainingSet, table: ClassTable, crop: TokenGrids | None = None
    ) -> None:
        o, y = self.options, train.y
        phi_SA = net.class_vectors(torch.tensor(table.matrix))
        pictures, local = Pictures(net, train.pictures, crop), "local" in net.branches
        episodes = Episodes(y, o.classes_per_episode, o.pictures_per_class)
        rng = np.random.default_rng(o.seed)
        optimiser = _adam(net, o.learning_rate)
        for epoch in range(setup.epochs):
            if epoch and o.fresh_optimiser:
                optimiser = _adam(net, o.learning_rate)
            for rows in episodes.draw(rng, o.episodes_per_epoch):
                view = int(rng.integers(pictures.count)) if pictures.count > 1 else 0
                looked, y_N = net(pictures.views(rows, local, view)), torch.from_numpy(y[rows])
                step = terms(net, looked, phi_SA, y_N, pictures.grid, o.weights, o.double_softmax)
                optimiser.zero_grad(set_to_none=True)
                step.weighted(o.weights).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                self.losses_.append(step.values())

    @torch.no_grad()
    def _scale(self, net: DSVANet, train: TrainingSet, crop: TokenGrids | None) -> State:
        """Return mean and deviation of each branch's attributes over training pictures."""
        pictures = Pictures(net, train.pictures, crop)
        looked = [net(views).attributes for views in pictures.blocks(_sample(train.y, 0))]
        state: State = {}
        for branch in net.branches:
            deviation_A, mean_A = torch.std_mean(torch.cat([found[branch] for found in looked]), 0, correction=0)
            state |= {f"strength.mean.{branch}": mean_A.numpy(), f"strength.deviation.{branch}": deviation_A.numpy()}
        return state

    @torch.no_grad()
    def _score_pictures(self, x: Embeddings, table: ClassTable, seen: Indices) -> Matrix:
        weights = self.class_weights(table)
        parts = [
            np.stack([products(looked.attributes[b].numpy(), w_CA.numpy()) for b, w_CA in weights.items()]).sum(0)
            for looked in self.look(x, maps="local" in weights)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(table)), np.float32)

    @torch.no_grad()
    def class_weights(self, table: ClassTable) -> dict[Branch, Tensor]:
        """Return what each attribute weighs for each class in each branch that predicts, (C, A).

        A class's score is the sum, over branches and attributes, of attribute times weight: so its reasons add up.
        """
        net = self.net()
        phi_CA = net.class_vectors(torch.tensor(table.matrix))
        return {
            branch: torch.cat([net.class_weights(branch, one_1A) for one_1A in torch.split(phi_CA, 1)])
            for branch in self.predicting
        }

    def strength_scale(self, branch: Branch) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of a branch's attributes over training pictures, each (A,).

        Raises:
            NotFittedError: `fit` or `load` comes first.
        """
        self.require_fitted()
        mean_A, deviation_A = (self.state_[f"strength.{name}.{branch}"] for name in ("mean", "deviation"))
        return torch.from_numpy(mean_A), torch.from_numpy(deviation_A)

    @property
    def predicting(self) -> tuple[Branch, ...]:
        """The branches whose compatibilities are summed.

        Raises:
            NotFittedError: `fit` or `load` comes first.
        """
        return self._named("predicting")

    def _named(self, key: str) -> tuple[Branch, ...]:
        self.require_fitted()
        return tuple(BRANCHES[i] for i in self.state_[key])

    def net(self) -> DSVANet:
        """Return the fitted net.

        Raises:
            NotFittedError: `fit` or `load` comes first.
        """
        branches = self._named("branches")
        arrays = {k.removeprefix("net."): torch.from_numpy(v) for k, v in self.state_.items() if k.startswith("net.")}
        attributes, width = next(v for k, v in arrays.items() if k.startswith("weight.")).shape
        inputs = INPUTS[int(self.state_["inputs"][0])]
        net = DSVANet(width, attributes, branches, inputs, self.options.compatibility == "cosine")
        net.load_state_dict(arrays)
        return net.eval()

    @torch.no_grad()
    def look(self, x: Embeddings, maps: bool = True) -> Iterator[Looked]:
        """Yield what the branches find in pictures, block by block.

        Args:
            x: pictures with token grids.
            maps: ask the local branch too, which alone reads the tokens.

        Raises:
            EncoderError: the pictures come without token grids.
        """
        net = self.net()
        if not len(x):
            return
        cropped = "focus" in net.branches and self.options.focus == "crop"
        crop = self._crop(net, x, torch.from_numpy(self.state_["groups"])) if cropped else None
        for views in Pictures(net, x, crop).blocks(np.arange(len(x)), maps):
            yield net(views)


def matching_prompts(pictures: Embeddings, table: ClassTable) -> Tensor | None:
    """Return the table's words for its attributes, (A, D), if they lie in the space of the pictures' tokens."""
    if table.prompts is None or _no_prompts(pictures, table):
        return None
    return torch.from_numpy(np.array(table.prompts.vectors, np.float32))


def _no_prompts(pictures: Embeddings, table: ClassTable) -> str:
    """Return why a table's prompts cannot be compared with these pictures; nothing where they can."""
    if table.prompts is None:
        return "dsva, start=prompts: the class table brings no words for its attributes; make it with `annotate`"
    own, theirs = pictures.encoder, table.prompts.encoder
    if own.weights != theirs.weights or own.output != "projection":
        return (
            f"dsva, start=prompts: the table's words are in the space of {theirs.name!r}, the pictures were encoded by "
            f"{own.name!r} (output {own.output}); use the two towers of one model, with the projection"
        )
    if table.prompts.vectors.shape[1] != require_grids(pictures).shape[2]:
        return f"dsva, start=prompts: the tokens of {own.name!r} do not lie in its space of texts"
    return ""


def _adam(net: DSVANet, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam([p for p in net.parameters() if p.requires_grad], rate, betas=(0.5, 0.999), fused=True)


def _sample(y: Indices, seed: int) -> Indices:
    rng = np.random.default_rng(seed)
    classes = range(int(y.max()) + 1)
    each = max(1, _SAMPLE // len(classes))
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:each] for c in classes])
