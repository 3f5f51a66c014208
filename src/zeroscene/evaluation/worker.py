"""One process of a benchmark: loads what its cells need, evaluates them, writes each one's file.

Every cell is evaluated here, with one thread, whatever the number of processes: so the figures do not depend on it.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import ZeroSceneError
from zeroscene.evaluation.annotation import Annotation
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.plan import BenchmarkPlan, Cell, Table
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.results import CellResult, EncoderRecord, Failure, SplitRecord, TableRecord
from zeroscene.evaluation.tables import JoinedTables, TableSource, exemplars_of, source_of
from zeroscene.files import json_digest, write_json
from zeroscene.methods.registry import method_class
from zeroscene.provenance import environment
from zeroscene.semantics.reading import read_table
from zeroscene.semantics.table import ClassTable

# Read by the linear algebra under NumPy when it is first imported, so set before a worker starts.
SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Task:
    """One cell to evaluate, what decides its numbers, and the file to write."""

    cell: Cell
    inputs: dict[str, str]
    file: Path


@dataclass(frozen=True)
class Done:
    """What became of a task: how long it took, and why it failed, if it did."""

    task: Task
    seconds: float
    failure: Failure | None


_plan: BenchmarkPlan | None = None


def start(plan: BenchmarkPlan, parent: Connection) -> None:
    """Prepare this process; it ends at once when the other end of `parent` is closed, by whatever death."""
    global _plan
    _plan = plan
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)


def _end_with(parent: Connection) -> None:
    parent.poll(None)
    os._exit(1)


def run(task: Task) -> Done:
    """Evaluate one cell and write its file; an error that a user can cause is reported, any other is raised.

    Raises:
        StoreError: the file cannot be written.
    """
    assert _plan is not None
    begun = time.monotonic()
    torch.manual_seed(task.cell.seed)  # a method that draws from the global generator must not depend on the order
    try:
        result = _result(_plan, task)
    except ZeroSceneError as error:
        failure = Failure(cell=task.cell.name, error=type(error).__name__, message=str(error))
        return Done(task, time.monotonic() - begun, failure)
    write_json(task.file, result.to_json())
    return Done(task, time.monotonic() - begun, None)


def _result(plan: BenchmarkPlan, task: Task) -> CellResult:
    cell = task.cell
    pictures, source = _embeddings(cell.encoder), _source(cell.table)
    trial = carve(pictures, cell.split, holdout=plan.holdout, seed=cell.seed)
    method = method_class(cell.method.name)
    found = evaluate(
        method,
        trial,
        source,
        fixed=cell.method.options,
        selection=plan.selection,
        folds=plan.folds,
        seed=cell.seed,
        transduction=plan.transduction,
        overlap=plan.overlap,
    )
    return CellResult(
        cell=cell.name,
        digest=json_digest(task.inputs),
        inputs=task.inputs,
        method=method.name,
        label=cell.method.label,
        title=method.title,
        reference=method.reference,
        options=found.options,
        selection=found.choice.selection,
        encoder=EncoderRecord(
            label=cell.encoder, fingerprint=pictures.encoder.fingerprint, **pictures.encoder.to_json()
        ),
        table=TableRecord(
            label=cell.table,
            source=str(found.table.provenance.get("source", "unknown")),
            kind=found.table.kind,
            columns=len(found.table.columns),
            fingerprint=source.fingerprint,
            provenance=dict(found.table.provenance),
            exemplars=exemplars_of(found.table.provenance),
        ),
        split=SplitRecord(
            dataset=trial.split.dataset,
            name=trial.split.name,
            fingerprint=trial.split.fingerprint,
            seen=trial.split.seen,
            unseen=trial.split.unseen,
            held_out=len(trial.split.held_out),
        ),
        seed=cell.seed,
        zsl=found.zsl,
        gzsl=found.gzsl,
        examples=found.examples,
        transductive=found.transductive,
        confidence=found.confidence,
        without_overlap=found.without_overlap,
        choice=found.choice,
        environment=environment(),
    )


def load_embeddings(source: Embeddings | Path, grids: bool = False) -> Embeddings:
    """Return the pictures of a plan, read from their store unless they are in memory.

    Args:
        source: the pictures, or the folder of their store.
        grids: give the token grids too.

    Raises:
        DatasetNotFoundError: there is no such store.
        StoreError: it is damaged or not finished, or keeps no grids.
    """
    if isinstance(source, Embeddings):
        return source
    from zeroscene.embeddings.store import EmbeddingStore

    return EmbeddingStore.open(source).read(grids=grids)


def load_source(given: Table | Mapping[str, Table], classes: Sequence[str]) -> TableSource:
    """Return where the class vectors of a plan come from, with all that it reads in memory.

    Args:
        given: what the plan names.
        classes: all classes of the plan's splits.

    Raises:
        DatasetNotFoundError: there is no such file or store.
        DataFormatError: it is not a class table.
        EncoderError, EncoderMismatchError, UnknownNameError, SplitError: as for `Annotation.open`.
    """
    if isinstance(given, Mapping):
        return JoinedTables({label: load_source(part, classes) for label, part in given.items()})
    if isinstance(given, Annotation):
        return given.open(classes)
    return source_of(read_table(given) if isinstance(given, Path) else given)


@lru_cache(maxsize=1)
def _embeddings(label: str) -> Embeddings:
    assert _plan is not None
    return load_embeddings(_plan.embeddings[label], _plan.reads_grids)


def _source(label: str) -> TableSource:
    assert _plan is not None
    source = _plan.tables[label]
    assert not isinstance(source, ClassTable | Path | Annotation | Mapping), "the runner sends sources"
    return source
