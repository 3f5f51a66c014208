"""What `zeroscene demo` costs: wall time, processor time, and the memory of all its processes together.

    python benchmarks/demo.py

Runs it in an empty folder with `HF_HUB_OFFLINE=1`, then once more in the same folder, where nothing is left to do but
to fit, to label and to write the report. Memory is the proportional set size of the process and its children, read ten
times a second. Writes docs/results/demo.json and demo.md, and how the demo ends as demo.txt.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from zeroscene.files import write_json, write_text
from zeroscene.provenance import environment

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
LIMIT_SECONDS, LIMIT_GIB = 180, 4


@dataclass(frozen=True)
class Cost:
    """Of one run: seconds on the clock, seconds of all processors, GiB at the peak."""

    wall: float
    processor: float
    memory: float


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        children = [int(child) for task in tasks for child in task.read_text().split()]
    except OSError:
        return []
    return [pid, *(member for child in children for member in family(child))]


def memory(pid: int) -> int:
    """Return the proportional set size of a process in KiB; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(folder: Path) -> tuple[Cost, str]:
    """Run the demo in a folder; return its cost and what it printed."""
    begun, before, peak = time.perf_counter(), processor_seconds(), 0
    command = [sys.executable, "-m", "zeroscene", "demo"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(command, env=environment, cwd=folder, stdout=told) as process,
    ):
        while process.poll() is None:
            peak = max(peak, sum(memory(pid) for pid in family(process.pid)))
            time.sleep(0.1)
        if process.returncode:
            sys.exit(process.returncode)
        told.seek(0)
        return Cost(time.perf_counter() - begun, processor_seconds() - before, peak / 2**20), told.read()


def main() -> None:
    load = os.getloadavg()[1]
    with tempfile.TemporaryDirectory() as folder:
        first, told = run(Path(folder))
        again, _ = run(Path(folder))
    costs = {"from nothing": first, "again, all being there": again}
    lines = ["| `zeroscene demo` | wall time | processor time | peak memory |", "|---|---|---|---|"]
    lines += [f"| {name} | {c.wall:.0f} s | {c.processor:.0f} s | {c.memory:.1f} GiB |" for name, c in costs.items()]
    lines.append(f"| allowed, two cores | {LIMIT_SECONDS} s | | {LIMIT_GIB} GiB |")
    write_text(RESULTS / "demo.md", "\n".join(lines) + "\n")
    found = {name: {key: round(value, 2) for key, value in asdict(cost).items()} for name, cost in costs.items()}
    write_json(
        RESULTS / "demo.json",
        {"runs": found, "load_before": load, "cores": os.cpu_count(), "environment": environment()},
    )
    write_text(RESULTS / "demo.txt", told[told.index("# ", told.index("\nmodel: ")) :].strip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
