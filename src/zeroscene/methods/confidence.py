"""Knowing when not to answer: probabilities that mean something, and a threshold chosen for a wanted precision.

    p(c | x) = softmax_c(s_c / T)                     Guo et al. 2017, On Calibration of Modern Neural Networks, ICML
    lead     = (s_1st - s_2nd) / T                    in logits; a picture gets an answer where lead >= threshold

T and the thresholds are chosen by `evaluation.confidence` on seen classes that played unseen, so that they hold for
classes the method never saw. What differs between that choice and the use is the number and the kind of the candidate
classes. Hence a lead is compared and not a probability: unlikely candidates more or less hardly move it. Thresholds are
kept for several numbers of candidates K'. Beyond the largest, each further candidate is another rival, which asks for
TAIL log((K - 1) / (K' - 1)) more: rivals come near as e^(-lead / TAIL), more slowly than in a calibrated softmax.
Beyond REACH times as many nothing is promised.

A softmax divides everything among the candidates: it cannot say "none of these", and with one candidate it is 1 for
every picture. `Confidence.against` sets the candidates against what else a picture could be.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zeroscene import names
from zeroscene.errors import DataFormatError, OptionError
from zeroscene.files import digest, json_digest, read_json, write_json
from zeroscene.methods.contract import Matrix, Scores, ZeroShotMethod
from zeroscene.methods.transduction.refine import TransductionOptions

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

Kind = Literal["new", "mixed", "new refined", "mixed refined"]
"""Candidates are all new to the method, or seen classes are among them; scores as they are, or refined by the set."""

FORMAT: Final = "zeroscene-confidence-1"
SOMETHING_ELSE: Final = "something else"
# Chosen on the synthetic world, where thresholds of 7 to 16 classes were carried to 9 to 21 others.
TAIL: Final = 3.0
REACH: Final = 1.6

PRECISIONS: Final = (*(round(0.5 + 0.05 * i, 2) for i in range(8)), *(round(0.9 + 0.01 * i, 2) for i in range(10)))
"""What is tried as a promise."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Promise(_Record):
    """A precision and what it takes.

    Attributes:
        precision: what is promised of the pictures that get an answer.
        lead: in logits; a picture with less gets no answer.
        coverage: share of the held-out pictures that got one.
        measured: precision on them; above what is promised, for other classes are not the same ones.
    """

    precision: float
    lead: float
    coverage: float
    measured: float


class Thresholds(_Record):
    """Promises for one number of candidate classes, by rising precision.

    Attributes:
        candidates: the number.
        reachable: the highest precision that any threshold can promise.
    """

    candidates: int
    reachable: float
    promises: tuple[Promise, ...]


class Setting(_Record):
    """What was chosen for one kind of scores.

    Attributes:
        temperature: T.
        classes: the held-out classes it was chosen on; empty where nobody calibrated.
        pictures: how many there were.
        thresholds: by rising number of candidates.
    """

    temperature: float = Field(gt=0)
    classes: tuple[str, ...] = ()
    pictures: int = 0
    thresholds: tuple[Thresholds, ...] = ()

    def lead(self, candidates: int, precision: float) -> float:
        """Return the lead in logits that a picture needs.

        Raises:
            OptionError: this precision cannot be promised for so many candidates; the message says what can.
        """
        if not 0 < precision < 1:
            raise OptionError(f"a wanted precision lies between 0 and 1; {precision:g} does not")
        if not self.thresholds:
            raise OptionError(
                "no precision can be promised: nobody calibrated this model on classes with known pictures; ask for a "
                "least probability instead, or fit on labelled pictures of other classes"
            )
        known = next((t for t in self.thresholds if t.candidates >= candidates), self.thresholds[-1])
        if candidates > REACH * known.candidates:
            raise OptionError(
                f"no precision can be promised among {candidates} candidate classes: it was tried among "
                f"{known.candidates}; name at most {int(REACH * known.candidates)}, or fit on more classes"
            )
        kept = next((p for p in known.promises if p.precision >= precision - 1e-9), None)
        if kept is None:
            most = f"no threshold was sure of more than {_floor_percent(known.reachable)} %"
            if known.reachable >= PRECISIONS[-1]:
                most = f"the highest that is tried is {100 * PRECISIONS[-1]:g} %"
            raise OptionError(
                f"a precision of {100 * precision:g} % cannot be promised: on {len(self.classes)} held-out classes "
                f"{most}; ask for less, or for a least probability"
            )
        further = np.log((candidates - 1) / (known.candidates - 1)) if candidates > known.candidates else 0.0
        return kept.lead + TAIL * float(further)


