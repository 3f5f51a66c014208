"""One progress bar for everything long: rate and time left; silent when the error stream is not a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a progress bar."""

    def __call__(self, count: int, note: str = "", /) -> None:
        """Advance by a number of units; a note, such as the present losses, is shown at the end of the bar."""
        ...


@contextmanager
def progress(title: str, total: int, unit: str = "pictures", done: int = 0) -> Iterator[Advance]:
    """Yield a function that advances the bar by a number of `unit`.

    Args:
        title: what is being done.
        total: the number of units in all.
        unit: name of the unit, for the rate.
        done: units that an earlier, interrupted run has finished; they do not count towards the rate.
    """
    if not sys.stderr.isatty():
        yield lambda _count, _note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: RichTask) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else f"- {unit}/s", style="dim")

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False), console=Console(stderr=True),
    )  # fmt: skip
    with bar:
        task = bar.add_task(title, total=total, completed=done, note="")
        yield lambda count, note="": bar.update(task, advance=count, note=note)
