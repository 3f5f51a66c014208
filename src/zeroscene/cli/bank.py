"""`zeroscene classes bank|add|describe|rename|remove|list|history|restore`: the classes of a model, kept and edited."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import CLASSES, ENCODER, ClassFolder, Dataset, Download, Json, Names, Output, Template, plural
from zeroscene.cli.common import table as aligned
from zeroscene.cli.manuals_bank import ADD, BANK, DESCRIBE, HISTORY, LIST, REMOVE, RENAME, RESTORE
from zeroscene.cli.words import SaidTexts

if TYPE_CHECKING:
    from zeroscene.semantics.bank import ClassBank
    from zeroscene.semantics.bank_parts import Entry
    from zeroscene.semantics.table import ClassTable
    from zeroscene.serving.bank import Bank

_SHOWN = 4

Name = Annotated[str, typer.Argument(metavar="NAME", help="A class of the bank, in any spelling.")]
Place = Annotated[
    Path, typer.Option("--to", "--in", "--from", metavar="MODEL|BANK", help="Folder of a model, or a .bank file.")
]
Of = Annotated[Path, typer.Argument(metavar="MODEL|BANK", help="Folder of a model, or a .bank file.")]
Attributes = Annotated[
    str | None,
    typer.Option("--attributes", metavar="NAME=VALUE,...", help="Attributes, 0 to 1.", rich_help_panel=CLASSES),
]
Reader = Annotated[
    str | None,
    typer.Option("--encoder", help="Where the bank's text encoder is, if it moved.", rich_help_panel=ENCODER),
]


def bank(
    names: Names = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The bank, .bank.")],
    encoder: Annotated[
        str | None, typer.Option("--encoder", help="Text encoder: hub id or folder.", rich_help_panel=ENCODER)
    ] = None,
    texts: SaidTexts = "auto",
    template: Template = None,
    dataset: Dataset = None,
    folder: ClassFolder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Write a bank."""
    from zeroscene.semantics.bank import ClassBank
    from zeroscene.serving.bank import Bank

    output, kept = Output(as_json), Bank.at(out)
    made = ClassBank.of(_table(kept, names, dataset, folder, encoder, texts, template, download))
    kept.file.write(made, f"made with {plural(len(made), 'class')}", _by("bank"))
    if encoder is not None:
        kept.note(encoder)
    _tell(kept, made, f"{plural(len(made), 'class')} of source {made.recipe.source}", made.entries, output)


def add(
    names: Names = None,
    *,
    to: Place,
    describe: Annotated[
        list[str] | None,
        typer.Option("--describe", metavar="TEXT", help="What it looks like; repeated.", rich_help_panel=CLASSES),
    ] = None,
    attributes: Attributes = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Class table with their rows, such as a CSV.", rich_help_panel=CLASSES),
    ] = None,
    encoder: Reader = None,
    template: Template = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Add classes."""
    from zeroscene.errors import OptionError
    from zeroscene.semantics.bank_entries import from_table
    from zeroscene.semantics.reading import read_table
    from zeroscene.serving.bank import Bank
    from zeroscene.serving.class_names import class_names

    output, kept = Output(as_json), Bank.at(to)
    if table is not None and (describe or attributes):
        raise OptionError("--table has the rows of the classes; leave out --describe and --attributes")
    wanted = () if table is not None and not names else class_names(names)
    if (describe or attributes) and len(wanted) > 1:
        raise OptionError(f"--describe and --attributes say what one class is; {len(wanted)} are named")
    values = None if attributes is None else parse_attributes(attributes)
    said = {wanted[0]: describe} if describe else None
    may_begin = values is None and table is None and kept.model is None and not kept.file.path.exists()
    if encoder is not None and may_begin and _begin(kept, wanted, said, encoder, template, download, output):
        return
    if template:
        raise OptionError("--template is for a new bank; this one has its templates already")
    made: list[Entry] = []

    def grown(bank: "ClassBank") -> "ClassBank":
        for name in wanted:
            bank.require_new(name)
        if table is None:
            made[:] = kept.make(bank, wanted, texts=said, values=values, encoder=encoder, download=download)
        else:
            made[:] = from_table(bank, read_table(table), wanted or None)
        for entry in made:
            bank = bank.added(entry)
        return bank

    changed = _edit(kept, grown, f"added {', '.join(wanted) or f'the classes of {table}'}", "add")
    _tell(kept, changed, f"added {', '.join(entry.name for entry in made)}", made, output)


def describe(
    name: Name,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXTS", help="What it looks like, anew.", show_default=False)
    ] = None,
    *,
    to: Place,
    attributes: Attributes = None,
    encoder: Reader = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Give a class other words or values."""
    from dataclasses import replace

    from zeroscene.errors import OptionError
    from zeroscene.serving.bank import Bank

    if bool(texts) == bool(attributes):
        raise OptionError(f"say what {name!r} looks like: TEXTS, or --attributes NAME=VALUE,... (one of the two)")
    output, kept = Output(as_json), Bank.at(to)
    made: list[Entry] = []

    def changed(bank: "ClassBank") -> "ClassBank":
        old = bank.entry(name)
        values = parse_attributes(attributes) if attributes else None
        made[:] = [kept.describe(bank, name, texts=texts or None, values=values, encoder=encoder, download=download)]
        if made[0].texts == old.texts and made[0].made == old.made and not attributes:
            return bank
        return bank.described(replace(made[0], name=old.name))

    after = _edit(kept, changed, f"described {name}", "describe")
    _tell(kept, after, f"described {after.entry(name).name}", made, output)


