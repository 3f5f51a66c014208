"""What an evaluation leaves: one record a cell, and the benchmark that gathers them; JSON without time stamps.

A cell is one method, one encoder, one class table, one split and one seed. Accuracies are fractions in [0, 1], rounded
to six decimals; scores and gamma are kept as they are. `to_json` gives the same bytes for the same run on any day.
"""

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field

from zeroscene.encoders.base import FineTuned
from zeroscene.evaluation.confidence_figures import ConfidenceResult
from zeroscene.evaluation.examples import Examples
from zeroscene.evaluation.record import Record, Selection
from zeroscene.evaluation.summary_records import Comparison, SummaryRow
from zeroscene.files import read_json

CELL_FORMAT: Final = "zeroscene-cell-1"
RESULTS_FORMAT: Final = "zeroscene-results-1"
RESULTS_FILE = "results.json"
CURVE_POINTS = 200


class EncoderRecord(Record):
    """The encoder of a cell: the plan's label and the full identity (`encoders.base.EncoderIdentity`)."""

    label: str
    name: str
    weights: str
    preprocessing: str
    output: str
    fingerprint: str
    fine_tuned: FineTuned | None = None


class TableRecord(Record):
    """The class table of a cell: the plan's label, what it holds and where it comes from.

    Attributes:
        fingerprint: of the table, or of what makes it of each training set.
        provenance: of the table of the plain fit.
        exemplars: unseen classes whose pictures went into it; figures made with any are not zero-shot.
    """

    label: str
    source: str
    kind: str
    columns: int
    fingerprint: str
    provenance: dict[str, Any]
    exemplars: tuple[str, ...] = ()


class SplitRecord(Record):
    """The split of a cell, with the pictures held out for the generalised test counted."""

    dataset: str
    name: str
    fingerprint: str
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    held_out: int


class Point(Record):
    """Generalised accuracy at one gamma: S on seen classes, U on unseen ones, H = 2SU/(S+U)."""

    S: float
    U: float
    H: float


class ZeroShotResult(Record):
    """Plain zero-shot: pictures of unseen classes, choice among the unseen classes.

    Attributes:
        t1: mean of the per-class accuracies.
        overall: share of pictures right.
        per_class: accuracy of each unseen class.
        classes: order of rows (true) and columns (predicted) of `confusion`.
        confusion: (U, U) picture counts.
        pictures: number of test pictures.
    """

    t1: float
    overall: float
    per_class: dict[str, float]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    pictures: int


class GeneralisedResult(Record):
    """Generalised zero-shot: held-out pictures of seen classes and all of unseen ones, choice among all classes.

    Attributes:
        gamma: what was subtracted from the scores of seen classes.
        S, U, H: per-class means on seen and unseen classes at this gamma, and their harmonic mean.
        AUSUC: area under the exact seen/unseen curve.
        uncalibrated: the same at gamma = 0.
        curve: at most `CURVE_POINTS` points (S, U) of the exact curve, from gamma = -inf to +inf.
        per_class: accuracy of each class at `gamma`.
        classes: seen classes, then unseen ones: order of rows and columns of `confusion`.
        confusion: (S + U, S + U) picture counts at `gamma`.
        pictures_seen, pictures_unseen: number of test pictures.
    """

    gamma: float
    S: float
    U: float
    H: float
    AUSUC: float
    uncalibrated: Point
    curve: tuple[tuple[float, float], ...]
    per_class: dict[str, float]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    pictures_seen: int
    pictures_unseen: int


class TransductiveResult(Record):
    """The same test pictures after the set of them has refined its own scores; labels are used to measure alone.

    Attributes:
        options: of the refinement, every one (`transductive.Transduction`).
        t1, overall, per_class: plain zero-shot, the pictures of unseen classes being the set.
        warnings: what the diagnosis says of that set, without labels; empty where nothing speaks against it.
        S, U, H, generalised_per_class: generalised, all test pictures being the set, gamma subtracted before.
        generalised_warnings: what the diagnosis says of that set.
    """

    options: dict[str, Any]
    t1: float
    overall: float
    per_class: dict[str, float]
    warnings: tuple[str, ...] = ()
    S: float
    U: float
    H: float
    generalised_per_class: dict[str, float]
    generalised_warnings: tuple[str, ...] = ()


class WithoutOverlap(Record):
    """The figures of a cell without test pictures that overlap something else; None where no pictures are left.

    Attributes:
        t1: mean accuracy of the unseen classes, choice among them (`ZeroShotResult.t1`).
        S, U, H: as in `GeneralisedResult`.
        removed: number of pictures taken out of each class that lost any.
        lost: classes that lost all their test pictures; the means are over the others.
        pictures: number of test pictures before, unseen ones and held-out ones together.
    """

    t1: float | None
    S: float | None
    U: float | None
    H: float | None
    removed: dict[str, int]
    lost: tuple[str, ...]
    pictures: int


