"""`zeroscene archive`: many rasters, encoded once, asked often."""

from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.archive_asking import WHERE, Classes, Encoder, FittedModel, Place, Where, Words
from zeroscene.cli.archive_telling import hectares, listing, summary, tell, write_maps, write_windows
from zeroscene.cli.common import (
    ENCODER,
    OUTPUT,
    POOLINGS,
    PRECISIONS,
    Arithmetic,
    Download,
    Json,
    Output,
    Pooling,
    SentenceEncoder,
    Template,
    manual,
    one_of,
    plural,
    table,
)
from zeroscene.cli.rasters import WINDOWS, Bands, Gsd, Ray, Window, bands_of, on_ray
from zeroscene.cli.words import SaidTexts
from zeroscene.errors import OptionError

app = typer.Typer(no_args_is_help=True, help="Encode many rasters once; ask for classes, places and changes.")


@app.command(
    "add",
    help=manual(
        """
Add rasters to an archive: every window is encoded once and kept.

PLACES are rasters, and folders in which all rasters are taken (a VRT only
where it is named). The first `add` begins the archive; its encoder and the
size of its windows hold for all that is added later. With --pictures, a
picture is one window, as `embed` takes it.

--time says when the rasters were taken: a time (2023, 2023-05, 2023-05-01,
2023-05-01T10:30), a pattern of their file names (%Y%m%d), or `tag`, the date
in the file. Without it, what the file calls its acquisition. A name that
holds several times is skipped: say what stands beside the right one
(%Y%m%d_20).

What is there already, under any name, is told and not encoded again. A
raster that cannot be read is told and the others go on. Killed at any
moment, the same command goes on where it stopped, with the same result.

--ray lets the workers of a Ray cluster encode, with the same result: rasters
and archive lie where all of them see them.
""",
        [
            "zeroscene archive add archive mosaics --encoder tiny --time %Y%m%d",
            "zeroscene archive add archive may.tif june.tif --encoder models/remoteclip --window 200m --time tag",
            "zeroscene archive add archive pictures --pictures",
        ],
    ),
)
def add(
    archive: Place,
    places: Annotated[list[Path], typer.Argument(metavar="PLACES", help="Rasters, and folders of rasters.")],
    *,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Model folder, hub id, or tiny; that of the archive.", rich_help_panel=ENCODER),
    ] = None,
    window: Window = None,
    overlap: Annotated[
        float | None,
        typer.Option("--overlap", help="Share by which windows overlap; 0.5 at first.", rich_help_panel=WINDOWS),
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="A time, a pattern of file names, or tag.", rich_help_panel=WHERE)
    ] = None,
    bands: Bands = None,
    gsd: Gsd = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="A picture is one window.", rich_help_panel=WINDOWS)
    ] = False,
    precision: Arithmetic = "auto",
    pooling: Pooling = "auto",
    ray: Ray = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Encode what is not there yet."""
    from zeroscene.maps.archive.add import Adding, add_rasters, rasters_in
    from zeroscene.maps.archive.pictures import add_pictures
    from zeroscene.maps.archive.time import TimeRule
    from zeroscene.serving.archives import Reopened, begin

    output = Output(as_json)
    one_of("--precision", precision, PRECISIONS)
    one_of("--pooling", pooling, POOLINGS)
    if ray is not None and pictures:
        raise OptionError("--ray is for rasters, not for --pictures; leave one of them out")
    adding = Adding(TimeRule.of(time), bands_of(bands), gsd)
    found = rasters_in(places)
    opened, eye = begin(
        archive, found, encoder, window, overlap, adding, pictures=pictures, precision=precision, pooling=pooling,
        download=download,
    )  # fmt: skip
    with on_ray(ray) as workers:
        if workers is None:
            encode = add_pictures if pictures else add_rasters
            done = encode(opened, found, eye, adding, lambda told: tell(told, output))
        else:
            from zeroscene.maps.archive.cluster import add_rasters_on

            again = Reopened(archive, precision, download)
            done = add_rasters_on(workers, opened, found, again, adding, lambda told: tell(told, output))
    summary(opened, done, output)


@app.command(
    "list",
    help=manual(
        "Show what an archive holds: rasters, windows, times, places, bytes.",
        ["zeroscene archive list archive", "zeroscene archive list archive --json"],
    ),
)
def list_(archive: Place, as_json: Json = False) -> None:
    """Print the partitions."""
    from zeroscene.maps.archive.folder import Archive

    output, opened = Output(as_json), Archive.open(archive)
    listing(opened, output)


@app.command(
    "query",
    help=manual(
        """
Ask an archive for classes, a text, or what is like a picture. No raster is
encoded, or even looked at, again.

--classes names classes (the words of the archive's image-text model, or with
--model those of a fitted model): each window gets the best of them. --text
says one thing as it is; --example takes a picture: windows are ranked by how
near they are.

--region keeps to windows that touch a box or polygons, --time to a time or
FROM/TO. --top K prints the K most certain windows of each class; -o writes
all windows (or the top) to .csv, .parquet or .geojson; --map makes the map
of each raster, as `map` does.

