"""From cells to tables: mean and deviation a method, paired comparisons of methods, and both as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

from zeroscene.evaluation.compare import paired_bootstrap, statistic
from zeroscene.evaluation.results import CellResult, Comparison, SummaryRow, rounded

_FIGURES = ("t1", "overall", "S", "U", "H", "AUSUC", "uncalibrated_H")
_COMPARED: tuple[Literal["t1", "H"], ...] = ("t1", "H")


def figure(cell: CellResult, name: str) -> float:
    """Return one of the figures `t1`, `overall`, `S`, `U`, `H`, `AUSUC`, `uncalibrated_H` of a cell."""
    if name == "uncalibrated_H":
        return cell.gzsl.uncalibrated.H
    value: float = getattr(cell.zsl if name in ("t1", "overall") else cell.gzsl, name)
    return value


def summarise(cells: Iterable[CellResult]) -> tuple[SummaryRow, ...]:
    """Return a row for each method, encoder and table, over its splits and seeds, in order of first appearance."""
    groups: dict[tuple[str, str, str], list[CellResult]] = {}
    for cell in cells:
        groups.setdefault((cell.label, cell.encoder.label, cell.table.label), []).append(cell)
    return tuple(
        SummaryRow(
            label=label,
            method=group[0].method,
            encoder=encoder,
            table=table,
            selection=group[0].selection,
            **{name: statistic([figure(cell, name) for cell in group]) for name in _FIGURES},
            exemplars=tuple(sorted({name for cell in group for name in cell.table.exemplars})),
        )
        for (label, encoder, table), group in groups.items()
    )


def compare(cells: Iterable[CellResult]) -> tuple[Comparison, ...]:
    """Return each pair of methods on the same encoder and table: T1 and H, paired by split, seeds averaged first.

    The method with the higher mean stands first. Splits that only one of the two has are left out.
    """
    places: dict[tuple[str, str], dict[str, list[CellResult]]] = {}
    for cell in cells:
        methods = places.setdefault((cell.encoder.label, cell.table.label), {})
        methods.setdefault(cell.label, []).append(cell)
    found = []
    for (encoder, table), methods in places.items():
        for metric in _COMPARED:
            by_split = {label: _by_split(group, metric) for label, group in methods.items()}
            for one, other in combinations(by_split, 2):
                shared = [name for name in by_split[one] if name in by_split[other]]
                if not shared:
                    continue
                a, b = ([by_split[label][name] for name in shared] for label in (one, other))
                first, second = (one, other) if np.mean(a) >= np.mean(b) else (other, one)
                pair = paired_bootstrap(a, b) if first == one else paired_bootstrap(b, a)
                found.append(
                    Comparison(
                        metric=metric,
                        encoder=encoder,
                        table=table,
                        first=first,
                        second=second,
                        difference=rounded(pair.difference),
                        low=rounded(pair.low),
                        high=rounded(pair.high),
                        not_better=rounded(pair.not_better),
                        count=pair.count,
                    )
                )
    return tuple(found)


def _by_split(cells: Sequence[CellResult], metric: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for cell in cells:
        values.setdefault(cell.split.name, []).append(figure(cell, metric))
    return {name: float(np.mean(of_seeds)) for name, of_seeds in values.items()}


def cells_csv(cells: Iterable[CellResult]) -> str:
    """Return a row a cell."""
    header = (
        "method",
        "label",
        "encoder",
        "table",
        "split",
        "seed",
        "selection",
        *_FIGURES,
        "gamma",
        "options",
        "exemplars",
    )
    rows = (
        (
            cell.method, cell.label, cell.encoder.label, cell.table.label, cell.split.name, cell.seed, cell.selection,
            *(figure(cell, name) for name in _FIGURES), cell.gzsl.gamma, json.dumps(cell.options, sort_keys=True),
            "|".join(cell.table.exemplars),
        )
        for cell in cells
    )  # fmt: skip
    return _csv(header, rows)


def summary_csv(summary: Iterable[SummaryRow]) -> str:
    """Return a row for each method, encoder and table: mean and deviation of each figure."""
    header = ["method", "label", "encoder", "table", "selection", "cells"]
    header += [*(f"{name}_{part}" for name in _FIGURES for part in ("mean", "deviation")), "exemplars"]
    rows = (
        (
            row.method, row.label, row.encoder, row.table, row.selection, row.t1.count,
            *(getattr(getattr(row, name), part) for name in _FIGURES for part in ("mean", "deviation")),
            "|".join(row.exemplars),
        )
        for row in summary
    )  # fmt: skip
    return _csv(header, rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)
    return text.getvalue()
