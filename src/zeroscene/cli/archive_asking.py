"""What the commands of an archive have in common: options, and who is asked about its windows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroscene.cli.common import CLASSES, ENCODER
from zeroscene.errors import OptionError

if TYPE_CHECKING:
    from zeroscene.encoders.base import ImageEncoder
    from zeroscene.maps.archive.folder import Archive
    from zeroscene.maps.archive.region import Region
    from zeroscene.maps.question import Question
    from zeroscene.serving.labeller import Labeller
    from zeroscene.serving.sources import Origin

WHERE = "Where and when"

Place = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="Folder of the archive.")]
Classes = Annotated[
    list[str] | None,
    typer.Option("--classes", "-c", help="Names with commas, @FILE, table or bank.", rich_help_panel=CLASSES),
]
FittedModel = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Folder that `fit` or `label --save` wrote; else words alone.", rich_help_panel=CLASSES
    ),
]
Where = Annotated[
    str | None,
    typer.Option("--region", help="west,south,east,north in degrees, or a GeoJSON file.", rich_help_panel=WHERE),
]
Encoder = Annotated[
    str | None,
    typer.Option("--encoder", help="Where the encoder is, if it moved.", rich_help_panel=ENCODER),
]


@dataclass(frozen=True)
class Words:
    """How words are said to an image-text model.

    Attributes:
        texts: what is said of a class.
        template: prompts.
        text_encoder: of a model of text vectors.
        download: allow an encoder to be fetched.
        encoder: where the archive's encoder is, if it moved.
    """

    texts: str = "auto"
    template: list[str] | None = None
    text_encoder: str | None = None
    download: bool = False
    encoder: str | None = None


def region_of(given: str | None) -> "Region | None":
    """Return the region that a user named."""
    from zeroscene.maps.archive.region import Region

    return None if given is None else Region.of(given)


def origin_of(archive: "Archive", given: str | None) -> "Origin":
    """Return where the encoder of an archive is.

    Raises:
        EncoderError: nobody noted it.
    """
    from zeroscene.errors import EncoderError
    from zeroscene.serving.sources import Origin

    noted = Origin.read(archive.path)
    if given is not None:
        return Origin.of(given, noted.pooling if noted else "auto")
    if noted is None:
        raise EncoderError(f"{archive.path} does not say where its encoder {archive.encoder.name!r} is; give --encoder")
    return noted


def eye_of(archive: "Archive", words: Words) -> "ImageEncoder":
    """Return the image encoder of an archive, to look at an example."""
    return origin_of(archive, words.encoder).open(archive.encoder, download=words.download)


def labeller(archive: "Archive", classes: list[str] | None, model: Path | None, words: Words) -> "Labeller":
    """Return who is asked about classes.

    Raises:
        OptionError: neither classes nor a model are named.
    """
    from zeroscene.serving.labellers import labeller_of

    if model is None and not classes:
        raise OptionError("name what to look for: --classes, --text, --example, or a --model")
    return labeller_of(
        classes,
        model=model,
        encoder=None if model is not None else origin_of(archive, words.encoder).encoder,
        texts=words.texts,
        templates=words.template,
        text_encoder=words.text_encoder,
        download=words.download,
    )


def asked_text(archive: "Archive", text: str, words: Words) -> "Question":
    """Return a text, said as it is, as a question about windows."""
    from zeroscene.serving.label import WordModel

    if not text.strip():
        raise OptionError("--text is empty; say what to look for")
    encoder = origin_of(archive, words.encoder).encoder
    model = WordModel.of([text], encoder, texts={text: [text]}, templates=["{}"], download=words.download)
    return model.labeller.question


def asked_example(archive: "Archive", picture: Path, words: Words) -> "Question":
    """Return a picture as a question about windows."""
    from zeroscene.maps.archive.example import Likeness, example_table
    from zeroscene.maps.question import Question

    return Question(Likeness.of_encoder(archive.encoder), example_table(picture, eye_of(archive, words)))
