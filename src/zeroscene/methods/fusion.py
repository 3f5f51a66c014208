"""Fusion: several methods decide together by the weighted sum of their scores.

    score_nc = sum over members m of  weight_m * s_m(x_n, c) / scale_m

The scale is how far a member's scores spread over classes, so that weights of members compare. It is a number that does
not depend on the pictures or classes that are asked about. Each member is fitted by itself and knows classes by its own
view of the class table (`semantics.views`): texts for one, attributes for another. `evaluation.fusion` chooses weights
on held-out classes.

What is subtracted from the scores of seen classes in the generalised setting needs no value of its own in each member:
in a sum, gamma_m of all members is one gamma of the sum, sum over m of weight_m * gamma_m / scale_m.

The sum rule: Kittler, Hatef, Duin and Matas, On combining classifiers, IEEE TPAMI 20(3), 1998.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import numpy as np
from pydantic import Field, field_validator

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import OptionError
from zeroscene.methods.contract import Fitted, Indices, Matrix, State, TrainingSet, ZeroShotMethod
from zeroscene.methods.registry import AnyMethod, create_method, method_class
from zeroscene.options import Options
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import space_of, view

_SAMPLE: Final = 2000
"""Training pictures, at most, that a scale is taken from."""


class Member(Options):
    """One method of a fusion.

    Attributes:
        method: registry name.
        view: label of its class vectors in a joined table; empty for the whole table.
        options: of the method; the fusion's seed is its seed.
        weight: share in the sum; 0 leaves it out, and it is not fitted. Without one, selection chooses; where nothing
            is chosen, members weigh the same.
        scale: what its scores are divided by; without one, their spread over the training pictures, and 1 for a member
            that is alone.
    """

    method: str
    view: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    weight: Annotated[float, Field(ge=0)] | None = None
    scale: Annotated[float, Field(gt=0)] | None = None

    @property
    def label(self) -> str:
        """Name for people: the method, and its view where it has one."""
        return f"{self.method} on {self.view}" if self.view else self.method

    def vectors(self, table: ClassTable) -> ClassTable:
        """Return the member's class vectors.

        Raises:
            UnknownNameError: the table has no such view.
        """
        return view(table, self.view) if self.view else table

    def build(self, seed: int) -> AnyMethod:
        """Return the unfitted method.

        Raises:
            UnknownNameError: no such method.
            OptionError: an unknown option or a value out of range.
        """
        if "seed" in self.options:
            raise OptionError(f"fusion, member {self.label!r}: the seed is that of the fusion, not of a member")
        seeded = "seed" in method_class(self.method).Options.model_fields
        return create_method(self.method, **self.options, **({"seed": seed} if seeded else {}))


class FusionOptions(Options):
    """Options of a fusion.

    Attributes:
        members: the methods; the two closed forms where none are named.
        seed: of the members that draw.
    """

    members: tuple[Member, ...] = Field((Member(method="eszsl"), Member(method="kernel")), min_length=1)
    seed: int = Field(0, ge=0)

    @field_validator("members")
    @classmethod
    def _weights(cls, members: tuple[Member, ...]) -> tuple[Member, ...]:
        given = [member.weight for member in members if member.weight is not None]
        if 0 < len(given) < len(members):
            raise ValueError("give every member a weight, or none")
        if given and not sum(given):
            raise ValueError("give one member at least a weight above 0")
        return members


class Fusion(ZeroShotMethod[FusionOptions]):
    """Weighted sum of the scores of other methods.

    `reads` and `apart` of a fusion are those that its members need.
    """

    name: ClassVar[str] = "fusion"
    title: ClassVar[str] = "Fusion: the weighted sum of several methods' scores"
    reference: ClassVar[str] = (
        "Kittler, Hatef, Duin and Matas, On combining classifiers, IEEE Transactions on Pattern Analysis and Machine "
        "Intelligence 1998 (the sum rule)."
    )
    Options: ClassVar[type[Options]] = FusionOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if nested := [member for member in self.options.members if method_class(member.method) is Fusion]:
            raise OptionError(f"fusion: {nested[0].label!r} is a fusion itself; name its members instead")
        built = [(member, member.build(self.options.seed)) for member in self.options.members]
        resolved = tuple(
            member.model_copy(
                update={"method": method.name, "options": method.options.model_dump(mode="json", exclude={"seed"})}
            )
            for member, method in built
        )
        self.options: FusionOptions = self.options.model_copy(update={"members": resolved})
        # Of the class they say what a fusion without options needs.
        self.reads = "grids" if any(m.reads == "grids" for _, m in built) else "vectors"  # type: ignore[misc]
        self.apart = all(m.apart for _, m in built)  # type: ignore[misc]
        self.methods_: dict[int, AnyMethod] = {}

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each member."""
        return tuple(1.0 if member.weight is None else member.weight for member in self.options.members)

    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        self.methods_ = {}
        scales: list[float] = []
        state: State = {}
        for i, (member, weight) in enumerate(zip(self.options.members, self.weights, strict=True)):
            scale = member.scale
            if weight:
                part = member.vectors(table)
                method = member.build(self.options.seed).fit(train, part)
                self.methods_[i] = method
                state |= {f"{i}.{name}": array for name, array in method.state_.items()}
                if scale is None and len(self.options.members) > 1:
                    step = -(-len(train.pictures) // _SAMPLE)
                    sample = train.pictures.take(np.arange(0, len(train.pictures), step))
                    scale = spread(method.scores(sample, part).values)
            scales.append(1.0 if scale is None else scale)
        return state | {"scales": np.array(scales, np.float64)}

    def _score_pictures(self, x: Embeddings, table: ClassTable, seen: Indices) -> Matrix:
        total = np.zeros((len(x), len(table)), np.float32)
        for i, method in self.methods_.items():
            share = np.float32(self.weights[i] / float(self.state_["scales"][i]))
            total += share * method.scores(x, self.options.members[i].vectors(table)).values
        return total

    def card(self) -> str:
        """Return the model card, Markdown; it lists the members."""
        about = super().card().partition("\nOptions:\n")[0]
        scales = self.state_["scales"]
        rows = "".join(
            f"- {member.label}: weight {weight:g}, scores divided by {scale:.4g}"
            f"{'' if weight else ' (left out)'}\n"
            f"{''.join(f'  - {name}: {value}' + chr(10) for name, value in member.options.items())}"
            for member, weight, scale in zip(self.options.members, self.weights, scales, strict=True)
        )
        return f"{about}\nMembers:\n{rows}"

    @classmethod
    def _load(cls, folder: Path, record: Mapping[str, Any]) -> Self:
        loaded = super()._load(folder, record)
        fitted = loaded.require_fitted()
        for i, (member, weight) in enumerate(zip(loaded.options.members, loaded.weights, strict=True)):
            if weight:
                method = member.build(loaded.options.seed)
                prefix = f"{i}."
                method.state_ = {
                    name.removeprefix(prefix): array for name, array in loaded.state_.items() if name.startswith(prefix)
                }
                space, table = space_of(fitted.table, member.view) if member.view else (fitted.space, fitted.table)
                method.fitted_ = Fitted(fitted.seen, fitted.encoder, space, dict(table), fitted.pictures)
                loaded.methods_[i] = method
        return loaded


def in_words(options: Mapping[str, Any]) -> list[str]:
    """Return options in words: one entry for each member of a fusion, or for each option of another method."""
    if "members" not in options:
        return [f"{name} = {value}" for name, value in options.items()]
    entries = []
    for member in options["members"]:
        name = f"{member['method']} on {member['view']}" if member.get("view") else member["method"]
        weight = member.get("weight")
        own = ", ".join(in_words(member.get("options", {}))) or "the defaults"
        entries.append(f"{'' if weight is None else f'{weight:g} '}{name} ({own})")
    return entries


def spread(scores: Matrix) -> float:
    """Return the standard deviation of (N, C) scores about each picture's mean; 1 where all are the same."""
    wide = scores.astype(np.float64)
    found = float((wide - wide.mean(axis=1, keepdims=True)).std()) if wide.size else 0.0
    return found if found > 0 else 1.0
