"""What the benchmark scripts share: where results stand, and how cells become the tables of a page.

A run of some methods replaces their cells among the recorded ones and leaves those of other methods as they are.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscene.evaluation.compare import paired_bootstrap, statistic
from zeroscene.evaluation.report import write_report
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.evaluation.summary_records import Statistic
from zeroscene.evaluation.transductive import NOISE
from zeroscene.files import write_text
from zeroscene.methods.registry import method_class, method_names

RESULTS = Path(__file__).parent.parent / "docs" / "results"
FIGURES = ("t1", "S", "U", "H", "AUSUC", "uncalibrated_H")

COMPARED = "dsva"
"""The method that each other is compared with in pairs."""

Row = dict[str, str]


def percent(value: Statistic) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.deviation:.1f}"


def merged(new: Sequence[Row], recorded: Sequence[Row]) -> list[Row]:
    """Return the cells of a run and, of methods and tables that it does not have, the recorded ones."""
    run = {_group(row) for row in new}
    order = {name: i for i, name in enumerate(method_names())}
    tables = list(dict.fromkeys(row["table"] for row in (*recorded, *new)))
    rows = [*new, *(row for row in recorded if _group(row) not in run)]
    return sorted(rows, key=lambda row: (tables.index(row["table"]), order.get(row["method"], len(order))))


def _group(row: Row) -> tuple[str, str, str]:
    return row["label"], row["encoder"], row["table"]


def summary(cells: Sequence[Row]) -> dict[tuple[str, str, str], tuple[Row, dict[str, Statistic]]]:
    """Return a cell and the statistics of each method, encoder and table."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in cells:
        groups.setdefault(_group(row), []).append(row)
    return {
        group: (rows[0], {name: statistic([float(row[name]) for row in rows]) for name in FIGURES})
        for group, rows in groups.items()
    }


def markdown(cells: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Return the summary of cells as a Markdown table, best mean of each column and table in bold."""
    lines = [
        "| class vectors | method | ZSL T1 | S | U | H | AUSUC | H uncalibrated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = summary(cells)
    for table in dict.fromkeys(row["table"] for row in cells):
        rows = [(row, figures) for row, figures in found.values() if row["table"] == table]
        best = {name: max(figures[name].mean for _, figures in rows) for name in FIGURES}
        for row, figures in rows:
            shown = [
                f"**{percent(value)}**" if value.mean == best[name] else percent(value)
                for name, value in figures.items()
            ]
            lines.append(f"| {titles[table]} | {_title(row)} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def pairs(cells: Sequence[Row], first: str, titles: Mapping[str, str]) -> str:
    """Return the differences between one method and each other, paired by split, as a Markdown table.

    Each is the mean difference in points with its 95 % bootstrap interval.
    """
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in cells:
        found.setdefault((row["table"], row["label"]), {})[row["split"]] = row
    lines = ["| class vectors | against | ZSL T1 | H | AUSUC |", "|---|---|---|---|---|"]
    for (table, label), own in found.items():
        if label == first or (table, first) not in found:
            continue
        theirs = found[table, first]
        shared = [split for split in theirs if split in own]
        shown = []
        for name in ("t1", "H", "AUSUC"):
            pair = paired_bootstrap(*([float(side[split][name]) for split in shared] for side in (theirs, own)))
            shown.append(f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f})")
        lines.append(f"| {titles[table]} | {_title(next(iter(own.values())))} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def transductive(cells: Sequence[Row]) -> str:
    """Return inductive and transductive figures side by side, and what refining changed, as a Markdown table.

    A change is a mean with its 95 % interval, paired by split; a split is worse where it lost more than `NOISE`.
    """
    lines = [
        "| method | figure | inductive | transductive | change | worst change | splits worse |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[Row]] = {}
    for row in cells:
        groups.setdefault(row["label"], []).append(row)
    for metric, title in (("t1", "T1"), ("H", "H")):
        for rows in groups.values():
            before, after = ([float(row[name]) for row in rows] for name in (metric, f"transductive_{metric}"))
            pair = paired_bootstrap(after, before)
            changes = [b - a for a, b in zip(before, after, strict=True)]
            worse = sum(change < -NOISE for change in changes)
            lines.append(
                f"| {_title(rows[0])} | {title} | {percent(statistic(before))} | {percent(statistic(after))} | "
                f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f}) | "
                f"{100 * min(changes):+.1f} | {worse} of {len(rows)} |"
            )
    return "\n".join(lines) + "\n"


def _title(row: Row) -> str:
    title = method_class(row["method"]).title
    return title if row["label"] == row["method"] else f"{title}, {row['label']}"


def read_cells(path: Path) -> list[Row]:
    """Return recorded cells; none where nothing was recorded."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV; a column that a row does not have stays empty."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    lines.writeheader()
    lines.writerows(rows)
    write_text(path, text.getvalue())


def record(
    result: BenchmarkResult,
    folder: Path,
    name: str,
    titles: Mapping[str, str],
    pictures: Sequence[Path],
    results: Path = RESULTS,
) -> None:
    """Write the report into the folder of a run, and its table and cells to the results that pages show.

    Args:
        result: of the run.
        folder: of the run.
        name: of the files among the results.
        titles: how class tables are called.
        pictures: folders of the pictures, for the report.
        results: folder of the results.
    """
    write_report([result], folder / "report.html", list(pictures))
    file = results / f"{name}_cells.csv"
    cells = merged(read_cells(folder / "results.csv"), read_cells(file))
    write_rows(file, cells)
    write_text(results / f"{name}.md", markdown(cells, titles))
    if any(row["label"] == COMPARED for row in cells):
        write_text(results / f"{name}_pairs.md", pairs(cells, COMPARED, titles))
    write_rows(results / f"{name}.csv", [_summary_row(row, figures) for row, figures in summary(cells).values()])
    print(markdown(cells, titles))


def record_transductive(
    result: BenchmarkResult,
    folder: Path,
    name: str,
    titles: Mapping[str, str],
    pictures: Sequence[Path],
    results: Path = RESULTS,
) -> None:
    """Write the report, the cells and the table of inductive and transductive figures; arguments as in `record`."""
    write_report([result], folder / "report.html", list(pictures))
    file = results / f"{name}_cells.csv"
    cells = merged(read_cells(folder / "results.csv"), read_cells(file))
    write_rows(file, cells)
    text = transductive(cells)
    write_text(results / f"{name}.md", text)
    print(text)


def _summary_row(row: Row, figures: Mapping[str, Statistic]) -> Row:
    kept = {column: row[column] for column in ("method", "label", "encoder", "table", "selection")}
    numbers = {
        f"{name}_{part}": str(getattr(value, part)) for name, value in figures.items() for part in ("mean", "deviation")
    }
    return kept | {"cells": str(next(iter(figures.values())).count)} | numbers