class Confidence(_Record):
    """Temperatures and thresholds of a fitted method.

    Attributes:
        seen: the method's seen classes; a candidate among them makes the candidates mixed.
        settings: by kind of scores.
        refinement: how the refined scores were made that their settings were chosen on; None where nobody tried any.
        method: digest of the fitted method (`method_digest`) that it belongs to; empty where it fits any.
    """

    format: Literal["zeroscene-confidence-1"] = FORMAT
    seen: tuple[str, ...]
    settings: dict[Kind, Setting]
    refinement: TransductionOptions | None = None
    method: str = ""

    def of(self, method: ZeroShotMethod[Any]) -> Self:
        """Return the same, bound to a fitted method.

        Raises:
            NotFittedError: the method is not fitted.
        """
        return self.model_copy(update={"method": method_digest(method)})

    def check_method(self, method: ZeroShotMethod[Any]) -> None:
        """Refuse another method than the one it was chosen for.

        Raises:
            DataFormatError: it is another one, as after a `fit` that was killed while it wrote.
        """
        if self.method and self.method != method_digest(method):
            raise DataFormatError(
                f"the confidence kept with this {method.name} is of another fit, as after one that was interrupted; "
                "fit the method again"
            )

    def unlike(self, refinement: TransductionOptions) -> str:
        """Return in what a refinement differs from the calibrated one; empty where in nothing, or nobody tried any."""
        if self.refinement is None:
            return ""
        tried, given = self.refinement.model_dump(), refinement.model_dump()
        return ", ".join(f"{name}={given[name]} and not {tried[name]}" for name in tried if given[name] != tried[name])

    def setting(self, scores: Scores, refined: bool = False) -> Setting:
        """Return what applies to the scores: for mixed candidates where that was tried, else for new ones.

        Args:
            scores: of any candidates.
            refined: they are the log-probabilities of `transduction.refine`.

        Raises:
            OptionError: refined scores were not tried.
        """
        seen = {names.key(name) for name in self.seen}
        mixed = any(names.key(name) in seen for name in scores.classes)
        kinds: Sequence[Kind] = ("mixed", "new") if mixed else ("new",)
        if refined:
            kinds = ("mixed refined", "new refined") if mixed else ("new refined",)
        found = next((self.settings[kind] for kind in kinds if kind in self.settings), None)
        if found is None:
            raise OptionError("refined scores were not calibrated with this model; fit it again")
        return found

    def probabilities(self, scores: Scores, refined: bool = False) -> Scores:
        """Return the scores as probabilities: rows sum to 1.

        Args:
            scores: of two candidates or more, with gamma subtracted from seen classes where there are others too.
            refined: they are the log-probabilities of `transduction.refine`.

        Raises:
            OptionError: there is one candidate only, or refined scores were not tried.
        """
        _require_two(scores)
        z = scores.values.astype(np.float64) / self.setting(scores, refined).temperature
        return Scores(scores.ids, scores.classes, softmax(z).astype(np.float32))

    def against(self, scores: Scores, contrast: Scores, refined: bool = False) -> Scores:
        """Return probabilities with a last column `something else`: the share of what nobody asked for.

        With it one candidate alone has a probability, its share against everything else there are names for. It is
        relative to these names, and higher with fewer of them.

        Args:
            scores: (N, C) of the candidates, one or more.
            contrast: (N, M) of the same pictures for other classes: those the method was fitted on, or other names
                (`semantics.contrast.distinct` leaves out those that mean the same as a candidate).
            refined: both are log-probabilities of one refinement.

        Raises:
            DataFormatError: the pictures differ, or there is no contrast.
            OptionError: refined scores were not tried.
        """
        if scores.ids != contrast.ids or not contrast.classes:
            raise DataFormatError("contrast: scores of the same pictures for at least one other class are needed")
        z = np.concatenate([scores.values, contrast.values], axis=1).astype(np.float64)
        p = softmax(z / self.setting(scores, refined).temperature)
        split = len(scores.classes)
        values = np.concatenate([p[:, :split], p[:, split:].sum(axis=1, keepdims=True)], axis=1)
        return Scores(scores.ids, (*scores.classes, SOMETHING_ELSE), values.astype(np.float32))

    def reject(self, scores: Scores, precision: float = 0.95, refined: bool | TransductionOptions = False) -> Mask:
        """Return (N,) true for each picture that should get no answer, if answers are to have the wanted precision.

        The precision holds for pictures that do belong to one of the candidates.

        Args:
            scores: as in `probabilities`.
            precision: wanted share of right answers.
            refined: how the scores were refined; True where it was done as `refinement` says.

        Raises:
            OptionError: there is one candidate only, the precision cannot be promised (the message says what can), or
                the scores were refined in another way than the calibrated one.
        """
        _require_two(scores)
        setting = self.setting(scores, refined is not False)
        if isinstance(refined, TransductionOptions) and (unlike := self.unlike(refined)):
            raise OptionError(
                f"no precision can be promised for scores refined with {unlike}, which is how this model was "
                "calibrated; refine as it was, or ask for a least probability instead"
            )
        needed = setting.lead(len(scores.classes), precision)
        return np.asarray(leads(scores.values) / setting.temperature < needed, np.bool_)

    def expected_coverage(self, candidates: int, precision: float = 0.95, kind: Kind = "new") -> float:
        """Return the share of held-out pictures that got an answer at a precision.

        Raises:
            OptionError: that kind was not tried, or the precision cannot be promised.
        """
        if kind not in self.settings:
            raise OptionError(f"{kind} candidates were not tried")
        self.settings[kind].lead(candidates, precision)
        tried = self.settings[kind].thresholds
        known = next((t for t in tried if t.candidates >= candidates), tried[-1])
        return next(p.coverage for p in known.promises if p.precision >= precision - 1e-9)

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            StoreError: it cannot be written.
        """
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it is something else.
        """
        value = read_json(path)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "it"
            raise DataFormatError(f"{path} is not the confidence of a method: {where}: {first['msg']}") from error


