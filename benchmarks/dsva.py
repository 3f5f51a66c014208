"""What each part of DSVA is worth (5 splits), and each difference from the public implementation (3); nothing chosen.

    python benchmarks/dsva.py [--out runs/dsva] [--jobs 2]
    python benchmarks/dsva.py --ucmerced PICTURES IMAGE_ENCODER [--out runs/dsva] [--jobs 2]

The first is on the synthetic world (30 seen and 10 unseen classes, tiny encoder, knowledge attributes with the tiny
text tower's words), the second on UC Merced 16/5, splits 1 to 5. Parts are added one after the other; so are the
corrections. Every option is given (`selection="defaults"`), so AUSUC stands for the generalised setting: it needs no
calibration. Killed at any moment, the same command continues.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from synthetic import SEED, SIZE, UNSEEN
from tables import RESULTS, Row, percent, read_cells, summary, write_rows
from zeroscene.embeddings.crops import Crops
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.preprocessing import Statistics
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.files import write_text
from zeroscene.methods.dsva.options import PUBLISHED
from zeroscene.scenes.catalog import benchmark
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.splits import Split, random_splits
from zeroscene.scenes.synthetic.world import CLASSES, write_folder
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import with_prompts

SPLITS = Path(__file__).parent / "ucmerced_splits_16_5.json"
COUNT, FEW, PICTURES = 5, 3, 40
EPOCHS = 4

ALONE: dict[str, Any] = {
    "epochs": EPOCHS, "focus": "none", "predict": "all", "weight_regression_global": 0.0,
    "weight_compatibility_local": 0.0, "weight_regression_local": 0.0, "weight_concentration": 0.0,
}  # fmt: skip
PARTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mapping alone", {}),
    ("+ regression", {"weight_regression_global": 1e-2}),
    ("+ local branch", {"weight_compatibility_local": 1.0, "weight_regression_local": 8e-2}),
    ("+ concentration", {"weight_concentration": 1e-4}),
    ("+ focus on the whole picture", {"focus": "whole"}),
    ("focus crop in its place", {"focus": "crop"}),
)
IMAGENET = "published, ImageNet statistics"
CORRECTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("published, the encoder's own statistics", {}),
    ("one softmax", {"double_softmax": False}),
    ("Adam goes on", {"fresh_optimiser": False}),
    ("both branches predict", {"predict": "all"}),
    ("inputs of one length, centred", {"inputs": "auto"}),
    ("compatibility by length", {"compatibility": "cosine"}),
    ("weights begin in closed form", {"start": "ridge"}),
    ("weights begin with words", {"start": "auto", "epochs": EPOCHS, "episodes_per_epoch": 50}),
    ("+ concentration: corrected", {"weight_concentration": 1e-4}),
)


def cumulative(first: Mapping[str, Any], steps: Sequence[tuple[str, Mapping[str, Any]]]) -> list[MethodPlan]:
    """Return a method a step; each has the options of all steps before it."""
    plans, options = [], dict(first)
    for label, change in steps:
        options |= change
        plans.append(MethodPlan("dsva", dict(options), label))
    return plans


def with_crops(store: Path, scenes: SceneFolder, encoder: str, statistics: Statistics = "own") -> Embeddings:
    """Return embedded pictures that can be looked at again."""
    load = partial(load_image_encoder, encoder, statistics=statistics)
    return replace(extract(scenes, load(), store, grid=True).read(grids=True), crops=Crops(scenes, load))


def markdown(cells: Sequence[Row], order: Sequence[str]) -> str:
    """Return T1, AUSUC and uncalibrated H of each step, with what it adds to the one before."""
    lines = ["| | ZSL T1 | AUSUC | H uncalibrated | T1 against the row before |", "|---|---|---|---|---|"]
    figures = {row["label"]: found for row, found in summary(cells).values()}
    of_step = {label: [float(row["t1"]) for row in cells if row["label"] == label] for label in order}
    for i, label in enumerate(order):
        before = order[i - 1] if i else None
        change = "" if before is None else f"{100 * (_mean(of_step[label]) - _mean(of_step[before])):+.1f}"
        shown = [percent(figures[label][name]) for name in ("t1", "AUSUC", "uncalibrated_H")]
        lines.append(f"| {label} | {' | '.join(shown)} | {change} |")
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def run(
    name: str, steps: Sequence[tuple[MethodPlan, Embeddings]], table: ClassTable, splits: Sequence[Split],
    out: Path, results: Path, jobs: int,
) -> None:  # fmt: skip
    """Run the steps, each on its pictures, and write their table."""
    cells: list[Row] = []
    for number, pictures in enumerate({id(x): x for _, x in steps}.values()):
        plan = BenchmarkPlan(
            name, {pictures.encoder.name: pictures}, {"knowledge": table}, tuple(splits),
            tuple(method for method, own in steps if own is pictures), selection="defaults",
        )  # fmt: skip
        folder = out / f"{name}-{number}"
        run_benchmark(plan, folder, jobs=jobs)
        cells += read_cells(folder / "results.csv")
    write_rows(results / f"{name}_cells.csv", cells)
    text = markdown(cells, [method.label for method, _ in steps])
    write_text(results / f"{name}.md", text)
    print(f"{name}\n\n{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ucmerced", nargs=2, metavar=("PICTURES", "IMAGE_ENCODER"))
    parser.add_argument("--out", type=Path, default=Path("runs/dsva"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the tables that pages show")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    ends: dict[str, Any] = {"out": given.out, "results": given.results, "jobs": given.jobs}
    if given.ucmerced:
        folder, encoder = given.ucmerced
        scenes = benchmark("ucmerced").open(Path(folder))
        pictures = with_crops(given.out / "store-ucmerced", scenes, encoder)
        splits: Sequence[Split] = read_splits(SPLITS)[:COUNT]
        parts = [(method, pictures) for method in cumulative(ALONE, PARTS)]
        run("dsva_parts_ucmerced", parts, knowledge_table(scenes.classes), splits, **ends)
        return
    drawn = given.out / "pictures"
    write_folder(drawn, CLASSES, SEED, count=PICTURES, size=SIZE)
    scenes = SceneFolder.open(drawn)
    pictures = with_crops(given.out / "store-synthetic", scenes, "tiny")
    otherwise = with_crops(given.out / "store-imagenet", scenes, "tiny", "imagenet")
    table = with_prompts(knowledge_table(CLASSES), read_vocabulary("synthetic"), load_text_encoder("tiny"))
    splits = tuple(random_splits("synthetic", CLASSES, UNSEEN, COUNT, SEED))
    run("dsva_parts_synthetic", [(method, pictures) for method in cumulative(ALONE, PARTS)], table, splits, **ends)
    first: dict[str, Any] = {**PUBLISHED, "behaviour": "published"}
    steps = [(MethodPlan("dsva", first, IMAGENET), otherwise)]
    steps += [(method, pictures) for method in cumulative(first, CORRECTIONS)]
    run("dsva_corrections", steps, table, splits[:FEW], **ends)


if __name__ == "__main__":
    main()
