import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmark_job import many_cells, plan
from evaluation_world import CLASSES, pictures, split, table, write_store

from zeroscene.errors import OptionError, StoreError
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.evaluation.summary import summarise
from zeroscene.files import TEMPORARY_PREFIX
from zeroscene.scenes.split_files import write_splits

JOB = Path(__file__).with_name("benchmark_job.py")
PLAN = """
name: small world
embeddings: {tiny: store}
tables: {knowledge: knowledge.csv, short: short.csv}
splits: [splits.json]
only: [1, 2]
methods:
  - {name: eszsl, options: {log_lambda: 0.0}}
  - {name: ale, options: {epochs: 3}}
  - {name: kernel, label: "kernel, fixed width", options: {bandwidth: 1.0}}
seeds: [0, 1]
"""


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the log, which alone holds times."""
    return {
        str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file() and f.name != "log.jsonl"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The benchmark of the small world, read from files, with a table beside it that lacks a class."""
    out, given = tmp_path_factory.mktemp("finished"), tmp_path_factory.mktemp("given")
    write_store(given / "store", pictures(noise=0.8))
    table().write(given / "knowledge.csv")
    table(CLASSES[1:]).write(given / "short.csv")
    write_splits(given / "splits.json", [*plan().splits, split(("desert",), name="not asked for")])
    (given / "plan.yaml").write_text(PLAN)
    return out, run_benchmark(BenchmarkPlan.read(given / "plan.yaml"), out, jobs=2)


def test_cells_stand_in_the_order_of_the_plan(finished):
    _, result = finished
    assert [cell.cell for cell in result.cells] == [cell.name for cell in plan().cells()]
    assert {cell.selection for cell in result.cells} == {"honest"}
    assert result.summary == summarise(result.cells)
    assert {(c.first, c.second, c.metric) for c in result.comparisons if c.count == 2} == {
        (c.first, c.second, c.metric) for c in result.comparisons
    }


def test_a_failed_cell_is_reported_and_stops_nothing(finished):
    out, result = finished
    assert len(result.failures) == len(result.cells)
    assert {f.error for f in result.failures} == {"UnknownNameError"}
    assert all("'airport'" in f.message and "__short__" in f.cell for f in result.failures)
    assert not list((out / "cells").glob("*__short__*"))


def test_what_is_written_is_what_is_returned(finished):
    out, result = finished
    assert BenchmarkResult.read(out) == result
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(log) == len(result.cells) + len(result.failures)
    assert not any(str(out) in text.decode() for text in content(out).values())


def test_a_cell_carries_what_made_it(finished):
    _, result = finished
    cell = next(c for c in result.cells if c.label == "kernel, fixed width" and c.seed == 1)
    x = pictures(noise=0.8)
    assert cell.options["bandwidth"] == 1.0
    assert cell.encoder.fingerprint == x.encoder.fingerprint
    assert cell.table.fingerprint == table().fingerprint
    bound = carve(x, next(s for s in plan().splits if s.name == cell.split.name), seed=1).split
    assert (cell.split.fingerprint, cell.split.held_out) == (bound.fingerprint, len(bound.held_out))
    assert cell.environment["packages"]["torch"]


def test_finished_cells_are_kept_and_the_number_of_jobs_changes_no_figure(finished, tmp_path):
    out, result = finished
    (tmp_path / "cells").mkdir()
    kept = [f.name for f in (out / "cells").glob("*__seed-1-*")]
    for name in kept:
        (tmp_path / "cells" / name).write_bytes((out / "cells" / name).read_bytes())
    times = [(tmp_path / "cells" / name).stat().st_mtime_ns for name in kept]
    again = run_benchmark(plan(), tmp_path, jobs=1)
    assert again.cells == result.cells
    assert [(tmp_path / "cells" / name).stat().st_mtime_ns for name in kept] == times
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == len(result.cells) - len(kept)


def test_a_folder_of_another_run_is_refused_and_the_difference_named(finished):
    out, _ = finished
    before = content(out)
    with pytest.raises(StoreError, match=r"selection was honest, is defaults; give another folder"):
        run_benchmark(plan(selection="defaults"), out)
    with pytest.raises(StoreError, match=r"embeddings was \w+, is \w+"):
        run_benchmark(plan(embeddings={"tiny": pictures(noise=0.9)}), out)
    assert content(out) == before


def test_a_cell_that_does_not_fit_its_name_is_refused(finished, tmp_path):
    out, _ = finished
    (tmp_path / "cells").mkdir()
    of_ale = sorted((out / "cells").glob("ale__*"))
    for file, other in zip(of_ale, of_ale[::-1], strict=True):
        (tmp_path / "cells" / file.name).write_bytes(other.read_bytes())
    with pytest.raises(StoreError, match="does not hold what its name says"):
        run_benchmark(plan(methods=(MethodPlan("ale", {"epochs": 3}),)), tmp_path)


def test_jobs_must_be_positive(tmp_path):
    with pytest.raises(OptionError, match="jobs must be 1 or more"):
        run_benchmark(plan(), tmp_path, jobs=0)


def children(pid: int) -> list[int]:
    return [int(p) for task in Path(f"/proc/{pid}/task").glob("*/children") for p in task.read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the worker processes in /proc")
def test_killed_at_any_moment_the_same_plan_ends_with_the_same_bytes(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    total = len(run_benchmark(many_cells(), whole, jobs=1).cells)
    environment = {**os.environ, "PYTHONPATH": str(JOB.parent)}

    for reached, jobs, kill in ((total // 4, "2", signal.SIGKILL), (total // 2, "1", signal.SIGINT)):
        command = [sys.executable, str(JOB), str(broken), jobs]
        job = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while job.poll() is None and len(list((broken / "cells").glob("*__seed-*.json"))) < reached:
            time.sleep(0.002)
        workers = children(job.pid)
        job.send_signal(kill)
        assert job.wait(120) != 0
        assert workers
        deadline = time.monotonic() + 60
        while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(alive(worker) for worker in workers)
        assert reached <= len(list((broken / "cells").glob("*__seed-*.json"))) < total
        assert not (broken / "results.json").exists()
    (broken / f"{TEMPORARY_PREFIX}left.json").write_text("half")

    run_benchmark(many_cells(), broken, jobs=1)
    assert content(broken) == content(whole)
