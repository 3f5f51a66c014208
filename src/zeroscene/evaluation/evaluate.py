"""One evaluation from end to end: choose, refit with the choice fixed, measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.evaluation.candidates import build
from zeroscene.evaluation.confidence import fit_confidence
from zeroscene.evaluation.confidence_figures import Answered, ConfidenceResult, measure_confidence
from zeroscene.evaluation.examples import Examples
from zeroscene.evaluation.fusion import choose_in_folds
from zeroscene.evaluation.measure import all_scores, generalised_of, pick_examples, unseen_scores, zero_shot_of
from zeroscene.evaluation.oracle import select_on_test
from zeroscene.evaluation.overlap import without_overlap
from zeroscene.evaluation.protocol import TestSet, Trial
from zeroscene.evaluation.record import Selection
from zeroscene.evaluation.results import Choice, GeneralisedResult, TransductiveResult, WithoutOverlap, ZeroShotResult
from zeroscene.evaluation.selection import FOLDS
from zeroscene.evaluation.tables import TableSource, refuse_shown, source_of
from zeroscene.evaluation.transductive import Transduction, transductive
from zeroscene.evaluation.why import with_reasons
from zeroscene.methods.confidence import Confidence
from zeroscene.methods.contract import Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.semantics.table import ClassTable


@dataclass(frozen=True)
class Evaluation:
    """Figures of one method on one trial.

    Attributes:
        options: the resolved options of the fit, every one.
        choice: what was chosen on what evidence; its `selection` says whether the figures are honest.
        zsl: plain zero-shot, fitted on every picture of the seen classes.
        gzsl: generalised zero-shot, fitted without the held-out pictures.
        examples: pictures of unseen classes, right and wrong.
        table: class vectors of the plain fit; its provenance names exemplars.
        transductive: the refined figures, where they were asked for.
        confidence: what probabilities and the reject option are worth, where they were chosen on seen classes.
        without_overlap: figures without test pictures that overlap something else, where pairs were given.
    """

    options: dict[str, Any]
    choice: Choice
    zsl: ZeroShotResult
    gzsl: GeneralisedResult
    examples: Examples
    table: ClassTable
    transductive: TransductiveResult | None = None
    confidence: ConfidenceResult | None = None
    without_overlap: WithoutOverlap | None = None


def evaluate(
    method: type[AnyMethod],
    trial: Trial,
    classes: ClassTable | TableSource,
    *,
    fixed: Mapping[str, Any] | None = None,
    selection: Selection = "honest",
    folds: int = FOLDS,
    seed: int = 0,
    transduction: Transduction | None = None,
    overlap: OverlapFile | None = None,
) -> Evaluation:
    """Evaluate a method on a trial.

    Args:
        method: the method (`methods.registry.method_class`).
        trial: training and test pictures (`protocol.carve`).
        classes: class vectors of all classes of the split, or the source that makes them of a training set. Each of
            the two fits, and each validation fold, is fitted and measured with the table of its own training set.
        fixed: options that are given, not chosen.
        selection: `honest` chooses on seen classes, `defaults` takes the fixed options and gamma 0, `test-oracle`
            chooses on the test pictures.
        folds: validation folds of honest selection, at most.
        seed: of the folds, and of the method where it has one.
        transduction: measure the refined scores of the test pictures as well.
        overlap: measure without the test pictures of these pairs as well.

    Raises:
        UnknownNameError: a class of the split is absent from the table.
        OptionError: a fixed option is unknown or out of range, or the class vectors are all the same.
        SplitError: the table was annotated from pictures of unseen classes that are not named as exemplars, or by a
            model that was fine-tuned under another split.
        DataFormatError: a score is not finite.
    """
    given = dict(fixed or {})
    source = source_of(classes)
    table, without_held_out = (source.of(t, trial.split.classes) for t in (trial.train_all, trial.train_generalised))
    refuse_shown(table, trial.split.unseen)
    source.check(trial.split)
    confidence = None
    if selection == "honest":
        chosen = choose_in_folds(method, trial.train_generalised, source, fixed=given, folds=folds, seed=seed)
        choice = chosen.choice
        confidence = fit_confidence(
            method,
            choice.options,
            choice.gamma,
            trial.train_generalised,
            source,
            folds=chosen.folds,
            measures=chosen.measures,
            seed=seed,
        )
    elif selection == "test-oracle":
        choice = select_on_test(method, trial, source, fixed=given, seed=seed)
    else:
        choice = Choice(selection="defaults", options=given, gamma=0.0, note="nothing was chosen; gamma 0")
    plain = build(method, choice.options, seed).fit(trial.train_all, table)
    test = trial.test
    of_unseen = unseen_scores(plain, test, table)
    examples = with_reasons(
        pick_examples(of_unseen, test.unseen_pictures), plain, test.unseen_pictures, table.select(test.unseen)
    )
    fitted = build(method, choice.options, seed).fit(trial.train_generalised, without_held_out)
    of_all = all_scores(fitted, test, without_held_out)
    return Evaluation(
        plain.options.model_dump(mode="json"),
        choice,
        zero_shot_of(of_unseen, test),
        generalised_of(of_all, test, choice.gamma),
        examples,
        table,
        None if transduction is None else transductive(trial, of_unseen, of_all, choice.gamma, transduction),
        None if confidence is None else _confidence(confidence, test, of_unseen, of_all, choice.gamma),
        None if overlap is None else without_overlap(trial, of_unseen, of_all, choice.gamma, overlap),
    )


def _confidence(
    confidence: Confidence, test: TestSet, of_unseen: Scores, of_all: Scores, gamma: float
) -> ConfidenceResult | None:
    """Measure what was chosen on seen classes on the test pictures."""
    order = test.seen + test.unseen
    calibrated = of_all.values - np.where(np.arange(len(order)) < len(test.seen), np.float32(gamma), np.float32(0))
    y = np.concatenate([part.label_indices(order) for part in (test.seen_pictures, test.unseen_pictures)])
    return measure_confidence(
        confidence,
        Answered(of_unseen, test.unseen_pictures.label_indices(test.unseen)),
        Answered(Scores(of_all.ids, of_all.classes, calibrated), y),
    )
