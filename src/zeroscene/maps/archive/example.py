"""Search by example: windows whose vectors are like that of a picture, with any image encoder."""

from pathlib import Path
from typing import Self

import numpy as np
import torch

from zeroscene.encoders.base import EncoderIdentity, ImageEncoder
from zeroscene.errors import EncoderMismatchError, PictureError
from zeroscene.methods.contract import Fitted
from zeroscene.methods.prompts import Prompts
from zeroscene.scenes.decode import decode
from zeroscene.semantics.table import ClassTable


class Likeness(Prompts):
    """Cosine of the vectors of two pictures: prompts in which a picture stands for the text.

    It keeps the name of prompts, so that what was laid out for words serves pictures too.
    """

    @classmethod
    def of_encoder(cls, encoder: EncoderIdentity) -> Self:
        """Return the method for the vectors of an image encoder."""
        method = cls()
        method.fitted_ = Fitted((), encoder, "", {"source": "picture"}, 0)
        return method

    def _check_table(self, table: ClassTable, fitted: Fitted) -> None:
        said = table.provenance.get("encoder")
        if not isinstance(said, dict) or EncoderIdentity.from_json(said).fingerprint != fitted.encoder.fingerprint:
            raise EncoderMismatchError(
                f"the example was not encoded by {fitted.encoder.name!r}; encode it with that one"
            )


def example_table(picture: Path, encoder: ImageEncoder) -> ClassTable:
    """Return a table of one class: the vector of a picture.

    Raises:
        PictureError: the picture cannot be read, or the encoder gives no finite vector for it.
    """
    prepared = encoder.prepare(decode(picture))
    x = encoder.encode(torch.stack([prepared])).pooled_BD.numpy().astype(np.float32)
    if not np.isfinite(x).all():
        raise PictureError(f"{picture}: the encoder gives values for it that are not finite")
    columns = tuple(f"dim{i}" for i in range(x.shape[1]))
    provenance = {"source": "picture", "encoder": encoder.identity.to_json()}
    return ClassTable((f"like {picture.name}",), x, columns, "embedding", provenance=provenance)
