"""Encoders by what a user calls them, and a note of it beside what they made: nobody has to say it twice."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zeroscene.errors import DataFormatError, EncoderError, EncoderMismatchError
from zeroscene.files import read_json, write_json

if TYPE_CHECKING:
    from zeroscene.encoders.base import EncoderIdentity, ImageEncoder

_FILE, _FORMAT = "origin.json", "zeroscene-origin-1"


def open_image_encoder(source: str, *, rotations: bool = False, **choices: Any) -> "ImageEncoder":
    """Return the encoder of a model folder or hub id, or the one that ships, `tiny`.

    Args:
        source: model folder, hub id, or `tiny`.
        rotations: average its vectors over the four orientations of a picture.
        choices: precision, pooling, backend, statistics and download, as for `encoders.huggingface.load_image_encoder`.

    Raises:
        EncoderError: there is no such model, or it cannot be used.
        MissingExtraError: the backend is not installed.
    """
    from zeroscene.encoders.huggingface import load_image_encoder

    upright = load_image_encoder(source, **choices)
    if not rotations:
        return upright
    from zeroscene.encoders.rotations import RotationAveraged

    return RotationAveraged(upright)


@dataclass(frozen=True)
class Origin:
    """Where the encoder of a store or a fitted method is, and a store's pictures.

    Attributes:
        encoder: hub id, absolute folder, id of an open_clip model, or `tiny`.
        pooling: which output is taken.
        pictures: absolute folder that the picture ids are relative to; empty for a fitted method.
        rotations: whether its vectors are averaged over the four orientations.
        statistics: by whose mean and deviation channels are normalised.
    """

    encoder: str
    pooling: str = "auto"
    pictures: str = ""
    rotations: bool = False
    statistics: str = "own"

    @classmethod
    def of(
        cls,
        encoder: str,
        pooling: str,
        pictures: Path | None = None,
        rotations: bool = False,
        statistics: str = "own",
    ) -> Self:
        """Return the origin of what an encoder made; folders and files are noted by their absolute paths."""
        return cls(place(encoder), pooling, str(pictures.resolve()) if pictures else "", rotations, statistics)

    def write(self, folder: Path) -> None:
        """Write the note into a store or a fitted method."""
        write_json(folder / _FILE, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the note in a folder, or None where there is none.

        Raises:
            DataFormatError: the note is damaged.
        """
        path = folder / _FILE
        if not path.is_file():
            return None
        value = read_json(path)
        try:
            if value.pop("format") != _FORMAT:
                raise DataFormatError(f"{path} is of another format")
            return cls(**value)
        except (AttributeError, KeyError, TypeError) as error:
            raise DataFormatError(f"{path} is damaged; remove it and say where the encoder is: --encoder") from error

    def open(self, expected: "EncoderIdentity", **choices: Any) -> "ImageEncoder":
        """Return the encoder, and refuse one that is not the expected.

        Raises:
            EncoderError: it is no longer where it was; the message says where that is.
            EncoderMismatchError: another encoder stands there now.
        """
        if Path(self.encoder).is_absolute() and not Path(self.encoder).is_dir():
            raise EncoderError(
                f"encoder {expected.name!r} was in {self.encoder} and is not there any more; "
                "say where it is: --encoder FOLDER"
            )
        encoder = open_image_encoder(
            self.encoder, rotations=self.rotations, pooling=self.pooling, statistics=self.statistics, **choices
        )
        if encoder.identity.fingerprint != expected.fingerprint:
            raise EncoderMismatchError(
                f"the model needs encoder {expected.name!r} (weights {expected.weights}, {expected.output}); "
                f"{self.encoder} is {encoder.identity.name!r} (weights {encoder.identity.weights}, "
                f"{encoder.identity.output}); give the right one: --encoder FOLDER_OR_ID"
            )
        return encoder


def place(encoder: str) -> str:
    """Return where an encoder is, as it is noted: a folder or file by its absolute path, anything else as it is."""
    from zeroscene.encoders import open_clip

    if open_clip.is_open_clip(encoder):
        return open_clip.absolute(encoder)
    return str(Path(encoder).resolve()) if Path(encoder).is_dir() else encoder
