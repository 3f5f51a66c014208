"""`zeroscene predict`: the classes of new pictures, among any classes the user names."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, Download, Gamma, Json, MovedEncoder, Output, SentenceEncoder, manual, plural

if TYPE_CHECKING:
    from zeroscene.embeddings.embeddings import Embeddings
    from zeroscene.semantics.table import ClassTable
    from zeroscene.serving.model import Model

NAME, PANEL = "predict", "Learn and predict"
HELP = manual(
    """
Label pictures with any list of classes, also ones the model never saw.

PICTURES is a folder of pictures (nested or not, labels not needed) or a store
that `embed` wrote. The classes are a table file, or names: a model that was
fitted on the knowledge base looks them up there. Each picture gets the best
class, its score, the margin to the runner-up, and the runner-up. Scores
compare classes of one picture, not pictures.

Where seen and new classes are asked about together, the calibration that
`fit` chose is subtracted from the seen ones, which would win too often
otherwise; --gamma changes it. Unreadable pictures are listed and skipped.
""",
    [
        'zeroscene predict model new-pictures --classes "solar farm, forest, river"',
        "zeroscene predict model new-pictures --classes classes.csv -o labels.csv",
        "zeroscene predict model store --classes @names.txt -o labels.json",
    ],
)


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fit` wrote.")],
    pictures: Annotated[Path, typer.Argument(metavar="PICTURES", help="Folder of pictures, or an embedding store.")],
    classes: Annotated[
        list[str],
        typer.Option("--classes", "-c", help="Table file, names with commas, or @FILE; may be repeated."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help=".csv or .json; without it, CSV on stdout.", rich_help_panel=OUTPUT),
    ] = None,
    gamma: Gamma = None,
    encoder: MovedEncoder = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Score the pictures and write the best class of each."""
    from zeroscene.errors import OptionError
    from zeroscene.serving.model import Model

    if out is not None and out.suffix not in (".csv", ".json"):
        raise OptionError(f"cannot write {out.name}: predictions are .csv or .json")
    output = Output(as_json)
    loaded = Model.load(model)
    table = loaded.classes(classes, text_encoder, download)
    value = label(loaded, pictures, table, gamma, encoder, download, out)
    _write(value, out, output)
    for one in value["skipped"]:
        typer.echo(f"skipped {one['id']}: {one['reason']}", err=True)
    output.result(value)


def label(
    model: "Model",
    pictures: Path,
    table: "ClassTable",
    gamma: float | None = None,
    encoder: str | None = None,
    download: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Return the best class of each picture of a folder or a store, as a JSON value.

    Args:
        model: the fitted method with what was kept beside it.
        pictures: folder of pictures, or an embedding store.
        table: the classes to choose among.
        gamma: what to subtract from seen classes; None for what `fit` chose.
        encoder: where the encoder is, if it moved.
        download: allow the encoder to be fetched.
        out: the file that the labels are for; an interrupted embedding of a folder is kept beside it.

    Raises:
        EncoderMismatchError: pictures or class vectors do not fit the model.
        DatasetNotFoundError: there are no such pictures.
    """
    with _embedded(model, pictures, encoder, download, out) as (embeddings, skipped):
        scores = model.method.scores(embeddings, table)
    used = _calibrate(model, scores, gamma)
    return {
        "model": str(model.folder), "method": model.method.name, "classes": list(table.classes), "gamma": used,
        "predictions": _rows(scores), "skipped": [{"id": i, "reason": reason} for i, reason in skipped],
    }  # fmt: skip


@contextmanager
def _embedded(
    model: "Model", pictures: Path, encoder: str | None, download: bool, out: Path | None
) -> Iterator[tuple["Embeddings", list[tuple[str, str]]]]:
    """Yield the vectors of a store, or of a folder of pictures, with the pictures that could not be read."""
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.serving.stores import is_store, passing_store

    grids = model.method.reads == "grids"
    if is_store(pictures):
        store = EmbeddingStore.open(pictures)
        yield store.read(grids=grids), [(s.id, s.reason) for s in store.skipped]
        return
    scenes = SceneFolder.open_flat(pictures)
    with passing_store(scenes, model.encoder(encoder, download=download), out, grid=grids) as store:
        yield store.read(grids=grids), [(s.id, s.reason) for s in store.skipped]


def _calibrate(model: "Model", scores: Any, gamma: float | None) -> float:
    """Subtract gamma from the columns of seen classes where there are others too; return what was subtracted."""
    import numpy as np

    from zeroscene import names

    known = {names.key(name) for name in model.method.require_fitted().seen}
    is_seen = np.array([names.key(name) in known for name in scores.classes])
    if is_seen.all() or not is_seen.any():
        return 0.0
    used = model.gamma if gamma is None else gamma
    scores.values[:, is_seen] -= np.float32(used)
    return used


def _rows(scores: Any) -> list[dict[str, Any]]:
    import numpy as np

    order = np.argsort(-scores.values, axis=1, kind="stable")
    rows = []
    for picture, values, ranked in zip(scores.ids, scores.values, order, strict=True):
        first = int(ranked[0])
        second = int(ranked[1]) if len(ranked) > 1 else None
        rows.append(
            {
                "id": picture,
                "class": scores.classes[first],
                "score": _short(values[first]),
                "margin": None if second is None else _short(values[first] - values[second]),
                "runner_up": None if second is None else scores.classes[second],
            }
        )
    return rows


def _short(value: Any) -> float:
    return float(f"{float(value):.6g}")


def _write(value: dict[str, Any], out: Path | None, output: Output) -> None:
    from zeroscene.files import write_json, write_text

    rows, skipped = value["predictions"], value["skipped"]
    if out is None:
        output.say(_csv(rows, ("id", "class", "score", "margin", "runner_up")).rstrip())
        return
    if out.suffix == ".json":
        write_json(out, value)
    else:
        write_text(out, _csv(rows, ("id", "class", "score", "margin", "runner_up")))
        listed = out.with_suffix(".skipped.csv")
        listed.unlink(missing_ok=True)
        if skipped:
            write_text(listed, _csv(skipped, ("id", "reason")))
    output.say(f"{plural(len(rows), 'picture')} labelled, {len(skipped)} skipped: {out}")


def _csv(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    lines = csv.DictWriter(text, columns, lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    return text.getvalue()
