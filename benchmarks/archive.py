"""Questions to an archive of a million windows: a class nobody asked about before, beside the memory's bandwidth.

    python benchmarks/archive.py [--windows 1000000] [--partitions 10,100,1000] [--folder /tmp] [--rounds 3]

For each number of partitions (rasters), an archive of random unit vectors of width 512 is written, asked and deleted:

- opening: the footers of all partitions;
- the first question: vectors are laid out, and ten classes scored;
- a new class among the ten: its column is worked out, and the 20 most certain windows of each class are found;
- the same in a fresh process, where the pages of the laid-out files are not mapped yet, with opening;
- the same question again;
- the new class, of windows in a box that holds a hundredth of the ground;
- reading all bytes of the laid-out vectors by all threads, in turns with the new class: the measured bandwidth.

The fastest of the rounds counts: what else runs on the machine only slows; its load is recorded. Needs 5 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from rasterio import Affine
from rasterio.crs import CRS

from tables import RESULTS
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import digest, write_json, write_text
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.archive.partition import RASTER
from zeroscene.maps.archive.query import ask
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.source import Source, Windows
from zeroscene.maps.archive.write import write
from zeroscene.maps.layout import Layout
from zeroscene.maps.question import Question
from zeroscene.methods.confidence import untrained_confidence
from zeroscene.methods.prompts import Prompts
from zeroscene.provenance import environment
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import products, unit_rows

WIDTH, KNOWN, TOP, FRESH = 512, 10, 20, 3
STRIDE, PIXEL = 55, 1.0
PICTURES_BY = EncoderIdentity("random", "w", "p", "projection")
TEXTS_BY = EncoderIdentity("random", "w", "t", "text-projection")


def drawn(seed: int, count: int) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_archive(folder: Path, windows: int, partitions: int) -> Archive:
    """Write rasters side by side from west to east, all of one size."""
    archive = Archive.begin(folder, PICTURES_BY, WIDTH, Cutting("110 px"))
    count = windows // partitions
    columns = max(1, round(count**0.5))
    rows = -(-count // columns)
    layout = Layout((rows + 1) * STRIDE, (columns + 1) * STRIDE, (STRIDE, STRIDE), 2)
    row, column = (a.ravel()[:count] for a in np.mgrid[:rows, :columns])
    seen = np.full((count, 4), STRIDE**2)
    for k in range(partitions):
        west = 300_000 + k * layout.width * PIXEL % 400_000
        north = 5_400_000 - k * layout.width * PIXEL // 400_000 * layout.height * PIXEL
        transform = Affine(PIXEL, 0, west, 0, -PIXEL, north)
        source = Source(f"raster-{k:04d}.tif", digest(f"{k}"), layout, CRS.from_epsg(32632), transform, None)
        place = Windows(np.zeros(count, np.int64), row, column, seen)
        write(archive.file(source.fingerprint), PICTURES_BY, WIDTH, RASTER, [source], place, [drawn(k, count)])
    return archive


def asked(new: int | None) -> Question:
    """Return the question about the known classes, and a new one that no other question has."""
    names = [f"class {i}" for i in range(KNOWN)] + ([] if new is None else [f"new {new}"])
    matrix = np.concatenate([drawn(10**6, KNOWN), *([] if new is None else [drawn(10**7 + new, 1)])])
    columns = tuple(f"dim{i}" for i in range(WIDTH))
    table = ClassTable(tuple(names), matrix, columns, "embedding", provenance={"encoder": TEXTS_BY.to_json()})
    return Question(Prompts.untrained(PICTURES_BY, table), table, None, untrained_confidence(100.0))


def box(archive: Archive) -> Region:
    """Return a box as high as the raster in the middle, and as wide as holds about a hundredth of all windows."""
    partitions = sorted(archive.partitions(), key=lambda p: p.sources[0].path)
    west, south, east, north = partitions[len(partitions) // 2].bounds
    wide = (east - west) * len(partitions) / 200
    return Region.box((west + east) / 2 - wide, south, (west + east) / 2 + wide, north)


def question(archive: Archive, new: int | None, region: Region | None = None) -> int:
    answers = ask(archive, asked(new), region)
    answers.top(TOP)
    return len(answers)


def reading(archive: Archive) -> float:
    rows = [np.load(path, mmap_mode="r").reshape(-1) for path in archive.path.glob("laid-out/*/flat/*/*/rows.npy")]
    cut = 64 << 20
    pieces = [row[first : first + cut] for row in rows for first in range(0, len(row), cut)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return seconds(lambda: [*pool.map(np.max, pieces)])


def fresh(folder: Path, new: int) -> float:
    command = [sys.executable, __file__, "--ask", str(folder), "--new", str(new)]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def ask_alone(folder: Path, new: int) -> float:
    products(drawn(0, 16), drawn(1, 1))
    return seconds(lambda: question(Archive.open(folder), new))


def measure(folder: Path, windows: int, partitions: int, rounds: int) -> dict[str, float]:
    written = time.perf_counter()
    archive = write_archive(folder, windows, partitions)
    found = {"written": time.perf_counter() - written, "load": os.getloadavg()[0]}
    found["open"] = min(seconds(archive.partitions) for _ in range(rounds))
    found["first"] = seconds(lambda: question(archive, None))
    pairs = [(seconds(lambda k=k: question(archive, k)), reading(archive)) for k in range(rounds)]
    found["new"], found["read"] = (min(times) for times in zip(*pairs, strict=True))
    found["fresh"] = min(fresh(folder, 1000 + k) for k in range(FRESH))
    found["again"] = min(seconds(lambda: question(archive, 0)) for _ in range(rounds))
    region = box(archive)
    found["region windows"] = question(archive, 0, region)
    found["region"] = min(seconds(lambda k=k: question(archive, 2000 + k, region)) for k in range(rounds))
    print(partitions, {name: round(value, 3) for name, value in found.items()}, flush=True)
    return found


def report(windows: int, found: dict[int, dict[str, float]]) -> None:
    size = 4e-9 * windows * WIDTH
    lines = [
        "| rasters | open | first question, laying out | a new class | in a fresh process | the same again | "
        f"new class, in a box | reading {size:.1f} GB | new class beside reading |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for partitions, t in found.items():
        inside = f"{t['region']:.2f} s ({t['region windows']:,.0f} windows)"
        lines.append(
            f"| {partitions:,} | {t['open']:.2f} s | {t['first']:.1f} s | {t['new']:.2f} s | {t['fresh']:.2f} s | "
            f"{t['again']:.2f} s | {inside} | {t['read']:.2f} s | {t['new'] / t['read']:.1f} x |"
        )
    loads = " to ".join(f"{v:.0f}" for v in sorted({min(t["load"] for t in found.values()),
                                                     max(t["load"] for t in found.values())}))  # fmt: skip
    lines += [
        "",
        f"{windows:,} windows of width {WIDTH}; {torch.get_num_threads()} threads, load of the machine {loads}.",
    ]
    write_text(RESULTS / "archive.md", "\n".join(lines) + "\n")
    record = {"windows": windows, "seconds": {str(k): v for k, v in found.items()}, "environment": environment()}
    write_json(RESULTS / "archive.json", record)
    print("\n".join(lines))


def main(folder: Path, windows: int, partitions: list[int], rounds: int) -> None:
    found = {}
    for count in partitions:
        with tempfile.TemporaryDirectory(dir=folder, prefix="archive-") as name:
            found[count] = measure(Path(name) / "archive", windows, count, rounds)
    report(windows, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--partitions", default="10,100,1000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--new", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(ask_alone(options.ask, options.new)))
    else:
        main(options.folder, options.windows, [int(n) for n in options.partitions.split(",")], options.rounds)
