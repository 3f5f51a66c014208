"""Zero-shot by prompts: an image-text model says itself how well a picture and the words of a class go together.

    score_nc = cos(x_n, t_c),        t_c = unit(mean over the prompts of class c of unit(text vector))
    p(c | x_n) = softmax_c(scale * score_nc),        scale = `logit_scale` of the model (`encoders.dual`)

Both towers end in one common space, so there is nothing to learn, and labelled pictures of seen classes change nothing:
`fit` remembers which model it is and looks at no picture. The class vectors are made by `semantics.text.text_table`.

Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, section 3.1.
"""

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from zeroscene.encoders.base import EncoderIdentity, require_same_model
from zeroscene.errors import DataFormatError, EncoderMismatchError
from zeroscene.methods.contract import Fitted, Indices, Matrix, State, TrainingSet
from zeroscene.methods.product import ProductMethod
from zeroscene.options import Options
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import products, unit_rows


class PromptsOptions(Options):
    """There are none: templates and texts are chosen where the class table is made."""


class Prompts(ProductMethod[PromptsOptions]):
    """Cosine of a picture's vector and a class's text vector, both of one image-text model.

    The score of a class depends on no other class, and tables of any templates and texts can be scored, as long as the
    text tower of the same model made them.

    Raises:
        EncoderMismatchError: the pictures are not in the space of texts, or the class vectors no texts of the model.
    """

    name: ClassVar[str] = "prompts"
    title: ClassVar[str] = "Prompts: zero-shot by the words of an image-text model"
    reference: ClassVar[str] = (
        "Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, ICML."
    )
    learns: ClassVar[bool] = False
    Options: ClassVar[type[Options]] = PromptsOptions

    @classmethod
    def untrained(cls, encoder: EncoderIdentity, table: ClassTable) -> Self:
        """Return the method ready to score, without any labelled picture.

        Args:
            encoder: image tower that makes the vectors of the pictures.
            table: text vectors of classes by the text tower of the same model.

        Raises:
            EncoderMismatchError: the two are not of one image-text model, or the table holds no text vectors.
        """
        _require_texts_of(encoder, table)
        method = cls()
        method.fitted_ = Fitted((), encoder, table.space, dict(table.provenance), 0)
        return method

    def card(self) -> str:
        """Return the model card, Markdown; it says that no picture was looked at."""
        fitted = self.require_fitted()
        given = f"; the seen classes it was given are {', '.join(fitted.seen)}" if fitted.seen else ""
        return (
            f"# {self.title}\n\n{self.reference}\n\n"
            "Nothing is learned from pictures: the scores are those of the image-text model, and no picture was looked "
            f"at{given}.\n\n"
            f"Pictures must be embedded by {fitted.encoder.name} ({fitted.encoder.output}, weights "
            f"{fitted.encoder.weights}); class vectors are of source {fitted.table.get('source')!r}, by the text tower "
            "of the same model.\n"
        )

    def _fit_pictures(self, train: TrainingSet, table: ClassTable) -> State:
        _require_texts_of(train.pictures.encoder, table)
        return {}

    def _fit(self, x: Matrix, y: Indices, phi: Matrix) -> State:
        return {}

    def _check_table(self, table: ClassTable, fitted: Fitted) -> None:
        _require_texts_of(fitted.encoder, table)

    def picture_side(self, x: Matrix) -> Matrix:
        """Return the (N, D) pictures at unit length."""
        return unit_rows(x)

    def class_side(self, phi: Matrix) -> Matrix:
        """Return the (C, D) texts at unit length."""
        return unit_rows(phi)


def cosine_scores(x: npt.NDArray[np.floating[Any]], text: npt.NDArray[np.floating[Any]]) -> Matrix:
    """Return (N, C) cosines, computed in float32 whatever the precision of the vectors.

    Args:
        x: (N, D) vectors of pictures.
        text: (C, D) vectors of classes, of the same image-text model.

    Raises:
        DataFormatError: the widths differ.
    """
    if x.ndim != 2 or text.ndim != 2 or x.shape[1] != text.shape[1]:
        raise DataFormatError(f"cosine: picture vectors of shape {x.shape} and text vectors of shape {text.shape}")
    pictures, texts = (unit_rows(np.asarray(vectors, np.float32)) for vectors in (x, text))
    return products(pictures, texts)


def _require_texts_of(encoder: EncoderIdentity, table: ClassTable) -> None:
    said = table.provenance.get("encoder")
    if table.kind != "embedding" or not isinstance(said, dict):
        raise EncoderMismatchError(
            f"prompts compare pictures of {encoder.name!r} with texts of the same model; this class table holds "
            f"{table.kind} of source {table.provenance.get('source')!r}: make one with `zeroscene classes text`"
        )
    tower = EncoderIdentity.from_json(said)
    require_same_model(encoder, tower)
    if tower.output != "text-projection":
        raise EncoderMismatchError(
            f"the class vectors were made by {tower.name!r} with output {tower.output!r}; prompts need the text tower "
            "of the image-text model that embedded the pictures"
        )
