"""The report of a benchmark: one self-contained HTML file, figures and pictures inside it, nothing fetched."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zeroscene import names
from zeroscene.evaluation import report_confidence as confidence
from zeroscene.evaluation import report_figures as figures
from zeroscene.evaluation import report_overlap as overlap
from zeroscene.evaluation import report_transductive as transductive
from zeroscene.evaluation.report_data import Group, groups
from zeroscene.evaluation.report_pictures import examples
from zeroscene.evaluation.results import BenchmarkResult, CellResult, Choice
from zeroscene.explain.card import signed
from zeroscene.files import write_text
from zeroscene.methods.fusion import in_words

_SHOWN_CLASSES = 80


def write_report(results: Sequence[BenchmarkResult], file: Path, pictures: Sequence[Path] = ()) -> None:
    """Write the report of one or more benchmark results as one HTML file.

    Several results (such as an honest one and its test-oracle counterpart) stand in the same tables; figures of
    `test-oracle` selection are marked with the word and another colour and never ranked.

    Args:
        results: what `BenchmarkResult.read` gives.
        file: where the page is written.
        pictures: folders in which the picture ids are looked up, for thumbnails; none leaves the examples in words.

    Raises:
        OptionError: there is nothing to report, or two results hold the same row.
        StoreError: the file cannot be written.
    """
    write_text(file, render(results, pictures))


def render(results: Sequence[BenchmarkResult], pictures: Sequence[Path] = ()) -> str:
    """Return the page; arguments and errors as in `write_report`."""
    environment = Environment(
        loader=PackageLoader("zeroscene.evaluation", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["percent"] = figures.percent
    environment.filters["signed"] = _signed
    environment.filters |= {"words": names.words, "difference": signed}
    found = groups(results)
    page = environment.get_template("report.html").render(
        title=" and ".join(dict.fromkeys(r.name for r in results)),
        groups=found,
        single=len(found) == 1,
        figures=figures,
        transductive=transductive,
        confidence=confidence,
        overlap=overlap,
        refined=any(transductive.refined(group) for group in found),
        audited=any(overlap.audited(group) for group in found),
        confident=any(confidence.confident(group) for group in found),
        results=results,
        oracle=any(s.oracle for g in found for s in g.series),
        exemplars={g.table: g.exemplars for g in found if g.exemplars},
        only_oracle=all(s.oracle for g in found for s in g.series),
        failures=[f for r in results for f in r.failures],
        winners=_winners(found),
        facts=_facts(found),
        encoders=_distinct((c.encoder for c in _cells(found)), "fingerprint"),
        tables=_distinct((c.table for c in _cells(found)), "fingerprint"),
        splits=_distinct((c.split for c in _cells(found)), "fingerprint"),
        methods=_distinct(_cells(found), "method"),
        notes=list(dict.fromkeys(c.choice.note for c in _cells(found) if c.choice.note)),
        evidence=_evidence,
        options=_options,
        examples=lambda series: examples(series, pictures),
        shown_classes=_SHOWN_CLASSES,
    )
    return page.rstrip() + "\n"


def _cells(found: Sequence[Group]) -> Iterator[CellResult]:
    return (cell for group in found for series in group.series for cell in series.cells)


def _distinct(values: Iterator[Any], by: str) -> list[Any]:
    return list({getattr(value, by): value for value in values}.values())


def _winners(found: Sequence[Group]) -> list[dict[str, Any]]:
    """Return the highest T1 and H among honest figures made without exemplars, with where they were reached."""
    ranked = [(group, series) for group in found if not group.exemplars for series in group.honest]
    if not ranked:
        return []
    cards = []
    for metric, title in (("t1", "Best T1, zero-shot"), ("H", "Best H, generalised")):
        group, series = max(ranked, key=lambda pair: getattr(pair[1].row, metric).mean)
        cards.append({"title": title, "value": getattr(series.row, metric), "series": series, "group": group})
    return cards


def _facts(found: Sequence[Group]) -> dict[str, Any]:
    cells = list(_cells(found))
    first = cells[0]
    return {
        "first": first,
        "datasets": sorted({c.split.dataset for c in cells}),
        "methods": len({c.label for c in cells}),
        "splits": len({c.split.fingerprint for c in cells}),
        "seeds": len({c.seed for c in cells}),
        "cells": len(cells),
        "seen": len(first.split.seen),
        "unseen": len(first.split.unseen),
        "selections": sorted({c.selection for c in cells}),
        "chance": 1 / len(first.split.unseen),
    }


def _signed(value: float) -> str:
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\N{MINUS SIGN}")


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(in_words(options)) or "defaults"


def _evidence(choice: Choice) -> str:
    """Return how good the chosen options looked where they were chosen, and how many were tried."""
    chosen = [c for c in choice.candidates if c.options == choice.options]
    if not chosen or len(choice.options.get("members", ())) > 1:
        return "nothing to choose" if not choice.note else choice.note
    where = "test pictures" if choice.selection == "test-oracle" else f"{len(choice.folds)} folds of seen classes"
    return f"T1 {figures.percent(chosen[0].t1)} on {where}, best of {len(choice.candidates)}"
