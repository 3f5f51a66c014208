"""The option sets that a choice is made among, and methods built from them; nothing here holds a picture."""

from collections.abc import Mapping
from typing import Any

from zeroscene.methods.registry import AnyMethod


def build(method: type[AnyMethod], options: Mapping[str, Any], seed: int) -> AnyMethod:
    """Return the unfitted method; `seed` is passed to a method that has such an option.

    Raises:
        OptionError: an unknown option or a value out of range.
    """
    if "seed" in method.Options.model_fields:
        return method(**{**options, "seed": seed})
    return method(**options)


def option_sets(method: type[AnyMethod], fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the method's candidates with the fixed options put over them, each different set once, in order."""
    merged = [{**candidate, **fixed} for candidate in method.candidates()]
    return [options for i, options in enumerate(merged) if options not in merged[:i]]
