"""Where a result comes from: versions, processor, command. Time stamps stand in one place only."""

import importlib.metadata
import platform
from datetime import UTC, datetime
from typing import Any

from zeroscene import __version__

_TRACKED = ("torch", "numpy", "transformers", "pyarrow", "rasterio", "safetensors")


def environment() -> dict[str, Any]:
    """Return the versions that a number can depend on; the same for the same installation."""
    versions = {}
    for name in _TRACKED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "zeroscene": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": versions,
    }


def now() -> str:
    """Return the present moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
