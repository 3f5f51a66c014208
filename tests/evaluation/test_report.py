"""The report: one file that fetches nothing, says what the results say, and marks what is not honest."""

import base64
import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from small_world import save, scene
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import OptionError
from zeroscene.evaluation.confidence_figures import Answers, ConfidenceResult
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.report import render, write_report
from zeroscene.evaluation.report_confidence import confident as confidence_of
from zeroscene.evaluation.report_confidence import silent
from zeroscene.evaluation.report_data import Confusion, groups
from zeroscene.evaluation.report_overlap import removed
from zeroscene.evaluation.report_transductive import foresight
from zeroscene.evaluation.results import BenchmarkResult, CellResult, WithoutOverlap
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.evaluation.summary import CONFIDENCE, cells_csv, summarise, summary_csv
from zeroscene.scenes.splits import Split, random_splits
from zeroscene.semantics.table import ClassTable

HOSTILE = "sea <script>alert('x')</script> & co"
CLASSES = ("forest", HOSTILE, "desert", "river", "beach", "freeway", "lake", "tank")
METHODS = ("kernel", "eszsl")


def plan(selection: str, splits: list[Split]) -> BenchmarkPlan:
    """Return a small benchmark on vectors that follow their class's attributes, with noise."""
    rng = np.random.default_rng(0)
    phi = rng.uniform(size=(len(CLASSES), 12)).astype(np.float32)
    mix = rng.normal(size=(12, 20)).astype(np.float32)
    of = np.repeat(np.arange(len(CLASSES)), 8)
    x = phi[of] @ mix + rng.normal(0, 0.7, (len(of), 20)).astype(np.float32)
    labels = tuple(CLASSES[c] for c in of)
    ids = tuple(f"class{c}/picture{i}.png" for i, c in enumerate(of))
    pictures = Embeddings(ids, x.astype(np.float32), EncoderIdentity("eye", "w", "p", "o"), labels)
    table = ClassTable(CLASSES, phi, tuple(f"a{i}" for i in range(12)), "attributes", provenance={"source": "drawn"})
    return BenchmarkPlan(
        "A & B", {"eye": pictures}, {"drawn": table}, tuple(splits), tuple(MethodPlan(m) for m in METHODS),
        selection=selection,
    )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, BenchmarkResult]:
    splits = random_splits("drawn", CLASSES, 3, 3)
    return {
        selection: run_benchmark(plan(selection, splits), tmp_path_factory.mktemp(selection))
        for selection in ("honest", "test-oracle")
    }


@pytest.fixture(scope="module")
def page(results: dict[str, BenchmarkResult]) -> str:
    return render([results["honest"]])


class Reader(HTMLParser):
    """Checks that tags are balanced and collects what could be fetched."""

    VOID = ("meta", "img", "br", "link", "hr", "input", "path", "circle", "rect", "polyline")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def rows(page: str) -> list[str]:
    body = page[page.index('<table class="summary">') :]
    return re.findall(r"<tr.*?</tr>", body[body.index("<tbody>") : body.index("</tbody>")], re.S)


def test_fetches_nothing_and_runs_nothing(page: str) -> None:
    read = Reader(page)
    assert read.open == []
    assert not read.tags & {"script", "link", "iframe", "object", "embed"}
    assert all(source.startswith("data:image/jpeg;base64,") for source in read.sources)
    assert "url(" not in page
    assert "@import" not in page


def test_names_of_classes_stay_text(page: str) -> None:
    assert HOSTILE in " ".join(Reader(page).text)
    assert "<h1>A &amp; B</h1>" in page


def test_the_table_says_what_the_summary_says(page: str, results: dict[str, BenchmarkResult]) -> None:
    for row, text in zip(results["honest"].summary, rows(page), strict=True):
        figures = re.findall(r'>([\d.]+)<span class="dev"> ± ([\d.]+)', text)
        expected = [getattr(row, name) for name in ("t1", "S", "U", "H", "AUSUC", "uncalibrated_H")]
        assert figures == [(f"{100 * v.mean:.1f}", f"{100 * v.deviation:.1f}") for v in expected]


