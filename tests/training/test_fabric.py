"""The loop: the same bytes killed or not, the same episodes on any number of devices, the best epoch kept."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import fabric_job
import pytest
import torch
from fabric_job import Student, course, run
from safetensors.torch import load_file

from zeroscene.errors import OptionError, StoreError
from zeroscene.training.fabric import BEST, LAST, Course, Group, Plan, Record, make_fabric, train

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(folder: Path, *numbers: int) -> list[str]:
    return [sys.executable, fabric_job.__file__, str(folder), *map(str, numbers)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, Student, Record]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, *run(folder)


def test_training_lowers_the_loss_and_leaves_frozen_weights_alone(whole):
    _, student, record = whole
    assert record.epoch == len(record.terms) == fabric_job.EPOCHS
    assert record.terms[-1]["loss"] < record.terms[0]["loss"]
    assert list(record.terms[0]) == ["loss", "fit", "small"]
    begun = Student()
    assert torch.equal(student.frozen.weight, begun.frozen.weight)
    assert not torch.equal(student.trunk.weight, begun.trunk.weight)


def test_the_loop_is_plain_adam_on_the_mean_of_accumulated_episodes(tmp_path):
    student, _ = run(tmp_path, epochs=2)
    plain = Student()
    rates = [group.rate for group in course(plain).groups]
    optimiser = torch.optim.Adam(
        [{"params": [*plain.trunk.parameters()], "lr": rates[0]}, {"params": [*plain.head.parameters()]}],
        lr=rates[1],
        betas=(0.5, 0.999),
    )
    for epoch in range(2):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * 0.9**epoch
        for first in range(0, fabric_job.EPISODES, 2):
            losses = [plain(*fabric_job.episode(epoch, first + i))["loss"] for i in range(2)]
            optimiser.zero_grad()
            torch.stack(losses).mean().backward()
            optimiser.step()
    for one, other in zip(student.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_killed_process_goes_on_to_the_same_bytes(whole, tmp_path):
    process = subprocess.Popen(command(tmp_path), env=ENVIRONMENT)
    while not (tmp_path / LAST).is_file():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command(tmp_path), env=ENVIRONMENT, check=True)
    for file in (LAST, BEST):
        assert (tmp_path / file).read_bytes() == (whole[0] / file).read_bytes()


@pytest.mark.parametrize("stop", [(0, 3), (1, 0), (2, 7)])
def test_an_interruption_anywhere_costs_the_epoch_in_work_only(whole, tmp_path, monkeypatch, stop):
    asked = []

    def until(epoch: int, number: int):
        asked.append((epoch, number))
        if (epoch, number) == stop:
            raise KeyboardInterrupt
        return episode(epoch, number)

    episode = fabric_job.episode
    monkeypatch.setattr(fabric_job, "episode", until)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    monkeypatch.undo()
    student, record = run(tmp_path)
    assert record == whole[2]
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), whole[1].parameters(), strict=True))
    assert (tmp_path / LAST).read_bytes() == (whole[0] / LAST).read_bytes()


def quiet_port() -> int:
    """Return a free port below those that the system hands out, which another program could take meanwhile."""
    for port in range(21_000 + os.getpid() % 8_000, 32_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def test_two_devices_share_the_same_episodes(whole, tmp_path):
    """The processes of Fabric, started as it starts them; sums over devices round otherwise, so not the same bits."""
    subprocess.run(command(tmp_path, 2), env={**ENVIRONMENT, "MASTER_PORT": str(quiet_port())}, check=True, timeout=240)
    two, one = (load_file(folder / LAST) for folder in (tmp_path, whole[0]))
    assert two.keys() == one.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)


def test_the_best_epoch_is_kept_beside_the_last(tmp_path):
    """A rate far too high: every epoch is worse than no training."""
    student = Student()
    scores = iter([0.5, 0.7, 0.7, 0.2])
    measured = Course(**{**vars(course(student)), "measure": lambda: next(scores)})
    record = train(make_fabric(accelerator="cpu"), measured, Plan(3, fabric_job.EPISODES), tmp_path, "same")
    assert record.scores == [0.5, 0.7, 0.7, 0.2]
    assert record.best == 1
    again, _ = run(tmp_path / "one", epochs=1, accumulate=1)
    assert torch.equal(load_file(tmp_path / BEST)["weight.trunk.weight"], again.trunk.weight)
    assert torch.equal(load_file(tmp_path / LAST)["weight.trunk.weight"], student.trunk.weight)


def test_a_finished_run_is_only_read(whole):
    before = (whole[0] / LAST).stat().st_mtime_ns
    student, record = run(whole[0])
    assert record == whole[2]
    assert torch.equal(student.head.weight, whole[1].head.weight)
    assert (whole[0] / LAST).stat().st_mtime_ns == before


def test_without_measuring_there_is_no_best(tmp_path):
    _, record = run(tmp_path, epochs=1, measured=False)
    assert record.scores == []
    assert sorted(file.name for file in tmp_path.iterdir()) == [LAST]


def test_moments_can_begin_anew_every_epoch(tmp_path):
    first, second = (run(tmp_path / str(fresh), epochs=2, fresh=fresh)[0] for fresh in (False, True))
    assert not torch.equal(first.trunk.weight, second.trunk.weight)
    once, other = (run(tmp_path / f"{fresh}1", epochs=1, fresh=fresh)[0] for fresh in (False, True))
    assert torch.equal(once.trunk.weight, other.trunk.weight)


def test_bf16_trains_float32_weights(tmp_path):
    student = Student()
    plan = Plan(3, fabric_job.EPISODES)
    record = train(make_fabric(1, "bf16", "cpu"), course(student, measured=False), plan, tmp_path, "same")
    assert student.trunk.weight.dtype == torch.float32
    assert record.terms[-1]["loss"] < record.terms[0]["loss"]


def test_another_run_in_the_folder_is_refused(whole):
    with pytest.raises(StoreError, match="other pictures, options or weights; give another folder"):
        run(whole[0], same="other")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    run(tmp_path, epochs=1)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:99])
    with pytest.raises(StoreError, match=r"last\.safetensors is damaged; remove it"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(1, 8, 3), "8 episodes an epoch are not a whole number of steps of accumulate = 3"),
        (Plan(1, 5, 2), "5 episodes"),
    ],
)
def test_episodes_that_do_not_fit_into_steps_are_refused(tmp_path, plan, message):
    with pytest.raises(OptionError, match=message):
        train(make_fabric(accelerator="cpu"), course(Student()), plan, tmp_path, "same")


def test_more_gpus_than_there_are_is_refused():
    with pytest.raises(OptionError, match=r"there are \d+ GPUs here"):
        make_fabric(torch.cuda.device_count() + 1, accelerator="cuda")


class Glutton(torch.nn.Module):
    """Asks for more memory than any machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor, _y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * torch.empty(1 << 58)).sum()}


def test_a_step_that_does_not_fit_into_memory_says_what_to_set(tmp_path):
    module = Glutton()
    greedy = Course(module, [Group((module.weight,), 1e-3)], fabric_job.episode, advice="set shots lower")
    with pytest.raises(OptionError, match="a step does not fit into the memory of cpu: set shots lower"):
        train(make_fabric(accelerator="cpu"), greedy, Plan(1, 1), tmp_path, "same")
