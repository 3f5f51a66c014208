"""Records of a benchmark's summary: what is known of a method over all splits and seeds."""

from typing import Literal

from zeroscene.evaluation.record import Record, Selection


class Statistic(Record):
    """Mean and standard deviation (n - 1; 0 for one value) of a figure over splits and seeds."""

    mean: float
    deviation: float
    count: int


class Change(Record):
    """What refining changed of one figure: transductive less inductive.

    Attributes:
        difference: mean over splits.
        low, high: 95 % interval of it, paired bootstrap over splits, seeds averaged first.
        worst: lowest change of a cell.
        worse: cells that lost more than `transductive.NOISE`.
        count: number of cells.
    """

    difference: float
    low: float
    high: float
    worst: float
    worse: int
    count: int


class TransductiveSummary(Record):
    """Refined figures of a row, in a record of their own; `t1_change` and `H_change` compare them with the inductive.

    Attributes:
        warned: cells in which the diagnosis of the plain set warned of something.
    """

    t1: Statistic
    overall: Statistic
    S: Statistic
    U: Statistic
    H: Statistic
    t1_change: Change
    H_change: Change
    warned: int


class WithoutOverlapSummary(Record):
    """Figures of a row without test pictures that overlap something else, over the cells that have any left.

    Attributes:
        t1, H: the figures.
        with_t1, with_H: those of the same cells on all their test pictures.
        removed: mean number of pictures that were taken out of a cell.
    """

    t1: Statistic
    H: Statistic
    with_t1: Statistic
    with_H: Statistic
    removed: float


class SummaryRow(Record):
    """One method, encoder and class table over all splits and seeds.

    Attributes:
        exemplars: unseen classes of any of the splits whose pictures went into the class table.
        transductive: the refined figures, where every cell has them.
        confidence: figures of the probabilities and the reject option by name (`summary.CONFIDENCE`), where every cell
            has them; one that no cell has is absent.
        without_overlap: figures without test pictures that overlap something else, where every cell has them.
    """

    label: str
    method: str
    encoder: str
    table: str
    selection: Selection
    t1: Statistic
    overall: Statistic
    S: Statistic
    U: Statistic
    H: Statistic
    AUSUC: Statistic
    uncalibrated_H: Statistic
    exemplars: tuple[str, ...] = ()
    transductive: TransductiveSummary | None = None
    confidence: dict[str, Statistic] | None = None
    without_overlap: WithoutOverlapSummary | None = None


class Comparison(Record):
    """Paired difference of two methods on the same encoder, table, splits and seeds (percentile bootstrap).

    Attributes:
        metric: `t1` or `H`.
        first, second: labels; the difference is first minus second.
        difference: mean over the pairs.
        low, high: 95 % interval of the mean difference.
        not_better: share of resamples in which the first is not better than the second.
        count: number of pairs.
    """

    metric: Literal["t1", "H"]
    encoder: str
    table: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    not_better: float
    count: int
