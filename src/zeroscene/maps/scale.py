"""How large the windows of a map should be for an encoder, and what a user should know where they are not."""

from typing import Final

from zeroscene.encoders.base import EncoderIdentity, ImageEncoder
from zeroscene.errors import OptionError
from zeroscene.maps.layout import Layout

TRAINED: Final = {"tiny": 1.375}
"""Metres a pixel, as an encoder sees it, of the middle of what encoders were trained on (docs/tiny.md)."""
FAR: Final = 2.0
"""Factor from which on a scale is told to be far off: drawn scenes reach from a third of the middle to twice it."""


def trained_gsd(encoder: EncoderIdentity, given: float | None = None) -> float | None:
    """Return the ground sample distance of an encoder's training, metres a pixel, or None where nobody knows.

    Args:
        encoder: which.
        given: what the user knows about it.

    Raises:
        OptionError: it is not above 0.
    """
    if given is not None and not 0 < given < float("inf"):
        raise OptionError(f"the encoder's gsd {given:g} is out of range; give metres a pixel, more than 0")
    return given if given is not None else TRAINED.get(encoder.name)


def default_window(encoder: ImageEncoder, trained: float | None, gsd: tuple[float, float] | None) -> str:
    """Return the side of a window: the ground that the encoder saw in training, or as many pixels as it takes.

    Args:
        encoder: the encoder.
        trained: metres a pixel of its training, where known.
        gsd: metres a pixel of the raster, where known.
    """
    side = _side(encoder)
    return f"{side} px" if trained is None or gsd is None else f"{side * trained:g} m"


def scale_notes(
    encoder: ImageEncoder, layout: Layout, trained: float | None, gsd: tuple[float, float] | None
) -> tuple[str, ...]:
    """Return what speaks against the scale of the windows, a sentence each.

    Args:
        encoder: the encoder.
        layout: the windows.
        trained: metres a pixel of its training, where known.
        gsd: metres a pixel of the raster, (across, down), where known.
    """
    side, pixels = _side(encoder), layout.window[1]
    notes = []
    if pixels * FAR < side:
        notes.append(
            f"windows of {pixels} pixels are enlarged to the {side} that {encoder.identity.name} takes, and show no "
            "more for it; take larger windows or a finer raster"
        )
    if gsd is None:
        notes.append("the metres of a pixel are not known, so that the scale of the windows was not checked")
    elif trained is not None:
        seen = pixels * gsd[0] / side
        if not trained / FAR <= seen <= trained * FAR:
            notes.append(
                f"{encoder.identity.name} sees the windows at {seen:.3g} m a pixel and was trained at about "
                f"{trained:.3g}; windows of {side * trained:.3g} m would suit it"
            )
    return tuple(notes)


def _side(encoder: ImageEncoder) -> int:
    """Return the shorter edge to which the encoder brings a picture."""
    resize = encoder.geometry.resize
    return resize if isinstance(resize, int) else min(resize)
