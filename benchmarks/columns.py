"""Scores of a million stored pictures: a class added, and 100 classes anew, beside what the machine cannot do without.

    python benchmarks/columns.py [--pictures 1000000] [--rounds 7] [--folder /tmp]

A store of random unit vectors of width 512 is written, laid out and scored by `prompts` (cosines) against random unit
vectors of classes. Each round runs, one after the other,

- reading: all bytes of the laid-out vectors by the two threads, in three ways; the fastest is the measured bandwidth;
- a class added to 100 whose scores are kept, to the column on disk, ready to be used;
- the same column by a bare product of NumPy and of torch, in memory;
- 100 classes anew, to the columns on disk;
- one bare product of that size and type, of NumPy and of torch, into an array that is there; the faster one counts.

Within a round, they take turns several times, and the fastest of each counts: what else runs on the machine only slows.
Ratios are taken within a round; their medians over the rounds are written to docs/results/columns.md. The first class
in a fresh process, where the pages of the file are not mapped yet, and memory are measured in processes of their own.
Reading is bound by memory and a product by both, so that a machine whose processors are busy understates the share of
the bandwidth; the load at the start is recorded. Needs 5 GB of disk and 5 GB of memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from tables import RESULTS
from zeroscene.embeddings.parts import PartRows
from zeroscene.embeddings.store import EmbeddingStore, Manifest
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import write_json, write_text
from zeroscene.methods.columns import ScoreColumns
from zeroscene.methods.prompts import Prompts
from zeroscene.provenance import environment
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.answers import Answers
from zeroscene.vectors import products, unit_rows

WIDTH, CLASSES, PART = 512, 100, 8192
PICTURES_BY = EncoderIdentity("random", "w", "p", "projection")
TEXTS_BY = EncoderIdentity("random", "w", "t", "text-projection")
SAMPLE = 50_000
FRESH, SHORT, LONG = 3, 5, 2

Work = Callable[[], object]


def drawn(seed: int, count: int) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32))


def write_store(folder: Path, pictures: int) -> EmbeddingStore:
    starts = range(0, pictures, PART)
    listings = tuple(f"{start}" for start in starts)
    store = EmbeddingStore.begin(folder, Manifest(PICTURES_BY, WIDTH, None, listings, pictures, False, PART, 64))
    for k, start in enumerate(starts):
        x = drawn(k, min(PART, pictures - start))
        nothing = [None] * len(x)
        ids = [f"tiles/{i // 1000:04d}/{i:07d}.jpg" for i in range(start, start + len(x))]
        store.write(k, PartRows(listings[k], ids, nothing, nothing, x, None, []))
    store.finish()
    return store


def class_table(count: int) -> ClassTable:
    provenance = {"source": "random", "encoder": TEXTS_BY.to_json()}
    columns = tuple(f"dim{i}" for i in range(WIDTH))
    names = tuple(f"class {i}" for i in range(count))
    return ClassTable(names, drawn(10**6, count), columns, "embedding", provenance=provenance)


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def most_memory(found: list[float]) -> Iterator[None]:
    """Append the most memory that this process had of its own meanwhile, in MB above the start; mapped files not."""

    def own() -> float:
        return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024

    start, seen, done = own(), [own()], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(own())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        found.append(max(seen) - start)


class Bench:
    """A store laid out, with the columns of 101 classes."""

    def __init__(self, store: EmbeddingStore):
        self.table = class_table(CLASSES + 1)
        self.known = self.table.select(self.table.classes[:CLASSES])
        method = Prompts.untrained(PICTURES_BY, self.table)
        self.columns = ScoreColumns(store, method)
        self.rows = self.columns.flat.rows(self.columns._key, method.picture_side)
        self.pool = ThreadPoolExecutor(torch.get_num_threads())

    def forget(self, names: tuple[str, ...]) -> None:
        """Remove the columns of some classes."""
        for name in names:
            self.columns._path(self.table, self.table.classes.index(name)).unlink(missing_ok=True)

    def added(self) -> float:
        """Return seconds of a class added."""
        self.forget(self.table.classes[CLASSES:])
        return seconds(lambda: self.columns.scores(self.table))

    def anew(self) -> float:
        """Return seconds of all classes but the added one."""
        self.forget(self.table.classes)
        return seconds(lambda: self.columns.scores(self.known))

    def readings(self) -> list[Work]:
        """Return ways to read all bytes of the rows by all threads."""
        flat = self.rows.reshape(-1)
        halves = np.array_split(flat, torch.get_num_threads())
        tensor = torch.from_numpy(flat)
        return [lambda: np.dot(flat, flat), lambda: [*self.pool.map(np.max, halves)], tensor.sum]

    def bare(self, classes: int) -> list[Work]:
        """Return products of NumPy and torch, pictures times classes and the other way round."""
        W = self.table.matrix[:classes].copy()
        found = np.empty((len(self.rows), classes), np.float32)
        turned = np.empty((classes, len(self.rows)), np.float32)
        x, w, f = (torch.from_numpy(a) for a in (self.rows, W, found))
        works = [
            lambda: np.matmul(self.rows, W.T, out=found),
            lambda: np.matmul(W, self.rows.T, out=turned),
            lambda: torch.mm(x, w.T, out=f),
        ]
        return [*works, lambda: torch.mv(x, w[0])] if classes == 1 else works


def measure(bench: Bench, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    bench.columns.scores(bench.table)
    readings, one, hundred = bench.readings(), bench.bare(1), bench.bare(CLASSES)
    for _ in range(rounds + 1):
        row: dict[str, list[float]] = {}

        def note(row: dict[str, list[float]] = row, **found: float) -> None:
            for name, value in found.items():
                row.setdefault(name, []).append(value)

        for _ in range(SHORT):
            note(read=min(seconds(work) for work in readings))
            note(added=bench.added(), one=min(seconds(work) for work in one))
        for _ in range(LONG):
            note(bare=min(seconds(work) for work in hundred), anew=bench.anew())
            note(kept=seconds(lambda: bench.columns.scores(bench.known)))
            note(best=seconds(bench.columns.scores(bench.known).best))
        for name, values in row.items():
            times.setdefault(name, []).append(min(values))
        print({name: f"{min(values):.3f}" for name, values in row.items()}, flush=True)
    return {name: values[1:] for name, values in times.items()}


def labels(bench: Bench, folder: Path) -> dict[str, float]:
    """Return how long it takes to write the labels of all pictures, by form of file."""
    best = bench.columns.scores(bench.known).best()
    answered = np.ones(len(best.best), np.bool_)
    found = {"ids": seconds(lambda: bench.columns.flat.ids.to_pylist())}
    ids = bench.columns.flat.ids.to_pylist()
    answers = Answers(ids, best.classes, best.best, best.second, best.score, best.margin, None, answered)
    for suffix in (".csv", ".parquet"):
        found[suffix] = seconds(lambda suffix=suffix: answers.write(folder / f"labels{suffix}"))
    return found


def halves(bench: Bench) -> dict[str, dict[str, float]]:
    """Return what vectors kept in 16 bits would cost in accuracy, on a sample."""
    x, W = torch.from_numpy(bench.rows[:SAMPLE].copy()), bench.table.matrix
    exact = products(x.numpy(), W)
    found = {}
    for name, kind in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        rounded = products(x.to(kind).float().numpy(), W)
        changed = float((rounded.argmax(1) != exact.argmax(1)).mean())
        found[name] = {"error": float(np.abs(rounded - exact).max()), "changed": changed}
    return found


def alone(folder: Path, what: str) -> float:
    """Return seconds or MB of a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--alone", what]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def in_this_process(folder: Path, what: str) -> float:
    bench = Bench(EmbeddingStore.open(folder))
    if what == "first":
        bench.forget(bench.table.classes[CLASSES:])
        products(drawn(0, 16), drawn(1, 1))
        return seconds(lambda: bench.columns.scores(bench.table))
    bench.forget(bench.table.classes[CLASSES if what == "added" else 0 :])
    most: list[float] = []
    with most_memory(most):
        scores = bench.columns.scores(bench.table)
        if what == "best":
            scores.best()
    return most[0]


