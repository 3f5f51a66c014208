"""Who answers about classes: a fitted model, or an image-text model that is told their words."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zeroscene.serving.label import WordModel
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.model import Model
from zeroscene.serving.words import AUTO


def labeller_of(
    wanted: Sequence[str] | None,
    *,
    model: Path | None = None,
    encoder: str | None = None,
    texts: str | Mapping[str, str | Sequence[str]] = AUTO,
    templates: Sequence[str] | None = None,
    text_encoder: str | None = None,
    gamma: float | None = None,
    download: bool = False,
) -> Labeller:
    """Return what answers about classes as a user asks for them.

    Args:
        wanted: one table or bank, or names with commas between, `@FILE` for one a line; of a model, None for all of
            its classes.
        model: folder of a fitted model; None for words alone.
        encoder: where the model's encoder is, if it moved; without a model, the image-text model (`tiny` where None).
        texts, templates: how words are said to an image-text model, as in `WordModel.of`.
        text_encoder: of a model whose classes are text vectors, where it is now.
        gamma: what is subtracted from the scores of classes that a model has seen; its own where None.
        download: allow an encoder to be fetched.

    Raises:
        DatasetNotFoundError, DataFormatError: there is no such model or file, or it is damaged.
        EncoderError, EncoderMismatchError: no such encoder, or another than the model's.
        OptionError, DuplicateNameError, UnknownNameError: no class, a class twice, or a class that nobody knows.
    """
    if model is not None:
        return Model.load(model).labeller(
            wanted, encoder=encoder, text_encoder=text_encoder, gamma=gamma, download=download
        )
    return WordModel.asked(
        wanted or (), encoder or "tiny", texts=texts, templates=templates, download=download
    ).labeller
