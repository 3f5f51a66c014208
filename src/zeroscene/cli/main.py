"""The `zeroscene` command: every group of commands, errors as one line, interruption without loss.

Nothing heavy is imported here or at the top of a command's module: `zeroscene --help` answers at once.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zeroscene import __version__
from zeroscene.cli import (
    annotate,
    archive,
    audit,
    benchmark,
    classes,
    demo,
    doctor,
    embed,
    explain,
    finetune,
    fit,
    label,
    map,
    predict,
    pretrain,
    report,
    split,
    synthetic,
)
from zeroscene.errors import ZeroSceneError

HELP = """
Zero-shot recognition of aerial and satellite scenes.

Pictures go through a pretrained encoder once (embed). What classes mean
stands in a class table (classes). A method learns on classes with pictures
(fit) and then names classes that had none (predict). The benchmark command
compares methods under an honest protocol; report makes a page of it.

[bold]Examples[/bold]

  [cyan]$ zeroscene demo[/cyan]                          everything once, on drawn pictures
  [cyan]$ zeroscene embed pictures --encoder facebook/dinov2-base -o store[/cyan]
  [cyan]$ zeroscene classes knowledge --folder pictures -o classes.csv[/cyan]
  [cyan]$ zeroscene fit kernel --embeddings store --classes classes.csv -o model[/cyan]
  [cyan]$ zeroscene predict model new-pictures --classes "solar farm, forest"[/cyan]

Every command has a manual: zeroscene COMMAND --help
"""


class Commands(TyperGroup):
    """The group of all commands; turns what a user can cause into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a `ZeroSceneError` ends with code 2, an interruption with 130, a defect with a traceback."""
        try:
            return super().invoke(ctx)
        except ZeroSceneError as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; the same command continues", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    help=HELP.strip(),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


for module in (embed, annotate, finetune, label, fit, predict, map, explain, benchmark, report, audit, doctor, demo):
    app.command(module.NAME, help=module.HELP, rich_help_panel=module.PANEL)(module.command)
app.add_typer(archive.app, name="archive", rich_help_panel="Learn and predict")
app.add_typer(classes.app, name="classes", rich_help_panel="Prepare")
app.add_typer(split.app, name="split", rich_help_panel="Prepare")
app.add_typer(synthetic.app, name="synthetic", rich_help_panel="Prepare")
app.add_typer(pretrain.app, name="pretrain", rich_help_panel="Prepare")


def run() -> None:
    """Run the command line."""
    app()