def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name from now on.")],
    *,
    to: Place,
    as_json: Json = False,
) -> None:
    """Give a class another name."""
    from zeroscene.serving.bank import Bank

    kept = Bank.at(to)
    after = _edit(kept, lambda bank: bank.renamed(name, new), f"renamed {name} to {new}", "rename")
    _tell(kept, after, f"renamed {name} to {new}", (), Output(as_json))


def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAMES", help="Classes of the bank; @FILE reads one a line.")],
    *,
    to: Place,
    as_json: Json = False,
) -> None:
    """Remove classes."""
    from zeroscene.serving.bank import Bank
    from zeroscene.serving.class_names import class_names

    kept, gone = Bank.at(to), class_names(names)

    def without(bank: "ClassBank") -> "ClassBank":
        for name in gone:
            bank = bank.removed(name)
        return bank

    after = _edit(kept, without, f"removed {', '.join(gone)}", "remove")
    _tell(kept, after, f"removed {', '.join(gone)}", (), Output(as_json))


def show(of: Of, as_json: Json = False) -> None:
    """List the classes."""
    from zeroscene.serving.bank import Bank, told

    output, kept = Output(as_json), Bank.at(of)
    held = kept.file.read()
    output.say(f"{kept.file.path}: {plural(len(held), 'class')}, version {held.version}")
    output.say(f"{held.recipe.kind} of {told(held.recipe.provenance)}")
    output.say()
    if len(held):
        output.say(aligned(("class", "what it is"), ((e.name, _said(held, e)) for e in held.entries), left=2))
    else:
        output.say("no classes; add one with `zeroscene classes add`")
    output.result(
        {
            "bank": str(kept.file.path), "version": held.version, "kind": held.recipe.kind,
            "source": held.recipe.source, "space": held.space,
            "classes": [
                {"class": e.name, "texts": list(e.texts), "made": e.made or held.recipe.source, "meant": e.meant}
                for e in held.entries
            ],
        }
    )  # fmt: skip


def history(of: Of, as_json: Json = False) -> None:
    """List the versions."""
    from zeroscene.serving.bank import Bank

    output, kept = Output(as_json), Bank.at(of)
    edits = kept.file.history()
    output.say(aligned(("version", "when", "what"), ((e.after, e.when, e.what) for e in edits), left=3))
    output.result([{"version": e.after, "before": e.before, "when": e.when, "what": e.what, "by": e.by} for e in edits])


def restore(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="As `history` lists it, or its beginning.")],
    *,
    to: Place,
    as_json: Json = False,
) -> None:
    """Bring a version back."""
    from zeroscene.serving.bank import Bank

    kept = Bank.at(to)
    back = kept.file.restore(version, _by("restore"), kept.require_fit)
    _tell(kept, back, f"restored {back.version}", (), Output(as_json))


def register(app: typer.Typer) -> None:
    """Put the commands beside those of class tables."""
    commands: tuple[tuple[str, str, Callable[..., None]], ...] = (
        ("bank", BANK, bank), ("add", ADD, add), ("describe", DESCRIBE, describe), ("rename", RENAME, rename),
        ("remove", REMOVE, remove), ("list", LIST, show), ("history", HISTORY, history), ("restore", RESTORE, restore),
    )  # fmt: skip
    for name, text, command in commands:
        app.command(name, help=text, rich_help_panel="The classes of a model")(command)


def parse_attributes(given: str) -> dict[str, float]:
    """Return attribute values of `solar_modules=1,bare_soil=0.4`.

    Raises:
        OptionError: a part is not of that form, a value is not a number, or an attribute stands twice.
    """
    from zeroscene.errors import OptionError

    values: dict[str, float] = {}
    for part in given.split(","):
        name, separator, value = (word.strip() for word in part.partition("="))
        if not separator or not name:
            raise OptionError(f"--attributes: {part.strip()!r} is not NAME=VALUE (several with commas between them)")
        if name in values:
            raise OptionError(f"--attributes: {name!r} stands twice")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise OptionError(f"--attributes: the value of {name!r} is {value!r}; give a number from 0 to 1") from error
    return values


