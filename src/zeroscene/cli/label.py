"""`zeroscene label`: my folder, my words."""

from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.common import (
    ENCODER,
    OUTPUT,
    Download,
    Examples,
    Json,
    Least,
    Output,
    Refine,
    Template,
    manual,
)
from zeroscene.cli.words import SaidTexts

NAME, PANEL = "label", "Learn and predict"
HELP = manual(
    """
Name the pictures of a folder by words alone. Nothing is fitted.

PICTURES is a folder of pictures, nested or not, or a store that `embed`
wrote. NAMES are the classes to choose among, any words. An image-text model
(a CLIP, RemoteCLIP, GeoRSCLIP, SigLIP) says which words go best with each
picture. Without --encoder it is tiny, which ships with zeroscene and knows
drawn scenes: try the command with it, then take a model of photographs.
(tiny knows few words and no class: it is told what the knowledge base says
of a class, as --texts attributes does with any model.)

Each picture gets the best class, its probability, the lead over the
runner-up, and the runner-up. --least P turns unsure answers into "none of
these". One class alone is set against other classes that nobody asked about.

--refine lets the pictures correct each other, without labels, and is worth
it where there are many of each class; --examples takes a few pictures whose
class you know. --save keeps encoder and classes as a model for `predict` and
`classes add`.
""",
    [
        'zeroscene label new-pictures forest river "tennis court" -o labels.csv',
        "zeroscene label my-pictures @names.txt --encoder models/remoteclip --refine free -o labels.csv",
        "zeroscene label my-pictures @names.txt --encoder models/remoteclip --least 0.5 --save model -o labels.csv",
    ],
)


def command(
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures, or an embedding store.")],
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAMES", help="Class names; @FILE reads one a line.", show_default=False),
    ],
    *,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            help="Image-text model: folder, hub id, open-clip:ARCH@WEIGHTS, or tiny.",
            rich_help_panel=ENCODER,
        ),
    ] = "tiny",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".csv, .json or .parquet; without it, CSV on stdout.", rich_help_panel=OUTPUT),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder to keep the model in.", rich_help_panel=OUTPUT)
    ] = None,
    texts: SaidTexts = "auto",
    template: Template = None,
    refine: Refine = None,
    least: Least = None,
    examples: Examples = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Say the classes, embed the pictures, write the best class of each."""
    from dataclasses import replace

    from zeroscene.cli.common import asking, tell
    from zeroscene.serving.answers import check_suffix
    from zeroscene.serving.class_names import class_names
    from zeroscene.serving.label import WordModel
    from zeroscene.serving.model import replaced
    from zeroscene.serving.stores import require_pictures

    if out is not None:
        check_suffix(out)
    require_pictures(pictures)
    output, wish = Output(as_json), asking(refine, least, None)
    model = WordModel.of(class_names(names), encoder, texts=texts, templates=template, download=download)
    if save is not None:
        if (told := replaced(save)) is not None:
            typer.echo(f"note: {told}", err=True)
        model.save(save)
    answers = model.labeller.label(pictures, wish, examples=examples, beside=out)
    tell(replace(answers, made={"encoder": encoder, **answers.made}), out, output)
