"""`zeroscene annotate`: attributes of classes from an image-text model, without human labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import (
    CLASSES,
    ENCODER,
    OUTPUT,
    SELECTION,
    ClassFolder,
    Dataset,
    Download,
    Json,
    Names,
    Output,
    Template,
    manual,
    plural,
)
from zeroscene.serving.class_names import class_names

if TYPE_CHECKING:
    from zeroscene.semantics.annotate import Pictures
    from zeroscene.semantics.quality import Quality
    from zeroscene.semantics.table import ClassTable

NAME, PANEL = "annotate", "Prepare"
_SHOWN, _MODEL = 6, "model"
HELP = manual(
    """
Annotate the attributes of classes with an image-text model.

Each attribute of a vocabulary is said in words; the model compares the words
with what it knows of a class, and the similarities, scaled to [0, 1] over
the classes, are the class's attributes (RSMM-Attributes of DSVA).

With --embeddings, classes are annotated from their pictures: those of the
split's seen classes, held-out pictures excepted. A class without pictures is
annotated from its description. --exemplar allows the pictures of an unseen
class; the table, and every result made from it, then says so. Without
--embeddings all classes are annotated from their descriptions.

--texts attributes makes descriptions of what the knowledge base says of a
class, in the words of the vocabulary and without the class's name.

The table keeps the model's vectors of the words beside it, by which dsva
knows where to look. --values takes the values from elsewhere and adds only
these vectors: from the knowledge base, or from a table that you edited; or
it blends them with the model's own.
""",
    [
        "zeroscene annotate --dataset ucmerced --encoder openai/clip-vit-base-patch32 -o attributes.csv",
        "zeroscene annotate --folder pictures --encoder tiny --vocabulary synthetic --texts attributes "
        "--embeddings store --split splits.json:1 -o attributes.csv",
        "zeroscene annotate --folder pictures --encoder tiny --vocabulary synthetic --values knowledge "
        "-o attributes.csv",
    ],
)


def command(
    names: Names = None,
    *,
    encoder: Annotated[
        str,
        typer.Option("--encoder", help="Image-text model: hub id, folder, or tiny.", rich_help_panel=ENCODER),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table, .csv.", rich_help_panel=OUTPUT)],
    vocabulary: Annotated[
        str,
        typer.Option(
            "--vocabulary",
            help="knowledge, synthetic (in the words of the tiny encoder), or a CSV of attribute, group and prompt.",
            rich_help_panel=CLASSES,
        ),
    ] = "knowledge",
    texts: Annotated[
        str,
        typer.Option(
            "--texts",
            help="names, descriptions, attributes, or a CSV of class and text.",
            rich_help_panel=CLASSES,
        ),
    ] = "descriptions",
    template: Template = None,
    values: Annotated[
        str,
        typer.Option(
            "--values",
            help="model, knowledge, a table, or several with weights to blend: model:2,knowledge:1.",
            rich_help_panel=CLASSES,
        ),
    ] = _MODEL,
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", "-e", help="Store of the same model's pictures.", rich_help_panel=SELECTION),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="FILE[:NAME]", help="Whose seen classes to show.", rich_help_panel=SELECTION),
    ] = None,
    exemplars: Annotated[
        list[str] | None,
        typer.Option("--exemplar", help="Unseen class to show all the same.", rich_help_panel=SELECTION),
    ] = None,
    dataset: Dataset = None,
    folder: ClassFolder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Write the table and say what it is worth."""
    from zeroscene.encoders.text import load_text_encoder
    from zeroscene.errors import OptionError
    from zeroscene.evaluation.annotation import class_texts, read_vocabulary
    from zeroscene.semantics.annotate import annotate_pictures, annotate_texts, blend
    from zeroscene.semantics.prompts import read_templates
    from zeroscene.semantics.vocabulary import with_prompts

    output, classes = Output(as_json), class_names(names, dataset, folder)
    if embeddings is None and (split or exemplars):
        raise OptionError("--split and --exemplar choose pictures; give the store that holds them: --embeddings STORE")
    asked, reader = read_vocabulary(vocabulary), load_text_encoder(encoder, download=download)
    wanted = parse_values(values)
    if embeddings is not None and _MODEL not in wanted:
        raise OptionError(f"--values {values} takes no values from the model, so pictures are not looked at")

    def by_model() -> "ClassTable":
        said: dict[str, Any] = {"texts": class_texts(texts, classes, asked), "templates": read_templates(template)}
        if embeddings is None:
            return annotate_texts(classes, asked, reader, **said)
        shown = pictures(embeddings, split, exemplars or ())
        return annotate_pictures(classes, asked, reader, shown, exemplars=exemplars or (), **said)

    tables = [by_model() if name == _MODEL else _given(name, classes) for name in wanted]
    table = tables[0] if len(tables) == 1 else blend(tables, list(wanted.values()))
    if table.prompts is None:
        table = with_prompts(table, asked, reader, read_templates(template))
    table.write(out)
    _tell(table, out, output)