Scores are kept in the archive: a class that was asked about before is there,
and a new one costs one pass over the vectors.
""",
        [
            'zeroscene archive query archive --classes "lake, river, harbor" --top 5',
            'zeroscene archive query archive --text "a harbor with boats" --region 9.0,48.7,9.1,48.8 -o top.geojson',
            "zeroscene archive query archive --example harbor.png --time 2023/ --top 20",
            'zeroscene archive query archive --classes "lake, river, harbor" --map maps',
        ],
    ),
)
def query(
    archive: Place,
    *,
    classes: Classes = None,
    text: Annotated[str | None, typer.Option("--text", help="One thing, in any words.")] = None,
    example: Annotated[Path | None, typer.Option("--example", help="A picture of what is looked for.")] = None,
    model: FittedModel = None,
    region: Where = None,
    time: Annotated[
        str | None, typer.Option("--time", help="A time, or FROM/TO; one may be empty.", rich_help_panel=WHERE)
    ] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", metavar="K", help="Most certain windows of each class.", rich_help_panel=OUTPUT),
    ] = None,
    maps: Annotated[
        Path | None, typer.Option("--map", help="Folder for a map of each raster.", rich_help_panel=OUTPUT)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help=".csv, .parquet or .geojson.", rich_help_panel=OUTPUT)
    ] = None,
    texts: SaidTexts = "auto",
    template: Template = None,
    encoder: Encoder = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Ask, filter, rank."""
    from zeroscene.cli.archive_asking import asked_example, asked_text, labeller, region_of
    from zeroscene.maps.archive.folder import Archive
    from zeroscene.maps.archive.query import ask
    from zeroscene.maps.archive.table import check_suffix
    from zeroscene.maps.archive.time import Period

    output, opened = Output(as_json), Archive.open(archive)
    words = Words(texts, template, text_encoder, download, encoder)
    if sum(given is not None for given in (text, example, classes or model)) > 1:
        raise OptionError("--text, --example and --classes (or --model) are three questions; ask one at a time")
    if maps is not None and (top is not None or out is not None or text is not None or example is not None):
        raise OptionError("--map needs --classes (or --model), and goes without --top and -o; ask twice")
    if top is not None and top < 1:
        raise OptionError(f"--top {top}: give 1 or more")
    if out is not None:
        check_suffix(out)
    place, when = region_of(region), None if time is None else Period.of(time)
    if text is not None or example is not None:
        asked = asked_text(opened, text, words) if text is not None else asked_example(opened, example or Path(), words)
        answers = ask(opened, asked, place, when)
        notes = answers.notes
        write_windows(answers, top, out, output)
    else:
        who = labeller(opened, classes, model, words)
        answers = ask(opened, who.question, place, when)
        notes = (*who.notes, *answers.notes)
        if maps is not None:
            write_maps(answers, maps, who.notes, output)
        else:
            write_windows(answers, top, out, output)
    for note in notes:
        typer.echo(f"note: {note}", err=True)


@app.command(
    "change",
    help=manual(
        """
Show where classes changed between two times.

Cells that were seen at both times are compared: the class before and after,
and how likely it changed, 1 - sum of p_before(c) p_after(c). Cells that were
seen at one time only are without data. Where the grids of two rasters
differ, a cell is compared with that in which its centre lies.

OUT gets a folder for each raster of the later time, with a map (map.tif) and
its plain bands (change.tif: before, after, probability), cells.csv (cells
that changed, and those that are unsure), transitions.csv, and run.json.
""",
        [
            'zeroscene archive change archive --classes "lake, river, harbor" --from 2020 --to 2023 -o change',
            "zeroscene archive change archive --model model --from 2020 --to 2021 --region area.geojson -o change",
        ],
    ),
)
def change(
    archive: Place,
    *,
    before: Annotated[str, typer.Option("--from", help="The earlier time.", rich_help_panel=WHERE)],
    after: Annotated[str, typer.Option("--to", help="The later time.", rich_help_panel=WHERE)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the change.", rich_help_panel=OUTPUT)],
    classes: Classes = None,
    model: FittedModel = None,
    region: Where = None,
    texts: SaidTexts = "auto",
    template: Template = None,
    encoder: Encoder = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Compare, write, tell."""
    from zeroscene.cli.archive_asking import labeller, region_of
    from zeroscene.maps.archive.change import change as changes_of
    from zeroscene.maps.archive.change_files import write_changes
    from zeroscene.maps.archive.folder import Archive
    from zeroscene.maps.archive.time import Period

    output, opened = Output(as_json), Archive.open(archive)
    times, place = (Period.of(before), Period.of(after)), region_of(region)
    who = labeller(opened, classes, model, Words(texts, template, text_encoder, download, encoder))
    asked = who.question
    made = {
        "archive": str(archive), "from": str(times[0]), "to": str(times[1]), "region": region,
        "classes": list(asked.table.classes), "method": asked.method.name,
    }  # fmt: skip
    found = write_changes(changes_of(opened, asked, *times, place), out, made)
    rows = [(t["before"], t["after"], f"{t['cells']:,}", hectares(t["hectares"])) for t in found["transitions"]]
    output.say(table(("before", "after", "cells", "hectares"), rows, left=2))
    output.say(
        f"\n{plural(found['cells'], 'cell')} seen at both times, {found['changed']:,} changed, "
        f"{found['unsure']:,} unsure: {out}"
    )
    for note in who.notes:
        typer.echo(f"note: {note}", err=True)
    for raster in found["rasters"]:
        for note in raster["notes"]:
            typer.echo(f"note: {raster['path']}: {note}", err=True)
    output.result(found)
