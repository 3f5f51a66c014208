"""The state of a training run in one safetensors file: weights that are trained, moments of Adam, a note in JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zeroscene.errors import StoreError
from zeroscene.files import replacing

_WEIGHT, _MOMENT, _NOTE, _SAME = "weight.", "moment.", "note", "same"


@dataclass(frozen=True)
class Checkpoint:
    """One file that a run continues from.

    Attributes:
        file: `.safetensors`; whole or absent.
        same: digest of all that decides the weights; a file of another run is refused.
    """

    file: Path
    same: str

    def write(self, module: nn.Module, optimiser: torch.optim.Optimizer, note: Mapping[str, Any]) -> None:
        """Write the state.

        Args:
            module: its parameters that have a gradient are kept.
            optimiser: of these parameters.
            note: JSON values.

        Raises:
            StoreError: the file cannot be written.
        """
        from safetensors.torch import save_file

        tensors = {_WEIGHT + name: parameter.detach() for name, parameter in _trained(module).items()}
        for name, moments in zip(_order(module, optimiser), _states(optimiser), strict=True):
            tensors |= {f"{_MOMENT}{name}/{kind}": value for kind, value in moments.items()}
        written = {name: value.cpu().contiguous() for name, value in tensors.items()}
        # One entry: safetensors writes several in an order of its own, a new one in every process.
        header = {_NOTE: json.dumps({_SAME: self.same, _NOTE: dict(note)}, allow_nan=False)}
        with replacing(self.file) as temporary:
            save_file(written, temporary, header)

    def read(self, module: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> dict[str, Any] | None:
        """Take the state into a module and its optimiser; returns the note, or None where there is no file.

        Raises:
            StoreError: the file is damaged or belongs to another run.
        """
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        if not self.file.is_file():
            return None
        try:
            with safe_open(self.file, "pt") as opened:
                header = json.loads((opened.metadata() or {})[_NOTE])
            tensors = load_file(self.file)
        except (SafetensorError, KeyError, ValueError) as error:
            raise StoreError(f"{self.file} is damaged; remove it and repeat the command") from error
        if header[_SAME] != self.same:
            raise StoreError(
                f"{self.file.parent} holds a run of other pictures, options or weights; give another folder"
            )
        with torch.no_grad():
            for name, parameter in _trained(module).items():
                parameter.copy_(tensors[_WEIGHT + name])
        if optimiser is not None:
            _restore(module, optimiser, tensors)
        return dict(header[_NOTE])


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def _order(module: nn.Module, optimiser: torch.optim.Optimizer) -> list[str]:
    """Return the name of each parameter of an optimiser, in the order of its state."""
    name_of = {id(parameter): name for name, parameter in _trained(module).items()}
    return [name_of[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]


def _states(optimiser: torch.optim.Optimizer) -> list[dict[str, Tensor]]:
    """Return the moments of each parameter; none of one that never had a gradient."""
    return [
        dict(optimiser.state.get(parameter, {})) for group in optimiser.param_groups for parameter in group["params"]
    ]


def _restore(module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(_MOMENT):
            name, _, kind = key.removeprefix(_MOMENT).rpartition("/")
            moments.setdefault(name, {})[kind] = value
    state = {index: moments[name] for index, name in enumerate(_order(module, optimiser)) if name in moments}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