def parse_values(given: str) -> dict[str, float]:
    """Return where values come from, each with its weight: `model:2,knowledge` is {model: 2, knowledge: 1}.

    Raises:
        OptionError: a weight is not a number, or a source stands twice.
    """
    from zeroscene.errors import OptionError

    sources: dict[str, float] = {}
    for part in given.split(","):
        name, _, weight = part.strip().partition(":")
        if not name or name in sources:
            raise OptionError(f"--values {given}: name each source once, with commas between them")
        try:
            sources[name] = float(weight) if weight else 1.0
        except ValueError as error:
            raise OptionError(f"--values {given}: the weight {weight!r} of {name!r} is not a number") from error
    return sources


def _given(name: str, classes: "tuple[str, ...]") -> "ClassTable":
    from zeroscene.semantics.knowledge import knowledge_table
    from zeroscene.semantics.reading import read_table

    return knowledge_table(classes) if name == "knowledge" else read_table(Path(name)).select(classes)


def pictures(store: Path, split: str | None, exemplars: "tuple[str, ...] | list[str]") -> "Pictures":
    """Return the pictures that attributes may be annotated from: seen training pictures, and exemplars.

    Raises:
        DataFormatError: the pictures of the store carry no labels.
        DatasetNotFoundError, OptionError, UnknownNameError: the split is not there.
    """
    from zeroscene.cli.split import read_one
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.semantics.annotate import Pictures

    held = EmbeddingStore.open(store).read()
    if split is not None:
        chosen = read_one(split)
        held = held.of_classes([*chosen.seen, *exemplars])
        withheld = set(chosen.held_out)
        held = held.take([i for i, one in enumerate(held.ids) if one not in withheld])
    _ = held.classes
    return Pictures(held.x, held.labels or (), held.encoder)


def _tell(table: "ClassTable", out: Path, output: Output) -> None:
    worth = _worth(table)
    source = table.provenance["source"]
    output.say(f"{plural(len(table), 'class')}, {plural(len(table.columns), 'attribute')} from {source}: {out}")
    if described := table.provenance.get("from_description"):
        output.say(f"from their descriptions: {', '.join(described)}")
    if marked := table.provenance.get("exemplars"):
        output.say(f"MARKED: pictures of these unseen classes were used: {', '.join(marked)}")
    if worth.agreement_mean is not None:
        output.say(f"mean correlation with the knowledge table: {worth.agreement_mean:.2f}")
    if worth.constant:
        output.say(f"the same for every class, which tells nothing: {', '.join(worth.constant)}")
    for one, other, cosine in worth.alike[:_SHOWN]:
        output.say(f"hard to tell apart: {one} and {other} (cosine {cosine:.2f})")
    output.result(
        {
            "table": str(out), "source": source, "classes": list(table.classes),
            "attributes": len(table.columns), "fingerprint": table.fingerprint, "quality": worth.to_json(),
        }
    )  # fmt: skip


def _worth(table: "ClassTable") -> "Quality":
    """Return the table's quality, beside the knowledge table where that knows all its classes."""
    from zeroscene.errors import DuplicateNameError, UnknownNameError
    from zeroscene.semantics.knowledge import knowledge_table
    from zeroscene.semantics.quality import quality

    try:
        return quality(table, knowledge_table(table.classes))
    except (UnknownNameError, DuplicateNameError):
        return quality(table)
