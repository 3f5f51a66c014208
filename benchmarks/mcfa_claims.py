"""The two claims of the MCFA paper on UC Merced, splits 1-5: what each term is worth, and robustness to noisy samples.

    python benchmarks/mcfa_claims.py runs/ucmerced IMAGE_ENCODER [--jobs 2]

The folder is what benchmarks/ucmerced.py prepared. Options are the paper's and fixed, so nothing is chosen. Noise is
in the training pictures only: a share of the labels is moved to another seen class, or a share of the pictures is
replaced by pictures of the synthetic world, embedded by the same encoder under the label of the picture they replace.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from tables import RESULTS
from ucmerced import SPLITS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.evaluation.measure import zero_shot
from zeroscene.evaluation.protocol import carve
from zeroscene.files import write_text
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.registry import create_method
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.synthetic.world import write_folder
from zeroscene.semantics.table import ClassTable

TERMS = ("reconstruction", "kl", "cross_reconstruction", "alignment", "v2v", "v2s", "s2v")
SHARES = (0.0, 0.1, 0.2, 0.4)
NOISY = ("mcfa", "cada-vae", "eszsl")
DRAWINGS = 16  # of each of 40 classes; 640 in all, as many as the largest share replaces


@dataclass(frozen=True)
class Job:
    """One fit: a method with fixed options, on one split, with noise or without."""

    method: str
    split: int
    options: dict = field(default_factory=dict)
    noise: str = ""
    share: float = 0.0


def noisy(train: TrainingSet, job: Job, drawings: Embeddings) -> TrainingSet:
    """Return the training set with a share of its labels or pictures made wrong; every class keeps a right one."""
    rng = np.random.default_rng([job.split, int(1000 * job.share)])
    pictures = train.pictures
    rows = rng.permutation(len(pictures))[: round(job.share * len(pictures))]
    if job.noise == "labels":
        y = train.y.copy()
        y[rows] = (y[rows] + rng.integers(1, len(train.seen), len(rows))) % len(train.seen)
        return TrainingSet(replace(pictures, labels=tuple(train.seen[i] for i in y)), train.seen)
    x = pictures.x.copy()
    x[rows] = drawings.x[rng.permutation(len(drawings))[: len(rows)]]
    return TrainingSet(replace(pictures, x=x), train.seen)


def t1(folder: Path, job: Job) -> float:
    torch.set_num_threads(1)
    table = ClassTable.read(folder / "knowledge.csv")
    trial = carve(EmbeddingStore.open(folder / "store").read(), read_splits(SPLITS)[job.split])
    train = trial.train_all
    if job.share:
        train = noisy(train, job, EmbeddingStore.open(folder / "drawings-store").read())
    return 100 * zero_shot(create_method(job.method, **job.options).fit(train, table), trial.test, table).t1


def ablation_rows() -> dict[str, tuple[str, dict]]:
    rows = {"MCFA, all seven terms": ("mcfa", {})}
    rows |= {f"without {term.replace('_', ' ')}": ("mcfa", {f"weight_{term}": 0}) for term in TERMS}
    return rows | {"without any contrast = CADA-VAE": ("cada-vae", {})}


def cell(values: list[float]) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("image_encoder", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    write_folder(given.folder / "drawings", count=DRAWINGS)
    encoder = load_image_encoder(given.image_encoder)
    extract(SceneFolder.open(given.folder / "drawings"), encoder, given.folder / "drawings-store")

    splits = range(5)
    ablation = [Job(method, split, options) for method, options in ablation_rows().values() for split in splits]
    noise = [
        Job(method, split, noise=kind, share=share)
        for method in NOISY
        for kind, shares in (("", SHARES[:1]), ("labels", SHARES[1:]), ("pictures", SHARES[1:]))
        for share in shares
        for split in splits
    ]
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        values = list(pool.map(t1, [given.folder] * len(ablation + noise), ablation + noise))
    of = iter([values[i : i + len(splits)] for i in range(0, len(values), len(splits))])

    lines = ["| terms | ZSL T1 |", "|---|---|"]
    lines += [f"| {name} | {cell(next(of))} |" for name in ablation_rows()]
    write_text(RESULTS / "mcfa_ablation.md", "\n".join(lines) + "\n")
    print("\n".join(lines))

    shares = [f"{100 * share:.0f} %" for share in SHARES]
    lines = [f"| method | wrong | {' | '.join(shares)} |", "|---" * (2 + len(SHARES)) + "|"]
    for method in NOISY:
        clean = cell(next(of))
        for kind in ("labels", "pictures"):
            cells = [clean, *(cell(next(of)) for _ in SHARES[1:])]
            lines.append(f"| {create_method(method).title} | {kind} | {' | '.join(cells)} |")
    write_text(RESULTS / "mcfa_noise.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
