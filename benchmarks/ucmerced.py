"""UC Merced 16/5: every method, two kinds of class vectors, 25 splits, honest selection; one command from pictures.

    python benchmarks/ucmerced.py PICTURES IMAGE_ENCODER TEXT_ENCODER --out runs/ucmerced [--jobs 2] [--runs NAMES]

PICTURES is UC Merced with one folder a class; the encoders are Hugging Face folders (the published figures: a
ResNet-50 trained on ImageNet, all-MiniLM-L6-v2). Pictures are embedded once; killed at any moment, the same command
continues. The run `rotations` takes the mean vector of four rotations of each picture, for quick methods and the
knowledge attributes; the run `transductive` measures every figure a second time after the set of test pictures has
refined its own scores.
The tables of the README and of docs/results are written at the end.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tables import record, record_transductive
from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.rotations import RotationAveraged
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.methods.registry import any_table_names
from zeroscene.scenes.catalog import benchmark
from zeroscene.scenes.split_files import read_splits
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.text import text_table

HERE = Path(__file__).parent
SPLITS = HERE / "ucmerced_splits_16_5.json"
TITLES = {"knowledge": "knowledge attributes", "descriptions": "MiniLM descriptions"}

TURNED = ("eszsl", "devise", "kernel", "dsva")
REFINED = ("eszsl", "sae", "ale", "devise", "conse", "kernel", "mcfa", "dsva")


@dataclass(frozen=True)
class Run:
    """One table: its name, the pictures' label and store, methods, class vectors, and whether scores are refined."""

    name: str
    label: str
    store: str
    methods: tuple[str, ...]
    tables: tuple[str, ...]
    transductive: bool = False


RUNS = {
    "all": Run("ucmerced", "ResNet-50", "store", any_table_names(), tuple(TITLES)),
    "rotations": Run("ucmerced_rotations", "ResNet-50, mean of 4 rotations", "store-rotations", TURNED, ("knowledge",)),
    "transductive": Run("ucmerced_transductive", "ResNet-50", "store", REFINED, ("knowledge",), transductive=True),
}


def prepare(pictures: Path, image_encoder: Path, text_encoder: Path, out: Path) -> dict[str, Path]:
    """Embed the pictures and write both class tables; returns the tables' files."""
    scenes = benchmark("ucmerced").open(pictures)
    encoder = load_image_encoder(image_encoder)
    extract(scenes, encoder, out / "store", grid=True)
    extract(scenes, RotationAveraged(encoder), out / "store-rotations", grid=True)
    tables = {"knowledge": out / "knowledge.csv", "descriptions": out / "descriptions.safetensors"}
    knowledge_table(scenes.classes).write(tables["knowledge"])
    text_table(scenes.classes, load_text_encoder(text_encoder), texts="descriptions").write(tables["descriptions"])
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("image_encoder", type=Path)
    parser.add_argument("text_encoder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/ucmerced"))
    parser.add_argument("--methods", default="all", help="names with commas, or all; recorded cells of others stay")
    parser.add_argument("--runs", default=",".join(RUNS), help="names with commas; without it, every one")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    wanted = any_table_names() if given.methods == "all" else tuple(given.methods.split(","))
    tables = prepare(given.pictures, given.image_encoder, given.text_encoder, given.out)
    for run in (RUNS[name] for name in given.runs.split(",")):
        if not (chosen := [method for method in run.methods if method in wanted]):
            continue
        plan = BenchmarkPlan(
            name=f"UC Merced 16/5, {run.label}{', transductive beside inductive' if run.transductive else ''}",
            embeddings={run.label: given.out / run.store},
            tables={kind: tables[kind] for kind in run.tables},
            splits=tuple(read_splits(SPLITS)),
            methods=tuple(MethodPlan(method) for method in chosen),
            folds=3,
            transductive=run.transductive,
        )
        folder = given.out / f"benchmark-{run.store}{'-transductive' if run.transductive else ''}"
        result = run_benchmark(plan, folder, jobs=given.jobs)
        keep = record_transductive if run.transductive else record
        keep(result, folder, run.name, TITLES, [given.pictures])


if __name__ == "__main__":
    main()
