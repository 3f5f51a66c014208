"""How long a cluster takes for millions of windows, when workers are slow or die: a simulation from measured rates.

    python benchmarks/cluster_plan.py [--seeds 5]

Rates and bytes are those of docs/results/cluster.json. Parts of 512 windows wait in one queue, in tasks as
`maps/cluster.py` makes them; a worker takes a task, writes part after part, and takes the next. One worker in 20 is
three times slower than the rest. In the rough case workers also die, at random, once in 10 hours of work; another takes
their place after 3 minutes, the part at hand is lost and the parts before it are not. When all parts are there, rasters
are finished, each by one worker. Writes docs/results/cluster_plan.md and cluster_plan.json.
"""

import argparse
import heapq
import json
from collections import deque
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np

from tables import RESULTS
from zeroscene.files import write_json, write_text

PART, RUN, TASKS = 512, 8, 4  # as maps/encode.py and maps/cluster.py have them
RASTER = 65_025  # windows of a raster of 32,768 x 32,768 px, windows of 256 px that overlap by a half
SLOW, FACTOR = 0.05, 3.0
LIFE, AWAY = 10 * 3600.0, 180.0  # seconds
SIZES, WORKERS = (10**6, 10**7, 10**8), (2, 16, 128, 1024)


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        seconds: from begin to end.
        lost: seconds of work that was done in vain.
        deaths: of workers.
    """

    seconds: float
    lost: float
    deaths: int


def simulate(
    units: list[int], seconds: float, workers: int, life: float | None, random: np.random.Generator
) -> Outcome:
    """Work through tasks of equal parts.

    Args:
        units: parts of each task, in the order of the queue.
        seconds: of a part, for a worker of ordinary speed.
        workers: how many.
        life: mean seconds of work until a worker dies, or None for workers that do not.
        random: source of chance.
    """
    queue = deque(units)
    factors = np.where(random.random(workers) < SLOW, FACTOR, 1.0)
    ends = random.exponential(life, workers) if life else np.full(workers, np.inf)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    done, lost, deaths = 0.0, 0.0, 0
    returned: list[tuple[float, int]] = []  # tasks of dead workers, from when they are known to be dead
    while queue or returned:
        now, worker = heapq.heappop(free)
        if returned and (not queue or returned[0][0] <= now):
            known, parts = heapq.heappop(returned)
            now = max(now, known)
        else:
            parts = queue.popleft()
        each = seconds * factors[worker]
        left = ends[worker]  # of work
        if left > parts * each:
            ends[worker] = left - parts * each
            now += parts * each
            done = max(done, now)
        else:
            whole = int(left // each)
            now += left
            lost += left - whole * each
            deaths += 1
            heapq.heappush(returned, (now, parts - whole))
            now += AWAY
            ends[worker] = random.exponential(life)
        heapq.heappush(free, (now, worker))
    return Outcome(done, lost, deaths)


def tasks(parts: int, workers: int) -> list[int]:
    """Return the parts of each task."""
    run = max(1, min(RUN, parts // (TASKS * workers)))
    return [run] * (parts // run) + ([parts % run] if parts % run else [])


def job(windows: int, workers: int, measured: dict[str, Any], life: float | None, seed: int) -> tuple[Outcome, Outcome]:
    """Return what encoding and finishing come to."""
    random = np.random.default_rng(seed)
    encoded = simulate(tasks(-(-windows // PART), workers), PART / measured["whole"], workers, life, random)
    rasters = max(1, round(windows / RASTER))
    size = windows / rasters
    finished = simulate([1] * rasters, size / measured["finish"], workers, life, random)
    return encoded, finished


def row(windows: int, workers: int, measured: dict[str, Any], seeds: int) -> dict[str, Any]:
    calm = [job(windows, workers, measured, None, seed) for seed in range(seeds)]
    rough = [job(windows, workers, measured, LIFE, seed) for seed in range(seeds)]
    work = windows / measured["whole"]
    return {
        "encoder": measured["encoder"],
        "windows": windows,
        "workers": workers,
        "even_hours": (work + windows / measured["finish"]) / workers / 3600,
        "calm_hours": mean(a.seconds + b.seconds for a, b in calm) / 3600,
        "rough_hours": mean(a.seconds + b.seconds for a, b in rough) / 3600,
        "finish_hours": mean(b.seconds for _, b in rough) / 3600,
        "deaths": mean(a.deaths + b.deaths for a, b in rough),
        "lost": mean(a.lost + b.lost for a, b in rough) / work,
        "archive_bytes": windows * measured["stored"],
        "raster_bytes": windows * measured["raster"],
        "read_rate": workers * measured["whole"] * measured["raster"],
        "write_rate": workers * measured["whole"] * measured["working"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| encoder | windows | workers | hours, all even | hours, one in 20 slow | hours, and workers die | deaths | "
        "work lost | archive, GB | rasters, GB | read, MB/s | write, MB/s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in rows:
        hours = " | ".join(f"{r[name]:.3g}" for name in ("even_hours", "calm_hours", "rough_hours"))
        disk = f"{r['archive_bytes'] / 1e9:,.0f} | {r['raster_bytes'] / 1e9:,.0f}"
        flow = f"{r['read_rate'] / 1e6:,.0f} | {r['write_rate'] / 1e6:,.0f}"
        lines.append(
            f"| {r['encoder']} | {r['windows']:,} | {r['workers']:,} | {hours} | {r['deaths']:,.0f} | "
            f"{100 * r['lost']:.2f} % | {disk} | {flow} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    measured = json.loads((RESULTS / "cluster.json").read_text(encoding="utf-8"))["rates"]
    cases = [(one, size) for one in measured for size in (SIZES if one is measured[-1] else SIZES[-1:])]
    rows = [row(size, workers, one, given.seeds) for one, size in cases for workers in WORKERS]
    write_json(RESULTS / "cluster_plan.json", {"rows": rows, "seeds": given.seeds})
    write_text(RESULTS / "cluster_plan.md", table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
