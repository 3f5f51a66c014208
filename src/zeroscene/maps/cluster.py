"""The windows of many rasters on Ray: actors that hold an encoder encode parts, others finish rasters.

What Ray moves are numbers of parts and short answers; pixels and vectors go between workers and files. Every part is a
file that is whole or absent, of the same bytes whoever writes it, and what is there is what counts: a part that is
encoded twice, because a worker died or was thought dead, is there once. The files are those of a run in one process.
"""

import json
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from zeroscene import errors
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import MissingExtraError, OptionError, PictureError, StoreError, ZeroSceneError
from zeroscene.maps.encode import WindowWork
from zeroscene.maps.layout import Layout
from zeroscene.progress import progress
from zeroscene.scenes.geo import GeoRaster

_STORE: Final = 128 * 2**20  # bytes of shared memory of a Ray that is started here: nothing large travels
_RUN: Final = 8  # parts that one task encodes at most; what a dead worker had written of them stays
_TASKS: Final = 4  # a worker at least, so that a slow one does not hold up the end
_TRIES: Final = 3  # of a task whose worker dies, each by another worker
_PATIENCE: Final = 10.0  # seconds that an address may take to answer

_SAID: Final = re.compile(r"[\w.]*(Error|Exception): ")

Value = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """The windows of one raster that are to be encoded.

    Attributes:
        path: the raster, where every worker can read it.
        bands: as for `GeoRaster.open`.
        layout: where its windows lie.
        work: folder for `encode_windows`, where every worker can write.
        batch: windows that the encoder takes at once.
    """

    path: Path
    bands: tuple[int, ...] | None
    layout: Layout
    work: Path
    batch: int | None = None


@dataclass(frozen=True)
class _Task:
    job: Job
    parts: tuple[int, ...]
    windows: int


