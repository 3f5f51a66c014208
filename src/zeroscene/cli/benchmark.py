"""`zeroscene benchmark`: methods compared under one protocol."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, PRIORS, Json, Output, manual, one_of, plural, table

if TYPE_CHECKING:
    from zeroscene.evaluation.plan import BenchmarkPlan
    from zeroscene.evaluation.results import BenchmarkResult
    from zeroscene.evaluation.summary_records import Statistic, SummaryRow

NAME, PANEL = "benchmark", "Evaluate"
PICTURES = "pictures.json"
_OPTIONAL = ("--selection", "--transductive")
_PARTS = "What is compared (instead of PLAN)"
TRANSDUCTIVE = """transductive: the set of test pictures refined its own scores, without labels;
not to be compared with inductive figures. worse: runs that lost more than a
point of T1, of H by it.
"""
OVERLAP = """without overlap: on the test pictures that overlap no picture the method was
fitted on (or none of the other place); removed: pictures taken out of a run.
"""
HELP = manual(
    """
Compare methods over encoders, class tables, splits and seeds.

What is compared stands in a YAML plan, or in options. With honest selection
(the default) options and calibration are chosen on seen classes alone;
test-oracle chooses on the test pictures, as some papers do, and everything
it touches is marked so. Each finished evaluation is kept: an interrupted
run, started again, does only what is missing, and ends with the same files.

A plan:

  name: UC Merced 16/5
  embeddings: {resnet50: stores/resnet50}
  tables:
    knowledge: classes.csv
    annotated: {annotate: images, encoder: clip, embeddings: stores/clip}
  splits: [splits.json]
  methods: [kernel, eszsl, {name: mcfa, options: {epochs: 20}}]
  selection: honest

A table is a file, or is annotated by an image-text model anew for each split
and each validation fold, from the training pictures of their seen classes;
`annotate` also takes vocabulary, texts, templates and exemplars.