def test_the_best_of_each_column_is_bold(page: str, results: dict[str, BenchmarkResult]) -> None:
    best = max(results["honest"].summary, key=lambda row: row.t1.mean)
    for row, text in zip(results["honest"].summary, rows(page), strict=True):
        first = re.search(r'<td class="(num[^"]*)">', text)
        assert first is not None
        assert ("best" in first[1]) == (row.t1.mean == best.t1.mean)


def test_oracle_figures_are_marked_and_never_ranked(results: dict[str, BenchmarkResult]) -> None:
    page = render([results["honest"], results["test-oracle"]])
    honest, oracle = rows(page)[:2], rows(page)[2:]
    assert len(oracle) == 2
    assert all('class="oracle"' in row and "test-oracle" in row and "best" not in row for row in oracle)
    assert not any("oracle" in row for row in honest)
    assert "chosen on the test pictures" in page


def test_an_oracle_result_alone_has_no_winner(results: dict[str, BenchmarkResult]) -> None:
    page = render([results["test-oracle"]])
    assert "All figures come from" in " ".join(page.split())
    assert "Best T1" not in page
    assert "best" not in "".join(rows(page))


def test_the_mean_curve_has_the_mean_area(results: dict[str, BenchmarkResult]) -> None:
    for series in groups([results["honest"]])[0].series:
        seen, unseen = series.curve.T
        assert np.all(np.diff(unseen) <= 1e-9)
        area = np.sum(np.diff(seen) * (unseen[1:] + unseen[:-1]) / 2)
        assert area == pytest.approx(series.row.AUSUC.mean, abs=0.02)


def test_confusion_counts_every_test_picture(results: dict[str, BenchmarkResult]) -> None:
    for series in groups([results["honest"]])[0].series:
        plain, everything = series.confusion(False), series.confusion(True)
        assert plain.counts.sum() == sum(cell.zsl.pictures for cell in series.cells)
        pictures = sum(cell.gzsl.pictures_seen + cell.gzsl.pictures_unseen for cell in series.cells)
        assert everything.counts.sum() == pictures


def test_accuracy_of_a_class_is_the_mean_over_its_splits(results: dict[str, BenchmarkResult]) -> None:
    series = groups([results["honest"]])[0].series[0]
    for figures in series.classes:
        values = [cell.zsl.per_class[figures.name] for cell in series.cells if figures.name in cell.zsl.per_class]
        assert figures.splits == len(values)
        assert figures.plain == pytest.approx(np.mean(values))


def test_the_worst_mistakes_come_first() -> None:
    confusion = Confusion(("a", "b", "c"), np.array([[5, 5, 0], [1, 8, 1], [0, 0, 0]]))
    assert confusion.mistakes(2) == [("a", "b", 0.5, 5), ("b", "a", 0.1, 1)]
    assert Confusion(("a",), np.array([[3]])).mistakes(2) == []


def test_a_comparison_reads_the_same_both_ways(results: dict[str, BenchmarkResult]) -> None:
    group = groups([results["honest"]])[0]
    one, other = group.pair("H", *METHODS), group.pair("H", *reversed(METHODS))
    assert one is not None
    assert other is not None
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    assert one.low <= one.difference <= one.high


def test_few_pairs_are_said_to_be_few(page: str) -> None:
    assert "Only 3 pairs" in page


