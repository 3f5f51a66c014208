"""DSVA: deep semantic-visual alignment (Xu et al., ISPRS Journal 2023, arXiv 2402.02094), on cached token grids.

An encoder gives tokens, one for each place of a grid, and a vector of the whole picture. The branches of `net` say
which of the A attributes of the class table a picture shows, and agree with a class c by a(x) . phi(c); a class's score
is the sum over the branches that predict. Training is episodic, 8 classes of 3 pictures, on the losses of `loss`, from
weights that begin as `start` says. The encoder is frozen here; `training.finetune` trains it too.

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

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.errors import EncoderError, OptionError
from zeroscene.methods.contract import Indices, Matrix, State, TrainingSet, ZeroShotMethod
from zeroscene.methods.dsva.loss import TERMS, terms
from zeroscene.methods.dsva.net import BRANCHES, INPUTS, Branch, DSVANet, Inputs, Looked, Views
from zeroscene.methods.dsva.start import Start, centre, level, prompts_start, random_start, ridge_start
from zeroscene.options import Options
from zeroscene.semantics.table import ClassTable
from zeroscene.training.episodes import Episodes

_SAMPLE: Final = 600
"""Training pictures that means and tempers are taken from."""
_BLOCK: Final = 64

PUBLISHED: Final[Mapping[str, Any]] = {
    "double_softmax": True, "fresh_optimiser": True, "predict": "local", "inputs": "layernorm",
    "compatibility": "dot", "start": "random", "focus": "none", "epochs": 5, "episodes_per_epoch": 300,
}  # fmt: skip


class DSVAOptions(Options):
    """Options of DSVA; `weight_*` are those of the losses, and `behaviour=published` sets what is not given.

    Attributes:
        start: where the weights begin; `auto` is `prompts` where the class table brings words in the space of the
            tokens, else `ridge`. With words, `inputs` are centred and so are the `classes`, unless said otherwise.
        ridge: lambda of the closed form, for class vectors of length 1.
        focus: what the focus branch looks at: nothing, the `whole` picture, or the `crop` around the places of its
            strongest attributes, which is encoded again.
        crop_threshold: a place belongs to the crop when its mean map is above this share of the mean.
    """

    behaviour: Literal["corrected", "published"] = "corrected"
    start: Literal["auto"] | Start = "auto"
    ridge: float = Field(0.1, gt=0)
    inputs: Literal["auto"] | Inputs = "auto"
    classes: Literal["auto", "centred", "plain"] = "auto"
    compatibility: Literal["cosine", "dot"] = "cosine"
    predict: Literal["auto", "all", "global", "local"] = "auto"
    focus: Literal["auto", "none", "whole", "crop"] = "auto"
    crop_threshold: float = Field(1.0, gt=0)
    double_softmax: bool = False
    fresh_optimiser: bool = False
    weight_compatibility_global: float = Field(1.0, ge=0)
    weight_compatibility_local: float = Field(1.0, ge=0)
    weight_regression_global: float = Field(1e-2, ge=0)
    weight_regression_local: float = Field(8e-2, ge=0)
    weight_concentration: float = Field(1e-9, ge=0)
    weight_lasso: float = Field(0.0, ge=0)
    epochs: int = Field(1, ge=0)
    episodes_per_epoch: int = Field(50, ge=1)
    classes_per_episode: int = Field(8, ge=2)
    pictures_per_class: int = Field(3, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _published(cls, given: Any) -> Any:
        published = isinstance(given, dict) and given.get("behaviour") == "published"
        return {**PUBLISHED, **given} if published else given

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the losses, by term."""
        return {name: getattr(self, f"weight_{name}") for name in TERMS}

    @property
    def branches(self) -> tuple[Branch, ...]:
        """The branches that are trained: those that have a loss."""
        wanted = {
            "global": self.weight_compatibility_global > 0,
            "local": self.weight_compatibility_local > 0,
            "focus": self.weight_compatibility_global > 0 and self.focus != "none",
        }
        return tuple(branch for branch in BRANCHES if wanted[branch])


