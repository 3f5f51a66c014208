"""`zeroscene fit`: one method, fitted on pictures of seen classes."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, SELECTION, Json, Output, manual, plural
from zeroscene.errors import OptionError

if TYPE_CHECKING:
    from zeroscene.embeddings.embeddings import Embeddings
    from zeroscene.evaluation.results import Choice
    from zeroscene.methods.contract import TrainingSet
    from zeroscene.methods.registry import AnyMethod
    from zeroscene.semantics.table import ClassTable

NAME, PANEL = "fit", "Learn and predict"
HELP = manual(
    """
Fit a method on pictures with known classes.

METHOD is one of eszsl, sae, ale, devise, conse, kernel, cada-vae, mcfa, dsva
(dsva looks at places: embed with --grid), prompts (class texts of the same
image-text model) and fusion. Options of the method follow as key=value;
what you do not give is chosen on the seen classes themselves:
some of them play unseen, the options that recognise those best are taken,
and the method is fitted again on all seen classes. No picture outside the
training set takes part. The evidence of the choice, the class table and the
encoder's place are kept with the model.

A fusion adds up the scores of several methods, with weights chosen on seen
classes that play unseen. Each --with names a member and the label of the
class table that it knows classes by; --classes gives each table its label.

Without --seen or --split every class of the embeddings is seen, which is
what you want before asking about new classes with `predict`.
""",
    [
        "zeroscene fit kernel --embeddings store --classes classes.csv -o model",
        "zeroscene fit eszsl --embeddings store --classes classes.csv --split splits.json:1 -o model",
        "zeroscene fit mcfa epochs=20 --no-select --embeddings store --classes classes.csv -o model",
        "zeroscene fit dsva --embeddings store-with-grids --classes attributes.csv -o model",
        "zeroscene fit fusion --with prompts:words --with kernel:attributes --embeddings store "
        "--classes words=text.safetensors --classes attributes=classes.csv -o model",
    ],
)


def command(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="Name of the method.")],
    options: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Options of the method.")] = None,
    *,
    embeddings: Annotated[Path, typer.Option("--embeddings", "-e", help="Store that `embed` wrote; with labels.")],
    classes: Annotated[
        list[str],
        typer.Option(
            "--classes",
            "-c",
            metavar="[LABEL=]TABLE",
            help="Class table that holds every seen class; of a fusion, more.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the fitted method.", rich_help_panel=OUTPUT)],
    members: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="METHOD[:LABEL][,KEY=VALUE...]",
            help="Of a fusion: a member, the class table it uses, options of its own; repeated.",
        ),
    ] = None,
    seen: Annotated[
        list[str] | None,
        typer.Option("--seen", help="A seen class, or @FILE; may be repeated.", rich_help_panel=SELECTION),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="FILE[:NAME]", help="Seen classes of a split.", rich_help_panel=SELECTION),
    ] = None,
    select: Annotated[
        bool, typer.Option(help="Choose the options that are not given, on seen classes.", rich_help_panel=SELECTION)
    ] = True,
    seed: Annotated[
        int, typer.Option("--seed", help="Of the choice and of the method.", rich_help_panel=SELECTION)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Choose options, fit, save."""
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.options import parse_assignments
    from zeroscene.serving.model import replaced
    from zeroscene.serving.tables import read_tables

    output = Output(as_json)
    fixed = parse_assignments(options or ()) | with_members(method, members or [])
    wanted = check_options(method, fixed)
    if len(classes) > 1 and wanted.name != "fusion":
        raise OptionError(f"{wanted.name} takes one class table; several are views of a fusion")
    table = read_tables(classes)
    pictures = EmbeddingStore.open(embeddings).read(grids=wanted.reads == "grids")
    train = _training_set(pictures, seen, split)
    told = replaced(out)
    choice = fit_and_keep(method, train, table, out, embeddings, fixed, select, seed)
    if told is not None:
        typer.echo(f"note: {told}", err=True)
    output.say(f"{method} fitted on {plural(len(train.pictures), 'picture')} of {plural(len(train.seen), 'class')}")
    for line in (*evidence(choice), *_promise(out)):
        output.say(line)
    output.say(f"model: {out}")
    output.result(
        {"model": str(out), "seen": list(train.seen), "pictures": len(train.pictures), "choice": choice.to_json()}
    )


def with_members(method: str, given: list[str]) -> dict[str, Any]:
    """Return the members of a fusion from words `METHOD[:LABEL][,KEY=VALUE...]`; nothing where there are none.

    `weight` and `scale` are the member's share in the sum; other keys are options of its method.

    Raises:
        OptionError: the method is no fusion, or a word is not of that form.
    """
    from zeroscene import names
    from zeroscene.options import parse_assignments

    if not given:
        return {}
    if names.key(method) != "fusion":
        raise OptionError(f"--with names members of a fusion; {method} has none")
    members: list[dict[str, Any]] = []
    for word in given:
        head, *pairs = (part.strip() for part in word.split(","))
        name, _, label = head.partition(":")
        options = parse_assignments(pairs)
        member: dict[str, Any] = {"method": name.strip(), "view": label.strip(), "options": options}
        for share in ("weight", "scale"):
            if share in options:
                member[share] = options.pop(share)
        members.append(member)
    return {"members": members}


