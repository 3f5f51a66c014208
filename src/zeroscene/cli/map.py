"""`zeroscene map`: from one raster to a map of classes."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroscene.cli.common import (
    CLASSES,
    ENCODER,
    OUTPUT,
    Download,
    Gamma,
    Json,
    Output,
    SentenceEncoder,
    Template,
    manual,
    one_of,
    plural,
    table,
)
from zeroscene.cli.rasters import WINDOWS, Bands, Gsd, Ray, Window, bands_of, on_ray
from zeroscene.cli.words import SaidTexts

if TYPE_CHECKING:
    from zeroscene.maps.scene_map import SceneMap

NAME, PANEL = "map", "Learn and predict"
ANSWERS = "Answers"
HELP = manual(
    """
Map the scene classes of a raster, wall to wall.

RASTER is a GeoTIFF, or any raster that GDAL reads; of several, each has its
map in a folder of OUT that is called as it is, and one that cannot be read
is told and left out. A raster is looked at through windows that
overlap; each says how likely every class is, and a cell of the map is the
mean of the windows that cover it. --classes names the classes (names with
commas, @FILE, a table, a bank).

Who looks is a model that `fit` or `label --save` wrote (--model), or an
image-text model and the words alone (--encoder; without either it is tiny,
which ships with zeroscene and knows drawn scenes).

OUT gets a GeoTIFF of classes with confidence and margin, the areas as
polygons, styles that QGIS finds by itself, a preview, and run.json, which
says how all of it was made. Open map.tif in QGIS: that is all.

Windows have the size that suits the encoder; --window sets another, in
metres or pixels. --refine spatial lets cells correct each other. --store
keeps what the encoder saw, for other classes on the same raster. A run that
was interrupted goes on where it stopped. --ray lets the workers of a Ray
cluster do it, with the same files: rasters and OUT lie where all see them.
""",
    [
        'zeroscene map image.tif --classes "forest, river, tennis court" -o out',
        "zeroscene map image.tif --model model --classes @names.txt --window 150m --refine spatial -o out",
        "zeroscene map image.tif --classes @names.txt --encoder models/remoteclip --bands 4,3,2 -o out",
        'zeroscene map north.tif south.tif --classes "forest, river, tennis court" -o out --ray auto',
    ],
    {1: "some of several rasters have no map; each is told on stderr"},
)
REFINEMENTS = ("none", "spatial")


def command(
    rasters: Annotated[list[Path], typer.Argument(metavar="RASTER...", help="GeoTIFF, VRT, or other rasters.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the map.", rich_help_panel=OUTPUT)],
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes",
            "-c",
            help="Names with commas, @FILE, table or bank; without it, all of the model.",
            rich_help_panel=CLASSES,
        ),
    ] = None,
    *,
    model: Annotated[Path | None, typer.Option("--model", help="Folder that `fit` or `label --save` wrote.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            help="Image-text model for words alone, or where that of the model is now.",
            rich_help_panel=ENCODER,
        ),
    ] = None,
    window: Window = None,
    overlap: Annotated[
        float, typer.Option("--overlap", help="Share by which windows overlap.", rich_help_panel=WINDOWS)
    ] = 0.5,
    gsd: Gsd = None,
    encoder_gsd: Annotated[
        float | None,
        typer.Option("--encoder-gsd", help="Metres a pixel the encoder was trained on.", rich_help_panel=WINDOWS),
    ] = None,
    bands: Bands = None,
    refine: Annotated[
        str, typer.Option("--refine", help="none, or spatial: cells correct each other.", rich_help_panel=ANSWERS)
    ] = "none",
    least: Annotated[
        float | None,
        typer.Option("--least", metavar="P", help="Below this: none of these.", rich_help_panel=ANSWERS),
    ] = None,
    share: Annotated[
        float, typer.Option("--share", help="Least share of a cell that has data.", rich_help_panel=ANSWERS)
    ] = 0.5,
    gamma: Gamma = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", help="Folder to keep the vectors of windows in.", rich_help_panel=OUTPUT),
    ] = None,
    ray: Ray = None,
    texts: SaidTexts = "auto",
    template: Template = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Look, ask, vote, write."""
    from zeroscene.maps.mapping import MapOptions
    from zeroscene.scenes.geo import GeoRaster
    from zeroscene.serving.labellers import labeller_of
    from zeroscene.serving.maps import Windows, write_map

    one_of("--refine", refine, REFINEMENTS)
    output = Output(as_json)
    options = MapOptions.of({"refine": refine, "least": least, "share": share}, "map")
    wanted, windows = bands_of(bands), Windows(window, overlap, gsd, encoder_gsd)
    maker = partial(
        labeller_of, classes, model=model, encoder=encoder, texts=texts, templates=template,
        text_encoder=text_encoder, gamma=gamma, download=download,
    )  # fmt: skip
    if len(rasters) == 1 and ray is None:
        opened = GeoRaster.open(rasters[0], wanted)
        _tell(write_map(opened, maker(), out, windows, options, store=store), out, output)
        return
    from zeroscene.serving.map_list import Making, Mapped, Unmapped, write_maps

    making = Making(maker, windows, options, wanted)
    with on_ray(ray) as workers:
        made = write_maps(rasters, making, out, store=store, ray=workers)
    skipped = [one for one in made if isinstance(one, Unmapped)]
    mapped = [one for one in made if isinstance(one, Mapped)]
    for one in mapped:
        output.say(f"{one.folder / 'map.tif'}: {one.summary}")
        for note in one.notes:
            typer.echo(f"note: {one.raster}: {note}", err=True)
    for missing in skipped:
        typer.echo(f"skipped {missing.raster}: {missing.reason}", err=True)
    output.result({"maps": [one.to_json() for one in mapped], "skipped": [one.to_json() for one in skipped]})
    if skipped:
        raise typer.Exit(1)


def _tell(made: "SceneMap", out: Path, output: Output) -> None:
    import json

    counts = made.counts()
    areas = made.areas() if made.ground is not None else {}
    rows = [
        (name, f"{count:,}", *([f"{areas[name] / 1e4:,.2f}"] if areas else []))
        for name, count in counts.items()
        if count
    ]
    output.say(table(("class", "cells", *(["hectares"] if areas else [])), rows))
    if absent := [name for name, count in counts.items() if not count]:
        output.say(f"\nno cell: {', '.join(absent)}")
    empty = int(made.nodata.sum())
    output.say(f"\n{made.summary}" + (f"; {plural(empty, 'cell')} without data" if empty else ""))
    output.say(f"map: {out / 'map.tif'}")
    for note in made.provenance["notes"]:
        typer.echo(f"note: {note}", err=True)
    output.result(json.loads((out / "run.json").read_text(encoding="utf-8")))
