"""`zeroscene pretrain`: encoders trained from nothing."""

from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual, plural

app = typer.Typer(no_args_is_help=True, help="Train an encoder from nothing.")


@app.command(
    "tiny",
    help=manual(
        """
Train the small image-text encoder that ships with the package.

Pictures are composed freely from the grammar of the synthetic world, with
captions that say what is in them. No caption names a class and no picture
is a scene of a class: all classes of the world are unseen to the encoder.

OUT/encoder is a model folder like any other: embed --encoder OUT/encoder.
Its card says how it was made and what it is worth. Killed at any moment,
the same command goes on and ends with the same weights; a finished run
goes on too when it is asked for more epochs.
""",
        [
            "zeroscene pretrain tiny -o runs/tiny --jobs 2",
            "zeroscene pretrain tiny --pictures 2000 --epochs 2 -o runs/quick",
        ],
    ),
)
def tiny(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", rich_help_panel=OUTPUT)],
    pictures: Annotated[int, typer.Option("--pictures", help="How many are drawn.")] = 48_000,
    epochs: Annotated[int, typer.Option("--epochs", help="How often each is looked at.")] = 12,
    seed: Annotated[int, typer.Option("--seed", help="Of pictures, captions and weights.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Cores; the weights do not depend on it.")] = 1,
    as_json: Json = False,
) -> None:
    """Draw, train, measure, write."""
    from zeroscene.errors import OptionError
    from zeroscene.training.tiny.card import sparkline
    from zeroscene.training.tiny.loop import Recipe
    from zeroscene.training.tiny.pretrain import ENCODER, MOST_FRESH, pretrain

    output = Output(as_json)
    if seed < 0:
        raise OptionError(f"--seed must be 0 or more, not {seed}")
    if epochs < 1:
        raise OptionError(f"--epochs must be 1 or more, not {epochs}")
    recipe = Recipe(seed=seed).of_length(pictures * epochs)
    command = f"zeroscene pretrain tiny --pictures {pictures} --epochs {epochs} --seed {seed}"
    making = pretrain(out, recipe, pictures, min(pictures, MOST_FRESH), jobs, command)
    curve = [point.whole for point in making.curve]
    output.say(f"{plural(recipe.steps, 'step')} in {making.seconds / 60:,.1f} min, loss {sparkline(curve)}")
    output.say(
        f"attributes of {making.fresh:,} fresh lessons: mAP {making.scores.mean:.3f} without training "
        f"(random weights {making.untrained.mean:.3f}, prevalence {making.scores.chance:.3f})"
    )
    output.say(f"encoder: {out / ENCODER}")
    output.result(
        {
            "encoder": str(out / ENCODER), "steps": recipe.steps, "seconds": round(making.seconds, 1),
            "loss": curve[-1], "mean_average_precision": making.scores.mean,
            "random_weights": making.untrained.mean, "prevalence": making.scores.chance,
        }
    )  # fmt: skip
