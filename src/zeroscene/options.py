"""Options: one frozen model a component; unknown keys are refused with the nearest ones."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from zeroscene.errors import DatasetNotFoundError, OptionError
from zeroscene.names import nearest


class Options(BaseModel):
    """Base of every component's options: keyword-only, typed, frozen, stored untouched."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Self:
        """Return the validated options.

        Args:
            values: option names and values.
            where: what the options belong to, for the message.

        Raises:
            OptionError: an unknown key (the nearest are listed) or a value out of range, in one line.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise OptionError("; ".join(_line(e, where, cls) for e in error.errors())) from error


def _line(error: Any, where: str, model: type[Options]) -> str:
    name = ".".join(str(part) for part in error["loc"]) or "options"
    if error["type"] == "extra_forbidden":
        close = nearest(name, model.model_fields)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        return f"{where}: unknown option {name!r}{hint} (known: {', '.join(model.model_fields) or 'none'})"
    return f"{where}: option {name!r} = {error['input']!r}: {error['msg']}"


def parse_assignments(pairs: Iterable[str]) -> dict[str, Any]:
    """Read `key=value` words of a command line; values are YAML scalars.

    Raises:
        OptionError: a word has no `=`.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise OptionError(f"option {pair!r} is not of the form key=value")
        try:
            values[name.strip().replace("-", "_")] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise OptionError(f"option {pair!r}: the value is not a YAML scalar") from error
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        DatasetNotFoundError: there is no such file.
        OptionError: it is not a mapping; the line is named.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DatasetNotFoundError(f"no such file: {path}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise OptionError(f"{path} must hold a mapping of option names to values")
    return value
