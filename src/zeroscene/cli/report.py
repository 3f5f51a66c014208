"""`zeroscene report`: a benchmark's results as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual

NAME, PANEL = "report", "Evaluate"
HELP = manual(
    """
Make one self-contained HTML page of a benchmark's results.

Tables of every method (mean and deviation over splits), paired comparisons,
seen/unseen curves, confusion, classes, example pictures, the options that
were chosen, and where every number comes from. The page fetches nothing and
can be mailed. Several results, such as an honest one and its test-oracle
counterpart, share one page; test-oracle figures are marked and not ranked.
""",
    [
        "zeroscene report results",
        "zeroscene report results --pictures ucmerced",
        "zeroscene report honest oracle -o both.html",
    ],
)


def command(
    results: Annotated[list[Path], typer.Argument(metavar="RESULTS", help="Folders that `benchmark` wrote.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The page. Without it: report.html in the first folder.", rich_help_panel=OUTPUT
        ),
    ] = None,
    pictures: Annotated[
        list[Path] | None,
        typer.Option(
            "--pictures",
            help="Folder of the pictures; without it, where they were embedded from.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the page and print its path."""
    from zeroscene.evaluation.report import write_report
    from zeroscene.evaluation.results import BenchmarkResult

    output = Output(as_json)
    read = [BenchmarkResult.read(folder) for folder in results]
    page = out or (results[0] if results[0].is_dir() else results[0].parent) / "report.html"
    write_report(read, page, pictures or [place for folder in results for place in _noted(folder)])
    output.say(f"report: {page}")
    output.result({"report": str(page)})


def _noted(results: Path) -> list[Path]:
    """Return the folders of pictures that `benchmark` noted beside its results."""
    from zeroscene.cli.benchmark import PICTURES
    from zeroscene.files import read_json

    note = (results if results.is_dir() else results.parent) / PICTURES
    return [Path(place) for place in read_json(note)] if note.is_file() else []
