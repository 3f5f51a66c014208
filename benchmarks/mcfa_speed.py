"""MCFA beside a plain eager loop, one episode a step, in one run: time, arithmetic floor, and accuracy in pairs.

    python benchmarks/mcfa_speed.py runs/ucmerced [--accuracy]

The folder is what benchmarks/ucmerced.py prepared (store and class tables). Both run twice at once, one thread each,
which is how the runner fills two cores. The floor is 0.5 GFLOP an episode at the rate of bare bf16 matrix products of
MCFA's shapes. With `--accuracy` both are fitted on all 25 splits instead, and T1 is compared in pairs.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tables import RESULTS
from ucmerced import SPLITS
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.evaluation.compare import paired_bootstrap
from zeroscene.evaluation.measure import zero_shot
from zeroscene.evaluation.protocol import carve
from zeroscene.files import write_text
from zeroscene.methods.contract import Indices, TrainingSet
from zeroscene.methods.mcfa import MCFA, AlignedVAEs
from zeroscene.methods.scaling import apply_scaling
from zeroscene.scenes.split_files import read_splits
from zeroscene.semantics.table import ClassTable
from zeroscene.training.episodes import Episodes

EPISODES, GFLOP = 3200, 0.5
CORES = 2


class PlainMCFA(MCFA):
    """The same method written as one writes it first: float32, one episode after the other."""

    def _train(self, net: AlignedVAEs, x: Tensor, y: Indices, phi: Tensor) -> None:
        o = self.options
        c, k, tau = o.classes_per_episode, o.pictures_per_class, o.tau
        rng, generator = np.random.default_rng(o.seed), torch.Generator().manual_seed(o.seed + 1)
        optimiser = torch.optim.Adam(net.parameters(), o.learning_rate, amsgrad=True)
        of_class = torch.arange(c).repeat_interleave(k)
        same = (of_class[:, None] == of_class[None, :]).float() - torch.eye(c * k)
        other = 1 - torch.eye(c * k)
        own = (of_class[:, None] == torch.arange(c)[None, :]).float()
        for _ in range(o.epochs * -(-len(y) // (c * k))):
            classes = rng.choice(int(y.max()) + 1, c, replace=False)
            rows = np.concatenate([rng.choice(np.flatnonzero(y == one), k, replace=False) for one in classes])
            pictures, meanings = x[rows], phi[classes]
            v = net.sample(*net.visual.encode(pictures), generator)
            s = net.sample(*net.semantic.encode(meanings), generator)
            z_s, mu_s, sigma_s = s.z[of_class], s.mu[of_class], (s.logvar / 2).exp()[of_class]
            loss = (net.visual.decoder(v.z) - pictures).abs().sum()
            loss = loss + (net.semantic.decoder(s.z) - meanings).abs().sum()
            loss = loss + 10 * (net.visual.decoder(z_s) - pictures).abs().sum()
            loss = loss + 10 * (net.semantic.decoder(v.z) - meanings[of_class]).abs().sum()
            for q in (v, s):
                loss = loss + 0.5 * (q.mu**2 + q.logvar.exp() - 1 - q.logvar).sum()
            spread = (((v.logvar / 2).exp() - sigma_s) ** 2).sum(1)
            loss = loss + torch.sqrt(((v.mu - mu_s) ** 2).sum(1) + spread).sum()
            unit_v, unit_s = F.normalize(v.z, dim=1), F.normalize(s.z, dim=1)
            vv, vs = (unit_v @ unit_v.T / tau).exp(), (unit_v @ unit_s.T / tau).exp()
            loss = loss - 100 * torch.log((vv * same).sum(1) / (k - 1) / (vv * other).sum(1)).sum()
            loss = loss - 100 * torch.log((vs * own).sum(1) / vs.sum(1)).sum()
            loss = loss - 10 * torch.log((vs * own).sum(0) / k / vs.sum(0)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


def load(folder: Path) -> tuple:
    torch.set_num_threads(1)
    return EmbeddingStore.open(folder / "store").read(), ClassTable.read(folder / "knowledge.csv"), read_splits(SPLITS)


def fit(folder: Path, cls: type[MCFA], seed: int) -> tuple[float, float]:
    """Return the seconds of a fit on the first split, and the training loss a picture that it ends at."""
    pictures, table, splits = load(folder)
    train = carve(pictures, splits[0]).train_all
    start = time.perf_counter()
    method = cls(seed=seed).fit(train, table)
    return time.perf_counter() - start, final_loss(method, train, table)


@torch.no_grad()
def final_loss(method: MCFA, train: TrainingSet, table: ClassTable) -> float:
    """Return the weighted loss a picture over one epoch of fresh episodes, in float32."""
    phi = table.select(train.seen).matrix
    net = method._network(train.pictures.width, phi.shape[1])
    net.load_state_dict({k[4:]: torch.from_numpy(v) for k, v in method.state_.items() if k.startswith("net.")})
    x = torch.from_numpy(apply_scaling(method.options.picture_scaling, method.state_, train.pictures.x, "pictures"))
    classes, rows = Episodes(train.y, 5, 5).epoch(np.random.default_rng(99))
    generator = torch.Generator().manual_seed(99)
    terms = net.terms(x[torch.from_numpy(rows)], torch.tensor(phi)[torch.from_numpy(classes)], 2.0, True, generator)
    return float(terms.weighted(method.options)) / rows.size


def bare_rate(_seed: int) -> float:
    """Return GFLOP/s of bf16 products of the shapes of a step of eight episodes."""
    torch.set_num_threads(1)
    shapes = ((200, 2048, 512), (240, 512, 2048), (200, 512, 128), (240, 64, 512))
    pairs = [(torch.randn(m, k).bfloat16(), torch.randn(n, k).bfloat16()) for m, k, n in shapes]
    for a, w in pairs * 5:
        F.linear(a, w)
    start = time.perf_counter()
    for _ in range(300):
        for a, w in pairs:
            F.linear(a, w)
    return 300 * sum(2 * m * k * n for m, k, n in shapes) / (time.perf_counter() - start) / 1e9


def both_t1(folder: Path, number: int) -> tuple[float, float]:
    pictures, table, splits = load(folder)
    trial = carve(pictures, splits[number])
    ours, plain = (zero_shot(cls().fit(trial.train_all, table), trial.test, table).t1 for cls in (MCFA, PlainMCFA))
    return ours, plain


def speed(folder: Path, pool: ProcessPoolExecutor) -> list[str]:
    seeds = range(CORES)
    rate = float(np.mean(list(pool.map(bare_rate, seeds))))
    fits = [list(pool.map(fit, [folder] * CORES, [cls] * CORES, seeds)) for cls in (MCFA, PlainMCFA)]
    (ours, our_loss), (plain, plain_loss) = (np.mean(values, axis=0) for values in fits)
    floor = EPISODES * GFLOP / rate
    return [
        f"{CORES} fits at once, one thread each, {EPISODES} episodes of 25, 2048-d",
        f"bare bf16 products: {rate:.0f} GFLOP/s a core; floor {floor:.1f} s a split and core",
        f"MCFA: {ours:.1f} s, {ours / floor:.2f} x the floor",
        f"plain eager loop: {plain:.1f} s, {plain / ours:.1f} x MCFA",
        f"training loss a picture at the end: MCFA {our_loss:.0f}, plain {plain_loss:.0f}",
    ]


def accuracy(folder: Path, pool: ProcessPoolExecutor) -> list[str]:
    numbers = range(len(read_splits(SPLITS)))
    pairs = np.array(list(pool.map(both_t1, [folder] * len(numbers), numbers)))
    difference = paired_bootstrap(pairs[:, 0], pairs[:, 1])
    figures = [f"{100 * t1.mean():.1f} ± {100 * t1.std(ddof=1):.1f}" for t1 in pairs.T]
    low, high = 100 * difference.low, 100 * difference.high
    return [
        f"T1 over {len(pairs)} splits, knowledge attributes, fixed options: MCFA {figures[0]}, plain loop {figures[1]}",
        f"difference in pairs: {100 * difference.difference:+.1f}, 95 % interval {low:+.1f} to {high:+.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accuracy", action="store_true", help="compare accuracy instead of time")
    given = parser.parse_args()
    measure, name = (accuracy, "mcfa_speed_accuracy") if given.accuracy else (speed, "mcfa_speed")
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        text = "\n".join(measure(given.folder, pool)) + "\n"
    print(text)
    write_text(RESULTS / f"{name}.txt", text)


if __name__ == "__main__":
    main()
