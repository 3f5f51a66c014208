"""A labeller: a fitted method, the classes in question and the encoder, ready to answer about pictures."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import OptionError
from zeroscene.maps.question import Question
from zeroscene.methods.anyshot import AnyShot, Examples, refine_with
from zeroscene.methods.confidence import Confidence, Mask, softmax
from zeroscene.methods.contract import Matrix, Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import Refined, TransductionOptions, refine
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.answers import Answers
from zeroscene.serving.asking import UNCALIBRATED, Asking, subtracted
from zeroscene.serving.large import MANY, answer_store
from zeroscene.serving.stores import embedded, is_store, labelled


@dataclass(frozen=True)
class Labeller:
    """What answers.

    Attributes:
        method: fitted.
        table: the classes to choose among.
        eye: opens the image encoder of the method; asked only where pictures have to be embedded.
        confidence: turns scores into probabilities, where known.
        contrast: classes that nobody asks about, against which a single class has a probability.
        gamma: what is subtracted from the scores of classes seen in the fit, where others are asked about too.
        notes: what a user should know beforehand, a sentence each.
    """

    method: AnyMethod
    table: ClassTable
    eye: Callable[[], ImageEncoder]
    confidence: Confidence | None = None
    contrast: ClassTable | None = None
    gamma: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def question(self) -> Question:
        """What is asked about the windows of a raster, or of an archive.

        Raises:
            OptionError: the method needs more than one vector a window.
        """
        minus = subtracted(self.method, self.table.classes, self.gamma)
        return Question(self.method, self.table, minus, self.confidence, self.contrast)

    def label(
        self, pictures: Path, asking: Asking, *, examples: Path | None = None, beside: Path | None = None
    ) -> Answers:
        """Return the answers about the pictures of a folder or a store.

        Args:
            pictures: folder of pictures, nested or not, or an embedding store of the encoder.
            asking: how.
            examples: folder or store with a few pictures of some of the classes, labelled.
            beside: the file that the answers are for; an interrupted embedding is kept beside it and continued.

        Raises:
            DatasetNotFoundError: there are no such pictures.
            EncoderMismatchError: pictures, examples or class vectors do not fit the method.
            UnknownNameError: an example of a class that is not asked about.
            OptionError: no probability or precision can be given; the message says why.
        """
        if examples is None and asking.refine is None and len(self.table) > 1 and is_store(pictures):
            store = EmbeddingStore.open(pictures)
            if store.manifest.count >= MANY:
                answers = answer_store(store, self.method, self.table, self.confidence, self.gamma, asking)
                return replace(answers, notes=self.notes)
        grid = self.method.reads == "grids"
        with ExitStack() as opened:
            x, skipped = opened.enter_context(embedded(pictures, self.eye, beside, grid=grid))
            shown = opened.enter_context(labelled(examples, self.eye, grid=grid)) if examples is not None else None
            return replace(self.answer(x, asking, shown), skipped=skipped)

    def answer(self, x: Embeddings, asking: Asking, examples: Embeddings | None = None) -> Answers:
        """Return the answers about embedded pictures; arguments and errors as in `label`."""
        scores = self.method.scores(x, self.table)
        minus = subtracted(self.method, self.table.classes, self.gamma)
        scores.values[...] -= minus
        made: dict[str, Any] = {"method": self.method.name, "gamma": self.gamma if minus.any() else 0.0}
        notes = list(self.notes)
        shown = None
        if examples is not None:
            shown = Examples.of(self.method, examples, self.table)
            shown.scores.values[...] -= minus
            adapter = AnyShot.fit(shown, x, scores)
            scores = adapter.adapt(scores, x)
            made["examples"] = adapter.summary()
            notes += [adapter.summary(), *_among(adapter, x)]
        if asking.refine is not None and len(scores.classes) > 1:
            refined = _refined(x, scores, asking.refine, shown)
            scores = Scores(scores.ids, scores.classes, refined.values)
            made["refined"] = asking.refine.model_dump(mode="json")
            notes += [f"refined: {warning}" for warning in refined.diagnosis.warnings(scores.classes)]
        sure = self._sure(x, scores, asking, with_examples=shown is not None)
        return Answers.of(scores, sure.probability, sure.answered, notes=(*notes, *sure.notes), made=made)

    def _sure(self, x: Embeddings, scores: Scores, asking: Asking, with_examples: bool) -> "_Sure":
        if len(scores.classes) == 1:
            return self._one_class(x, scores, asking)
        refined = asking.refine is not None
        if with_examples:
            if asking.precision is not None:
                raise OptionError("no precision can be promised with examples; ask for a least probability instead")
            probability: Matrix | None = softmax(scores.values.astype(np.float64)).astype(np.float32)
            notes: tuple[str, ...] = ("probabilities with examples were not checked on other classes",)
        else:
            probability, notes = self._probability(scores, refined), ()
        if asking.precision is not None:
            if self.confidence is None:
                raise OptionError(UNCALIBRATED)
            return _Sure(probability, ~self.confidence.reject(scores, asking.precision, refined), notes)
        if asking.least is None:
            return _Sure(probability, None, notes)
        if probability is None:
            raise OptionError(UNCALIBRATED)
        return _Sure(probability, probability.max(axis=1) >= asking.least, notes)

    def _probability(self, scores: Scores, refined: bool) -> Matrix | None:
        if self.confidence is None:
            return np.exp(scores.values) if refined else None
        return self.confidence.probabilities(scores, refined).values

    def _one_class(self, x: Embeddings, scores: Scores, asking: Asking) -> "_Sure":
        """Set a single class against others that nobody asked about: among itself alone, its share is always 1."""
        if self.contrast is None or self.confidence is None:
            if asking.least is not None or asking.precision is not None:
                raise OptionError("one class alone has no probability with this model: name the others it may be")
            return _Sure(None, None, ("one class alone: its score ranks the pictures and is no probability",))
        if asking.precision is not None:
            raise OptionError("no precision can be promised for one class alone; ask for a least probability instead")
        against = self.confidence.against(scores, self.method.scores(x, self.contrast))
        share = against.values[:, :1]
        least = 0.5 if asking.least is None else asking.least
        note = (
            f"one class alone: its probability is its share against {len(self.contrast)} other classes that nobody "
            f"asked about, and pictures below {least:g} are none of these"
        )
        return _Sure(share, share[:, 0] >= least, (note,))


@dataclass(frozen=True)
class _Sure:
    """(N, C) probabilities where there are any, (N,) which answers stand, and what should be known of both."""

    probability: Matrix | None
    answered: Mask | None
    notes: tuple[str, ...] = ()


def _refined(x: Embeddings, scores: Scores, options: TransductionOptions, shown: Examples | None) -> Refined:
    return refine(x.x, scores.values, options) if shown is None else refine_with(shown, x, scores, options)


def _among(adapter: AnyShot, x: Embeddings) -> tuple[str, ...]:
    _, same = adapter.apart(x)
    if not same:
        return ()
    return (f"{len(same)} of the pictures are examples themselves, such as {same[0]!r}; leave them out of any figure",)
