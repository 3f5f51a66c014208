"""`zeroscene classes sensitivity`: how much an image-text model's answers depend on the wording of its prompts."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroscene.cli.common import (
    ENCODER,
    Download,
    Json,
    Names,
    Output,
    Template,
    manual,
    plural,
)
from zeroscene.cli.common import (
    table as aligned,
)
from zeroscene.cli.words import AttributeWords, SaidTexts
from zeroscene.serving.class_names import class_names

if TYPE_CHECKING:
    from zeroscene.evaluation.sensitivity import Sensitivity, Spread

NAME = "sensitivity"
HELP = manual(
    """
Say how much zero-shot answers depend on how the prompts are worded.

Every template is tried alone, and the ensemble of all beside it: mean and
deviation over the templates, the best and the worst with their texts. With
labels in the store these are accuracies (T1 is the mean over classes).
Without labels it is the share of pictures that get the class the ensemble
gives them, which needs to know nothing: low agreement means that the wording
decides.

The best template here was picked on these pictures. Report the ensemble, or
the spread; the best one alone is luck that you cannot count on.
""",
    [
        "zeroscene classes sensitivity --embeddings store --encoder tiny",
        "zeroscene classes sensitivity lake forest --embeddings store --encoder models/clip "
        '--template large --template "a drone picture of {}"',
    ],
)


def command(
    names: Names = None,
    *,
    embeddings: Annotated[Path, typer.Option("--embeddings", help="Store made by the model's image tower.")],
    encoder: Annotated[
        str, typer.Option("--encoder", help="Image-text model: hub id or folder.", rich_help_panel=ENCODER)
    ],
    texts: SaidTexts = "auto",
    vocabulary: AttributeWords = None,
    template: Template = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Print the spread."""
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.encoders.text import load_text_encoder
    from zeroscene.errors import OptionError
    from zeroscene.evaluation.sensitivity import prompt_sensitivity
    from zeroscene.semantics.prompts import prompt_warnings
    from zeroscene.semantics.text import encode_prompts
    from zeroscene.semantics.text_cache import CachedTextEncoder
    from zeroscene.serving.words import words_for

    output = Output(as_json)
    x = EmbeddingStore.open(embeddings).read()
    if not names and x.labels is None:
        raise OptionError(f"{embeddings} has no labels: name the classes to choose among")
    asked = class_names(names) if names else x.classes
    reader = CachedTextEncoder(load_text_encoder(encoder, download=download))
    words = words_for(asked, reader, texts=texts, templates=template, vocabulary=vocabulary)
    made = encode_prompts(asked, reader, texts=words.texts, templates=words.templates)
    found = prompt_sensitivity(x, made)
    for note in (*words.notes, *prompt_warnings(made.table(), reader)):
        typer.echo(f"note: {note}", err=True)
    output.say(
        f"{plural(len(found.templates), 'template')}, {plural(len(asked), 'class')}, "
        f"{plural(found.pictures, 'picture')}{'' if found.t1 else ' without labels'}"
    )
    output.say()
    output.say(aligned(("", *found.figures), _rows(found)))
    output.say()
    for name, spread in list(found.figures.items())[:1]:
        output.say(f"best {name}: {found.templates[spread.best]!r}; worst: {found.templates[spread.worst]!r}")
    output.say(
        f"two templates give {100 * found.pairwise:.1f} % of the pictures the same class, all of them "
        f"{100 * found.unanimous:.1f} %"
    )
    output.result({"classes": list(asked), **found.to_json()})


def _rows(found: "Sensitivity") -> list[tuple[str, ...]]:
    figures: dict[str, Callable[[Spread], float]] = {
        "ensemble": lambda s: s.ensemble,
        "mean of templates": lambda s: s.mean,
        "deviation": lambda s: s.deviation,
        "best template": lambda s: s.values[s.best],
        "worst template": lambda s: s.values[s.worst],
    }
    spreads = found.figures.values()
    return [(title, *(f"{100 * of(spread):.1f}" for spread in spreads)) for title, of in figures.items()]
