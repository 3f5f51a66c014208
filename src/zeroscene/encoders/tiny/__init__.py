"""The encoder that ships with the package: its files, checked before use. `docs/tiny.md` says what it is."""

import hashlib
from pathlib import Path
from typing import Final

from zeroscene.errors import DatasetNotFoundError, EncoderError, ZeroSceneError
from zeroscene.files import read_json

NAME: Final = "tiny"
CARD: Final = "card.json"
WEIGHTS: Final = Path(__file__).parent / "weights"
_REMEDY = "install the package again"


def shipped(folder: Path = WEIGHTS) -> Path:
    """Return the folder of the encoder, its weights checked against the hash in its card.

    Args:
        folder: where it lies.

    Raises:
        EncoderError: a file is missing, or the weights are not those of the card.
    """
    try:
        said = read_json(folder / CARD)["weights"]
        data = (folder / said["file"]).read_bytes()
    except (DatasetNotFoundError, FileNotFoundError) as error:
        raise EncoderError(
            f"the encoder {NAME!r} is incomplete: no {CARD} or weights in {folder}; {_REMEDY}"
        ) from error
    except (ZeroSceneError, KeyError, TypeError) as error:
        raise EncoderError(f"the encoder {NAME!r} is damaged: {folder / CARD} cannot be read; {_REMEDY}") from error
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
        raise EncoderError(
            f"the encoder {NAME!r} is damaged: {folder / said['file']} does not have the hash in its card; {_REMEDY}"
        )
    return folder
