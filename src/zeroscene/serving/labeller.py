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
from zeroscene.serving.asking import UNCALIBRATED, UNCHECKED, Asking, check_gamma, subtracted
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

    Raises:
        OptionError: gamma is not finite.
        DataFormatError: the confidence is of another fitted method.
    """

    method: AnyMethod
    table: ClassTable
    eye: Callable[[], ImageEncoder]
    confidence: Confidence | None = None
    contrast: ClassTable | None = None
    gamma: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_gamma(self.gamma)
        if self.confidence is not None:
            self.confidence.check_method(self.method)

    @property
    def question(self) -> Question:
        """What is asked about the windows of a raster, or of an archive.

        Raises:
            OptionError: the method needs more than one vector a window.
        """
        if len(self.table) > 1 or self.contrast is None:
            minus = subtracted(self.method, self.table.classes, self.gamma)
            return Question(self.method, self.table, minus, self.confidence)
        minus = subtracted(self.method, (*self.table.classes, *self.contrast.classes), self.gamma)
        return Question(self.method, self.table, minus[:1], self.confidence, self.contrast, minus[1:])

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
            DataFormatError: not one of the pictures, or of the examples, could be read.
            BusyError: another run is writing the same file.
        """
        if examples is None and asking.refine is None and len(self.table) > 1 and is_store(pictures):
            store = EmbeddingStore.open(pictures)
            if store.manifest.count >= MANY:
                answers = answer_store(store, self.method, self.table, self.confidence, self.gamma, asking)
                return replace(answers, notes=self.notes)
        grid = self.method.reads == "grids"
        with ExitStack() as opened:
            x, skipped = opened.enter_context(embedded(pictures, self.eye, beside, grid=grid))
            if examples is None:
                return replace(self.answer(x, asking), skipped=skipped)
            shown, unread = opened.enter_context(labelled(examples, self.eye, grid=grid))
            without = tuple((picture, f"among the examples: {reason}") for picture, reason in unread)
            return replace(self.answer(x, asking, shown), skipped=(*skipped, *without))

    def answer(self, x: Embeddings, asking: Asking, examples: Embeddings | None = None) -> Answers:
        """Return the answers about embedded pictures; arguments and errors as in `label`."""
        if len(self.table) == 1:
            return self._alone(x, asking, examples)
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
        if asking.refine is not None:
            refined = _refined(x, scores, asking.refine, shown)
            scores = Scores(scores.ids, scores.classes, refined.values)
            made["refined"] = asking.refine.model_dump(mode="json")
            notes += [f"refined: {warning}" for warning in refined.diagnosis.warnings(scores.classes)]
        sure = self._sure(scores, asking, with_examples=shown is not None)
        return Answers.of(scores, sure.probability, sure.answered, notes=(*notes, *sure.notes), made=made)

    def _sure(self, scores: Scores, asking: Asking, with_examples: bool) -> "_Sure":
        refined = asking.refine is not None
        if with_examples:
            if asking.precision is not None:
                raise OptionError("no precision can be promised with examples; ask for a least probability instead")
            probability: Matrix | None = softmax(scores.values.astype(np.float64)).astype(np.float32)
            notes: tuple[str, ...] = (UNCHECKED,)
        else:
            probability, notes = self._probability(scores, refined), self._unlike(asking)
        if asking.precision is not None:
            if self.confidence is None:
                raise OptionError(UNCALIBRATED)
            return _Sure(probability, ~self.confidence.reject(scores, asking.precision, asking.refine or False), notes)
        if asking.least is None:
            return _Sure(probability, None, notes)
        if probability is None:
            raise OptionError(UNCALIBRATED)
        return _Sure(probability, probability.max(axis=1) >= asking.least, notes)

    def _probability(self, scores: Scores, refined: bool) -> Matrix | None:
        if self.confidence is None:
            return np.exp(scores.values) if refined else None
        return self.confidence.probabilities(scores, refined).values

    def _unlike(self, asking: Asking) -> tuple[str, ...]:
        if self.confidence is None or asking.refine is None or not (unlike := self.confidence.unlike(asking.refine)):
            return ()
        return (f"probabilities refined with {unlike} were not checked on other classes",)

    def _alone(self, x: Embeddings, asking: Asking, examples: Embeddings | None) -> Answers:
        """Set a single class against others that nobody asked about: among itself alone, its share is always 1."""
        if asking.refine is not None:
            raise OptionError("one class alone cannot be refined: name the others that the pictures may be")
        if self.contrast is None or self.confidence is None:
            return self._ranked(x, asking, examples)
        if asking.precision is not None:
            raise OptionError("no precision can be promised for one class alone; ask for a least probability instead")
        scores, gamma = self._beside_contrast(x)
        made: dict[str, Any] = {"method": self.method.name, "gamma": gamma}
        notes = list(self.notes)
        own, others = self.table.classes, self.contrast.classes
        if examples is None:
            share = self.confidence.against(scores.select(own), scores.select(others)).values[:, :1]
        else:
            shown = Examples.of(self.method, examples, self.table)
            adapter = AnyShot.fit(Examples(shown.pictures, self._beside_contrast(examples)[0]), x, scores)
            scores = adapter.adapt(scores, x)
            share = softmax(scores.values.astype(np.float64))[:, :1].astype(np.float32)
            made["examples"] = adapter.summary()
            notes += [adapter.summary(), *_among(adapter, x), UNCHECKED]
        least = 0.5 if asking.least is None else asking.least
        notes.append(
            f"one class alone: its probability is its share against {len(others)} other classes that nobody asked "
            f"about, and pictures below {least:g} are none of these"
        )
        return Answers.of(scores.select(own), share, share[:, 0] >= least, notes=tuple(notes), made=made)

    def _ranked(self, x: Embeddings, asking: Asking, examples: Embeddings | None) -> Answers:
        """Answer about a single class with nothing to set it against: by its score, which is no probability."""
        name_others = "name the others it may be"
        if examples is not None:
            raise OptionError(f"examples of one class alone do not tell it from any other: {name_others}")
        if asking.least is not None or asking.precision is not None:
            raise OptionError(
                UNCALIBRATED
                if self.confidence is None
                else f"one class alone has no probability with this model: {name_others}"
            )
        note = "one class alone: its score ranks the pictures and is no probability"
        made = {"method": self.method.name, "gamma": 0.0}
        return Answers.of(self.method.scores(x, self.table), None, None, notes=(*self.notes, note), made=made)

    def _beside_contrast(self, x: Embeddings) -> tuple[Scores, float]:
        """Return the scores of the class and of its contrast, (N, 1 + M), and the gamma that was subtracted."""
        assert self.contrast is not None
        classes = (*self.table.classes, *self.contrast.classes)
        minus = subtracted(self.method, classes, self.gamma)
        values = [self.method.scores(x, table).values for table in (self.table, self.contrast)]
        return Scores(x.ids, classes, np.concatenate(values, axis=1) - minus), self.gamma if minus.any() else 0.0


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
