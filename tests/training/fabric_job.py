"""A small run of the loop, also as a process that tests kill: `fabric_job.py FOLDER [DEVICES [EPOCHS]]`."""

import sys
from pathlib import Path

import torch
from torch import nn

from zeroscene.training.fabric import Course, Group, Plan, Record, make_fabric, train

EPOCHS, EPISODES = 4, 8


class Student(nn.Module):
    """A network with a frozen part, a part of its own rate, and dropout that its caller switched off."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(6, 8).requires_grad_(False)
        self.trunk, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.unused = nn.Parameter(torch.ones(2))
        self.drop = nn.Dropout(0.5)
        self.eval()

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.head(self.drop(torch.tanh(self.trunk(self.frozen(x)))))
        fit, small = nn.functional.cross_entropy(logits, y), logits.square().mean()
        return {"loss": fit + 0.1 * small, "fit": fit, "small": small}


def episode(epoch: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(100 * epoch + number)
    x = torch.randn(10, 6, generator=generator)
    return x, x[:, :3].argmax(1)


@torch.no_grad()
def accuracy(student: Student) -> float:
    x, y = episode(1000, 0)
    logits = student.head(torch.tanh(student.trunk(student.frozen(x))))
    return float((logits.argmax(1) == y).float().mean())


def course(student: Student, measured: bool = True, rate: float = 1e-2) -> Course:
    groups = [
        Group((*student.trunk.parameters(), student.unused), rate),
        Group(tuple(student.head.parameters()), 2 * rate),
    ]
    return Course(student, groups, episode, lambda epoch: 0.9**epoch, (lambda: accuracy(student)) if measured else None)


def run(
    folder: Path, devices: int = 1, epochs: int = EPOCHS, *, student: Student | None = None, measured: bool = True,
    accumulate: int = 2, fresh: bool = False, same: str = "same",
) -> tuple[Student, Record]:  # fmt: skip
    fabric = make_fabric(devices, accelerator="cpu")
    fabric.launch()
    student = student or Student()
    plan = Plan(epochs, EPISODES, accumulate, fresh)
    return student, train(fabric, course(student, measured), plan, folder, same)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:]))
