"""The one door to methods: by name, or from a saved folder."""

from importlib import import_module
from pathlib import Path
from typing import Any

from zeroscene import names
from zeroscene.methods.contract import ZeroShotMethod, read_record

AnyMethod = ZeroShotMethod[Any]

_OF_ANY_TABLE = {
    "eszsl": "zeroscene.methods.eszsl:ESZSL",
    "sae": "zeroscene.methods.sae:SAE",
    "ale": "zeroscene.methods.bilinear:ALE",
    "devise": "zeroscene.methods.bilinear:DeViSE",
    "conse": "zeroscene.methods.conse:ConSE",
    "kernel": "zeroscene.methods.kernel:KernelPrototypes",
    "cada-vae": "zeroscene.methods.mcfa:CADAVAE",
    "mcfa": "zeroscene.methods.mcfa:MCFA",
    "dsva": "zeroscene.methods.dsva.method:DSVA",
}
_OF_OTHERS = {
    "fusion": "zeroscene.methods.fusion:Fusion",
}
_OF_IMAGE_TEXT_MODELS = {
    "prompts": "zeroscene.methods.prompts:Prompts",
}
_METHODS = _OF_ANY_TABLE | _OF_OTHERS | _OF_IMAGE_TEXT_MODELS


def method_names() -> tuple[str, ...]:
    """Return the names of all methods, simple ones first, and last those that need the texts of an image-text model."""
    return tuple(_METHODS)


def any_table_names() -> tuple[str, ...]:
    """Return the names of the methods that take pictures of any encoder and class tables of any kind, fusions aside."""
    return tuple(_OF_ANY_TABLE)


def method_class(name: str) -> type[AnyMethod]:
    """Return a method's class.

    Raises:
        UnknownNameError: no such method; the nearest names are listed.
    """
    spelled = {names.key(known): known for known in _METHODS}
    if names.key(name) not in spelled:
        raise names.unknown([name], method_names(), "method")
    module, _, attribute = _METHODS[spelled[names.key(name)]].partition(":")
    found: type[AnyMethod] = getattr(import_module(module), attribute)
    return found


def create_method(name: str, **options: Any) -> AnyMethod:
    """Return an unfitted method.

    Raises:
        UnknownNameError: no such method.
        OptionError: an unknown option or a value out of range.
    """
    return method_class(name)(**options)


def load_method(folder: Path) -> AnyMethod:
    """Return the fitted method that `save` wrote. Reads JSON and safetensors only.

    Raises:
        DatasetNotFoundError: the folder holds no saved method.
        DataFormatError: it is damaged.
    """
    record = read_record(folder)
    return method_class(record["method"])._load(folder, record)