def untrained_confidence(logit_scale: float) -> Confidence:
    """Return the confidence of an image-text model that nobody calibrated: its own scale, and no promise.

    Args:
        logit_scale: the model's own factor from cosines to logits (`encoders.dual`).

    Raises:
        OptionError: it is not above 0.
    """
    if not (np.isfinite(logit_scale) and logit_scale > 0):
        raise OptionError(f"the scale of an image-text model is above 0; {logit_scale:g} is not")
    return Confidence(
        seen=(), settings={"new": Setting(temperature=1 / logit_scale), "new refined": Setting(temperature=1.0)}
    )


def method_digest(method: ZeroShotMethod[Any]) -> str:
    """Return a digest of all that a fitted method scores by; the same for a saved method that was loaded.

    Raises:
        NotFittedError: the method is not fitted.
    """
    fitted = method.require_fitted()
    said = [method.name, method.options.model_dump(mode="json"), fitted.seen, fitted.encoder.fingerprint, fitted.space]
    parts: list[bytes | str] = [json_digest(said)]
    for name, array in sorted(method.state_.items()):
        kept = np.ascontiguousarray(array)
        parts += [name, str(kept.dtype), str(kept.shape), kept.tobytes()]
    return digest(*parts)


def unsure(probabilities: Scores, least: float) -> Mask:
    """Return (N,) true for each picture whose best class has less than the least probability.

    Raises:
        OptionError: the least probability does not lie between 0 and 1.
    """
    if not 0 <= least <= 1:
        raise OptionError(f"a least probability lies between 0 and 1; {least:g} does not")
    return np.asarray(answer_probability(probabilities) < least, np.bool_)


def answer_probability(probabilities: Scores) -> Array:
    """Return the (N,) probability of the best named class; `something else` is no answer."""
    named = [i for i, name in enumerate(probabilities.classes) if name != SOMETHING_ELSE]
    return np.asarray(probabilities.values[:, named].max(axis=1), np.float64)


def softmax(z: Array) -> Array:
    """Return the rows of (N, C) logits as probabilities."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), np.float64)


def leads(values: Matrix | Array) -> Array:
    """Return (N,) the lead of the best score over the second; two columns or more."""
    best = np.partition(values.astype(np.float64), -2, axis=1)[:, -2:]
    return np.asarray(best[:, 1] - best[:, 0], np.float64)


def _require_two(scores: Scores) -> None:
    if len(scores.classes) < 2:
        raise OptionError(
            f"{scores.classes[0]!r} is the only candidate: its probability would be 1 for every picture, and its score "
            "only ranks them; name what else there may be"
        )


def _floor_percent(value: float) -> str:
    return f"{np.floor(1000 * value) / 10:g}"