def check_options(method: str, fixed: dict[str, Any]) -> "AnyMethod":
    """Refuse options that the method does not have, before anything long begins; return the unfitted method.

    Raises:
        UnknownNameError: no such method.
        OptionError: an unknown option or a value out of range.
    """
    from zeroscene.methods.registry import create_method

    return create_method(method, **fixed)


def fit_and_keep(
    method: str,
    train: "TrainingSet",
    table: "ClassTable",
    out: Path,
    store: Path,
    fixed: dict[str, Any],
    select: bool = True,
    seed: int = 0,
) -> "Choice":
    """Choose the options that are not given, fit on all of `train`, and keep what `predict` needs in `out`.

    Nothing is written before all of it is there. The confidence comes first and names the method, which comes last: a
    run that is killed between them leaves a pair that is refused.

    Raises:
        UnknownNameError: a seen class is absent from the table.
        StoreError: the model cannot be written.
    """
    from zeroscene.evaluation.candidates import build
    from zeroscene.evaluation.confidence import fit_confidence
    from zeroscene.evaluation.fusion import choose_in_folds
    from zeroscene.evaluation.results import Choice
    from zeroscene.methods.registry import method_class
    from zeroscene.methods.transduction.refine import TransductionOptions
    from zeroscene.serving.model import CONFIDENCE, keep
    from zeroscene.serving.sources import Origin

    chosen = method_class(method)
    confidence = None
    if select:
        found = choose_in_folds(chosen, train, table, fixed=fixed, seed=seed)
        choice = found.choice
        confidence = fit_confidence(
            chosen,
            choice.options,
            choice.gamma,
            train,
            table,
            folds=found.folds,
            measures=found.measures,
            refinement=TransductionOptions(),
            seed=seed,
        )
    else:
        choice = Choice(selection="defaults", options=fixed, gamma=0.0, note="nothing was chosen; gamma 0")
    fitted = build(chosen, choice.options, seed).fit(train, table)
    origin = Origin.read(store)
    if confidence is None:
        (out / CONFIDENCE).unlink(missing_ok=True)
    else:
        confidence.of(fitted).write(out / CONFIDENCE)
    keep(out, choice, table, replace(origin, pictures="") if origin else None)
    fitted.save(out)
    return choice


def _training_set(pictures: "Embeddings", seen: list[str] | None, split: str | None) -> "TrainingSet":
    from zeroscene.cli.split import read_one
    from zeroscene.methods.contract import TrainingSet
    from zeroscene.serving.class_names import class_names

    if seen and split:
        raise OptionError("give --seen or --split, not both")
    if split:
        chosen = read_one(split)
        chosen.check_classes(pictures.classes)
        kept = set(chosen.held_out)
        pictures = pictures.take([i for i, picture in enumerate(pictures.ids) if picture not in kept])
        classes = chosen.seen
    else:
        classes = class_names(seen) if seen else pictures.classes
    return TrainingSet(pictures.of_classes(classes), tuple(classes))


def evidence(choice: "Choice") -> list[str]:
    """Return what was chosen and on what evidence, in lines for people."""
    from zeroscene.methods.fusion import in_words

    fused = len(choice.options.get("members", ())) > 1
    said = (" + " if fused else ", ").join(in_words(choice.options))
    lines = [f"{'sum of' if fused else 'options'}: {said or 'the defaults'}"]
    if choice.candidates and not fused:
        best = next(c for c in choice.candidates if c.options == choice.options)
        lines.append(
            f"  best of {len(choice.candidates)}: T1 {100 * best.t1:.1f} % on seen classes that played unseen "
            f"({len(choice.folds)} folds)"
        )
    if choice.harmonic is not None:
        lines.append(f"calibration: gamma = {choice.gamma:.4g}, H {100 * choice.harmonic:.1f} % on the same folds")
    return [*lines, *([f"note: {choice.note}"] if choice.note else [])]


def _promise(out: Path, precision: float = 0.95) -> list[str]:
    """Return what share of pictures of new classes gets an answer at a precision, in a line for people."""
    from zeroscene.methods.confidence import Confidence
    from zeroscene.serving.model import CONFIDENCE

    confidence = Confidence.read(out / CONFIDENCE) if (out / CONFIDENCE).is_file() else None
    if confidence is None or "new" not in confidence.settings:
        return []
    most = confidence.settings["new"].thresholds[-1].candidates
    try:
        share = confidence.expected_coverage(most, precision)
    except OptionError as error:
        return [f"confidence: among {most} new classes, {error}"]
    told = f"at {100 * precision:g} % precision {100 * share:.0f} % of the pictures get an answer"
    return [f"confidence: among {most} new classes, {told}"]
