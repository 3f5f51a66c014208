"""What the commands of an archive print and write."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zeroscene.cli.common import Output, plural, table
from zeroscene.errors import OptionError

if TYPE_CHECKING:
    from zeroscene.maps.archive.add import Told
    from zeroscene.maps.archive.folder import Archive
    from zeroscene.maps.archive.query import Answers

_SHOWN = 10


def tell(told: "Told", output: Output) -> None:
    """Say what became of a raster; what was skipped, and notes, on stderr."""
    if told.state == "skipped":
        typer.echo(f"skipped {told.path}: {told.notes[0]}", err=True)
        return
    what = plural(told.windows, "window") if told.state == "added" else "there already"
    output.say(f"{told.path}: {what}" + (f", {told.time}" if told.time else ""))
    for note in told.notes:
        typer.echo(f"note: {told.path}: {note}", err=True)


def summary(archive: "Archive", done: "list[Told]", output: Output) -> None:
    """Say what an archive holds now."""
    counts = {state: sum(told.state == state for told in done) for state in ("added", "there", "skipped")}
    windows = sum(len(partition) for partition in archive.partitions())
    output.say(
        f"{counts['added']:,} added, {counts['there']:,} there already, {counts['skipped']:,} skipped; "
        f"{plural(windows, 'window')} in {archive.path}"
    )
    output.result({"archive": str(archive.path), **counts, "windows": windows, "rasters": [t.to_json() for t in done]})


def listing(archive: "Archive", output: Output) -> None:
    """Say what an archive holds, a line a raster."""
    value = archive.to_json()
    output.say(f"{archive.path}: {archive.cutting}, {archive.width} wide, by {archive.encoder.name}\n")
    rows = [
        (_name(p), f"{p['windows']:,}", _span(p["time"]), _place(p["bounds"]), _size(p["bytes"]))
        for p in value["partitions"]
    ]
    total = ("all", f"{value['windows']:,}", _span(value["time"]), _place(value["bounds"]), _size(value["bytes"]))
    output.say(table(("raster", "windows", "time", "west south east north", "size"), [*rows, total]))
    output.result(value)


def _name(partition: dict[str, Any]) -> str:
    names = [Path(raster["path"]).name for raster in partition["rasters"]]
    if not names:
        return "(no picture could be read)"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more pictures"


def _span(times: list[str] | None) -> str:
    if times is None:
        return "-"
    return times[0] if times[0] == times[1] else f"{times[0]} to {times[1]}"


def _place(bounds: list[float] | None) -> str:
    return "-" if bounds is None else " ".join(f"{v:.4f}" for v in bounds)


def _size(size: int) -> str:
    from zeroscene.embeddings.grid_files import size_text

    return size_text(size)


def hectares(value: float | None) -> str:
    """Return an area for a table; a stroke where it is not known."""
    return "-" if value is None else f"{value:,.2f}"


def write_maps(answers: "Answers", out: Path, said: Sequence[str], output: Output) -> None:
    """Write the map of each raster that was asked about; `said` are the notes of who answers."""
    from zeroscene.maps.archive.maps import folders
    from zeroscene.maps.archive.maps import maps as maps_of
    from zeroscene.maps.archive.partition import RASTER

    rasters = [one.partition.sources[0] for one in answers.chosen if one.partition.kind == RASTER]
    if not rasters:
        raise OptionError("there are only whole pictures there, which have no maps; ask for --top or -o")
    names, made = folders(rasters), []
    for source, scene in maps_of(answers, notes=said):
        folder = out / names[source.fingerprint]
        scene.write(folder)
        output.say(f"{folder / 'map.tif'}: {scene.summary}")
        notes = scene.provenance["notes"]
        for note in notes[len(said) :]:
            typer.echo(f"note: {source.path}: {note}", err=True)
        made.append(
            {"raster": source.path, "map": str(folder / "map.tif"), "cells": scene.counts(), "notes": list(notes)}
        )
    output.result({"maps": made})


def write_windows(answers: "Answers", top: int | None, out: Path | None, output: Output) -> None:
    """Write windows to a file, or show the most certain ones."""
    if out is not None:
        count = answers.write(out, top)
        output.say(f"{plural(count, 'window')}: {out}")
        output.result({"windows": count, "file": str(out)})
        return
    found = answers.top(top or _SHOWN).drop_columns(["geometry"]).to_pylist()
    output.say(f"{plural(len(answers), 'window')} asked\n")
    rows = [(w["class"], _number(w["probability"]), _number(w["score"]), *_where(w)) for w in found]
    output.say(table(("class", "probability", "score", "raster", "window", "time", "longitude latitude"), rows))
    output.result({"asked": len(answers), "windows": found})


def _where(window: dict[str, Any]) -> tuple[str, ...]:
    known = window["longitude"] is not None
    place = f"{window['longitude']:.5f} {window['latitude']:.5f}" if known else "-"
    return Path(window["raster"]).name, f"{window['row']}/{window['column']}", window["time"] or "-", place


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