def test_pictures_are_shown_small_where_they_are_at_hand(results: dict[str, BenchmarkResult], tmp_path: Path) -> None:
    result = results["honest"]
    leader = groups([result])[0].leader
    shown = [*leader.cells[0].examples.right, *leader.cells[0].examples.wrong]
    for example in shown[1:]:
        save(tmp_path / example.id, scene(height=288))
    sources = Reader(render([result], [tmp_path / "absent", tmp_path])).sources
    assert len(sources) == len(shown) - 1
    with Image.open(io.BytesIO(base64.b64decode(sources[0].partition(",")[2]))) as image:
        assert (image.format, image.size) == ("JPEG", (128, 128))
    assert shown[0].id in render([result], [tmp_path])


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkResult:
    given = replace(plan("defaults", random_splits("drawn", CLASSES, 3, 3)), transductive=True)
    return run_benchmark(given, tmp_path_factory.mktemp("refined"))


def test_transductive_figures_stand_in_columns_of_their_own(page: str, refined: BenchmarkResult) -> None:
    assert "num set" not in page
    assert "without labels" not in page
    shown = render([refined])
    assert "The set of test pictures was used, without labels." in shown
    for row, text in zip(refined.summary, rows(shown), strict=True):
        assert row.transductive is not None
        own = re.findall(r'<td class="num set">([\d.]+)<', text)
        assert own == [f"{100 * value.mean:.1f}" for value in (row.transductive.t1, row.transductive.H)]
        inductive = re.findall(r'<td class="num(?: best)?">([\d.]+)<', text)
        assert inductive[0] == f"{100 * row.t1.mean:.1f}"
        assert "best" not in "".join(re.findall(r'<td class="num set.*?</td>', text))
    assert Reader(shown).open == []


def test_results_with_and_without_the_set_share_a_page(results: dict[str, BenchmarkResult], refined: BenchmarkResult):
    text = rows(render([results["honest"], refined]))
    assert [row.count("num set") for row in text] == [2, 2, 2, 2]
    assert [row.count("·</td>") for row in text] == [2, 2, 0, 0]


def test_what_was_said_is_counted_beside_what_became_of_it(refined: BenchmarkResult) -> None:
    def cell(split: int, change: float, warnings: tuple[str, ...]) -> CellResult:
        given = refined.cells[split]
        assert given.transductive is not None
        made = given.transductive.model_copy(update={"t1": given.zsl.t1 + change, "warnings": warnings})
        return given.model_copy(update={"transductive": made})

    cells = (cell(0, -0.2, ("these may be swapped",)), cell(1, -0.1, ()), cell(2, 0.1, ("few pictures",)))
    only = refined.model_copy(update={"cells": cells, "summary": summarise(cells), "comparisons": ()})
    (group,) = groups([only])
    found = foresight(group, "t1")
    assert (found.cells, found.worse, found.foretold, found.warned) == (3, 2, 1, 2)
    assert [one.change for one in found.told] == pytest.approx([-0.2, -0.1, 0.1])
    text = " ".join(" ".join(Reader(render([only])).text).split())
    assert "2 of 3 runs lost more than a point; 1 of them was warned of. Warnings stood beside 1 of the 1" in text
    assert "these may be swapped" in text


@pytest.fixture(scope="module")
def confident(results: dict[str, BenchmarkResult]) -> BenchmarkResult:
    """Return a result with made up figures of confidence; nothing is promised in the first cell of each method."""

    def answers(split: str) -> Answers:
        if split == "1":
            return Answers(wanted=0.95, coverage=0.0, precision=None, note="few classes")
        return Answers(wanted=0.95, coverage=0.5, precision=0.9 + 0.02 * int(split))

    cells = tuple(
        cell.model_copy(
            update={
                "confidence": ConfidenceResult(
                    temperature=1.0, generalised_temperature=1.0, ece=0.04, ece_raw=0.3, ece_seen=0.05,
                    ece_seen_raw=0.3, ece_unseen=0.0625, ece_unseen_raw=0.3, answers=answers(cell.split.name[-1]),
                    generalised_answers=answers("2"), auroc=None, auroc_contrast=0.75,
                )
            }
        )
        for cell in results["honest"].cells
    )  # fmt: skip
    return results["honest"].model_copy(update={"cells": cells, "summary": summarise(cells)})


