"""`zeroscene classes`: tables of what classes mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli import bank, sensitivity
from zeroscene.cli.common import (
    CLASSES,
    ENCODER,
    OUTPUT,
    ClassFolder,
    Dataset,
    Download,
    Json,
    Names,
    Output,
    Template,
    manual,
    one_of,
    plural,
)
from zeroscene.cli.common import (
    table as aligned,
)
from zeroscene.cli.words import AttributeWords, SaidTexts
from zeroscene.serving.class_names import class_names

if TYPE_CHECKING:
    from zeroscene.semantics.table import ClassTable

app = typer.Typer(no_args_is_help=True, help="Make and inspect class tables: one vector for what each class means.")

_SHOWN = 8

TableFile = Annotated[Path, typer.Argument(metavar="TABLE", help="Class table, .csv or .safetensors.")]


@app.command(
    "knowledge",
    help=manual(
        """
Write attribute vectors from the knowledge base that ships with zeroscene.

Each class gets a value in [0, 1] for every visible attribute: objects,
materials, functions, surfaces, layout. Spellings and synonyms are resolved
(baseballdiamond, "Baseball Diamond"). The result is a CSV: open it in a
spreadsheet, change what is different where your pictures come from, add a
row for a class that is not there, and use it as it is.
""",
        [
            "zeroscene classes knowledge forest river runway -o classes.csv",
            "zeroscene classes knowledge --dataset ucmerced -o ucmerced.csv",
            "zeroscene classes knowledge @names.txt -o classes.csv",
        ],
    ),
)
def knowledge(
    names: Names = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The table, .csv.", rich_help_panel=OUTPUT)],
    dataset: Dataset = None,
    folder: ClassFolder = None,
    as_json: Json = False,
) -> None:
    """Write the table."""
    from zeroscene.semantics.knowledge import knowledge_table

    _write(knowledge_table(class_names(names, dataset, folder)), out, Output(as_json))


@app.command(
    "text",
    help=manual(
        """
Write vectors of what classes are called, or look like, by a text encoder.

--texts names takes each name as an ordinary phrase, synonyms adds other words
for it, descriptions takes the sentences of the knowledge base, attributes
lists what it says of a class without naming it; FILE is a CSV of your own,
class and text a row, several rows a class if you like. Without --texts it is
the names, or attributes for an encoder that cannot read them (tiny).

--template puts each text into a prompt and may be repeated; aerial, satellite,
large and plain (the text alone) are sets of prompts. Without it an image-text
model gets the set large, a sentence encoder plain. All vectors of a class are
averaged. Vectors are kept in the user's cache folder, or in $ZEROSCENE_CACHE.
""",
        [
            "zeroscene classes text --dataset ucmerced --encoder models/all-minilm-l6-v2 -o text.safetensors",
            "zeroscene classes text lake meadow --encoder tiny -o text.safetensors",
            "zeroscene classes text forest river --encoder models/clip "
            "--texts descriptions --withhold mask --template aerial -o text.safetensors",
        ],
    ),
)
def text(
    names: Names = None,
    *,
    encoder: Annotated[str, typer.Option("--encoder", help="Text encoder: hub id or folder.", rich_help_panel=ENCODER)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table, .safetensors.", rich_help_panel=OUTPUT)],
    texts: SaidTexts = "auto",
    withhold: Annotated[
        str | None,
        typer.Option("--withhold", help="Class names in their texts: mask or refuse.", rich_help_panel=CLASSES),
    ] = None,
    vocabulary: AttributeWords = None,
    template: Template = None,
    dataset: Dataset = None,
    folder: ClassFolder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Write the table."""
    from zeroscene.encoders.text import load_text_encoder
    from zeroscene.semantics.prompts import prompt_warnings
    from zeroscene.semantics.text import text_table
    from zeroscene.semantics.text_cache import CachedTextEncoder
    from zeroscene.serving.words import words_for

    if withhold is not None:
        one_of("--withhold", withhold, ("mask", "refuse"))
    asked = class_names(names, dataset, folder)
    reader = CachedTextEncoder(load_text_encoder(encoder, download=download))
    given: Any = withhold
    words = words_for(asked, reader, texts=texts, templates=template, vocabulary=vocabulary, withhold=given)
    made = text_table(asked, reader, texts=words.texts, templates=words.templates)
    for note in (*words.notes, *prompt_warnings(made, reader)):
        typer.echo(f"note: {note}", err=True)
    _write(made, out, Output(as_json))


app.command(sensitivity.NAME, help=sensitivity.HELP)(sensitivity.command)
bank.register(app)


@app.command(
    "show",
    help=manual(
        """
Show a class table: where it comes from, and for each class its strongest
attributes (or, for vectors without named columns, its nearest class).
""",
        ["zeroscene classes show classes.csv", "zeroscene classes show text.safetensors --json"],
    ),
)
def show(path: TableFile, as_json: Json = False) -> None:
    """Print what the table says."""
    from zeroscene.semantics.reading import read_table

    output, read = Output(as_json), read_table(path)
    told = _strongest(read) if read.kind == "attributes" else _nearest(read)
    output.say(f"{path}: {plural(len(read), 'class')}, {plural(len(read.columns), 'column')} of {read.kind}")
    output.say(f"source: {read.provenance.get('source', 'unknown')}")
    output.say()
    heading = "strongest attributes" if read.kind == "attributes" else "nearest class"
    output.say(aligned(("class", heading), told.items(), left=2))
    output.result(
        {
            "table": str(path), "kind": read.kind, "columns": list(read.columns), "groups": list(read.groups),
            "provenance": dict(read.provenance), "fingerprint": read.fingerprint,
            "classes": {name: _rounded(row) for name, row in zip(read.classes, read.matrix, strict=True)},
        }
    )  # fmt: skip


