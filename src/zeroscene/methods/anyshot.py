"""Any-shot: a handful of labelled pictures, of some classes or of all, improves the scores of a fitted method.

The scores s_ic of the method stay what they are; examples (x_i, y_i) add a correction that is linear in a space z, the
one of `transduction.space` with vectors of unit length:

    f_c(x) = beta s_c(x) + z(x) . w_c - caution log(1 + n_c)
    W      = argmin  - sum_i log softmax(beta s(x_i) + z_i W)_{y_i}  +  |W|^2 / (2 deviation)

the most probable weights under a normal prior with the words as its mean: kernel logistic regression with an offset, a
convex problem with one solution. It has the properties that a sum of words and examples needs:

- No example, no correction. Its weight grows with the number of examples without being told to.
- An example that the words had right already changes little; one that they had wrong changes much.
- z has mean 0, so that a class with examples gains where pictures are like them and loses elsewhere. What is left of
  the advantage over classes of which there are words only is paid by the last term, n_c being the examples of class c.
- After the fit a column depends on its own score only: a class that comes later has the correction 0, and changes no
  other.

beta and the space come from pictures without labels (`reference`), best the pictures at hand. W is found by bounding
the Hessian (Boehning, Annals of the Institute of Statistical Mathematics 1992) and acceleration with restarts
(O'Donoghue and Candes, Foundations of Computational Mathematics 2015). The usual baseline, a cache of examples whose
similarities are added to the scores (Tip-Adapter: Zhang et al., ECCV 2022, arXiv 2207.09519), stands beside it in
docs/anyshot.md.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import names, options
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError
from zeroscene.files import replacing
from zeroscene.methods.contract import Indices, Matrix, Scores, State, ZeroShotMethod
from zeroscene.methods.transduction import mixture
from zeroscene.methods.transduction.mapped import fit_map, to_map
from zeroscene.methods.transduction.refine import Refined, TransductionOptions, as_refined, logit_scale, prepared
from zeroscene.methods.transduction.space import Array
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import products, unit_rows

FILE: Final = "anyshot.safetensors"
"""Name of the file beside a saved method; without it the method answers as before."""

_FORMAT = "zeroscene-anyshot-1"
_CERTAIN = 50.0  # logits by which the class of an example leads in a refinement
_STEPS, _STILL = 5000, 1e-9
_SAME = 1e-4  # difference of two vectors of one picture, in their lengths: batches and backends change the last bits


class AnyShotOptions(options.Options):
    """Options of the correction; the defaults serve every encoder and method.

    Attributes:
        lead: mean lead of the best class over the second in logits, to which the method's scores are scaled.
        deviation: prior variance of the correction in logits; how far examples may move it from the words.
        caution: logits that a class pays for e - 1 examples, against drowning the classes that have none.
    """

    lead: float = Field(default=2.0, gt=0, le=100)
    deviation: float = Field(default=20.0, gt=0, le=1e6)
    caution: float = Field(default=0.6, ge=0, le=100)


@dataclass(frozen=True)
class Examples:
    """Labelled pictures and what a fitted method says about them.

    Attributes:
        pictures: labelled embeddings; possibly none.
        scores: scores of these pictures, against all classes that are asked about.

    Raises:
        DataFormatError: no labels, or the scores are of other pictures.
        UnknownNameError: an example of a class that is not asked about; the nearest names are listed.
    """

    pictures: Embeddings
    scores: Scores

    def __post_init__(self) -> None:
        if self.pictures.labels is None:
            raise DataFormatError("examples need labels: a folder a class, or a class beside each picture")
        check_same(self.scores, self.pictures, "examples")
        if (self.y < 0).any():
            raise names.unknown(self.pictures.classes, self.scores.classes, "class of examples")

    @classmethod
    def of(cls, method: ZeroShotMethod[options.Options], pictures: Embeddings, table: ClassTable) -> Self:
        """Score labelled pictures by a fitted method.

        Args:
            method: the method that examples shall improve.
            pictures: labelled embeddings, one picture at least.
            table: all classes that are asked about.

        Raises:
            DataFormatError: there are no pictures, or they have no labels.
            UnknownNameError: an example of a class that is not in the table.
            EncoderMismatchError: the examples were embedded by another encoder than the method was fitted on.
        """
        if not len(pictures):
            raise DataFormatError("there are no examples; give one labelled picture at least, or ask without examples")
        return cls(pictures, method.scores(pictures, table))

    @property
    def y(self) -> Indices:
        """(n,) column of each example's class."""
        return self.pictures.label_indices(self.scores.classes)

    @property
    def counts(self) -> Indices:
        """(C,) examples of each class."""
        return np.bincount(self.y, minlength=len(self.scores.classes))


