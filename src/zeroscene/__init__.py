"""zeroscene: zero-shot recognition of aerial and satellite scenes."""

__version__ = "0.1.0"
