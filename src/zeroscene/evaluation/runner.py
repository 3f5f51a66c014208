"""The benchmark runner: every cell of a plan, in parallel, kept as it is finished, continued where it stopped.

`out/cells/` holds one JSON file a cell, written whole or not at all; `results.json`, `results.csv` and `summary.csv`
are made from them. None holds a time stamp: killed at any moment and started again, the run ends with the same bytes.
`log.jsonl` says when each cell was finished and how long it took.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import OptionError, StoreError, ZeroSceneError
from zeroscene.evaluation.plan import BenchmarkPlan, grids_fingerprint
from zeroscene.evaluation.results import RESULTS_FILE, BenchmarkResult, CellResult, Failure
from zeroscene.evaluation.summary import cells_csv, compare, summarise, summary_csv
from zeroscene.evaluation.tables import TableSource, embeddings_fingerprint
from zeroscene.evaluation.worker import SINGLE_THREADED, Done, Task, load_embeddings, load_source, run, start
from zeroscene.files import TEMPORARY_PREFIX, json_digest, read_json, write_json, write_text
from zeroscene.progress import progress
from zeroscene.provenance import environment, now

CELLS = "cells"
LOG = "log.jsonl"


def run_benchmark(plan: BenchmarkPlan, out: Path, jobs: int = 1) -> BenchmarkResult:
    """Evaluate every cell of a plan that has no result yet, and gather all.

    The cells run in `jobs` processes of their own, one thread each; a script that calls this needs the usual
    `if __name__ == "__main__":`. A cell that fails by an error of `zeroscene.errors` is listed in the result and tried
    again by the next run; cells in `out` that the plan does not name are left alone.

    Args:
        plan: what is compared.
        out: the folder of the results; one that an earlier run of this plan left is continued.
        jobs: number of processes.

    Raises:
        StoreError: a cell in `out` was made by other data, options or versions (what differs is named), `out` cannot
            be written, or a store keeps no token grids though a method looks at them.
        DatasetNotFoundError: an embedding store or a class table is not there.
        EncoderError, EncoderMismatchError, UnknownNameError, SplitError: a class table cannot be annotated.
        OptionError: `jobs` is not positive.
        ZeroSceneError: a process was killed from outside; finished cells are kept.
    """
    if jobs < 1:
        raise OptionError(f"jobs must be 1 or more, not {jobs}")
    clean(out)
    sources = {label: load_source(given, plan.classes) for label, given in plan.tables.items()}
    plan = replace(plan, tables=sources)
    description, tasks = _tasks(plan, sources, out)
    waiting = [task for task in tasks if not _finished(task)]
    failures: list[Failure] = []
    with progress(plan.name, len(tasks), "cells", done=len(tasks) - len(waiting)) as advance:
        for done in _run_all(plan, waiting, jobs):
            advance(1)
            _log(out, done)
            if done.failure is not None:
                failures.append(done.failure)
    failed = {failure.cell: failure for failure in failures}
    cells = tuple(_read_cell(task.file) for task in tasks if task.cell.name not in failed)
    result = BenchmarkResult(
        name=plan.name,
        plan=description,
        selection=plan.selection,
        cells=cells,
        failures=tuple(failed[task.cell.name] for task in tasks if task.cell.name in failed),
        summary=summarise(cells),
        comparisons=compare(cells),
        environment=environment(),
    )
    write_json(out / RESULTS_FILE, result.to_json())
    write_text(out / "results.csv", cells_csv(cells))
    write_text(out / "summary.csv", summary_csv(result.summary))
    return result


def clean(out: Path) -> None:
    """Remove the half-written files that a killed run left in a result folder."""
    for folder in (out, out / CELLS):
        for file in folder.glob(f"{TEMPORARY_PREFIX}*"):
            file.unlink(missing_ok=True)


def _tasks(plan: BenchmarkPlan, tables: Mapping[str, TableSource], out: Path) -> tuple[dict[str, Any], list[Task]]:
    """Return the plan as JSON, without paths, and its cells with all that decides their numbers."""
    versions = environment()
    pictures, grids = {}, {}
    for label, source in plan.embeddings.items():
        loaded = load_embeddings(source, plan.reads_grids)
        pictures[label], grids[label] = _describe(loaded), grids_fingerprint(loaded.grids)
        if plan.overlap is not None:
            plan.overlap.check(loaded.ids, f"embeddings {label!r}")
    tasks = []
    for cell in plan.cells():
        of_pictures, of_table = pictures[cell.encoder]["fingerprint"], tables[cell.table].fingerprint
        inputs = cell.inputs(plan, of_pictures, of_table, versions, grids[cell.encoder])
        tasks.append(Task(cell, inputs, out / CELLS / f"{cell.name}-{json_digest(inputs)}.json"))
    description = {
        "name": plan.name,
        "methods": [{"name": m.name, "label": m.label, "options": dict(m.options)} for m in plan.methods],
        "embeddings": pictures,
        "tables": {
            label: {"provenance": dict(t.provenance), "fingerprint": t.fingerprint} for label, t in tables.items()
        },
        "splits": [split.to_json() for split in plan.splits],
        "seeds": list(plan.seeds),
        "selection": plan.selection,
        "folds": plan.folds,
        "holdout": plan.holdout,
        "transductive": plan.transduction.model_dump(mode="json") if plan.transduction else None,
        "overlap": plan.overlap.to_json() if plan.overlap else None,
    }
    return description, tasks


def _describe(x: Embeddings) -> dict[str, Any]:
    return {"encoder": x.encoder.to_json(), "pictures": len(x), "fingerprint": embeddings_fingerprint(x)}


def _finished(task: Task) -> bool:
    """Say whether a cell has its file; refuse one of the same name that was made from something else."""
    if task.file.is_file():
        return True
    others = [
        file
        for file in sorted(task.file.parent.glob(f"{task.cell.name}-*.json"))
        if file.stem[: -len("-0123456789abcdef")] == task.cell.name
    ]
    if not others:
        return False
    before = _read_cell(others[0]).inputs
    differ = [
        f"{key} was {before.get(key, 'absent')}, is {value}"
        for key, value in task.inputs.items()
        if before.get(key) != value
    ]
    raise StoreError(f"{others[0]} belongs to another run: {'; '.join(differ)}; give another folder, or delete it")


def _read_cell(file: Path) -> CellResult:
    cell = CellResult.from_json(read_json(file), str(file))
    if cell.digest != json_digest(cell.inputs) or not file.stem.endswith(cell.digest):
        raise StoreError(f"{file} does not hold what its name says; delete it and run again")
    return cell


def _run_all(plan: BenchmarkPlan, tasks: list[Task], jobs: int) -> Iterator[Done]:
    """Yield finished tasks, in the order in which they finish; end all processes on any error or interruption."""
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    with _environment(SINGLE_THREADED), reader, writer:
        pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=start, initargs=(plan, reader))
        try:
            running: set[Future[Done]] = {pool.submit(run, task) for task in tasks}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BrokenProcessPool as error:
            raise ZeroSceneError(
                "a process of the benchmark was killed (out of memory?); finished cells are kept: "
                "run the same command again, with fewer jobs"
            ) from error
        except BaseException:
            writer.close()  # ends the processes in the middle of their cells
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _log(out: Path, done: Done) -> None:
    entry: dict[str, Any] = {"cell": done.task.cell.name, "finished": now(), "seconds": round(done.seconds, 3)}
    if done.failure is not None:
        entry["error"] = done.failure.message
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry, ensure_ascii=False) + "\n")
