"""How fast the synthetic world is drawn, where the time goes, what memory it takes; pictures and mosaics.

    python benchmarks/synthetic_world.py [--rounds 5] [--large]

One thread. A rate is pictures in a second of processor time, over all forty classes alike; rounds of the sizes take
turns, and the median round counts. The mark is 150 a second at 128 px. The mosaic is written twice, the second time
four times as high, to see that memory does not follow the height; --large writes one of 30,000 x 30,000 px besides.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from zeroscene.files import write_json, write_text
from zeroscene.provenance import environment, now
from zeroscene.scenes.synthetic import canvas
from zeroscene.scenes.synthetic.mosaic import write_mosaic
from zeroscene.scenes.synthetic.world import CLASSES, draw

RESULTS = Path(__file__).parent.parent / "docs" / "results"
SIZES = (64, 96, 128, 256)
MARK_SIZE, MARK = 128, 150
EACH = 3  # pictures of each class a round
MOSAICS = {"16 x 16 cells": (16, 16, 128), "64 x 16 cells": (64, 16, 128)}
LARGE = {"30,000 x 30,000 px": (234, 234, 128)}


def round_of(size: int, first: int) -> dict[str, float]:
    """Return seconds of processor time a picture of each class."""
    taken = {}
    for name in CLASSES:
        begun = time.process_time()
        for index in range(first, first + EACH):
            draw(name, 0, index, size)
        taken[name] = (time.process_time() - begun) / EACH
    return taken


def rates(rounds: int) -> dict[int, dict]:
    """Return rate, and the slowest class, of each size."""
    for size in SIZES:
        round_of(size, 0)
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    for number in range(rounds):
        for size in SIZES:
            runs[size].append(round_of(size, number * EACH))
    found = {}
    for size, own in runs.items():
        seconds = statistics.median(statistics.mean(one.values()) for one in own)
        of_class = {name: statistics.median(one[name] for one in own) for name in CLASSES}
        slowest = max(CLASSES, key=of_class.__getitem__)
        found[size] = {
            "pictures_a_second": round(1 / seconds, 1),
            "slowest_class": slowest,
            "slowest": round(1 / of_class[slowest], 1),
            "developing": round(developing(size), 3),
        }
    return found


def developing(size: int) -> float:
    """Return the share of the time that goes into colours, textures, light and noise; the rest goes into shapes."""
    spent, plain = 0.0, canvas._develop

    def timed(*arguments):
        nonlocal spent
        begun = time.process_time()
        done = plain(*arguments)
        spent += time.process_time() - begun
        return done

    canvas._develop = timed
    try:
        whole = sum(round_of(size, 0).values()) * EACH
    finally:
        canvas._develop = plain
    return spent / whole


def peak() -> float:
    """Return the most memory that this process has held, MiB."""
    # Not getrusage: its peak includes the memory of the process that started this one.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def alone(job: str, *arguments: object) -> dict:
    """Run a job of this script in a process of its own."""
    command = [sys.executable, __file__, "--job", job, *(str(argument) for argument in arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def job(name: str, arguments: list[str]) -> dict:
    """Do one thing and tell time and memory."""
    if name == "import":
        return {"peak": peak()}
    if name == "pictures":
        round_of(int(arguments[0]), 0)
        return {"peak": peak()}
    rows, columns, cell = map(int, arguments)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        made = write_mosaic(Path(folder) / "m.tif", rows=rows, columns=columns, cell=cell)
        seconds = time.process_time() - begun
        size = made.path.stat().st_size
    height, width = made.shape
    pixels = height * width
    return {
        "width": width, "height": height, "cells_a_second": round(rows * columns / seconds, 1),
        "megapixels_a_second": round(pixels / seconds / 1e6, 2), "seconds": round(seconds, 2),
        "bytes_a_pixel": round(size / pixels, 3), "peak": peak(),
    }  # fmt: skip


def markdown(value: dict) -> str:
    lines = [
        "| size | pictures a second a core | slowest class | share of developing | peak memory |",
        "|---|---|---|---|---|",
    ]
    for size, row in value["pictures"].items():
        lines.append(
            f"| {size} px | {row['pictures_a_second']:.0f} | {row['slowest_class'].replace('_', ' ')}, "
            f"{row['slowest']:.0f} | {row['developing']:.0%} | {row['peak_mib']:.0f} MiB |"
        )
    lines += [
        "",
        "| mosaic | cells a second a core | Mpx a second | bytes a pixel | peak memory |",
        "|---|---|---|---|---|",
    ]
    for name, row in value["mosaics"].items():
        lines.append(
            f"| {name}, {row['width']:,} x {row['height']:,} px | {row['cells_a_second']:.0f} | "
            f"{row['megapixels_a_second']:.1f} | {row['bytes_a_pixel']:.2f} | {row['peak_mib']:.0f} MiB |"
        )
    reached = value["pictures"][str(MARK_SIZE)]["pictures_a_second"]
    said = "reached" if reached >= MARK else "missed"
    lines += ["", f"Mark: {MARK} pictures a second a core at {MARK_SIZE} px; {said}: {reached:.0f}. Importing alone "
              f"takes {value['import_mib']:.0f} MiB."]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="also write a mosaic of 30,000 x 30,000 px")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        print(json.dumps(job(given.job[0], given.job[1:])))
        return 0
    measured = rates(given.rounds)
    value = {
        "pictures": {
            str(size): {**row, "peak_mib": round(alone("pictures", size)["peak"])} for size, row in measured.items()
        },
        "mosaics": {},
        "import_mib": round(alone("import")["peak"]),
        "environment": environment(),
        "measured": now(),
    }
    for name, shape in {**MOSAICS, **(LARGE if given.large else {})}.items():
        row = alone("mosaic", *shape)
        value["mosaics"][name] = {**row, "peak_mib": round(row.pop("peak"))}
    write_json(RESULTS / "synthetic_world.json", value)
    write_text(RESULTS / "synthetic_world.md", markdown(value))
    print(markdown(value))
    return 0 if measured[MARK_SIZE]["pictures_a_second"] >= MARK else 1


if __name__ == "__main__":
    sys.exit(main())
