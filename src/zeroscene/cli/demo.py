"""`zeroscene demo`: the whole way once, on drawn pictures, without network or weights."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual, plural, table

if TYPE_CHECKING:
    from zeroscene.evaluation.results import BenchmarkResult

NAME, PANEL = "demo", "Help"
_EACH, _UNSEEN, _SPLITS, _NEW = 24, 4, 3, 3
HELP = manual(
    """
Go the whole way once, with nothing but this installation.

Draws 16 kinds of scenes from above, embeds them with the encoder without
weights, takes what the classes mean from the knowledge base, compares every
method on classes without pictures, fits the best one, labels new pictures of
unseen classes, and writes the report. Each step shows the command that does
the same on your own data. Takes about a minute on two cores.

The pictures are toys and the encoder sees only colours and textures: the
figures show how things work, not how well.
""",
    ["zeroscene demo", "zeroscene demo --out somewhere"],
)


def command(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for all that is made.", rich_help_panel=OUTPUT)
    ] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Do every step and tell its command."""
    from zeroscene.cli import drawings
    from zeroscene.evaluation.report import write_report

    output = Output(as_json)
    classes = drawings.DRAWN_CLASSES
    output.say(f"drawing {len(classes) * _EACH} pictures of {plural(len(classes), 'class')}")
    drawings.draw_folder(out / "pictures", classes, 0, _EACH)
    _prepare(out, output)
    result = _benchmark(out, output)
    best = max(result.summary, key=lambda row: row.t1.mean)
    _show(output, f"zeroscene report {out}/results")
    page = out / "results" / "report.html"
    write_report([result], page, [out / "pictures"])
    told = _predict(out, best.method, output)
    output.say(f"\nreport: {page}")
    output.result(
        {
            "report": str(page), "best": best.label,
            "summary": [row.to_json() for row in result.summary], "predictions": told,
        }
    )  # fmt: skip


def _show(output: Output, line: str) -> None:
    output.say(f"\n$ {line}")


def _prepare(out: Path, output: Output) -> None:
    from zeroscene.cli.sources import HANDMADE, Origin, open_image_encoder
    from zeroscene.embeddings.extract import extract
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.scenes.split_files import write_splits
    from zeroscene.scenes.splits import random_splits
    from zeroscene.semantics.knowledge import knowledge_table

    pictures = SceneFolder.open(out / "pictures")
    _show(output, f"zeroscene embed {out}/pictures --encoder {HANDMADE} -o {out}/store")
    store = extract(pictures, open_image_encoder(HANDMADE), out / "store")
    Origin.of(HANDMADE, "auto", pictures.root).write(out / "store")
    output.say(f"{plural(len(store), 'picture')}, {store.width} wide")
    _show(output, f"zeroscene classes knowledge --folder {out}/pictures -o {out}/classes.csv")
    known = knowledge_table(pictures.classes)
    known.write(out / "classes.csv")
    output.say(f"{plural(len(known), 'class')}, {len(known.columns)} attributes")
    _show(
        output,
        f"zeroscene split random --folder {out}/pictures --unseen {_UNSEEN} --count {_SPLITS} -o {out}/splits.json",
    )
    write_splits(out / "splits.json", random_splits("pictures", pictures.classes, _UNSEEN, _SPLITS))


def _benchmark(out: Path, output: Output) -> "BenchmarkResult":
    from zeroscene.cli.benchmark import remember_pictures, summary
    from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
    from zeroscene.evaluation.runner import run_benchmark
    from zeroscene.methods.registry import method_names
    from zeroscene.scenes.split_files import read_splits

    jobs = min(os.cpu_count() or 1, 4)
    _show(
        output,
        f"zeroscene benchmark --embeddings {out}/store --classes {out}/classes.csv --splits {out}/splits.json "
        f"--methods all --jobs {jobs} -o {out}/results",
    )
    plan = BenchmarkPlan(
        "Drawn scenes",
        {"handmade": out / "store"},
        {"knowledge": out / "classes.csv"},
        tuple(read_splits(out / "splits.json")),
        tuple(MethodPlan(name) for name in method_names()),
    )
    result = run_benchmark(plan, out / "results", jobs=jobs)
    remember_pictures(plan, out / "results")
    output.say(summary(result).rstrip())
    return result


def _predict(out: Path, method: str, output: Output) -> list[dict[str, Any]]:
    """Fit a method on the seen classes of the first split and label new pictures of its unseen ones."""
    from zeroscene.cli.fit import evidence, fit_and_keep
    from zeroscene.cli.model import Model
    from zeroscene.cli.predict import label
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.methods.contract import TrainingSet
    from zeroscene.scenes.split_files import read_splits
    from zeroscene.semantics.knowledge import knowledge_table
    from zeroscene.semantics.table import ClassTable

    split = read_splits(out / "splits.json")[0]
    _show(
        output,
        f"zeroscene fit {method} --embeddings {out}/store --classes {out}/classes.csv "
        f"--split {out}/splits.json:{split.name} -o {out}/model",
    )
    train = TrainingSet(EmbeddingStore.open(out / "store").read().of_classes(split.seen), split.seen)
    choice = fit_and_keep(method, train, ClassTable.read(out / "classes.csv"), out / "model", out / "store", {})
    for line in evidence(choice):
        output.say(line)
    truth = _new_pictures(out / "new-pictures", split.unseen)
    _show(output, f'zeroscene predict {out}/model {out}/new-pictures --classes "{", ".join(split.unseen)}"')
    told = label(Model.load(out / "model"), out / "new-pictures", knowledge_table(split.unseen))["predictions"]
    rows = [(one["id"], one["class"], f"{one['margin']:.3f}", truth[one["id"]]) for one in told]
    output.say(table(("picture", "class", "margin", "drawn as"), rows, left=2))
    right = sum(one["class"] == truth[one["id"]] for one in told)
    output.say(f"{right} of {len(told)} right, among {plural(len(split.unseen), 'class')} without a training picture")
    return [{**one, "drawn_as": truth[one["id"]]} for one in told]


def _new_pictures(folder: Path, classes: tuple[str, ...]) -> dict[str, str]:
    """Draw pictures that were in no training set, and return what each shows by its file name."""
    from zeroscene.cli import drawings

    truth = {}
    for i, name in enumerate(name for name in classes for _ in range(_NEW)):
        file = f"scene{i + 1:02d}.png"
        drawings.write(folder / file, drawings.draw(name, _EACH + i % _NEW))
        truth[file] = name
    return truth