def test_confidence_is_summarised_by_name(confident: BenchmarkResult) -> None:
    assert BenchmarkResult.from_json(confident.to_json()) == confident
    for row in confident.summary:
        assert row.confidence is not None
        assert set(row.confidence) == set(CONFIDENCE) - {"auroc"}
        assert row.confidence["ece_unseen"].mean == 0.0625
        assert row.confidence["coverage"].mean == pytest.approx(1 / 3, abs=1e-6)
        assert (row.confidence["precision"].mean, row.confidence["precision"].count) == (0.95, 2)
    (first, *_) = csv.DictReader(io.StringIO(summary_csv(confident.summary)))
    assert (first["confidence_ece_unseen_mean"], first["confidence_auroc_mean"]) == ("0.0625", "")
    cell = next(csv.DictReader(io.StringIO(cells_csv(confident.cells))))
    assert (cell["confidence_coverage"], cell["confidence_precision"], cell["confidence_auroc"]) == ("0.0", "", "")
    mixed = (confident.cells[0].model_copy(update={"confidence": None}), *confident.cells[1:])
    assert [row.confidence is None for row in summarise(mixed)] == [True, False]


def test_the_page_says_when_not_to_answer_where_it_was_measured(
    refined: BenchmarkResult, confident: BenchmarkResult
) -> None:
    assert "Knowing when not to answer" not in render([refined])
    shown = render([confident])
    assert Reader(shown).open == []
    text = " ".join(" ".join(Reader(shown).text).split())
    assert "Zero-shot, 95 % wanted" in text
    assert "on 1 of 3 runs of kernel, on 1 of 3 runs of eszsl (zero-shot)." in text
    (group,) = groups([confident])
    assert [silent(series, "answers") for series in confidence_of(group)] == [1, 1]


def test_figures_without_the_overlap_stand_beside_those_with_it(page: str, results: dict[str, BenchmarkResult]) -> None:
    assert "Without the overlap" not in page

    def audited(cell: CellResult) -> CellResult:
        left = WithoutOverlap(
            t1=0.5, S=0.5, U=0.5, H=0.25, removed={HOSTILE: 3, "river": 1}, lost=(HOSTILE,), pictures=60
        )
        return cell.model_copy(update={"without_overlap": left})

    cells = tuple(audited(cell) for cell in results["honest"].cells)
    result = results["honest"].model_copy(update={"cells": cells, "summary": summarise(cells)})
    (group,) = groups([result])
    assert removed(group) == [(HOSTILE, 9, 3), ("river", 3, 3)]
    shown = render([result])
    assert Reader(shown).open == []
    body = shown[shown.index("<h2>Without the overlap</h2>") :]
    body = body[: body.index("</section>")]
    kernel = result.summary[0]
    change = 100 * (0.5 - kernel.t1.mean)
    expected = [f"{100 * kernel.t1.mean:.1f}", "50.0", f"{change:+.1f}".replace("-", "\N{MINUS SIGN}")]
    assert re.findall(r'<td class="num">([^<]+)<', body)[:3] == expected
    assert f"no test pictures are left of {HOSTILE}" in " ".join(Reader(body).text)


def test_the_same_results_give_the_same_bytes(results: dict[str, BenchmarkResult], tmp_path: Path) -> None:
    write_report([results["honest"]], tmp_path / "one.html")
    again = BenchmarkResult.from_json(results["honest"].to_json())
    write_report([again], tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_results_that_cannot_stand_together(results: dict[str, BenchmarkResult]) -> None:
    with pytest.raises(OptionError, match="two results hold 'kernel'"):
        render([results["honest"], results["honest"]])
    empty = results["honest"].model_copy(update={"cells": (), "summary": (), "comparisons": ()})
    with pytest.raises(OptionError, match="nothing to report"):
        render([empty])
