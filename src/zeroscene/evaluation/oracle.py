"""test-oracle: options and gamma chosen on the test pictures, to reproduce papers that do so. Never an honest figure.

Every result made with it carries `selection: "test-oracle"`, and so does every table and file it enters.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zeroscene.evaluation.calibration import choose_gamma
from zeroscene.evaluation.candidates import build, option_sets
from zeroscene.evaluation.measure import generalised_curve, zero_shot
from zeroscene.evaluation.protocol import Trial
from zeroscene.evaluation.results import CandidateRecord, Choice, rounded
from zeroscene.evaluation.tables import TableSource, source_of
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable


def select_on_test(
    method: type[AnyMethod],
    trial: Trial,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Choice:
    """Choose the options with the best T1 on the unseen test pictures, then gamma with the best H on all of them.

    Args:
        method: the method; its `candidates` are tried.
        trial: training and test pictures.
        classes: class vectors of all classes of the split, or the source that makes them of a training set.
        fixed: options that are given, not chosen.
        seed: of the method where it has one.

    Raises:
        UnknownNameError: a class of the split is absent from the table.
        OptionError: a fixed option is unknown or out of range.
    """
    source = source_of(classes)
    table, without_held_out = (source.of(t, trial.split.classes) for t in (trial.train_all, trial.train_generalised))
    tried = option_sets(method, fixed or {})
    fitted = (build(method, options, seed).fit(trial.train_all, table) for options in tried)
    accuracies = [zero_shot(one, trial.test, table).t1 for one in fitted]
    best = int(np.argmax(accuracies))
    generalised = build(method, tried[best], seed).fit(trial.train_generalised, without_held_out)
    gamma, harmonic = choose_gamma([generalised_curve(generalised, trial.test, without_held_out)])
    return Choice(
        selection="test-oracle",
        options=tried[best],
        gamma=gamma,
        harmonic=rounded(harmonic),
        candidates=tuple(
            CandidateRecord(options=options, t1=accuracy, t1_folds=())
            for options, accuracy in zip(tried, accuracies, strict=True)
        ),
        note="chosen on the test pictures; not comparable with honest figures",
    )
