"""What a card shows, gathered once for both of its forms (`png`, `page`): no markup and no drawing here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from zeroscene import names
from zeroscene.explain.evidence import Evidence, Reason
from zeroscene.explain.faithfulness import Faithfulness
from zeroscene.explain.maps import Array, Box, Frame, Georeference, Mask, high, places
from zeroscene.pixels import Geometry, Picture

SIDE: Final = 360
"""Longer side of a picture on a card, in pixels."""

_PANELS, _BARS, _FOUND, _SCORES = 6, 6, 9, 4
# From nothing over purple and orange to light yellow: even in lightness, and clear of the colours of scenes.
_RAMP: Final = np.array([(20, 11, 52), (101, 21, 110), (187, 55, 84), (243, 120, 25), (252, 225, 120)], np.float64)
_FAINT, _DENSE, _LINE = 0.35, 0.85, 0.8

MINUS: Final = "\N{MINUS SIGN}"

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panel:
    """A heat map over the picture.

    Attributes:
        title: what it is a map of.
        note: what that contributes.
        pixels: the picture with the map over it, (h, w, 3) uint8.
    """

    title: str
    note: str
    pixels: Pixels


@dataclass(frozen=True)
class Bar:
    """A named number; `share` is its length beside the longest of its chart, -1 to 1."""

    name: str
    value: float
    share: float = 0.0


@dataclass(frozen=True, eq=False)
class Card:
    """A picture's card.

    Attributes:
        evidence: what it says.
        pixels: the picture, (h, w, 3) uint8, its longer side `SIDE`.
        frame: the part that the encoder saw, in pixels of the picture as it was decoded.
        whole: all reasons for the class over the picture; None where there is no such map.
        panels: maps of the attributes that were found and contribute most.
        found: strongest attributes, in standard deviations.
        contributions: greatest contributions to the chosen class, whatever their sign.
        differences: what speaks most for the class and against it, rather than the other; empty without another.
        faithfulness: what the map is worth, if it was measured.
    """

    evidence: Evidence
    pixels: Pixels
    frame: Frame
    whole: Panel | None
    panels: tuple[Panel, ...]
    found: tuple[Bar, ...]
    contributions: tuple[Bar, ...]
    differences: tuple[Bar, ...]
    faithfulness: Faithfulness | None = None

    @property
    def seen(self) -> Box:
        """The part of `pixels` that the encoder saw."""
        return self.frame.scaled(self.pixels.shape[0], self.pixels.shape[1]).box

    @property
    def title(self) -> str:
        """The chosen class in words."""
        return names.words(self.evidence.chosen)

    @property
    def rather(self) -> str:
        """The other class in words; empty without one."""
        return "" if self.evidence.other is None else names.words(self.evidence.other)

    @property
    def versus(self) -> str:
        """The other class and the lead over it (or what lacks to it) in words; empty without one."""
        if not self.rather:
            return ""
        return f"rather than {self.rather}, by {f'{self.evidence.margin:.2f}'.replace('-', MINUS)}"

    @property
    def scores(self) -> list[Bar]:
        """The best candidates with their scores, best first."""
        return [Bar(names.words(name), score) for name, score in self.evidence.scores[:_SCORES]]

    @property
    def speaking_for(self) -> list[Bar]:
        """What speaks for the class, in words."""
        return [Bar(r.words, r.difference) for r in self.evidence.speaking_for(4)]

    @property
    def speaking_against(self) -> list[Bar]:
        """What speaks against it, in words."""
        return [Bar(r.words, r.difference) for r in self.evidence.speaking_against(3)]

    @property
    def verdict(self) -> str:
        """What the map was measured to be worth, in words; empty where it was not."""
        if self.faithfulness is None:
            return ""
        falls, rises = self.faithfulness.deletion_gain, self.faithfulness.insertion_gain
        worth = "means something" if falls > 0 and rises > 0 else "is not to be trusted here"
        return (
            f"The map {worth}: covered in its order, the class loses {_more(falls)} of its lead than in random orders; "
            f"uncovered in its order, it wins {_more(rises)}."
        )

    def to_json(self, ground: Georeference | None = None) -> dict[str, Any]:
        """Return evidence, places and faithfulness as a JSON value.

        Places are given for the attributes that the card shows, in pixels of the picture as it was decoded, and on the
        map where the picture has coordinates.
        """
        value = self.evidence.to_json()
        value["size"] = {"height": self.frame.height, "width": self.frame.width}
        value["seen"] = self.frame.box.to_json()
        if self.evidence.maps_HWA is not None:
            shown = {r.attribute for r in (*_present(self.evidence), *self.evidence.found(_FOUND))}
            value["places"] = {
                name: [place.to_json(ground) for place in places(self.evidence.map(name), self.frame)]
                for name in sorted(shown)
            }
        if self.faithfulness is not None:
            value["faithfulness"] = self.faithfulness.to_json()
        return value


def make_card(
    evidence: Evidence, picture_HWC: Picture, geometry: Geometry, faithfulness: Faithfulness | None = None
) -> Card:
    """Return the card of a picture.

    Args:
        evidence: why it was given its class.
        picture_HWC: (H, W, 3) uint8 RGB, as it was decoded for the encoder.
        geometry: of the encoder.
        faithfulness: what the map is worth, if it was measured.
    """
    frame = Frame.of(geometry, picture_HWC.shape[0], picture_HWC.shape[1])
    pixels = _fitted(picture_HWC)
    shown = frame.scaled(pixels.shape[0], pixels.shape[1])
    whole = None
    if evidence.class_map_HW is not None:
        note = f"what speaks for {names.words(evidence.chosen)}, by place"
        whole = _panel("all reasons together", note, evidence.class_map_HW, pixels, shown)
    panels = []
    if evidence.maps_HWA is not None:
        panels = [
            _panel(names.words(r.attribute), signed(r.chosen), evidence.map(r.attribute), pixels, shown)
            for r in _present(evidence)
        ]
    greatest = sorted(evidence.reasons, key=lambda r: -abs(r.chosen))[: 2 * _BARS]
    apart = (*evidence.speaking_for(_BARS), *reversed(evidence.speaking_against(_BARS)))
    return Card(
        evidence,
        pixels,
        frame,
        whole,
        tuple(panels),
        bars([(names.words(r.attribute), r.strength) for r in evidence.found(_FOUND)]),
        bars([(r.words, r.chosen) for r in sorted(greatest, key=lambda r: -r.chosen)]),
        bars([(r.words, r.difference) for r in apart]) if evidence.other is not None else (),
        faithfulness,
    )


def shaded(pixels: Pixels, frame: Frame, map_HW: Array) -> Pixels:
    """Return a picture with a map over it, (h, w, 3) uint8: grey where the map is low, glowing where it is high.

    A line is drawn around where it is high (`maps.high`); what the encoder did not see is dark.
    """
    grey = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    base = 0.75 * grey[:, :, None] + 0.15 * pixels
    spread = frame.spread(map_HW)
    seen = np.isfinite(spread)
    least, most = float(map_HW.min()), float(map_HW.max())
    heat = np.nan_to_num((spread - least) / (most - least)) if most > least else np.zeros(spread.shape)
    opaque = _DENSE * np.clip((heat - _FAINT) / (1 - _FAINT), 0, 1)[:, :, None]
    at = np.linspace(0, 1, len(_RAMP))
    glow = np.stack([np.interp(heat, at, _RAMP[:, channel]) for channel in range(3)], axis=2)
    mixed = (base * (1 - opaque) + glow * opaque) * np.where(seen, 1.0, 0.3)[:, :, None]
    line = _rim(high(spread))[:, :, None] * _LINE
    whole: Pixels = np.clip((mixed * (1 - line) + 255 * line).round(), 0, 255).astype(np.uint8)
    return whole


def _rim(mask: Mask) -> Mask:
    """Return the pixels of a mask that have one outside of it beside them; the picture's edge is no outside."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def _present(evidence: Evidence) -> list[Reason]:
    """Return what was found and contributes most to the class."""
    return [r for r in evidence.supporting(len(evidence.reasons)) if r.strength > 0][:_PANELS]


def _panel(title: str, note: str, map_HW: Array, pixels: Pixels, frame: Frame) -> Panel:
    return Panel(title, note, shaded(pixels, frame, map_HW))


def bars(named: Sequence[tuple[str, float]]) -> tuple[Bar, ...]:
    """Return names with numbers as the bars of one chart."""
    longest = max((abs(value) for _, value in named), default=0.0) or 1.0
    return tuple(Bar(name, value, value / longest) for name, value in named)


def signed(value: float) -> str:
    """Return a number with its sign and two digits."""
    return f"{value:+.2f}".replace("-", MINUS)


def _fitted(picture_HWC: Picture) -> Pixels:
    height, width = picture_HWC.shape[:2]
    factor = SIDE / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(picture_HWC).resize(size, Image.Resampling.BICUBIC))


def _more(gain: float) -> str:
    return f"{abs(gain):.2f} {'more' if gain >= 0 else 'less'}"
