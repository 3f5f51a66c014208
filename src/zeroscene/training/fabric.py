"""The loop of fine-tuning on Lightning Fabric: 1..n devices, bf16, gradient accumulation, killed or not.

A step is a number of episodes; each device takes its share of them and the gradients are averaged, so the episodes of a
run do not depend on the number of devices. What an episode holds follows from its number alone, and the state is kept
after every epoch: killed at any moment, the same call goes on from the last whole epoch and ends with the same bytes.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from zeroscene.encoders.speed import Arithmetic
from zeroscene.errors import OptionError
from zeroscene.progress import Advance, progress
from zeroscene.training.checkpoint import Checkpoint

Batch = tuple[Tensor, ...]

LAST, BEST, LOSS = "last.safetensors", "best.safetensors", "loss"

_AHEAD = 2
_TELL = 16
_PRECISION: Final[Mapping[Arithmetic, str]] = {"fp32": "32-true", "bf16": "bf16-mixed"}
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate, that of the first epoch."""

    parameters: tuple[nn.Parameter, ...]
    rate: float


@dataclass(frozen=True)
class Plan:
    """How long a run is.

    Attributes:
        epochs: after each the state is kept.
        episodes: an epoch; a multiple of `accumulate`.
        accumulate: episodes a step; a multiple of the number of devices.
        fresh_optimiser: begin Adam's moments anew every epoch, as the public implementation of DSVA does.
        betas: of Adam.
    """

    epochs: int
    episodes: int
    accumulate: int = 1
    fresh_optimiser: bool = False
    betas: tuple[float, float] = (0.5, 0.999)

    def check(self, devices: int) -> None:
        """Refuse episodes that cannot be shared among steps and devices.

        Raises:
            OptionError: they cannot.
        """
        if self.accumulate % devices:
            raise OptionError(
                f"accumulate = {self.accumulate} episodes a step cannot be shared by {devices} devices: take a multiple"
            )
        if self.episodes % self.accumulate:
            raise OptionError(
                f"{self.episodes} episodes an epoch are not a whole number of steps of accumulate = {self.accumulate}"
            )


@dataclass(frozen=True)
class Course:
    """What is trained, and on what.

    Attributes:
        module: takes the tensors of an episode and returns its terms, among them `loss`. It is left in the mode it is
            in: dropout and batch statistics are the caller's choice.
        groups: the parameters that are trained.
        prepare: the tensors of an episode, on the processor, by epoch and number; runs ahead, in a thread.
        factor: what the learning rates are multiplied by in an epoch.
        measure: what an epoch is worth, or None; the state of the best epoch is kept too.
        advice: what to set when a step does not fit into memory.
    """

    module: nn.Module
    groups: Sequence[Group]
    prepare: Callable[[int, int], Batch]
    factor: Callable[[int], float] = lambda _epoch: 1.0
    measure: Callable[[], float] | None = None
    advice: str = "make the episodes smaller"


