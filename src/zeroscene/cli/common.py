"""What all commands share: help that reads like a manual, output for people or as JSON."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.errors import OptionError

if TYPE_CHECKING:
    from zeroscene.serving.answers import Answers
    from zeroscene.serving.asking import Asking

OUTPUT, ENCODER, CLASSES, SELECTION = "Output", "Encoder", "Class names", "Selection"

DONE = "done"
MISUSE = "bad usage or bad input; one line on stderr says what to do"
INTERRUPTED = "interrupted; the same command continues where it stopped"

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON value on stdout and nothing else.", rich_help_panel=OUTPUT)
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAMES", help="Class names; @FILE reads one a line.", show_default=False),
]
Dataset = Annotated[
    str | None,
    typer.Option("--dataset", help="The classes of a known benchmark, such as ucmerced.", rich_help_panel=CLASSES),
]
ClassFolder = Annotated[
    Path | None,
    typer.Option("--folder", help="The classes of a folder of pictures, one folder a class.", rich_help_panel=CLASSES),
]

Template = Annotated[
    list[str] | None,
    typer.Option("--template", help="Prompt with {} for the text, or a set of them.", rich_help_panel=CLASSES),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch an encoder that is not cached.", rich_help_panel=ENCODER)
]


def _finite(gamma: float | None) -> float | None:
    if gamma is not None and not math.isfinite(gamma):
        raise OptionError(f"--gamma {gamma:g} is no finite number; without it the gamma of the fit is taken")
    return gamma


Gamma = Annotated[
    float | None,
    typer.Option("--gamma", help="Subtracted from seen classes; 0 leaves scores as they are.", callback=_finite),
]
PRIORS = ("free", "balanced")
Refine = Annotated[
    str | None,
    typer.Option(
        "--refine", metavar="PRIORS", help="Let the set of pictures correct its scores; class sizes free or balanced."
    ),
]
Least = Annotated[
    float | None,
    typer.Option("--least", metavar="P", help="Least probability of an answer; below it: none of these."),
]
Precision = Annotated[
    float | None,
    typer.Option("--precision", metavar="P", help="Wanted share of right answers; unsure ones: none of these."),
]
Examples = Annotated[
    Path | None,
    typer.Option("--examples", help="A few labelled pictures of some classes: folder of class folders, or store."),
]
MovedEncoder = Annotated[
    str | None,
    typer.Option("--encoder", help="Where the encoder is, if it moved since `fit`.", rich_help_panel=ENCODER),
]
PRECISIONS = ("auto", "fp32", "bf16")
POOLINGS = ("auto", "cls", "mean", "projection")
Arithmetic = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.", rich_help_panel=ENCODER)]
Pooling = Annotated[str, typer.Option("--pooling", help="auto, cls, mean or projection.", rich_help_panel=ENCODER)]
SentenceEncoder = Annotated[
    str | None,
    typer.Option("--text-encoder", help="Sentence encoder, for a model of text vectors.", rich_help_panel=ENCODER),
]


def manual(text: str, examples: Sequence[str], codes: dict[int, str] | None = None) -> str:
    """Return a command's help: its text, its examples, its exit codes."""
    lines = "\n".join(f"  [cyan]$ {_escape(wrapped(example))}[/cyan]" for example in examples)
    codes = {0: DONE, **(codes or {}), 2: MISUSE, 130: INTERRUPTED}
    exits = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in sorted(codes.items()))
    return f"{_escape(text.strip())}\n\n[bold]Examples[/bold]\n\n{lines}\n\n[bold]Exit codes[/bold]\n\n{exits}"


def wrapped(example: str, width: int = 72) -> str:
    """Return a long command on several lines, as one would type it."""
    lines = [""]
    for part in example.split(" --"):
        part = part if part == example.split(" --")[0] else f"--{part}"
        joined = f"{lines[-1]} {part}".strip()
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return " \\\n      ".join(lines)


def _escape(text: str) -> str:
    return text.replace("[", "\\[")


class Output:
    """Where a command's results go: lines for people, or one JSON value."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, line: str = "") -> None:
        """Print a line for people; nothing under --json."""
        if not self.as_json:
            typer.echo(line)

    def result(self, value: Any) -> None:
        """Print the command's JSON value; nothing without --json."""
        if self.as_json:
            typer.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))

    def hint(self, line: str) -> None:
        """Print what only a person at a terminal wants to know, on stderr."""
        if not self.as_json and sys.stderr.isatty():
            typer.echo(line, err=True)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return rows as aligned text; the first `left` columns are flush left, the others flush right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = [
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    text.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(line.rstrip() for line in text)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 picture`, `2,100 pictures`, `2 classes`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def one_of(option: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        OptionError: it is none of them; they are listed.
    """
    if value not in choices:
        raise OptionError(f"{option} {value!r} is not one of {', '.join(choices)}")


def tell(answers: "Answers", out: Path | None, output: Output) -> None:
    """Write answers to a file or print them, and tell on stderr what was skipped and what should be known."""
    value = answers.to_json() if output.as_json else {}
    if out is None:
        output.say(answers.csv().rstrip())
    else:
        answers.write(out)
        output.say(f"{plural(len(answers), 'picture')} labelled, {len(answers.skipped)} skipped: {out}")
    for picture, reason in answers.skipped:
        typer.echo(f"skipped {picture}: {reason}", err=True)
    for note in answers.notes:
        typer.echo(f"note: {note}", err=True)
    output.result(value)


def asking(priors: str | None, least: float | None, precision: float | None) -> "Asking":
    """Return how a user wants pictures to be answered.

    Raises:
        OptionError: no such priors, or a number out of range.
    """
    if priors is not None:
        one_of("--refine", priors, PRIORS)
    from zeroscene.methods.transduction.refine import TransductionOptions
    from zeroscene.serving.asking import Asking

    refine = None if priors is None else TransductionOptions.of({"priors": priors}, "--refine")
    return Asking(refine=refine, least=least, precision=precision)
