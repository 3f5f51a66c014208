"""`zeroscene finetune`: an encoder trained further on the seen classes of one split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroscene.cli.common import ENCODER, OUTPUT, SELECTION, Download, Json, Output, manual, plural

if TYPE_CHECKING:
    from zeroscene.methods.dsva.finetune import Finetuned
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.scenes.splits import Split
    from zeroscene.training.pictures import SeenPictures

NAME, PANEL = "finetune", "Prepare"
HELP = manual(
    """
Train an encoder further on the seen classes of a split (DSVA, phase 2).

The branches of DSVA are fitted on frozen tokens, then encoder and branches
are trained together. Options follow as key=value: those of `fit dsva` for
the first phase and the losses, and for the second
  tune_epochs, tune_episodes   how long
  tune_rate, tune_head_rate    learning rates of encoder and branches
  layer_decay                  each layer times the rate of the next; 1 is off
  unfreeze                     all, or how many last layers are trained
  accumulate                   episodes a step
  devices, precision           GPUs (or processes); auto, fp32 or bf16
  select                       honest: some seen classes play unseen and say
                               how many epochs are worth it; last: all
  folds                        groups that play unseen in turn, 1 to 4

OUT is an encoder folder like any other: embed --encoder OUT. It has seen the
training pictures of its split, so it may be evaluated under OUT/split.json
alone; everything else is refused. No test picture is looked at. Killed at any
moment, the same command goes on and ends with the same weights.
""",
    [
        "zeroscene finetune pictures --encoder clip-rsicd --split splits.json:1 --classes attributes.csv -o tuned",
        "zeroscene finetune pictures tune_epochs=5 unfreeze=2 select=last --encoder clip-rsicd --split splits.json:1 "
        "--classes attributes.csv -o tuned",
        "zeroscene embed pictures --encoder tuned --grid -o tuned-store",
    ],
)


def command(
    folder: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures, one folder a class.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options.")] = None,
    *,
    encoder: Annotated[str, typer.Option("--encoder", help="Model folder, hub id, or tiny.", rich_help_panel=ENCODER)],
    split: Annotated[
        str,
        typer.Option("--split", metavar="FILE[:NAME]", help="Whose seen classes to show.", rich_help_panel=SELECTION),
    ],
    classes: Annotated[Path, typer.Option("--classes", "-c", help="Class table that holds every seen class.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the encoder.", rich_help_panel=OUTPUT)],
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Bind the split, train, write."""
    from zeroscene.cli.split import read_one
    from zeroscene.methods.dsva.finetune import finetune
    from zeroscene.methods.dsva.tuning import FinetuneOptions
    from zeroscene.options import parse_assignments
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.semantics.reading import read_table
    from zeroscene.training.pictures import SeenPictures, readable

    chosen = FinetuneOptions.of(parse_assignments(options or ()), "finetune")
    table, wanted = read_table(classes), read_one(split)
    scenes = SceneFolder.open(folder)
    wanted.check_classes(scenes.classes)
    shown = readable(scenes, wanted.seen)
    pictures = SeenPictures.of(shown, bind(wanted, shown))
    made = finetune(pictures, encoder, table, out, chosen, download=download)
    if made.speaks:
        _tell(Output(as_json), made, pictures, len(shown.skipped) - len(scenes.skipped))


def bind(split: "Split", scenes: "SceneFolder") -> "Split":
    """Return the split with held-out pictures: its own, or the fifth that an evaluation would hold out.

    Raises:
        SplitError: a seen class has fewer than two pictures.
    """
    from zeroscene.evaluation.protocol import HOLDOUT

    return split if split.held_out else split.with_holdout(scenes.ids, scenes.labels or (), HOLDOUT)


def _tell(output: Output, made: "Finetuned", pictures: "SeenPictures", skipped: int) -> None:
    from zeroscene.methods.dsva.finetune import SPLIT

    output.say(
        f"{plural(len(pictures), 'picture')} of {plural(len(pictures.seen), 'seen class')}, "
        f"{plural(made.epochs, 'epoch')} of fine-tuning"
    )
    if skipped:
        output.say(f"{plural(skipped, 'picture')} could not be read and took no part")
    for fold in made.folds:
        scores = [100 * score for score in fold.scores]
        output.say(
            f"  {', '.join(fold.pseudo_unseen)} playing unseen: T1 {scores[0]:.1f} % before, "
            f"best {max(scores):.1f} % after {plural(scores.index(max(scores)), 'epoch')}"
        )
    if not made.epochs:
        output.say("fine-tuning told classes that played unseen apart no better: the encoder is as it was")
    if made.terms:
        output.say(f"loss: {made.terms[0]['loss']:.4g} in the first epoch, {made.terms[-1]['loss']:.4g} in the last")
    output.say(f"encoder: {made.folder}")
    output.say(f"evaluate it under {made.folder / SPLIT} only")
    output.result(
        {
            "encoder": str(made.folder), "split": str(made.folder / SPLIT), "pictures": len(pictures),
            "seen": list(pictures.seen), "epochs": made.epochs, "terms": list(made.terms), "skipped": skipped,
            "folds": [{"pseudo_unseen": list(f.pseudo_unseen), "t1": list(f.scores)} for f in made.folds],
        }
    )  # fmt: skip
