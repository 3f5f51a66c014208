"""What is asked of windows: a fitted method and classes; how its scores become the distributions that are voted on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import OptionError
from zeroscene.methods.confidence import Confidence, softmax
from zeroscene.methods.contract import Matrix, Scores
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import logit_scale
from zeroscene.semantics.table import ClassTable

_LEAD = 2.0
"""Mean lead of the best class in logits where nothing is known of what scores are worth; that of `refine`."""
_ROWS = 4096
"""Vectors that are scored at once."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """Who is asked, and about what.

    Attributes:
        method: fitted, of one vector a picture.
        table: the C classes.
        minus: (C,) what is subtracted from the scores of each class: gamma from seen ones where others are asked
            about; nothing where None.
        confidence: turns scores into probabilities, where known.
        contrast: classes that nobody asks about, against which a single class has a probability.
        contrast_minus: (M,) what is subtracted from the scores of these; nothing where None.

    Raises:
        OptionError: the method looks at more than one vector a picture.
        EncoderMismatchError: the class vectors mean something else than those of the fit.
        DataFormatError: there is no class.
    """

    method: AnyMethod
    table: ClassTable
    minus: Matrix | None = None
    confidence: Confidence | None = None
    contrast: ClassTable | None = None
    contrast_minus: Matrix | None = None

    def __post_init__(self) -> None:
        if self.method.reads != "vectors":
            raise OptionError(
                f"a window of a map or an archive is one vector, and {self.method.name} looks at grids of tokens; fit "
                "another method"
            )
        self.method.check_table(self.table)

    def require_probability(self) -> None:
        """Make sure that answers have probabilities, which cells vote with.

        Raises:
            OptionError: a single class has nothing to be set against.
        """
        if self.alone and (self.contrast is None or self.confidence is None):
            raise OptionError("one class alone has no probability with this model: name the others it may be")

    @property
    def alone(self) -> bool:
        """Whether there is one class, set against all that nobody asks about."""
        return len(self.table) == 1

    @property
    def width(self) -> int:
        """Columns of `distributions`: one a class, and one for everything else where a class is alone."""
        return 2 if self.alone else len(self.table)

    @property
    def offsets(self) -> Matrix:
        """What is subtracted from the scores of each class, (C,)."""
        return np.zeros(len(self.table), np.float32) if self.minus is None else self.minus

    def scores(self, x: Matrix) -> Matrix:
        """Return (N, C) scores of (N, D) vectors of the method's encoder, calibrated."""
        encoder = self.method.require_fitted().encoder
        found = np.empty((len(x), len(self.table)), np.float32)
        for start in range(0, len(x), _ROWS):
            part = slice(start, start + _ROWS)
            found[part] = self.method.scores(_embeddings(x[part], encoder), self.table).values - self.offsets
        return found

    def logit_scale(self, sample: Matrix) -> float:
        """Return what makes scores logits.

        Args:
            sample: (N, D) vectors of some windows; looked at only where the model itself does not know.
        """
        if self.confidence is not None:
            return 1 / self.confidence.setting(_no_scores(self.table)).temperature
        return logit_scale(self.scores(sample), _LEAD)

    def distributions(self, x: Matrix, scale: float) -> Array:
        """Return (N, `width`) probabilities of (N, D) vectors, with the scale of `logit_scale`."""
        if self.alone:
            return self._against(x, scale)
        return softmax(self.scores(x).astype(np.float64) * scale)

    def _against(self, x: Matrix, scale: float) -> Array:
        assert self.contrast is not None
        others = self.method.scores(_embeddings(x, self.method.require_fitted().encoder), self.contrast).values
        if self.contrast_minus is not None:
            others = others - self.contrast_minus
        scores = np.concatenate([self.scores(x), others], axis=1)
        own = softmax(scores.astype(np.float64) * scale)[:, :1]
        return np.concatenate([own, 1 - own], axis=1)


def _embeddings(x: Matrix, encoder: EncoderIdentity) -> Embeddings:
    return Embeddings(tuple(map(str, range(len(x)))), np.asarray(x, np.float32), encoder)


def _no_scores(table: ClassTable) -> Scores:
    return Scores((), table.classes, np.empty((0, len(table)), np.float32))