def report(
    times: dict[str, list[float]],
    once: dict[str, float],
    pictures: int,
    rounded: dict[str, dict[str, float]],
    load: float,
) -> None:
    middle = {name: statistics.median(values) for name, values in times.items()}
    size = 4e-9 * pictures * WIDTH

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(times[one], times[other], strict=True))

    reached = ratio("read", "added")
    lines = [
        "| what | measured | beside | asked for |",
        "|---|---|---|---|",
        f"| reading {size:.2f} GB of laid-out vectors, {torch.get_num_threads()} threads | {middle['read']:.3f} s, "
        f"{size / middle['read']:.1f} GB/s | load of the machine before: {load:.1f} | |",
        f"| a class added to {CLASSES} | {middle['added']:.3f} s, {size / middle['added']:.1f} GB/s | "
        f"{100 * reached:.0f} % of the bandwidth | under 0.5 s, 60 % |",
        f"| the same, first in a process | {once['first']:.3f} s | pages are mapped meanwhile | under 0.5 s |",
        f"| one bare product with one class | {middle['one']:.3f} s | added class: {ratio('added', 'one'):.2f} x | |",
        f"| {CLASSES} classes anew | {middle['anew']:.3f} s | {ratio('anew', 'bare'):.2f} x the bare product | 1.5 x |",
        f"| one bare product with {CLASSES} classes, the faster of NumPy and torch | {middle['bare']:.3f} s | | |",
        f"| a class added, of all {CLASSES + 1} anew | | {ratio('anew', 'added'):.0f} x faster | |",
        f"| {CLASSES} kept columns opened | {middle['kept']:.3f} s | | |",
        f"| best class, runner-up and margin of each picture, of {CLASSES} kept columns | {middle['best']:.3f} s | | |",
        f"| labels written: CSV, Parquet | {once['.csv']:.1f} s, {once['.parquet']:.1f} s | "
        f"ids as Python strings {once['ids']:.1f} s | |",
        f"| most memory: a class added, {CLASSES + 1} anew, with the best of each picture | {once['added MB']:.0f}, "
        f"{once['anew MB']:.0f}, {once['best MB']:.0f} MB | mapped files not counted | |",
        f"| laid out, once | {once['lay out']:.1f} s | | |",
        *(
            f"| if vectors were kept in {name} | half the bytes | cosines off by up to {found['error']:.0e}, "
            f"{100 * found['changed']:.2f} % of best classes another | not done |"
            for name, found in rounded.items()
        ),
    ]
    write_text(RESULTS / "columns.md", "\n".join(lines) + "\n")
    record = {
        "pictures": pictures, "load": load, "seconds": times, "once": once, "rounded": rounded,
        "environment": environment(),
    }  # fmt: skip
    write_json(RESULTS / "columns.json", record)
    print("\n".join(lines))


def main(folder: Path, pictures: int, rounds: int) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=folder, prefix="columns-") as name:
        place = Path(name) / "store"
        print(f"written in {seconds(lambda: write_store(place, pictures)):.0f} s", flush=True)
        once = {"lay out": seconds(lambda: Bench(EmbeddingStore.open(place)))}
        bench = Bench(EmbeddingStore.open(place))
        times = measure(bench, rounds)
        once |= labels(bench, Path(name))
        once["first"] = statistics.median(alone(place, "first") for _ in range(FRESH))
        once |= {f"{what} MB": alone(place, what) for what in ("added", "anew", "best")}
        report(times, once, pictures, halves(bench), load)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(in_this_process(options.folder, options.alone)))
    else:
        main(options.folder, options.pictures, options.rounds)
