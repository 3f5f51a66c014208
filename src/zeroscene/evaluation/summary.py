"""From cells to tables: mean and deviation a method, paired comparisons of methods, and both as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import combinations
from operator import attrgetter
from typing import Any, Final, Literal

import numpy as np

from zeroscene.evaluation.compare import paired_bootstrap, statistic
from zeroscene.evaluation.results import CellResult, rounded
from zeroscene.evaluation.summary_records import (
    Change,
    Comparison,
    Statistic,
    SummaryRow,
    TransductiveSummary,
    WithoutOverlapSummary,
)
from zeroscene.evaluation.transductive import NOISE

CONFIDENCE: Final = {
    "ece": "ece",
    "ece_seen": "ece_seen",
    "ece_unseen": "ece_unseen",
    "auroc": "auroc",
    "auroc_contrast": "auroc_contrast",
    "coverage": "answers.coverage",
    "precision": "answers.precision",
    "generalised_coverage": "generalised_answers.coverage",
    "generalised_precision": "generalised_answers.precision",
}
"""Figures of `ConfidenceResult` that are summarised, and where they stand in it."""

_FIGURES = ("t1", "overall", "S", "U", "H", "AUSUC", "uncalibrated_H")
_TRANSDUCTIVE_FIGURES = ("t1", "overall", "S", "U", "H")
_WITHOUT_OVERLAP = ("t1", "S", "U", "H")
_AUDITED = ("t1", "with_t1", "H", "with_H")
_CHANGE = ("difference", "worst", "worse")
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
            **_figures(group),
            exemplars=tuple(sorted({name for cell in group for name in cell.table.exemplars})),
            transductive=_transductive(group),
            confidence=_confidence(group),
            without_overlap=_without_overlap(group),
        )
        for (label, encoder, table), group in groups.items()
    )


def _figures(group: Sequence[CellResult]) -> dict[str, Any]:
    return {name: statistic([figure(cell, name) for cell in group]) for name in _FIGURES}


def _transductive(group: Sequence[CellResult]) -> TransductiveSummary | None:
    refined = [cell.transductive for cell in group if cell.transductive is not None]
    if len(refined) < len(group):
        return None
    statistics: dict[str, Any] = {
        name: statistic([getattr(one, name) for one in refined]) for name in _TRANSDUCTIVE_FIGURES
    }
    return TransductiveSummary(
        **statistics,
        t1_change=_change(group, "t1"),
        H_change=_change(group, "H"),
        warned=sum(bool(one.warnings) for one in refined),
    )


def _confidence(group: Sequence[CellResult]) -> dict[str, Statistic] | None:
    if any(cell.confidence is None for cell in group):
        return None
    by_name = {name: [confidence_figure(cell, name) for cell in group] for name in CONFIDENCE}
    known = {name: [value for value in values if value is not None] for name, values in by_name.items()}
    return {name: statistic(values) for name, values in known.items() if values}


def _without_overlap(group: Sequence[CellResult]) -> WithoutOverlapSummary | None:
    left = [(cell, cell.without_overlap) for cell in group if cell.without_overlap is not None]
    t1 = [(figure(cell, "t1"), one.t1) for cell, one in left if one.t1 is not None]
    H = [(figure(cell, "H"), one.H) for cell, one in left if one.H is not None]
    if len(left) < len(group) or not t1 or not H:
        return None
    return WithoutOverlapSummary(
        t1=statistic([without for _, without in t1]),
        H=statistic([without for _, without in H]),
        with_t1=statistic([all_ for all_, _ in t1]),
        with_H=statistic([all_ for all_, _ in H]),
        removed=rounded(float(np.mean([sum(one.removed.values()) for _, one in left]))),
    )


def confidence_figure(cell: CellResult, name: str) -> float | None:
    """Return one of the figures `CONFIDENCE` of a cell; None where it has none."""
    value: float | None = None if cell.confidence is None else attrgetter(CONFIDENCE[name])(cell.confidence)
    return value


def _change(group: Sequence[CellResult], metric: str) -> Change:
    changes = [transductive_change(cell, metric) for cell in group]
    by_split = _by_split(group, partial(transductive_change, metric=metric))
    pair = paired_bootstrap(list(by_split.values()), [0.0] * len(by_split))
    return Change(
        difference=rounded(pair.difference),
        low=rounded(pair.low),
        high=rounded(pair.high),
        worst=rounded(min(changes)),
        worse=sum(change < -NOISE for change in changes),
        count=len(changes),
    )


def transductive_change(cell: CellResult, metric: str) -> float:
    """Return transductive less inductive `t1` or `H` of a cell that has both."""
    assert cell.transductive is not None
    after: float = getattr(cell.transductive, metric)
    return rounded(after - figure(cell, metric))


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
            by_split = {label: _by_split(group, partial(figure, name=metric)) for label, group in methods.items()}
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


def _by_split(cells: Sequence[CellResult], measured: Callable[[CellResult], float]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for cell in cells:
        values.setdefault(cell.split.name, []).append(measured(cell))
    return {name: float(np.mean(of_seeds)) for name, of_seeds in values.items()}


def cells_csv(cells: Iterable[CellResult]) -> str:
    """Return a row a cell; what only some benchmarks measure follows in columns of its own."""
    given = list(cells)
    refined = any(cell.transductive is not None for cell in given)
    confident = any(cell.confidence is not None for cell in given)
    audited = any(cell.without_overlap is not None for cell in given)
    header = [
        *("method", "label", "encoder", "table", "split", "seed", "selection", *_FIGURES, "gamma", "options"),
        *("exemplars", *(f"transductive_{name}" for name in _TRANSDUCTIVE_FIGURES if refined)),
        *(f"confidence_{name}" for name in CONFIDENCE if confident),
        *(f"without_overlap_{name}" for name in (*_WITHOUT_OVERLAP, "removed", "lost") if audited),
    ]
    rows = (
        (
            cell.method, cell.label, cell.encoder.label, cell.table.label, cell.split.name, cell.seed, cell.selection,
            *(figure(cell, name) for name in _FIGURES), cell.gzsl.gamma, json.dumps(cell.options, sort_keys=True),
            "|".join(cell.table.exemplars),
            *(getattr(cell.transductive, name, "") for name in _TRANSDUCTIVE_FIGURES if refined),
            *(confidence_figure(cell, name) for name in CONFIDENCE if confident),
            *(_without_overlap_values(cell) if audited else ()),
        )
        for cell in given
    )  # fmt: skip
    return _csv(header, rows)


def _without_overlap_values(cell: CellResult) -> list[float | str | None]:
    found = cell.without_overlap
    if found is None:
        return [""] * (len(_WITHOUT_OVERLAP) + 2)
    return [
        *(getattr(found, name) for name in _WITHOUT_OVERLAP),
        sum(found.removed.values()),
        "|".join(found.lost),
    ]


def summary_csv(summary: Iterable[SummaryRow]) -> str:
    """Return a row for each method, encoder and table: mean and deviation of each figure.

    What only some benchmarks measure follows in columns of its own: `transductive_...` with what refining changed, then
    `confidence_...`, then `without_overlap_...` with the same cells on all their pictures beside it.
    """
    given = list(summary)
    refined = any(row.transductive is not None for row in given)
    confident = any(row.confidence is not None for row in given)
    audited = any(row.without_overlap is not None for row in given)
    header = ["method", "label", "encoder", "table", "selection", "cells", *_columns("", _FIGURES), "exemplars"]
    if refined:
        header += _columns("transductive_", _TRANSDUCTIVE_FIGURES)
        header += [f"transductive_{metric}_{part}" for metric in _COMPARED for part in _CHANGE]
    if confident:
        header += _columns("confidence_", tuple(CONFIDENCE))
    if audited:
        header += [*_columns("without_overlap_", _AUDITED), "without_overlap_removed"]
    rows = (
        (
            row.method, row.label, row.encoder, row.table, row.selection, row.t1.count,
            *_mean_and_deviation(row, _FIGURES), "|".join(row.exemplars),
            *(_transductive_values(row.transductive) if refined else ()),
            *(_confidence_values(row.confidence or {}) if confident else ()),
            *(_audited_values(row.without_overlap) if audited else ()),
        )
        for row in given
    )  # fmt: skip
    return _csv(header, rows)


def _confidence_values(found: Mapping[str, Statistic]) -> list[float | str]:
    return [getattr(found.get(name), part, "") for name in CONFIDENCE for part in ("mean", "deviation")]


def _audited_values(found: WithoutOverlapSummary | None) -> list[float | str]:
    if found is None:
        return [""] * (2 * len(_AUDITED) + 1)
    return [
        *(getattr(getattr(found, name), part) for name in _AUDITED for part in ("mean", "deviation")),
        found.removed,
    ]


def _columns(prefix: str, figures: Sequence[str]) -> list[str]:
    return [f"{prefix}{name}_{part}" for name in figures for part in ("mean", "deviation")]


def _mean_and_deviation(record: SummaryRow | TransductiveSummary, figures: Sequence[str]) -> list[float]:
    return [getattr(getattr(record, name), part) for name in figures for part in ("mean", "deviation")]


def _transductive_values(summary: TransductiveSummary | None) -> list[float | str]:
    if summary is None:
        return [""] * (2 * len(_TRANSDUCTIVE_FIGURES) + len(_COMPARED) * len(_CHANGE))
    changes = (getattr(summary, f"{metric}_change") for metric in _COMPARED)
    return [
        *_mean_and_deviation(summary, _TRANSDUCTIVE_FIGURES),
        *(getattr(change, part) for change in changes for part in _CHANGE),
    ]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(header)
    out.writerows(rows)
    return text.getvalue()