class FoldRecord(Record):
    """One validation fold of honest selection: the seen classes that played unseen, and the pictures used."""

    pseudo_unseen: tuple[str, ...]
    train_pictures: int
    validation_pictures: int


class CandidateRecord(Record):
    """One option set that was tried: its accuracies over folds (honest), or on the test pictures (test-oracle).

    Attributes:
        options: the option set, with the plan's fixed options in it.
        t1: mean over folds; with test-oracle, T1 on the test pictures.
        t1_folds: T1 on the pseudo-unseen classes of each fold.
    """

    options: dict[str, Any]
    t1: float
    t1_folds: tuple[float, ...]


class Choice(Record):
    """What selection chose, and on what evidence.

    Attributes:
        selection: `honest` (seen classes only), `defaults` (nothing chosen), `test-oracle` (chosen on test pictures).
        options: the chosen option set, with the plan's fixed options in it.
        gamma: the chosen calibration of generalised scores.
        harmonic: mean H over the folds at that gamma (test-oracle: H on the test pictures), or None.
        candidates: every option set tried, in order.
        folds: the validation folds; empty where there are none.
        note: what a reader must know, such as too few seen classes to choose on; else empty.
    """

    selection: Selection
    options: dict[str, Any]
    gamma: float
    harmonic: float | None = None
    candidates: tuple[CandidateRecord, ...] = ()
    folds: tuple[FoldRecord, ...] = ()
    note: str = ""


class CellResult(Record):
    """The result of one cell.

    Attributes:
        cell: readable name, unique in its benchmark; the cell's file is named by it and `digest`.
        digest: digest of `inputs`.
        inputs: all that decides the numbers, each as text or a fingerprint; a resumed run compares them.
        method: registry name.
        label: the plan's label of this method and its fixed options; rows of the summary are grouped by it.
        title, reference: the method's own.
        options: the resolved options of the fit, every one.
        selection: how options and gamma were chosen; `test-oracle` figures are not honest and must be marked.
        seed: seed of folds, and of the method where it has one.
        zsl, gzsl: the figures.
        examples: unseen-class pictures right and wrong.
        transductive: the figures of the refined scores, where they were asked for; never to be mixed with the others.
        confidence: what probabilities and the reject option are worth, where they were asked for.
        without_overlap: figures without the test pictures that the plan's audit found to overlap something else.
        choice: what was chosen on what evidence.
        environment: versions (`provenance.environment`).
    """

    format: Literal["zeroscene-cell-1"] = CELL_FORMAT
    cell: str
    digest: str
    inputs: dict[str, str] = Field(default_factory=dict)
    method: str
    label: str
    title: str
    reference: str
    options: dict[str, Any]
    selection: Selection
    encoder: EncoderRecord
    table: TableRecord
    split: SplitRecord
    seed: int
    zsl: ZeroShotResult
    gzsl: GeneralisedResult
    examples: Examples
    transductive: TransductiveResult | None = None
    confidence: ConfidenceResult | None = None
    without_overlap: WithoutOverlap | None = None
    choice: Choice
    environment: dict[str, Any]


class Failure(Record):
    """A cell that could not be evaluated, and the one line that says why."""

    cell: str
    error: str
    message: str


class BenchmarkResult(Record):
    """All cells of a benchmark, their summary, and what made them.

    Attributes:
        plan: the plan as JSON, without paths.
        selection: of every cell.
        cells: in the order of the plan.
        failures: cells that could not be evaluated.
        summary: a row for each method, encoder and table.
        comparisons: each pair of methods on the same encoder and table.
        environment: versions.
    """

    format: Literal["zeroscene-results-1"] = RESULTS_FORMAT
    name: str
    plan: dict[str, Any]
    selection: Selection
    cells: tuple[CellResult, ...]
    failures: tuple[Failure, ...] = ()
    summary: tuple[SummaryRow, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    environment: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `results.json`, given the file or its folder.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it is not the result of a benchmark.
        """
        file = path / RESULTS_FILE if path.is_dir() else path
        return cls.from_json(read_json(file), str(file))


def rounded(value: float) -> float:
    """Return an accuracy as it is stored: six decimals."""
    return round(float(value), 6)


def named(classes: tuple[str, ...], values: Any) -> dict[str, float]:
    """Return rounded values by class name, in the order of `classes`."""
    return {name: rounded(value) for name, value in zip(classes, values, strict=True)}
