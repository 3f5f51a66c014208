"""Prompt sensitivity: how much the answer of an image-text model depends on how its prompts happen to be worded.

Each template alone is scored beside the ensemble of all. With labels, the spread of the accuracies says how far one
prompt, picked by luck or on the test pictures, can be from another; without labels, the agreement between templates
says how much of the answer is the wording.

Shapes in names: T templates, N pictures, C classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import require_same_model
from zeroscene.errors import DataFormatError, OptionError
from zeroscene.evaluation.metrics import Integers, Values, confusion_matrix, overall_accuracy, t1
from zeroscene.methods.contract import Matrix
from zeroscene.methods.prompts import cosine_scores
from zeroscene.semantics.text import PromptEnsemble


@dataclass(frozen=True)
class Spread:
    """A figure of every template, in [0, 1].

    Attributes:
        values: one a template.
        ensemble: the same figure of the ensemble of all templates.
    """

    values: tuple[float, ...]
    ensemble: float

    @property
    def mean(self) -> float:
        """Mean over the templates."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Standard deviation over the templates (of a sample); 0 for one template."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0

    @property
    def best(self) -> int:
        """Position of the template with the highest figure."""
        return int(np.argmax(self.values))

    @property
    def worst(self) -> int:
        """Position of the template with the lowest figure."""
        return int(np.argmin(self.values))


@dataclass(frozen=True)
class Sensitivity:
    """What templates do, each alone, and their ensemble.

    Attributes:
        templates: T prompts.
        pictures: how many pictures were scored.
        t1: mean of the per-class accuracies; None without labels.
        overall: share of pictures that are right; None without labels.
        agreement: share of pictures to which a template gives the class that the ensemble gives.
        pairwise: chance that two templates give a picture the same class.
        unanimous: share of pictures to which all templates give the same class.
    """

    templates: tuple[str, ...]
    pictures: int
    t1: Spread | None
    overall: Spread | None
    agreement: Spread
    pairwise: float
    unanimous: float

    @property
    def figures(self) -> dict[str, Spread]:
        """The figures that there are, by name."""
        named = {"T1": self.t1, "accuracy": self.overall, "as the ensemble": self.agreement}
        return {name: spread for name, spread in named.items() if spread is not None}

    def to_json(self) -> dict[str, Any]:
        """Return all figures as a JSON value, each spread with its summary."""
        summaries = {
            field: None
            if spread is None
            else {
                **asdict(spread),
                "mean": spread.mean,
                "deviation": spread.deviation,
                "best": self.templates[spread.best],
                "worst": self.templates[spread.worst],
            }
            for field, spread in (("t1", self.t1), ("overall", self.overall), ("agreement", self.agreement))
        }
        return {
            "templates": list(self.templates),
            "pictures": self.pictures,
            **summaries,
            "pairwise": self.pairwise,
            "unanimous": self.unanimous,
        }


def sensitivity(
    scores: Iterable[Values], ensemble: Values, templates: Sequence[str], y: Integers | None = None
) -> Sensitivity:
    """Return the spread over templates from their scores.

    Args:
        scores: (N, C) scores of each template, one after the other; only one is in memory at a time.
        ensemble: (N, C) scores of all templates together.
        templates: T texts, in the order of the scores.
        y: (N,) column of each picture's true class; None where nobody knows.

    Raises:
        OptionError: no template, or another number of scores than of templates.
        DataFormatError: no picture, or scores of another shape than the ensemble's.
    """
    if not ensemble.size:
        raise DataFormatError("the sensitivity to prompts needs pictures and classes")
    together = ensemble.argmax(axis=1)
    votes_NC = np.zeros(ensemble.shape, np.int64)
    alike, confusions = [], []
    for values in scores:
        if values.shape != ensemble.shape:
            raise DataFormatError(f"scores of a template are {values.shape}, those of the ensemble {ensemble.shape}")
        chosen = values.argmax(axis=1)
        votes_NC[np.arange(len(chosen)), chosen] += 1
        alike.append(float((chosen == together).mean()))
        confusions.append(None if y is None else confusion_matrix(y, chosen, ensemble.shape[1]))
    count = len(alike)
    if not count or count != len(templates):
        raise OptionError(
            f"scores of {count} templates for {len(templates)} texts; give one for each, and at least one"
        )
    of_ensemble = None if y is None else confusion_matrix(y, together, ensemble.shape[1])
    same_pairs = (votes_NC * (votes_NC - 1)).sum(axis=1).mean() / max(count * (count - 1), 1)

    def spread(figure: Any) -> Spread | None:
        return None if of_ensemble is None else Spread(tuple(map(figure, confusions)), figure(of_ensemble))

    return Sensitivity(
        tuple(templates),
        len(ensemble),
        spread(t1),
        spread(overall_accuracy),
        Spread(tuple(alike), 1.0),
        float(same_pairs) if count > 1 else 1.0,
        float((votes_NC.max(axis=1) == count).mean()),
    )


def prompt_sensitivity(x: Embeddings, ensemble: PromptEnsemble) -> Sensitivity:
    """Return the spread over the templates of an ensemble, for pictures that its model embedded.

    Labelled pictures of classes that the ensemble does not have are left out.

    Raises:
        EncoderMismatchError: the pictures were not embedded by the image tower of the same model.
        OptionError: the pictures are labelled, and none is of a class of the ensemble.
    """
    require_same_model(x.encoder, ensemble.encoder)
    y = None
    if x.labels is not None:
        y = x.label_indices(ensemble.classes)
        x, y = x.take(y >= 0), y[y >= 0]
        if not len(x):
            raise OptionError("no picture is labelled with one of the named classes; name the classes of the pictures")
    return sensitivity(
        _of_each(x.x, ensemble.vectors_TCD), cosine_scores(x.x, ensemble.table().matrix), ensemble.templates, y
    )


def _of_each(x: Matrix, vectors_TCD: Matrix) -> Iterator[Matrix]:
    for vectors_CD in vectors_TCD:
        yield cosine_scores(x, vectors_CD)
