"""What the benchmark scripts share: where results stand, and how a summary becomes a table of a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscene.evaluation.report import write_report
from zeroscene.evaluation.results import BenchmarkResult, Statistic
from zeroscene.files import write_text
from zeroscene.methods.registry import method_class

RESULTS = Path(__file__).parent.parent / "docs" / "results"
FIGURES = ("t1", "S", "U", "H", "AUSUC", "uncalibrated_H")


def percent(value: Statistic) -> str:
    return f"{100 * value.mean:.1f} ± {100 * value.deviation:.1f}"


def markdown(result: BenchmarkResult, titles: Mapping[str, str]) -> str:
    """Return the summary as a Markdown table, best mean of each column and table in bold."""
    lines = [
        "| class vectors | method | ZSL T1 | S | U | H | AUSUC | H uncalibrated |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for table in dict.fromkeys(row.table for row in result.summary):
        rows = [row for row in result.summary if row.table == table]
        best = {name: max(getattr(row, name).mean for row in rows) for name in FIGURES}
        for row in rows:
            cells = []
            for name in FIGURES:
                value = getattr(row, name)
                cells.append(f"**{percent(value)}**" if value.mean == best[name] else percent(value))
            lines.append(f"| {titles[table]} | {method_class(row.method).title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


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
    write_text(results / f"{name}.md", markdown(result, titles))
    write_text(results / f"{name}.csv", (folder / "summary.csv").read_text())
    write_text(results / f"{name}_cells.csv", (folder / "results.csv").read_text())
    print(markdown(result, titles))