@dataclass(frozen=True)
class AnyShot:
    """What examples add to the scores of a method; made by `fit` or `load`.

    Attributes:
        classes: the classes at the time of the fit.
        encoder: of the pictures.
        ids: of the examples.
        labels: of the examples.
        options: as given to `fit`.
        state: `x` (n, D) vectors of the examples; `scale` (1,), beta; `weights` (C, d); `counts` (C,); `space.*`.
    """

    classes: tuple[str, ...]
    encoder: EncoderIdentity
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    options: AnyShotOptions
    state: State

    @classmethod
    def fit(
        cls,
        examples: Examples,
        reference: Embeddings,
        scores: Scores,
        options: AnyShotOptions | None = None,
    ) -> Self:
        """Learn from examples; the same arguments give the same numbers.

        Args:
            examples: labelled pictures of some of the classes, or of all.
            reference: pictures like those to be asked about, whose labels are not looked at: the pictures at hand.
            scores: of the reference, against the classes of the examples' scores.
            options: the defaults when None.

        Raises:
            EncoderMismatchError: examples and reference come from different encoders.
            DataFormatError: the scores are of other pictures or classes than the reference and the examples, or of one
                class alone, whose scores have no scale.
        """
        given = options or AnyShotOptions()
        x = examples.pictures
        reference.check_encoder(x.encoder, "the set of examples")
        check_same(scores, reference, "reference")
        if scores.classes != examples.scores.classes:
            raise DataFormatError("any-shot: examples and reference are scored against different classes")
        if len(x) and len(scores.classes) < 2:
            raise DataFormatError(
                f"any-shot: examples of {scores.classes[0]!r} alone do not tell it from anything; "
                "score it with other classes"
            )
        state: State = {"x": x.x.astype(np.float32), "counts": examples.counts}
        if len(x):
            everything = np.concatenate([reference.x, x.x]).astype(np.float32)
            state |= fit_map(everything)
            beta = logit_scale(np.concatenate([scores.values, examples.scores.values]), given.lead)
            z = _to_space(state, state["x"])
            offset = beta * examples.scores.values.astype(np.float64)
            state |= {
                "scale": np.array([beta]),
                "weights": most_probable(z, offset, examples.y, given.deviation).T.copy(),
            }
        assert x.labels is not None
        return cls(scores.classes, x.encoder, x.ids, x.labels, given, state)

    def adapt(self, scores: Scores, pictures: Embeddings) -> Scores:
        """Return the scores with what the examples add; without examples, the scores themselves.

        A class that was not there at the fit keeps its score, in the new scale; each column depends on its own score
        only, to the bit.

        Args:
            scores: of the method that scored the examples, against any classes.
            pictures: the pictures that were scored.

        Raises:
            EncoderMismatchError: the pictures come from another encoder than the examples.
            DataFormatError: the scores are of other pictures.
        """
        pictures.check_encoder(self.encoder, "the set of examples")
        check_same(scores, pictures, "pictures")
        if not len(self.ids):
            return scores
        z = _to_space(self.state, pictures.x.astype(np.float32))
        known = names.index(self.classes, "classes of the examples")
        correction = products(z, self.state["weights"]) - self.options.caution * np.log1p(self.state["counts"])
        values = self.state["scale"][0] * scores.values.astype(np.float64)
        for column, name in enumerate(scores.classes):
            if (at := known.get(names.key(name))) is not None:
                values[:, column] += correction[:, at]
        return Scores(scores.ids, scores.classes, values.astype(np.float32))

    def apart(self, pictures: Embeddings) -> tuple[Embeddings, tuple[str, ...]]:
        """Return the pictures that are no examples, and the ids of those that are, to be left out of figures.

        A picture is known by its vector, whatever its name or folder.

        Raises:
            EncoderMismatchError: the pictures come from another encoder than the examples.
        """
        pictures.check_encoder(self.encoder, "the set of examples")
        same = _same_rows(pictures.x, self.state["x"])
        return pictures.take(~same), tuple(np.array(pictures.ids, object)[same])

    def summary(self) -> str:
        """Return what was learned from, one line."""
        counts = Counter(self.labels)
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        without = len(self.classes) - len(counts)
        return f"{len(self.ids)} examples ({told}); {without} of {len(self.classes)} classes by words alone"

    def save(self, folder: Path) -> Path:
        """Write `anyshot.safetensors` into the folder of a saved method and return its path; delete it to go back.

        Raises:
            StoreError: the folder cannot be written.
        """
        from safetensors.numpy import save_file

        record = {
            "format": _FORMAT,
            "classes": self.classes,
            "encoder": self.encoder.to_json(),
            "ids": self.ids,
            "labels": self.labels,
            "options": self.options.model_dump(mode="json"),
        }
        with replacing(folder / FILE) as temporary:
            arrays = {name: np.ascontiguousarray(array) for name, array in self.state.items()}
            save_file(arrays, temporary, metadata={"record": json.dumps(record, ensure_ascii=False, sort_keys=True)})
        return folder / FILE

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DatasetNotFoundError: the folder holds no examples.
            DataFormatError: the file is damaged or of another kind.
        """
        from safetensors import SafetensorError, safe_open

        path = folder / FILE
        if not path.is_file():
            raise DatasetNotFoundError(f"{folder} holds no examples (no {FILE})")
        try:
            with safe_open(path, framework="numpy") as file:
                record = json.loads((file.metadata() or {})["record"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if record["format"] != _FORMAT:
                raise KeyError(_FORMAT)
            return cls(
                tuple(record["classes"]),
                EncoderIdentity.from_json(record["encoder"]),
                tuple(record["ids"]),
                tuple(record["labels"]),
                AnyShotOptions(**record["options"]),
                state,
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataFormatError(f"{path} is damaged or no file of examples; learn from the examples again") from error


def refine_with(
    examples: Examples, pictures: Embeddings, scores: Scores, options: TransductionOptions | None = None
) -> Refined:
    """Refine a set of pictures whose scores have been adapted, with the examples in it as pictures of known class.

    Transductive: the result belongs to the set, and stands in a column of its own. In the diagnosis the examples count
    among the pictures.

    Args:
        examples: the labelled pictures.
        pictures: N unlabelled pictures.
        scores: of the pictures, by `AnyShot.adapt`, against the classes of the examples' scores.
        options: of the refinement; the defaults when None.

    Raises:
        EncoderMismatchError: pictures and examples come from different encoders.
        DataFormatError: the scores are of other pictures or classes, or there are no pictures.
    """
    given = options or TransductionOptions()
    pictures.check_encoder(examples.pictures.encoder, "the set of examples")
    check_same(scores, pictures, "pictures")
    if scores.classes != examples.scores.classes:
        raise DataFormatError("any-shot: examples and pictures are scored against different classes")
    n, known = len(pictures), len(examples.pictures)
    _, space = prepared(
        np.concatenate([pictures.x, examples.pictures.x]),
        np.concatenate([scores.values, examples.scores.values]),
        None,
        given,
    )
    unary = np.zeros((n + known, len(scores.classes)))
    unary[:n] = (scores.values - scores.values.mean(axis=1, keepdims=True)) * logit_scale(scores.values, given.lead)
    unary[np.arange(n, n + known), examples.y] = _CERTAIN
    model = mixture.Model(space, unary, given.affinity, given.priors == "balanced")
    values, iterations = mixture.logits(model)
    whole = as_refined(unary, values, iterations, space.neighbours, balanced=model.balanced)
    own = whole.values[:n]
    return Refined(own, np.exp(own.astype(np.float64)).mean(axis=0), iterations, whole.diagnosis)


def most_probable(z: Array, offset: Array, y: Indices, deviation: float) -> Array:
    """Return the (d, C) weights of the most probable correction; see the head of this file.

    Args:
        z: (n, d) examples.
        offset: (n, C) logits that are there already.
        y: (n,) class of each example.
        deviation: prior variance of a weight.
    """
    d, c = z.shape[1], offset.shape[1]
    bound = np.linalg.inv(z.T @ z / 2 + np.eye(d) / deviation)
    wanted = np.eye(c)[y]
    best = ahead = np.zeros((d, c))
    momentum = 1.0
    for _ in range(_STEPS):
        slope = z.T @ (wanted - mixture.softmax(offset + z @ ahead)) - ahead / deviation
        stepped = ahead + bound @ slope
        if ((stepped - best) * (ahead - stepped)).sum() > 0:
            momentum = 1.0
        rising = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = stepped + (momentum - 1) / rising * (stepped - best)
        change, best, momentum = float(np.abs(stepped - best).max(initial=0.0)), stepped, rising
        if change <= _STILL * max(1.0, float(np.abs(best).max(initial=0.0))):
            break
    return np.asarray(best, np.float64)


def check_same(scores: Scores, pictures: Embeddings, what: str) -> None:
    """Refuse scores of other pictures.

    Raises:
        DataFormatError: ids differ; the first that does is named.
    """
    if len(scores.ids) != len(pictures):
        raise DataFormatError(f"any-shot, {what}: scores of {len(scores.ids)} pictures for {len(pictures)} pictures")
    for row, (given, own) in enumerate(zip(scores.ids, pictures.ids, strict=True)):
        if given != own:
            raise DataFormatError(f"any-shot, {what}: row {row} of the scores is {given!r}, of the pictures {own!r}")


def _to_space(state: State, x: Matrix) -> Array:
    z = to_map(state, x)
    return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-300), np.float64)


def _same_rows(x: Matrix, known: Matrix) -> npt.NDArray[np.bool_]:
    same = np.zeros(len(x), np.bool_)
    if not len(known) or not len(x):
        return same
    cosines = unit_rows(x.astype(np.float32)) @ unit_rows(known.astype(np.float32)).T
    nearest_known = known[cosines.argmax(axis=1)]
    apart = np.linalg.norm(x - nearest_known, axis=1)
    return np.asarray(apart <= _SAME * np.linalg.norm(nearest_known, axis=1), np.bool_)