@dataclass(frozen=True)
class Cluster:
    """Workers of Ray, made by `cluster`.

    Attributes:
        workers: how many work at once.
        gpus: whether each has a GPU.
    """

    workers: int
    gpus: bool = False

    def encode(self, jobs: Sequence[Job], encoder: Callable[[], ImageEncoder], own: ImageEncoder) -> list[str]:
        """Encode all windows of rasters into their work folders, where `encode_windows` then finds them.

        A raster that cannot be decoded is left unfinished, for whoever finishes it to say so.

        Args:
            jobs: the rasters.
            encoder: makes the encoder; called in each worker, once.
            own: the same encoder in this process, which says what is expected of the workers.

        Returns:
            What was wrong with rasters, a line each.

        Raises:
            EncoderMismatchError: a worker has another encoder.
            StoreError: a folder belongs to something else or cannot be written, workers have other package versions or
                do not see the rasters, or a task has killed its worker again and again.
        """
        tasks, wrong = self._tasks(jobs, own)
        total = sum(task.windows for task in tasks)
        with progress("encoding", total, "windows") as advance:
            for k, said in self._run(_Encoding, (tasks, encoder, own.identity.fingerprint), len(tasks)):
                advance(tasks[k].windows)
                if "error" in said:
                    if not issubclass(getattr(errors, said["error"]), PictureError | OptionError):
                        raise _error(said)
                    wrong.append(said["message"])
        return list(dict.fromkeys(wrong))

    def each(self, make: Callable[[], Callable[[Any], Value]], items: Sequence[Any]) -> list[Value]:
        """Return what a function says of each item, in their order.

        Args:
            make: makes the function; called in each worker, once. What the function does to files must be the same if
                it is done twice.
            items: what it is called with.

        Raises:
            ZeroSceneError: the first error of the function, by the order of the items.
            StoreError: an item has killed its worker again and again.
        """
        found: dict[int, Value] = {}
        with progress("finishing", len(items), "rasters") as advance:
            for k, said in self._run(_Calling, (list(items), make), len(items)):
                found[k] = said
                advance(1)
        for k in range(len(items)):
            if "error" in found[k]:
                raise _error(found[k])
        return [found[k]["value"] for k in range(len(items))]

    def _tasks(self, jobs: Sequence[Job], own: ImageEncoder) -> tuple[list[_Task], list[str]]:
        missing: list[tuple[Job, WindowWork, list[int]]] = []
        wrong: list[str] = []
        for job in jobs:
            try:
                raster = GeoRaster.open(job.path, job.bands)
                begun = WindowWork.begin(raster, job.layout, own, job.work, job.batch)
                missing.append((job, begun, begun.missing()))
            except PictureError as error:
                wrong.append(str(error))
        count = sum(len(parts) for _, _, parts in missing)
        run = max(1, min(_RUN, count // (_TASKS * self.workers)))
        tasks = []
        for job, begun, parts in missing:
            for start in range(0, len(parts), run):
                some = tuple(parts[start : start + run])
                tasks.append(_Task(job, some, sum(len(begun.parts[k]) for k in some)))
        return tasks, wrong

    def _run(self, worker: type, given: tuple[Any, ...], count: int) -> Iterator[tuple[int, Value]]:
        """Yield what actors of a class say of the numbers below `count`, as they are done."""
        if not count:
            return
        ray = _ray()
        numbers = ray.data.from_items([{"number": k} for k in range(count)], override_num_blocks=count)
        actors = min(self.workers, count)
        tries = ray.remote(num_cpus=0, max_restarts=-1)(_Tries).remote()
        answers = numbers.map(
            worker,
            fn_constructor_args=(Path.cwd(), tries, *given),
            compute=ray.data.ActorPoolStrategy(size=actors, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=1 if self.gpus else None,
        )
        try:
            for answer in answers.iter_rows():
                yield answer["number"], json.loads(answer["said"])
        except ray.exceptions.RayError as error:
            raise StoreError(
                f"the Ray cluster gave up ({_cause(error)}); what is written stays: give the same command again"
            ) from error


@contextmanager
def cluster(address: str = "auto", workers: int | None = None) -> Iterator[Cluster]:
    """Yield the workers of a Ray cluster; one that is started for it is stopped again.

    Args:
        address: `auto` for the cluster that runs here (or that RAY_ADDRESS names), and one of this machine alone where
            none does; `local` for the latter always; or the address of a cluster.
        workers: how many; None for one a GPU, or one a processor core where there are no GPUs.

    Raises:
        MissingExtraError: the extra `ray` is not installed.
        OptionError: there is no cluster at this address, or it has no room for a worker.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"workers must be at least 1, not {workers}")
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, address, workers)
    try:
        held = ray.cluster_resources()
        gpus = int(held.get("GPU", 0))
        room = gpus or int(held.get("CPU", 0))
        if room < 1:
            raise OptionError(f"the Ray cluster at {address} has no processor core to work with")
        yield Cluster(min(workers or room, room), bool(gpus))
    finally:
        if started:
            ray.shutdown()


class _Tries:
    """Counts how often each task was begun: Ray itself gives a task that kills its worker to another without end."""

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}

    def begin(self, number: int) -> int:
        """Return how often a task was begun, this time included."""
        self._begun[number] = self._begun.get(number, 0) + 1
        return self._begun[number]


class _Encoding:
    """An actor with an encoder."""

    def __init__(
        self, folder: Path, tries: Any, tasks: Sequence[_Task], encoder: Callable[[], ImageEncoder], expected: str
    ):
        _enter(folder)
        self._tries, self._tasks, self._make, self._expected = tries, tasks, encoder, expected

    def __call__(self, row: Value) -> Value:
        return _said(row, self._tries, self._encode)

    @cached_property
    def _encoder(self) -> ImageEncoder:
        return self._make()

    def _encode(self, number: int) -> None:
        task = self._tasks[number]
        job = task.job
        if self._encoder.identity.fingerprint != self._expected:
            raise errors.EncoderMismatchError(
                f"a worker has another encoder ({self._encoder.identity.name!r}) than this machine; give all of them "
                "the same folder"
            )
        if not job.path.exists():
            raise StoreError(f"a worker does not see {job.path}; rasters must lie where every worker can read them")
        if not job.work.exists():
            raise StoreError(f"a worker does not see {job.work}; outputs must lie where every worker can write")
        raster = GeoRaster.open(job.path, job.bands)
        work = WindowWork.begin(raster, job.layout, self._encoder, job.work, job.batch)
        with work.store.writing(alone=False):
            work.encode(work.missing(task.parts))


class _Calling:
    """An actor with a function."""

    def __init__(self, folder: Path, tries: Any, items: Sequence[Any], make: Callable[[], Callable[[Any], Value]]):
        _enter(folder)
        self._tries, self._items, self._make = tries, items, make

    def __call__(self, row: Value) -> Value:
        return _said(row, self._tries, lambda number: self._function(self._items[number]))

    @cached_property
    def _function(self) -> Callable[[Any], Value]:
        return self._make()


def _enter(folder: Path) -> None:
    """Work where the command was given, so that relative paths mean the same."""
    with suppress(OSError):
        os.chdir(folder)


def _said(row: Value, tries: Any, function: Callable[[int], Any]) -> Value:
    """Return what a function says of a number, or the user's error: trying again would not mend it."""
    number = int(row["number"])
    try:
        if _ray().get(tries.begin.remote(number)) > _TRIES:
            raise StoreError(
                f"a task has killed its worker {_TRIES} times (is there memory enough for one encoder a worker?); what "
                "is written stays: give the same command again, with fewer workers or without --ray"
            )
        said = {"value": function(number)}
    except ZeroSceneError as error:
        said = {"error": type(error).__name__, "message": str(error)}
    return {"number": number, "said": json.dumps(said)}


def _error(said: Value) -> ZeroSceneError:
    kind: type[ZeroSceneError] = getattr(errors, said["error"])
    return kind(said["message"])


def _ray() -> Any:
    # Both are read when Ray is first imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("work on a cluster needs the extra 'ray': pip install 'zeroscene[ray]'") from error
    return ray


def _connect(ray: Any, address: str, workers: int | None) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    quiet: Value = {"logging_level": logging.ERROR, "log_to_driver": False}
    here = {"address": "local", "num_cpus": workers, "object_store_memory": _STORE, "include_dashboard": False}
    try:
        with _silent():
            if address == "local":
                ray.init(**here, **quiet)
            elif address != "auto":
                _require_answer(address)
                ray.init(address=address, **quiet)
            else:
                try:
                    ray.init(address="auto", **quiet)
                except ConnectionError:
                    ray.init(**here, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            f"no Ray cluster answers at {address} ({_first_line(error)}); start one with `ray start`, or give auto"
        ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False


def _require_answer(address: str) -> None:
    """Refuse an address that nobody listens at: Ray itself would try for minutes, and then end the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("an address is HOST:PORT, such as 10.0.0.5:6379")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


@contextmanager
def _silent() -> Iterator[None]:
    """Drop what Ray's core writes to the error stream of this process while it starts: no setting of its own does."""
    kept = os.dup(2)
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _cause(error: BaseException) -> str:
    """Return what Python said last, in a worker; where it said nothing, the first line."""
    lines = [line.strip() for line in str(error).splitlines() if _SAID.match(line.strip())]
    return lines[-1] if lines else _first_line(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