class DSVA(ZeroShotMethod[DSVAOptions]):
    """Attributes by the whole picture, by its places, and by what is worth a closer look."""

    name = "dsva"
    title = "DSVA"
    reference = (
        "Xu et al., Deep semantic-visual alignment for zero-shot remote sensing image scene classification, ISPRS "
        "Journal of Photogrammetry and Remote Sensing 2023 (arXiv 2402.02094)"
    )
    reads: ClassVar[Literal["vectors", "grids"]] = "grids"
    Options = DSVAOptions

    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        net = self._begin(train, table)
        self._train(net, train, net.class_vectors(torch.tensor(table.matrix)))
        arrays = {f"net.{name}": value.numpy() for name, value in net.state_dict().items()}
        return arrays | {"inputs": np.array([INPUTS.index(net.inputs)])} | self._scale(net, train)

    @torch.no_grad()
    def _scale(self, net: DSVANet, train: TrainingSet) -> State:
        """Return mean and deviation of each branch's attributes over training pictures."""
        rows = _sample(train.y, self.options.seed)
        parts = np.split(rows, range(_BLOCK, len(rows), _BLOCK))
        looked = [net(self._views(train.pictures, part, net.inputs)).attributes for part in parts]
        state: State = {}
        for branch in net.branches:
            deviation_A, mean_A = torch.std_mean(torch.cat([found[branch] for found in looked]), 0, correction=0)
            state |= {f"strength.mean.{branch}": mean_A.numpy(), f"strength.deviation.{branch}": deviation_A.numpy()}
        return state

    def _begin(self, train: TrainingSet, table: ClassTable) -> DSVANet:
        o = self.options
        pictures = train.pictures
        prompts_AD = matching_prompts(pictures, table)
        if o.start == "prompts" and prompts_AD is None:
            raise OptionError(_no_prompts(pictures, table))
        start = ("ridge" if prompts_AD is None else "prompts") if o.start == "auto" else o.start
        told = start == "prompts"
        net = DSVANet(
            require_grids(pictures).shape[2],
            len(table.columns),
            o.branches,
            ("centred" if told else "power") if o.inputs == "auto" else o.inputs,
            o.compatibility == "cosine",
        )
        if told if o.classes == "auto" else o.classes == "centred":
            net.class_mean.data.copy_(torch.tensor(table.matrix).mean(0))
        if start == "random":
            random_start(net, torch.Generator().manual_seed(o.seed))
        if net.inputs == "layernorm":
            return net
        rows = _sample(train.y, o.seed)

        def blocks() -> Iterator[Views]:
            for part in np.split(rows, range(_BLOCK, len(rows), _BLOCK)):
                yield self._views(pictures, part, net.inputs)

        inputs, phi_SA = centre(net, blocks), net.class_vectors(torch.tensor(table.matrix))
        for branch in o.branches if start != "random" else ():
            if prompts_AD is not None and told and branch != "focus":
                prompts_start(net, branch, blocks, prompts_AD)
            else:
                ridge_start(net, branch, inputs[branch], torch.from_numpy(train.y[rows]), phi_SA, o.ridge)
        level(net, blocks, phi_SA)
        return net

    def _train(self, net: DSVANet, train: TrainingSet, phi_SA: Tensor) -> None:
        o, y = self.options, train.y
        episodes = Episodes(y, o.classes_per_episode, o.pictures_per_class)
        rng = np.random.default_rng(o.seed)
        optimiser = _adam(net, o.learning_rate)
        grid = require_grids(train.pictures).shape[:2]
        for epoch in range(o.epochs):
            if epoch and o.fresh_optimiser:
                optimiser = _adam(net, o.learning_rate)
            for rows in episodes.draw(rng, o.episodes_per_epoch):
                looked = net(self._views(train.pictures, rows, net.inputs))
                y_N = torch.from_numpy(y[rows])
                loss = terms(net, looked, phi_SA, y_N, grid, o.weights, o.double_softmax).weighted(o.weights)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()

    def _views(self, x: Embeddings, rows: Indices, inputs: Inputs) -> Views:
        tokens_NRD = torch.from_numpy(require_grids(x).read(rows)).flatten(1, 2)
        # A picture's own vector can be of another width than its tokens, and is not what was published.
        own = inputs != "layernorm" and x.width == tokens_NRD.shape[2]
        picture_ND = torch.from_numpy(np.ascontiguousarray(x.x[rows], np.float32)) if own else tokens_NRD.mean(1)
        return Views(picture_ND, tokens_NRD)

    @torch.no_grad()
    def _score_pictures(self, x: Embeddings, table: ClassTable, seen: Indices) -> Matrix:
        net = self.net()
        weights = self.class_weights(table)
        parts = [
            torch.stack([looked.attributes[b] @ weights_CA.T for b, weights_CA in weights.items()]).sum(0).numpy()
            for looked in self.look(x, net)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(table)), np.float32)

    @torch.no_grad()
    def class_weights(self, table: ClassTable) -> dict[Branch, Tensor]:
        """Return what each attribute weighs for each class in each branch that predicts, (C, A).

        A class's score is the sum, over branches and attributes, of attribute times weight: so its reasons add up.
        """
        net = self.net()
        phi_CA = net.class_vectors(torch.tensor(table.matrix))
        return {branch: net.class_weights(branch, phi_CA) for branch in self.predicting}

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
        """The branches whose compatibilities are summed."""
        o = self.options
        allowed = {"all": BRANCHES, "global": ("global", "focus"), "local": ("local",)}[o.predict]
        return tuple(branch for branch in o.branches if branch in allowed)

    def net(self) -> DSVANet:
        """Return the fitted net.

        Raises:
            NotFittedError: `fit` or `load` comes first.
        """
        self.require_fitted()
        arrays = {k.removeprefix("net."): torch.from_numpy(v) for k, v in self.state_.items() if k.startswith("net.")}
        weight_AD = next(v for k, v in arrays.items() if k.startswith("weight."))
        o = self.options
        inputs = INPUTS[int(self.state_["inputs"][0])]
        net = DSVANet(weight_AD.shape[1], len(weight_AD), o.branches, inputs, o.compatibility == "cosine")
        net.load_state_dict(arrays)
        return net.eval()

    @torch.no_grad()
    def look(self, x: Embeddings, net: DSVANet | None = None) -> Iterator[Looked]:
        """Yield what the branches find in pictures, block by block.

        Raises:
            EncoderError: the pictures come without token grids.
        """
        net = net or self.net()
        for first in range(0, len(x), _BLOCK):
            yield net(self._views(x, np.arange(first, min(first + _BLOCK, len(x))), net.inputs))


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