@dataclass
class Record:
    """What a run left.

    Attributes:
        epoch: epochs done.
        terms: mean of each term over the steps of each epoch.
        scores: what was measured before the first epoch and after each; empty where nothing was.
    """

    epoch: int = 0
    terms: list[dict[str, float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The number of epochs after which the score was highest; the fewest of equals."""
        return max(range(len(self.scores)), key=lambda epoch: (self.scores[epoch], -epoch), default=self.epoch)


def make_fabric(devices: int = 1, precision: Arithmetic = "fp32", accelerator: str = "auto") -> Fabric:
    """Return a Fabric; with several devices, call its `launch` before anything else.

    Args:
        devices: number of GPUs, or of processes where there is no GPU.
        precision: bf16 is mixed: weights and moments stay float32.
        accelerator: `auto`, `cpu` or `cuda`.

    Raises:
        OptionError: there are not as many devices.
    """
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise OptionError(f"devices = {devices}, but there are {torch.cuda.device_count()} GPUs here")
    # Which devices and how many processes is the business of the caller, who says so.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # A process waits while the first one encodes a data set.
    ddp = DDPStrategy(timeout=timedelta(days=1), find_unused_parameters=True)
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        precision=_PRECISION[precision],  # type: ignore[arg-type]
        strategy=ddp if devices > 1 else "auto",
    )


def train(fabric: Fabric, course: Course, plan: Plan, folder: Path, same: str) -> Record:
    """Train to the last epoch, or go on to it, and leave the module with the weights of the last.

    Args:
        fabric: launched.
        course: what is trained.
        plan: how long.
        folder: keeps `last.safetensors`, and `best.safetensors` where something is measured.
        same: digest of all that decides the weights.

    Raises:
        OptionError: episodes cannot be shared among steps and devices, or a step does not fit into memory.
        StoreError: the folder holds another run, or a damaged one.
    """
    plan.check(fabric.world_size)
    optimiser = torch.optim.Adam(
        [{"params": list(group.parameters), "lr": group.rate, "first": group.rate} for group in course.groups],
        betas=plan.betas,
        fused=True,
    )
    module, stepper = fabric.setup(course.module, optimiser)
    last, best = (Checkpoint(folder / name, same) for name in (LAST, BEST))
    record = Record(**(last.read(course.module, optimiser) or {}))

    def keep() -> None:
        if fabric.is_global_zero:
            # First the best: a run that is killed in between comes to it again.
            if course.measure is not None and record.best == record.epoch:
                best.write(course.module, optimiser, asdict(record))
            last.write(course.module, optimiser, asdict(record))
        fabric.barrier()

    with _memory(fabric.device, course.advice):
        if course.measure is not None and not record.scores:
            record.scores.append(course.measure())
            keep()
        total = plan.epochs * plan.episodes
        with progress("training", total, "episodes", record.epoch * plan.episodes) as advance:
            while record.epoch < plan.epochs:
                if plan.fresh_optimiser:
                    optimiser.state.clear()
                for group in optimiser.param_groups:
                    group["lr"] = group["first"] * course.factor(record.epoch)
                sums = _epoch(fabric, course, (module, stepper), plan, record.epoch, advance)
                record.epoch += 1
                record.terms.append(_means(fabric, sums, plan.episodes // fabric.world_size))
                if course.measure is not None:
                    record.scores.append(course.measure())
                keep()
    return record


def _epoch(
    fabric: Fabric, course: Course, set_up: tuple[Any, Any], plan: Plan, epoch: int, advance: Advance
) -> dict[str, Tensor]:
    """Run this device's share of an epoch; returns the sums of its terms."""
    module, stepper = set_up
    share = plan.accumulate // fabric.world_size
    sums: dict[str, Tensor] = {}
    note = ""
    # Within a step, the episodes go round the devices.
    mine = range(fabric.global_rank, plan.episodes, fabric.world_size)
    for done, batch in enumerate(_prepared(course, epoch, mine), start=1):
        ends = done % share == 0
        with fabric.no_backward_sync(module, enabled=fabric.world_size > 1 and not ends):
            terms: dict[str, Tensor] = module(*(part.to(fabric.device, non_blocking=True) for part in batch))
            fabric.backward(terms[LOSS] / share)
        if ends:
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        sums = {name: sums.get(name, 0.0) + value.detach() for name, value in terms.items()}
        if done % _TELL == 1:
            note = " ".join(f"{name} {float(value) / done:.3g}" for name, value in sums.items())
        advance(fabric.world_size, note)
    return sums


def _prepared(course: Course, epoch: int, episodes: Sequence[int]) -> Iterator[Batch]:
    """Yield the episodes in order, a few prepared ahead in a thread."""
    pool = ThreadPoolExecutor(1, "prepare")
    running: deque[Future[Batch]] = deque()
    try:
        for episode in episodes:
            running.append(pool.submit(course.prepare, epoch, episode))
            if len(running) > _AHEAD:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _means(fabric: Fabric, sums: Mapping[str, Tensor], count: int) -> dict[str, float]:
    """Return the mean of each term over the episodes of all devices."""
    mean = torch.stack([value.float() for value in sums.values()]) / count
    if fabric.world_size > 1:
        gathered = fabric.all_reduce(mean, reduce_op="mean")
        assert isinstance(gathered, Tensor)
        mean = gathered
    return dict(zip(sums, mean.tolist(), strict=True))


@contextmanager
def _memory(device: torch.device, advice: str) -> Iterator[None]:
    """Say what to set when a step does not fit into memory.

    Raises:
        OptionError: it does not.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _NO_MEMORY):
            raise OptionError(f"a step does not fit into the memory of {device}: {advice}") from error
        raise
