"""What the report says of figures without the test pictures that overlap something else."""

from collections import Counter
from typing import Final

from zeroscene.evaluation.report_data import Group, Series

METRICS: Final = (("t1", "T1, zero-shot"), ("H", "H, generalised"))


def audited(group: Group) -> tuple[Series, ...]:
    """Return the series of a group that have figures without the overlap."""
    return tuple(series for series in group.series if series.row.without_overlap is not None)


def removed(group: Group) -> list[tuple[str, int, int]]:
    """Return each class that lost test pictures, most first: pictures over all runs of a method, and in how many."""
    pictures: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    for cell in audited(group)[0].cells:
        if cell.without_overlap is not None:
            pictures.update(cell.without_overlap.removed)
            runs.update(cell.without_overlap.removed.keys())
    return [(name, count, runs[name]) for name, count in sorted(pictures.items(), key=lambda item: (-item[1], item[0]))]


def lost(group: Group) -> dict[str, tuple[str, ...]]:
    """Return the splits in which a class lost all its test pictures, and these classes."""
    found = {}
    for cell in audited(group)[0].cells:
        if cell.without_overlap is not None and cell.without_overlap.lost:
            found[cell.split.name] = cell.without_overlap.lost
    return found
