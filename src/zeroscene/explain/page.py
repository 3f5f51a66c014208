"""Cards as one HTML file each: styles, pictures and figures inside it, nothing fetched, no script."""

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from zeroscene import names
from zeroscene.explain.card import MINUS, Card, Pixels, bars, signed
from zeroscene.explain.classes import ClassEvidence
from zeroscene.files import write_text

_WEIGHTS, _NEAR = 12, 10
_WIDE, _TALL, _PAD = 320, 150, 40


def write_page(card: Card, file: Path) -> None:
    """Write the card of a picture as one HTML file.

    Raises:
        StoreError: the file cannot be written.
    """
    write_text(file, _environment().get_template("card.html").render(card=card, seen=_seen(card)))


def write_class_page(evidence: ClassEvidence, file: Path) -> None:
    """Write the card of a class as one HTML file.

    Raises:
        StoreError: the file cannot be written.
    """
    ordered = [(names.words(w.attribute), w.effect) for w in evidence.weights]
    shown = bars(ordered if len(ordered) <= 2 * _WEIGHTS else [*ordered[:_WEIGHTS], *ordered[-_WEIGHTS:]])
    page = _environment().get_template("class.html")
    write_text(file, page.render(evidence=evidence, bars=shown, near=evidence.near[:_NEAR]))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("zeroscene.explain", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"words": names.words, "signed": signed, "plain": _plain, "source": _source}
    environment.globals["curves"] = _curves
    return environment


def _plain(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def _source(pixels: Pixels) -> str:
    """Return pixels as a data address."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _seen(card: Card) -> str:
    """Return the place of what the encoder saw as a style; empty where it saw the whole picture."""
    height, width = card.pixels.shape[:2]
    box = card.seen
    if (box.left, box.top, box.right, box.bottom) == (0, 0, width, height):
        return ""
    shares = {
        "left": box.left / width, "top": box.top / height,
        "width": (box.right - box.left) / width, "height": (box.bottom - box.top) / height,
    }  # fmt: skip
    return ";".join(f"{side}:{100 * share:.2f}%" for side, share in shares.items())


def _curves(shares: Sequence[float], own: Sequence[float], random: Sequence[float]) -> Markup:
    """Draw a curve and that of random orders as inline SVG."""
    low, high = min(*own, *random), max(*own, *random)
    reach = max(high - low, 1e-9)

    def path(values: Sequence[float]) -> str:
        points = (
            f"{_PAD + share * _WIDE:.1f} {8 + (high - value) / reach * _TALL:.1f}"
            for share, value in zip(shares, values, strict=True)
        )
        return "M" + "L".join(points)

    marks: list[tuple[float, str]] = [(0, "0"), (0.5, "half"), (1, "all")]
    ticks = "".join(
        f'<text x="{_PAD + at * _WIDE:.0f}" y="{_TALL + 26}" text-anchor="middle">{said}</text>' for at, said in marks
    )
    levels = "".join(
        f'<path class="grid" d="M{_PAD} {y}H{_PAD + _WIDE}"/><text x="{_PAD - 6}" y="{y + 4}" '
        f'text-anchor="end">{_level(value)}</text>'
        for y, value in ((8, high), (8 + _TALL, low))
    )
    parts: dict[str, Any] = {"random": path(random), "own": path(own)}
    lines = "".join(f'<path class="{kind}" d="{d}"/>' for kind, d in parts.items())
    return Markup(f'<svg viewBox="0 0 {_WIDE + 2 * _PAD} {_TALL + 32}" role="img">{levels}{ticks}{lines}</svg>')


def _level(value: float) -> str:
    return f"{value:.1f}".replace("-", MINUS)
