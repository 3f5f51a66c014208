"""`zeroscene embed`: pictures through an encoder, once."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    manual,
    one_of,
    plural,
)

if TYPE_CHECKING:
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.scenes.folder import SceneFolder

NAME, PANEL = "embed", "Prepare"
_SHOWN = 10
HELP = manual(
    """
Encode every picture of a folder once and keep the vectors.

FOLDER holds one folder a class (the labels are kept), or pictures without
classes. The encoder is any Hugging Face vision model: a local folder or a
hub id. Nothing is downloaded without --download. `tiny` ships with the
package: it knows drawn scenes only, and is there to try things out.

The store is GeoParquet in parts. Killed at any moment, the same command goes
on where it stopped, and the result is the same. A picture that cannot be
read is listed (also in STORE/skipped.csv) and the others go on.

--grid keeps what the encoder sees in each place of a picture as well, for
methods that look at places. --views 4 adds three augmented views of each (a
window, turned). Grids are large: the command ends before it starts when the
disk has no room for them.
""",
    [
        "zeroscene embed pictures --encoder models/dinov2-base -o store",
        "zeroscene embed pictures --encoder facebook/dinov2-base --download -o store",
        "zeroscene embed pictures --encoder tiny -o store",
        "zeroscene embed pictures --encoder tiny --grid --views 4 -o store",
    ],
)


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of pictures.")],
    *,
    encoder: Annotated[str, typer.Option("--encoder", help="Model folder, hub id, or tiny.", rich_help_panel=ENCODER)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the store.", rich_help_panel=OUTPUT)],
    grid: Annotated[bool, typer.Option("--grid", help="Keep the grid of tokens too.", rich_help_panel=OUTPUT)] = False,
    views: Annotated[
        int, typer.Option("--views", help="Views of each picture in the grids.", rich_help_panel=OUTPUT)
    ] = 1,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="Pictures at once; by default what suits the machine.", rich_help_panel=ENCODER),
    ] = None,
    precision: Arithmetic = "auto",
    pooling: Pooling = "auto",
    backend: Annotated[
        str, typer.Option("--backend", help="torch, or openvino (extra `fast`).", rich_help_panel=ENCODER)
    ] = "torch",
    rotations: Annotated[
        bool,
        typer.Option("--rotations", help="Average over four orientations; 4x the time.", rich_help_panel=ENCODER),
    ] = False,
    statistics: Annotated[
        str,
        typer.Option("--statistics", help="Channel mean and deviation: own, or imagenet.", rich_help_panel=ENCODER),
    ] = "own",
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Embed what is not embedded yet."""
    from zeroscene.embeddings.extract import extract
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.serving.sources import Origin, open_image_encoder
    from zeroscene.serving.stores import is_store, open_pictures

    output = Output(as_json)
    one_of("--precision", precision, PRECISIONS)
    one_of("--pooling", pooling, POOLINGS)
    one_of("--backend", backend, ("torch", "openvino"))
    one_of("--statistics", statistics, ("own", "imagenet"))
    pictures = open_pictures(folder)
    loaded = open_image_encoder(
        encoder,
        rotations=rotations,
        precision=precision,
        pooling=pooling,
        backend=backend,
        statistics=statistics,
        download=download,
    )
    had = len(EmbeddingStore.open(out)) if is_store(out) else 0
    begun = time.monotonic()
    store = extract(pictures, loaded, out, batch=batch, grid=grid, views=views)
    seconds = time.monotonic() - begun
    Origin.of(encoder, pooling, pictures.root, rotations, statistics).write(out)
    _tell(output, store, pictures, had, seconds)


def _grids(store: "EmbeddingStore") -> dict[str, Any] | None:
    if store.manifest.grid is None:
        return None
    files = [store.grid_path(part) for part in range(store.part_count)]
    size = sum(file.stat().st_size for file in files)
    return {"shape": store.manifest.grid, "views": store.manifest.views, "bytes": size, "files": len(files)}


def _tell(output: Output, store: "EmbeddingStore", pictures: "SceneFolder", had: int, seconds: float) -> None:
    from zeroscene.embeddings.grid_files import size_text

    count = len(store)
    labels = f" of {plural(len(pictures.classes), 'class')}" if pictures.labels else ", without labels"
    output.say(f"{plural(count, 'picture')}{labels}, {store.width} wide, by {store.identity.name}")
    if count > had:
        output.say(
            f"{count - had:,} embedded in {seconds:.1f} s ({(count - had) / max(seconds, 1e-9):,.0f} pictures/s)"
        )
    else:
        output.say("nothing was left to do")
    skipped = [{"id": s.id, "reason": s.reason} for s in store.skipped]
    beside = [{"id": s.path, "reason": s.reason} for s in pictures.skipped]
    _list(output, "skipped", skipped)
    _list(output, "not part of the data set", beside)
    grids = _grids(store)
    if grids:
        output.say(f"grids: {size_text(grids['bytes'])} in {plural(grids['files'], 'file')}")
    output.say(f"store: {store.path}")
    value: dict[str, Any] = {
        "store": str(store.path), "pictures": count, "embedded_now": count - had, "seconds": round(seconds, 3),
        "width": store.width, "encoder": store.identity.to_json(), "classes": list(pictures.classes),
        "skipped": skipped, "ignored": beside, "grids": grids,
    }  # fmt: skip
    output.result(value)


def _list(output: Output, what: str, entries: list[dict[str, str]]) -> None:
    if not entries:
        return
    output.say(f"{what}: {len(entries):,}")
    for entry in entries[:_SHOWN]:
        output.say(f"  {entry['id']}: {entry['reason']}")
    if len(entries) > _SHOWN:
        output.say(f"  and {len(entries) - _SHOWN:,} more")
