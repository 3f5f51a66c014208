"""`zeroscene synthetic`: pictures, mosaics and true attributes of a world that is drawn, not downloaded."""

from pathlib import Path
from typing import Annotated

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual, plural, table
from zeroscene.serving.class_names import class_names

app = typer.Typer(no_args_is_help=True, help="Draw scenes of a world of which everything is known.")

_OFTEN, _SHOWN = 0.5, 6

Classes = Annotated[
    list[str] | None,
    typer.Option("--classes", "-c", help="Names with commas, or @FILE; may be repeated.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", help="Which of endlessly many worlds.")]


@app.command(
    "pictures",
    help=manual(
        """
Draw pictures of classes, one folder a class.

The same seed gives the same pictures on any machine, and a larger size shows
the same scenes in finer detail. Pictures are numbered: --first goes on where
an earlier folder ended. What is there already is kept.
""",
        [
            "zeroscene synthetic pictures -o pictures",
            'zeroscene synthetic pictures --classes "harbor, lake" --count 100 --size 256 -o water',
            "zeroscene synthetic pictures --first 30 --count 5 -o new-pictures",
        ],
    ),
)
def pictures(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.", rich_help_panel=OUTPUT)],
    classes: Classes = None,
    seed: Seed = 0,
    first: Annotated[int, typer.Option("--first", min=0, help="Number of the first picture.")] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures a class.")] = 30,
    size: Annotated[int, typer.Option("--size", help="Side in pixels, 16 or more.")] = 128,
    as_json: Json = False,
) -> None:
    """Write the pictures."""
    from zeroscene.scenes.synthetic.world import write_folder

    output, wanted = Output(as_json), _wanted(classes)
    write_folder(out, wanted, seed, first, count, size)
    output.say(f"{plural(len(wanted) * count, 'picture')} of {plural(len(wanted), 'class')}, {size} px: {out}")
    output.result(
        {"folder": str(out), "classes": list(wanted), "seed": seed, "first": first, "count": count, "size": size}
    )


@app.command(
    "mosaic",
    help=manual(
        """
Draw a GeoTIFF whose cells are scenes of known class.

OUT is tiled, in UTM, with a nodata border; beside it, in a file of the same
name with the suffix .geojson, stand class and outline of each cell. Cells of
a class lie together in regions. All cells have one scale, so that only
classes with scenes of that size can be on it (synthetic classes lists the
sizes). An interrupted run leaves nothing and starts again.
""",
        [
            "zeroscene synthetic mosaic -o mosaic.tif",
            'zeroscene synthetic mosaic --classes "lake, grass, freeway" --rows 40 --columns 60 -o large.tif',
        ],
    ),
)
def mosaic(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The mosaic, .tif.", rich_help_panel=OUTPUT)],
    classes: Classes = None,
    seed: Seed = 0,
    rows: Annotated[int, typer.Option("--rows", help="Cells from north to south.")] = 12,
    columns: Annotated[int, typer.Option("--columns", help="Cells from west to east.")] = 16,
    cell: Annotated[int, typer.Option("--cell", help="Side of a cell in pixels, 16 or more.")] = 128,
    metres: Annotated[float, typer.Option("--metres", help="Side of a cell in metres.")] = 110.0,
    border: Annotated[int, typer.Option("--border", help="Width of the nodata border in pixels.")] = 64,
    as_json: Json = False,
) -> None:
    """Write the mosaic and its truth."""
    from zeroscene.scenes.synthetic.mosaic import EPSG, write_mosaic

    output = Output(as_json)
    wanted = _wanted(classes) if classes else None
    made = write_mosaic(out, wanted, seed, rows, columns, cell, metres, border)
    height, width = made.shape
    output.say(f"{plural(made.labels.size, 'cell')} of {plural(len(set(made.labels.flat)), 'class')}")
    output.say(f"mosaic: {out}, {width:,} x {height:,} px, {made.gsd:g} m a pixel, EPSG:{EPSG}")
    output.say(f"truth: {made.truth}")
    output.result(
        {
            "mosaic": str(out), "truth": str(made.truth), "width": width, "height": height, "gsd": made.gsd,
            "crs": f"EPSG:{EPSG}", "rows": rows, "columns": columns, "cell": cell, "border": border, "seed": seed,
            "classes": list(made.classes),
        }
    )  # fmt: skip


@app.command(
    "classes",
    help=manual(
        """
Show the classes, the size of their scenes and what is in them.

Listed are the attributes that at least half of the pictures show that are
drawn for this, the most frequent first. --out writes the shares of all attributes as a class table: the truth of
this world. No table that a person or a model makes can know more, so that a
method with the true table shows a ceiling. Draw it with a seed that no
picture of a test has.
""",
        [
            "zeroscene synthetic classes",
            "zeroscene synthetic classes --seed 1 --count 100 -o true.csv",
        ],
    ),
)
def classes(
    *,
    classes: Classes = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Class table, .csv or .safetensors.", rich_help_panel=OUTPUT)
    ] = None,
    seed: Seed = 1,
    count: Annotated[int, typer.Option("--count", min=1, help="Pictures a class that are looked at.")] = 50,
    as_json: Json = False,
) -> None:
    """Draw, count, show."""
    from zeroscene.evaluation.truth import true_table
    from zeroscene.scenes.synthetic.classes import RULES

    output = Output(as_json)
    true = true_table(_wanted(classes), seed, count)
    present = {name: _present(true.columns, row.tolist()) for name, row in zip(true.classes, true.matrix, strict=True)}
    sides = {name: RULES[name].metres for name in true.classes}
    lines = [(name, "{:g}-{:g}".format(*sides[name]), _listed(there)) for name, there in present.items()]
    output.say(table(("class", "metres", "most frequent attributes"), lines, left=3))
    if out is not None:
        true.write(out)
        output.say(f"\n{plural(len(true), 'class')}, {len(true.columns)} columns of {true.kind}: {out}")
    output.result(
        {
            "table": str(out) if out else None, "provenance": dict(true.provenance),
            "classes": {name: {"metres": list(sides[name]), "attributes": there} for name, there in present.items()},
        }
    )  # fmt: skip


def _wanted(given: list[str] | None) -> tuple[str, ...]:
    """Return the classes that were asked for, all where none were, in the world's own spelling."""
    from zeroscene.scenes.synthetic.world import CLASSES, known_classes

    if not given:
        return CLASSES
    words = [word.strip() for one in given for word in (one.split(",") if not one.startswith("@") else [one])]
    return known_classes(class_names([word for word in words if word]))


def _present(columns: tuple[str, ...], shares: list[float]) -> list[str]:
    """Return the attributes that most pictures show, the most frequent first."""
    often = [(share, name) for name, share in zip(columns, shares, strict=True) if share >= _OFTEN]
    return [name for share, name in sorted(often, key=lambda pair: -pair[0])]


def _listed(attributes: list[str]) -> str:
    more = len(attributes) - _SHOWN
    return ", ".join(attributes[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