def _table(
    kept: "Bank",
    names: list[str] | None,
    dataset: str | None,
    folder: Path | None,
    encoder: str | None,
    texts: str,
    template: list[str] | None,
    download: bool,
) -> "ClassTable":
    """Return the table that a bank is made of: a file, words through an encoder, or rows of the knowledge base."""
    from zeroscene.errors import OptionError
    from zeroscene.semantics.knowledge import knowledge_table
    from zeroscene.serving.class_names import class_names, given_table

    if (held := given_table(names or ())) is not None:
        return held
    asked = class_names(names, dataset, folder)
    if encoder is not None:
        return _spoken(kept, asked, encoder, texts, template, download)
    if template or texts != "auto":
        raise OptionError("--texts and --template need a text encoder to read them: --encoder FOLDER_OR_ID")
    return knowledge_table(asked)


def _spoken(
    kept: "Bank", asked: Sequence[str], encoder: str, texts: Any, template: list[str] | None, download: bool
) -> "ClassTable":
    from zeroscene.encoders.text import load_text_encoder
    from zeroscene.semantics.prompts import prompt_warnings
    from zeroscene.semantics.text import text_table
    from zeroscene.semantics.text_cache import CachedTextEncoder
    from zeroscene.serving.words import words_for

    reader = CachedTextEncoder(load_text_encoder(encoder, download=download))
    words = words_for(asked, reader, texts=texts, templates=template)
    table = text_table(asked, reader, texts=words.texts, templates=words.templates)
    near = prompt_warnings(table)
    kept.notes.extend([*words.notes, *(told for told in prompt_warnings(table, reader) if told not in near)])
    return table


def _begin(
    kept: "Bank",
    wanted: Sequence[str],
    said: dict[str, list[str]] | None,
    encoder: str,
    template: list[str] | None,
    download: bool,
    output: Output,
) -> bool:
    """Make the bank that its first class asks for, and return whether nobody else began it meanwhile."""
    from zeroscene.semantics.bank import ClassBank

    made = ClassBank.of(_spoken(kept, wanted, encoder, said or "auto", template, download))
    if not kept.file.begin(made, f"made with {', '.join(wanted)}", _by("add")):
        kept.notes.clear()
        return False
    kept.note(encoder)
    _tell(kept, made, f"new bank with {', '.join(wanted)}", made.entries, output)
    return True


def _edit(kept: "Bank", change: "Callable[[ClassBank], ClassBank]", what: str, command: str) -> "ClassBank":
    if kept.model is not None:
        kept.require_fit(kept.file.read())
    return kept.file.edit(change, what, _by(command))


def _by(command: str) -> str:
    return f"zeroscene classes {command}"


def _tell(kept: "Bank", held: "ClassBank", what: str, made: "Sequence[Entry]", output: Output) -> None:
    """Say what was done, and what a user should know about the classes that were made."""
    from zeroscene.semantics.bank_entries import alike

    notes = list(dict.fromkeys(kept.notes))
    for one, other, cosine in alike(held, [entry for entry in made if entry.name in held]):
        notes.append(f"{one!r} and {other!r} are hard to tell apart (cosine {cosine:.3f}); say what sets them apart")
    output.say(f"{what}: {kept.file.path}, {plural(len(held), 'class')}, version {held.version}")
    for entry in made[:_SHOWN]:
        output.say(f"  {entry.name}: {_said(held, entry)}")
    for note in notes:
        typer.echo(f"warning: {note}", err=True)
    output.result(
        {
            "bank": str(kept.file.path), "version": held.version, "classes": list(held.classes),
            "made": [entry.name for entry in made], "warnings": notes,
        }
    )  # fmt: skip


def _said(bank: "ClassBank", entry: "Entry") -> str:
    """Return what a class is, for people: its texts, or its strongest attributes."""
    import numpy as np

    if entry.texts:
        more = f" (and {len(entry.texts) - 1} more)" if len(entry.texts) > 1 else ""
        return f"{entry.texts[0]}{more}"
    if bank.recipe.kind != "attributes":
        return "a vector"
    ranked = [int(i) for i in np.argsort(-entry.vector, kind="stable")[:_SHOWN] if entry.vector[i] > 0]
    return ", ".join(f"{bank.recipe.columns[i]} {entry.vector[i]:.2g}" for i in ranked)
