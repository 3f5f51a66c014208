"""What the report says of probabilities and the reject option: calibration, strangers, coverage against precision."""

from typing import Final

from markupsafe import Markup

from zeroscene.evaluation.confidence_figures import Answers
from zeroscene.evaluation.report_data import Group, Series
from zeroscene.evaluation.report_figures import percent
from zeroscene.evaluation.report_scatter import Dot, Panel, scatter
from zeroscene.evaluation.results import CellResult

SETTINGS: Final = (("answers", "Zero-shot"), ("generalised_answers", "Generalised"))


def confident(group: Group) -> tuple[Series, ...]:
    """Return the series of a group that have figures of confidence."""
    return tuple(series for series in group.series if series.row.confidence is not None)


def wanted(group: Group) -> float:
    """Return the precision that the reject option was asked for."""
    return _answers(confident(group)[0].cells[0], "answers").wanted


def silent(series: Series, setting: str) -> int:
    """Return the cells in which nothing was answered, since the precision could not be promised."""
    return sum(_answers(cell, setting).precision is None for cell in series.cells)


def answered(group: Group) -> Markup | None:
    """Draw coverage against the precision got, a dot a split; None where nothing was answered."""
    panels = []
    for setting, title in SETTINGS:
        dots = tuple(
            Dot(series, found.coverage, found.precision, _said(series, cell, found))
            for series in confident(group)
            for cell in series.cells
            if (found := _answers(cell, setting)).precision is not None
        )
        if dots:
            panels.append(Panel(title, "pictures answered (%)", "right among them (%)", dots, wanted(group)))
    return scatter(panels, "Coverage and precision of the reject option on every split, percent") if panels else None


def _said(series: Series, cell: CellResult, found: Answers) -> str:
    right = percent(found.precision or 0.0)
    return f"{series.key}, split {cell.split.name}: {percent(found.coverage)} % answered, {right} % of them right"


def _answers(cell: CellResult, setting: str) -> Answers:
    assert cell.confidence is not None
    found: Answers = getattr(cell.confidence, setting)
    return found
