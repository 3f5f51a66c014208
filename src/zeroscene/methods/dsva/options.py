"""Options of DSVA, and what is decided where they leave it open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from zeroscene.methods.dsva.loss import TERMS
from zeroscene.methods.dsva.net import BRANCHES, Branch, Inputs
from zeroscene.methods.dsva.start import Start
from zeroscene.options import Options

PUBLISHED: Final[Mapping[str, Any]] = {
    "double_softmax": True, "fresh_optimiser": True, "predict": "local", "inputs": "layernorm",
    "compatibility": "dot", "start": "random", "focus": "none", "weight_concentration": 0.0, "epochs": 5,
    "episodes_per_epoch": 300,
}  # fmt: skip


class DSVAOptions(Options):
    """Options of DSVA; `weight_*` are those of the losses, and `behaviour=published` sets what is not given.

    Attributes:
        start: where the weights begin; `auto` is `prompts` where the class table brings words in the space of the
            tokens, else `ridge`. With words, `inputs` are centred and so are the `classes`, unless said otherwise.
        epochs: of `episodes_per_epoch` each; `auto` is 4 from words, which bear it, and 1 otherwise: from the closed
            form, training fits the seen classes better and soon unseen ones worse.
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
    weight_concentration: float = Field(1e-4, ge=0)
    weight_lasso: float = Field(0.0, ge=0)
    epochs: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
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


@dataclass(frozen=True)
class Setup:
    """What is left to `auto`, decided: with words for the attributes (`told`), or without."""

    start: Start
    inputs: Inputs
    centred_classes: bool
    epochs: int
    crop: bool
    branches: tuple[Branch, ...]
    predicting: tuple[Branch, ...]

    @classmethod
    def of(cls, o: DSVAOptions, told: bool) -> Self:
        """Decide what the options leave open."""
        start: Start = ("prompts" if told else "ridge") if o.start == "auto" else o.start
        by_words = start == "prompts"
        focused = not by_words if o.focus == "auto" else o.focus != "none"
        wanted = {
            "global": o.weight_compatibility_global > 0,
            "local": o.weight_compatibility_local > 0,
            "focus": o.weight_compatibility_global > 0 and focused,
        }
        branches = tuple(branch for branch in BRANCHES if wanted[branch])
        predict = ("all" if by_words else "global") if o.predict == "auto" else o.predict
        allowed = {"all": BRANCHES, "global": ("global", "focus"), "local": ("local",)}[predict]
        return cls(
            start,
            ("centred" if by_words else "power") if o.inputs == "auto" else o.inputs,
            by_words if o.classes == "auto" else o.classes == "centred",
            (4 if by_words else 1) if o.epochs == "auto" else o.epochs,
            o.focus == "crop",
            branches,
            tuple(branch for branch in branches if branch in allowed),
        )
