"""`zeroscene predict`: the classes of new pictures, among any classes the user names."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.common import (
    OUTPUT,
    Download,
    Examples,
    Gamma,
    Json,
    Least,
    MovedEncoder,
    Output,
    Precision,
    Refine,
    SentenceEncoder,
    manual,
)

NAME, PANEL = "predict", "Learn and predict"
HELP = manual(
    """
Label pictures with any list of classes, also ones the model never saw.

PICTURES is a folder of pictures (nested or not, labels not needed) or a store
that `embed` wrote. The classes are those of the model (`classes add` edits
them), or a table file, or names, which are looked up or said as the model's
own classes were. Each picture gets the best class, its probability, its score,
the lead over the runner-up, and the runner-up.

--precision P asks for answers of which a share P is right, and --least P for
answers of that probability; the others become "none of these". --examples
takes a few pictures whose class is known.

Where seen and new classes are asked about together, the calibration that
`fit` chose is subtracted from the seen ones, which would win too often
otherwise; --gamma changes it. Unreadable pictures are listed and skipped.

Pictures mostly come as a set, and those of a class form a cluster: --refine
lets the set correct its own scores, without a label. The answer of a picture
then depends on the others. "free" lets classes have any size, "balanced"
makes all of them equal; take that only when you know: no --precision is
promised for it. Signs that the refinement may have hurt are told.
""",
    [
        'zeroscene predict model new-pictures --classes "solar farm, forest, river"',
        "zeroscene predict model new-pictures --classes classes.csv -o labels.csv",
        "zeroscene predict model store --classes @names.txt --refine free -o labels.json",
    ],
)


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fit` wrote.")],
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures, or an embedding store.")],
    classes: Annotated[
        list[str] | None,
        typer.Option("--classes", "-c", help="Table file, names with commas, or @FILE; without it, all of the model."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".csv, .json or .parquet; without it, CSV on stdout.", rich_help_panel=OUTPUT),
    ] = None,
    gamma: Gamma = None,
    refine: Refine = None,
    least: Least = None,
    precision: Precision = None,
    examples: Examples = None,
    encoder: MovedEncoder = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Score the pictures and write the best class of each."""
    from zeroscene.cli.common import asking, tell
    from zeroscene.serving.answers import check_suffix
    from zeroscene.serving.model import Model

    if out is not None:
        check_suffix(out)
    output, wish = Output(as_json), asking(refine, least, precision)
    labeller = Model.load(model).labeller(
        classes, encoder=encoder, text_encoder=text_encoder, gamma=gamma, download=download
    )
    answers = labeller.label(pictures, wish, examples=examples, beside=out)
    tell(replace(answers, made={"model": str(model), **answers.made}), out, output)
