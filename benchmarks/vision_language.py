"""WHU-RS19 as six image-text models see it, 12/7: prompts, MCFA, DSVA's global branch, and their fusion.

    python benchmarks/vision_language.py FOLDER --out runs/vision-language [--models NAMES] [--jobs 2]

FOLDER holds one safetensors file a model: `image_embeddings`, `labels` and `text_embeddings_average` (the mean text
vector of each class over 106 prompts), class names in the metadata. Five random splits of 12 seen and 7 unseen classes
(`whu_rs19_splits_12_7.json`, by `random_splits` with seed 0), a fifth of each seen class held out; options, weights
and gamma are chosen on seen classes alone. Killed at any moment, the same command continues.

Prompts know a class by its texts, MCFA and DSVA by its knowledge attributes. The vectors are of whole pictures: for
DSVA each is a grid of one token, and its global branch alone is trained and predicts. MCFA's epochs are of some 20
episodes here, so it gets 200 of them; that, its width, scalings and class vectors were settled on seen classes that
played unseen, with CLIP ViT-B/32 and splits of another seed.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from tables import RESULTS, percent, write_rows
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.evaluation.compare import statistic
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.results import BenchmarkResult, CellResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.files import digest, write_text
from zeroscene.scenes.split_files import read_splits
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable

SPLITS = Path(__file__).parent / "whu_rs19_splits_12_7.json"
FIGURES = ("t1", "S", "U", "H", "AUSUC")
GLOBAL = {"weight_compatibility_local": 0, "weight_regression_local": 0, "weight_concentration": 0, "focus": "none"}
LONGER = {"epochs": 200, "hidden_visual": 256, "picture_scaling": "root-minmax", "class_scaling": "l2"}
MEMBERS: Mapping[str, dict[str, Any]] = {
    "prompts": {"method": "prompts", "view": "words"},
    "MCFA": {"method": "mcfa", "view": "attributes", "options": LONGER},
    "DSVA, global branch": {"method": "dsva", "view": "attributes", "options": GLOBAL},
}
FUSION = "fusion of the three"


def read(file: Path) -> tuple[Embeddings, ClassTable]:
    """Return the pictures of a file as its image tower sees them, and the class texts as its text tower does."""
    with safe_open(file, framework="numpy") as f:
        model, classes = f.metadata()["model"], tuple(json.loads(f.metadata()["classes"]))
        x, y = f.get_tensor("image_embeddings").astype(np.float32), f.get_tensor("labels")
        texts = f.get_tensor("text_embeddings_average").astype(np.float32)
    weights = digest(f"published embeddings of {model}")
    image = EncoderIdentity(model, weights, "as published", "projection")
    tower = EncoderIdentity(model, weights, "as published", "text-projection")
    ids = tuple(f"{classes[c]}/{i:04}" for i, c in enumerate(y))
    grids = TokenGrids.of(x[:, None, None])
    provenance = {"source": "text", "space": tower.fingerprint, "encoder": tower.to_json()}
    columns = tuple(f"dim{i}" for i in range(texts.shape[1]))
    return (
        Embeddings(ids, x, image, tuple(classes[c] for c in y), grids),
        ClassTable(classes, texts, columns, "embedding", provenance=provenance),
    )


def plan(pictures: Embeddings, texts: ClassTable) -> BenchmarkPlan:
    """Return what is compared for one model: a member alone is a fusion of one, which is the member itself."""
    wanted = {label: [member] for label, member in MEMBERS.items()} | {FUSION: list(MEMBERS.values())}
    return BenchmarkPlan(
        f"WHU-RS19 12/7, {pictures.encoder.name}",
        {pictures.encoder.name: pictures},
        {"both": {"attributes": knowledge_table(texts.classes), "words": texts}},
        tuple(read_splits(SPLITS)),
        tuple(MethodPlan("fusion", {"members": members}, label) for label, members in wanted.items()),
    )


def row(cell: CellResult) -> dict[str, str]:
    """Return the figures of a cell."""
    figures = {"t1": cell.zsl.t1, **{name: getattr(cell.gzsl, name) for name in FIGURES[1:]}}
    weights = [member["weight"] for member in cell.choice.options["members"]]
    return {
        "model": cell.encoder.label,
        "method": cell.label,
        "split": cell.split.name,
        **{name: str(value) for name, value in figures.items()},
        "gamma": str(cell.gzsl.gamma),
        "weights": " ".join(f"{weight:g}" for weight in weights),
    }


def figures_table(rows: Sequence[dict[str, str]]) -> str:
    """Return mean and deviation over splits of each model and method, the best mean of a model in bold."""
    lines = ["| model | method | ZSL T1 | S | U | H | AUSUC |", "|---|---|---|---|---|---|---|"]
    for model in dict.fromkeys(r["model"] for r in rows):
        own = {
            label: {name: statistic([float(r[name]) for r in of(rows, model, label)]) for name in FIGURES}
            for label in (*MEMBERS, FUSION)
        }
        best = {name: max(found[name].mean for found in own.values()) for name in FIGURES}
        for label, found in own.items():
            shown = [
                f"**{percent(value)}**" if value.mean == best[name] else percent(value) for name, value in found.items()
            ]
            lines.append(f"| {model} | {label} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def gains_table(rows: Sequence[dict[str, str]]) -> str:
    """Return what the fusion adds to the best member of each model, and the weights that were chosen."""
    lines = [
        f"| model | best member by H | H of the fusion against it | better in | AUSUC | {' | '.join(MEMBERS)} |",
        f"|---|---|---|---|---|{'---|' * len(MEMBERS)}",
    ]
    for model in dict.fromkeys(r["model"] for r in rows):
        fused = of(rows, model, FUSION)
        best = max(MEMBERS, key=lambda label: np.mean([float(r["H"]) for r in of(rows, model, label)]))
        gains = {
            name: [float(a[name]) - float(b[name]) for a, b in zip(fused, of(rows, model, best), strict=True)]
            for name in ("H", "AUSUC")
        }
        H = gains["H"]
        weights = np.mean([[float(w) for w in r["weights"].split()] for r in fused], axis=0)
        lines.append(
            f"| {model} | {best} | {100 * np.mean(H):+.1f} ({100 * min(H):+.1f} to {100 * max(H):+.1f}) | "
            f"{sum(gain > 0 for gain in H)} of {len(H)} splits | {100 * np.mean(gains['AUSUC']):+.1f} | "
            f"{' | '.join(f'{w:.2f}' for w in weights)} |"
        )
    return "\n".join(lines) + "\n"


def of(rows: Sequence[dict[str, str]], model: str, label: str) -> list[dict[str, str]]:
    return [r for r in rows if (r["model"], r["method"]) == (model, label)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", help="names of files; all where left out, and then tables are written")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    results: list[BenchmarkResult] = []
    for file in sorted(arguments.folder.glob("*.safetensors")):
        if arguments.models and file.stem not in arguments.models:
            continue
        results.append(run_benchmark(plan(*read(file)), arguments.out / file.stem, jobs=arguments.jobs))
    rows = [row(cell) for result in results for cell in result.cells]
    print(figures_table(rows))
    print(gains_table(rows))
    if not arguments.models:
        write_rows(RESULTS / "vision_language_cells.csv", rows)
        write_text(RESULTS / "vision_language.md", figures_table(rows))
        write_text(RESULTS / "vision_language_gains.md", gains_table(rows))


if __name__ == "__main__":
    main()