With `transductive: true` (or its options, {priors: balanced}) every figure is
measured a second time after the set of test pictures has refined its own
scores, without labels, in columns of its own. With `overlap: overlap.csv`
(written by `zeroscene audit`), every figure is also given without the test
pictures that overlap something else.
""",
    [
        "zeroscene benchmark plan.yaml -o results --jobs 2",
        "zeroscene benchmark --embeddings store --classes classes.csv --splits splits.json "
        "--methods kernel,eszsl -o results",
    ],
    {1: "some evaluations failed; they are listed, the others are kept"},
)


def command(
    plan: Annotated[Path | None, typer.Argument(metavar="PLAN", help="YAML file.", show_default=False)] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", rich_help_panel=OUTPUT)],
    embeddings: Annotated[
        list[str] | None, typer.Option("--embeddings", "-e", metavar="[LABEL=]STORE", rich_help_panel=_PARTS)
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", "-c", metavar="[LABEL=]TABLE", rich_help_panel=_PARTS)
    ] = None,
    splits: Annotated[
        list[Path] | None, typer.Option("--splits", help="Split file; may be repeated.", rich_help_panel=_PARTS)
    ] = None,
    methods: Annotated[
        str | None, typer.Option("--methods", help="Names with commas, or all.", rich_help_panel=_PARTS)
    ] = None,
    selection: Annotated[
        str | None, typer.Option("--selection", help="honest, defaults or test-oracle.", rich_help_panel=_PARTS)
    ] = None,
    transductive: Annotated[
        str | None,
        typer.Option(
            "--transductive",
            metavar="PRIORS",
            help="Refined scores as well, in columns of their own; class sizes free or balanced.",
            rich_help_panel=_PARTS,
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes; the figures do not depend on it.")] = 1,
    as_json: Json = False,
) -> None:
    """Run what is missing, print the table."""
    from zeroscene.errors import OptionError
    from zeroscene.evaluation.plan import BenchmarkPlan
    from zeroscene.evaluation.runner import run_benchmark

    output = Output(as_json)
    if transductive:
        one_of("--transductive", transductive, PRIORS)
    given = {
        "--embeddings": embeddings, "--classes": classes, "--splits": splits, "--methods": methods,
        "--selection": selection, "--transductive": transductive,
    }  # fmt: skip
    if plan is not None:
        if extra := [name for name, value in given.items() if value]:
            raise OptionError(f"{', '.join(extra)}: say it in {plan}, or leave the plan out")
        wanted = BenchmarkPlan.read(plan)
    else:
        if missing := [name for name, value in given.items() if not value and name not in _OPTIONAL]:
            raise OptionError(f"give a plan, or all its parts; missing: {', '.join(missing)}")
        wanted = _assembled(out.name, embeddings or [], classes or [], splits or [], methods or "", selection)
        wanted = replace(wanted, transductive={"priors": transductive} if transductive else False)
    result = run_benchmark(wanted, out, jobs=jobs)
    remember_pictures(wanted, out)
    output.say(summary(result))
    output.say(f"results: {out} (zeroscene report {out} makes a page of them)")
    for failure in result.failures:
        typer.echo(f"not evaluated: {failure.cell}: {failure.message}", err=True)
    output.result(result.model_dump(mode="json", include={"name", "selection", "summary", "comparisons", "failures"}))
    if result.failures:
        raise typer.Exit(1)


def remember_pictures(plan: "BenchmarkPlan", out: Path) -> None:
    """Note beside the results where the pictures of the stores lie, so that `report` can show some."""
    from zeroscene.files import write_json
    from zeroscene.serving.sources import Origin

    origins = [Origin.read(source) for source in plan.embeddings.values() if isinstance(source, Path)]
    write_json(out / PICTURES, sorted({origin.pictures for origin in origins if origin and origin.pictures}))


def summary(result: "BenchmarkResult") -> str:
    """Return the summary as aligned text: percent, mean and deviation."""
    refined = any(row.transductive is not None for row in result.summary)
    audited = any(row.without_overlap is not None for row in result.summary)
    lines = [
        (row.label, row.table, row.encoder, *(_percent(getattr(row, m)) for m in ("t1", "S", "U", "H", "AUSUC")),
         _percent(row.uncalibrated_H), *(_transductive(row) if refined else ()),
         *(_without_overlap(row) if audited else ()))
        for row in result.summary
    ]  # fmt: skip
    header = ["method", "classes", "encoder", "T1", "S", "U", "H", "AUSUC", "H plain"]
    header += ["T1 transductive", "H transductive", "worse"] if refined else []
    header += ["T1 without overlap", "H without overlap", "removed"] if audited else []
    runs = max((row.t1.count for row in result.summary), default=0)
    mark = "TEST-ORACLE: chosen on the test pictures" if result.selection == "test-oracle" else result.selection
    return (
        f"{result.name}: percent, mean \N{PLUS-MINUS SIGN} deviation of {plural(runs, 'run')}, selection: {mark}\n\n"
        f"{table(header, lines, left=3)}\n{TRANSDUCTIVE if refined else ''}{OVERLAP if audited else ''}{_lost(result)}"
        f"{_marks(result)}"
    )


def _transductive(row: "SummaryRow") -> tuple[str, str, str]:
    if row.transductive is None:
        return "-", "-", "-"
    found = row.transductive
    worse = f"{found.t1_change.worse}, {found.H_change.worse} of {found.t1_change.count}"
    return _percent(found.t1), _percent(found.H), worse


def _without_overlap(row: "SummaryRow") -> tuple[str, str, str]:
    found = row.without_overlap
    return ("-", "-", "-") if found is None else (_percent(found.t1), _percent(found.H), f"{found.removed:.1f}")


def _lost(result: "BenchmarkResult") -> str:
    """Return a line for each split that a class is absent from without the overlap."""
    lost = {cell.split.name: cell.without_overlap.lost for cell in result.cells if cell.without_overlap}
    return "".join(
        f"split {split}: without the overlap no test pictures are left of {', '.join(named)}\n"
        for split, named in lost.items()
        if named
    )


def _marks(result: "BenchmarkResult") -> str:
    """Return a line for each class table that pictures of unseen classes went into."""
    marked = {row.table: row.exemplars for row in result.summary if row.exemplars}
    return "".join(
        f"MARKED: class vectors {label!r} were made with pictures of these unseen classes: {', '.join(named)}\n"
        for label, named in marked.items()
    )


def _percent(value: "Statistic") -> str:
    return f"{100 * value.mean:.1f} \N{PLUS-MINUS SIGN} {100 * value.deviation:.1f}"


def _assembled(
    name: str, embeddings: list[str], classes: list[str], splits: list[Path], methods: str, selection: str | None
) -> "BenchmarkPlan":
    from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
    from zeroscene.methods.registry import any_table_names
    from zeroscene.scenes.split_files import read_splits

    wanted = any_table_names() if methods == "all" else [word.strip() for word in methods.split(",") if word.strip()]
    chosen: Any = selection or "honest"
    return BenchmarkPlan(
        name,
        _labelled(embeddings, "--embeddings"),
        _labelled(classes, "--classes"),
        tuple(split for file in splits for split in read_splits(file)),
        tuple(MethodPlan(word) for word in wanted),
        selection=chosen,
    )


def _labelled(given: list[str], option: str) -> dict[str, Path]:
    from zeroscene.errors import DuplicateNameError

    found: dict[str, Path] = {}
    for word in given:
        label, separator, path = word.partition("=")
        place = Path(path if separator else word)
        if (name := label if separator else place.stem) in found:
            raise DuplicateNameError(f"{option}: {name!r} stands twice; write label=path with labels that differ")
        found[name] = place
    return found
