"""Options of the commands that say classes to a text encoder."""

from typing import Annotated

import typer

from zeroscene.cli.common import CLASSES

SaidTexts = Annotated[
    str,
    typer.Option("--texts", help="names, synonyms, descriptions, attributes, or a CSV.", rich_help_panel=CLASSES),
]
AttributeWords = Annotated[
    str | None,
    typer.Option("--vocabulary", help="Words for attributes: knowledge, synthetic, or CSV.", rich_help_panel=CLASSES),
]
