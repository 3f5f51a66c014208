"""The model card: what the encoder learned from, how it was made, what was kept from it, what it is worth."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from zeroscene.encoders.tiny import CARD
from zeroscene.files import write_json, write_text
from zeroscene.provenance import environment, now
from zeroscene.training.tiny.loop import Point, Recipe
from zeroscene.training.tiny.scores import FactScores

FORMAT = "zeroscene-tiny-1"
WITHHELD = (
    "The names of the classes: no caption says one, and of every class at least one word of its name, in the singular "
    "and in the plural, is not in the vocabulary, so that a text with the name is refused.",
    "The composition of the classes: a freely drawn composition that the rule of a class admits is thrown away before "
    "it is drawn, and no lesson is labelled with a class.",
)
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Making:
    """How an encoder was made.

    Attributes:
        command: that makes it.
        recipe: of the training.
        lessons: pictures in the pool.
        grammar: digest of what the grammar draws and says.
        seconds: of training, without drawing the lessons.
        jobs: cores it had.
        curve: losses on the way.
        scores: on fresh lessons.
        untrained: the same with random weights.
        fresh: number of fresh lessons.
    """

    command: str
    recipe: Recipe
    lessons: int
    grammar: str
    seconds: float
    jobs: int
    curve: Sequence[Point]
    scores: FactScores
    untrained: FactScores
    fresh: int


def write_card(folder: Path, making: Making) -> None:
    """Write card.json, with the hash of the weights, and card.md."""
    weights = folder / "model.safetensors"
    with safe_open(weights, "np") as opened:
        numbers = [opened.get_slice(key).get_shape() for key in opened.keys()]  # noqa: SIM118 - no mapping
    count = sum(_product(shape) for shape in numbers)
    value = {
        "format": FORMAT,
        "weights": {
            "file": weights.name,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
            "bytes": weights.stat().st_size,
            "numbers": count,
        },
        "command": making.command,
        "recipe": asdict(making.recipe),
        "data": {
            "lessons": making.lessons,
            "pictures_seen": making.recipe.steps * making.recipe.batch,
            "grammar": making.grammar,
        },
        "withheld": list(WITHHELD),
        "loss": [point._asdict() for point in making.curve],
        "seconds": round(making.seconds),
        "jobs": making.jobs,
        "scores": {
            "fresh_lessons": making.fresh,
            "attributes": len(making.scores.facts),
            "mean_average_precision": round(making.scores.mean, 4),
            "prevalence": round(making.scores.chance, 4),
            "random_weights": round(making.untrained.mean, 4),
        },
        "environment": environment(),
        "finished": now(),
    }
    write_json(folder / CARD, value)
    write_text(folder / "card.md", _page(value, making.curve))


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Return values as a line of bars, at most `width` of them, each the mean of its share."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [i * len(values) // width for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(means), max(max(means) - min(means), 1e-12)
    return "".join(_BARS[round((mean - low) / span * (len(_BARS) - 1))] for mean in means)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _page(card: dict[str, Any], curve: Sequence[Point]) -> str:
    recipe, scores, shape = card["recipe"], card["scores"], card["recipe"]["shape"]
    grid = shape["picture"] // shape["patch"]
    withheld = "\n".join(f"- {line}" for line in card["withheld"])
    return f"""# The tiny encoder

An image-text encoder in the layout of CLIP for the synthetic world of zeroscene: pictures of {shape["picture"]} px as a
grid of {grid} x {grid} tokens, texts of its own vocabulary, both in one space of {shape["space"]} dimensions.
{card["weights"]["numbers"]:,} numbers, {card["weights"]["bytes"] / 1e6:.1f} MB in half precision.

It knows drawings, not photographs. Use it for tests, tutorials and diagnosis, never for a statement about real scenes.

## Made by

```
{card["command"]}
```

{card["data"]["lessons"]:,} lessons drawn from the grammar, {card["data"]["pictures_seen"]:,} looks at them in
{recipe["steps"]:,} steps of {recipe["batch"]}, {card["seconds"] / 60:.0f} minutes on {card["jobs"]} cores without the
drawing. Seed {recipe["seed"]}. License Apache-2.0, as the package. Nothing of it comes from anywhere but that command.

## Withheld from it

{withheld}

## Loss

{sparkline([point.whole for point in curve])}  pictures, {curve[0].whole:.3f} to {curve[-1].whole:.3f}

{sparkline([point.grid for point in curve])}  tokens, {curve[0].grid:.3f} to {curve[-1].grid:.3f}

## Worth

Attributes found in {scores["fresh_lessons"]:,} fresh lessons by the likeness of picture and phrase alone, mean average
precision over {scores["attributes"]} attributes:

| | mAP |
|---|---|
| this encoder | {scores["mean_average_precision"]:.3f} |
| the same with random weights | {scores["random_weights"]:.3f} |
| prevalence (chance) | {scores["prevalence"]:.3f} |
"""