@app.command(
    "check",
    help=manual(
        """
Check that a class table has a row for every class of a store or a folder.

Lists the classes without a row, each with the nearest names, and pairs of
classes that the table cannot tell apart. Says which columns are the same for
every class here, and so tell nothing.
""",
        [
            "zeroscene classes check classes.csv --against store",
            "zeroscene classes check classes.csv --against pictures",
        ],
        {1: "problems were found and are listed"},
    ),
)
def check(
    path: TableFile,
    against: Annotated[Path, typer.Option("--against", help="Store of embeddings, or folder of pictures.")],
    as_json: Json = False,
) -> None:
    """Print the problems."""
    from zeroscene.semantics.reading import read_table

    output = Output(as_json)
    read, wanted = read_table(path), _classes_of(against)
    problems = _problems(read, wanted)
    extra = [name for name in read.classes if name not in _Keys(wanted)]
    output.say(f"{path}: {len(read)} rows for {plural(len(wanted), 'class')} of {against}")
    if extra:
        output.say(f"not in {against}, which is fine: {', '.join(extra)}")
    flat = _flat_columns(read, wanted)
    if flat:
        more = f" and {len(flat) - _SHOWN} more" if len(flat) > _SHOWN else ""
        output.say(f"the same for every class here, which tells nothing: {', '.join(flat[:_SHOWN])}{more}")
    output.say("no problems found" if not problems else f"{plural(len(problems), 'problem')}:")
    for problem in problems:
        output.say(f"  {problem}")
    output.result({"table": str(path), "against": str(against), "problems": problems, "extra": extra, "flat": flat})
    if problems:
        raise typer.Exit(1)


class _Keys:
    """Class names without regard to spelling."""

    def __init__(self, given: tuple[str, ...]) -> None:
        from zeroscene import names

        self._key = names.key
        self._keys = {names.key(name) for name in given}

    def __contains__(self, name: str) -> bool:
        return self._key(name) in self._keys


def _write(made: "ClassTable", out: Path, output: Output) -> None:
    made.write(out)
    output.say(f"{plural(len(made), 'class')}, {plural(len(made.columns), 'column')} of {made.kind}: {out}")
    output.result(
        {
            "table": str(out),
            "classes": list(made.classes),
            "columns": len(made.columns),
            "fingerprint": made.fingerprint,
        }
    )


def _rounded(row: Any) -> list[float]:
    return [round(float(value), 6) for value in row]


def _strongest(read: "ClassTable", count: int = 6) -> dict[str, str]:
    import numpy as np

    told = {}
    for name, row in zip(read.classes, read.matrix, strict=True):
        ranked = np.argsort(-row, kind="stable")[:count]
        told[name] = ", ".join(f"{read.columns[i]} {row[i]:.2g}" for i in ranked if row[i] > 0)
    return told


def _nearest(read: "ClassTable") -> dict[str, str]:
    similarity = _similarity(read)
    closest = similarity.argmax(axis=1)
    return {
        name: f"{read.classes[j]} (cosine {similarity[i, j]:.2f})" if len(read) > 1 else "-"
        for i, (name, j) in enumerate(zip(read.classes, closest, strict=True))
    }


def _similarity(read: "ClassTable") -> Any:
    """Return (C, C) cosines with -1 on the diagonal."""
    import numpy as np

    from zeroscene.vectors import unit_rows

    unit = unit_rows(read.matrix)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1.0)
    return similarity


def _classes_of(place: Path) -> tuple[str, ...]:
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.serving.stores import is_store

    return EmbeddingStore.open(place).read().classes if is_store(place) else SceneFolder.open(place).classes


def _problems(read: "ClassTable", wanted: tuple[str, ...]) -> list[str]:
    import numpy as np

    from zeroscene import names

    problems = []
    for name in wanted:
        if name not in read:
            close = names.nearest(name, read.classes)
            problems.append(f"no row for {name!r}" + (f"; nearest: {', '.join(close)}" if close else ""))
    present = read.select([name for name in wanted if name in read])
    if len(present) > 1:
        alike = np.argwhere(np.triu(_similarity(present) > 1 - 1e-6, k=1))
        problems += [f"{present.classes[i]!r} and {present.classes[j]!r} have the same vector" for i, j in alike]
    return problems


def _flat_columns(read: "ClassTable", wanted: tuple[str, ...]) -> list[str]:
    import numpy as np

    present = read.select([name for name in wanted if name in read])
    if len(present) < 2 or present.kind != "attributes":
        return []
    return [present.columns[i] for i in np.flatnonzero(np.ptp(present.matrix, axis=0) == 0)]
