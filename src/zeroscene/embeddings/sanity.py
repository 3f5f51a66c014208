"""Checkpoint sanity: does an image-text model find the right text, and does it do so best behind its own preprocessing?

Weights that are random, towers of two models, or the wrong mean and deviation of channels raise no error: they give
numbers, and wrong ones. Here drawn pictures (`embeddings.probes`) must find their texts far more often than by chance.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.embeddings.probes import Probes, english, narrow
from zeroscene.encoders.base import ImageEncoder, TextEncoder
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder
from zeroscene.encoders.preprocessing import IMAGENET, Preprocessing
from zeroscene.errors import EncoderError, EncoderMismatchError, ZeroSceneError
from zeroscene.files import json_digest, read_json, write_json
from zeroscene.semantics.text_cache import cache_folder
from zeroscene.vectors import unit_rows

Reals = npt.NDArray[np.float64]

CLIP: Final = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
"""Mean and standard deviation of channels of CLIP, grey levels in [0, 1]."""

_VERSION = 1
_BATCH = 16
_SHUFFLES = 999
# Another preprocessing explains the weights better when the margin grows by so much, and by so many standard errors.
_BETTER, _SURE = 0.3, 3.0
_WEAK = 5
_NAMED = 3


@dataclass(frozen=True)
class SelfCheck:
    """What a self-check found.

    Attributes:
        accuracy: share of the pictures whose own text fits best.
        chance: share that an untrained model reaches on average.
        margin: how far the fit of the right text stands above those of the others, in their standard deviations; 0 for
            an untrained model.
        warnings: what is wrong, a sentence each; empty for a sound model.
        preprocessings: margin behind each known preprocessing, on one picture of each kind; `own` is the declared one.
    """

    accuracy: float
    chance: float
    margin: float
    warnings: tuple[str, ...] = ()
    preprocessings: Mapping[str, float] | None = None

    @property
    def sound(self) -> bool:
        """Whether there is nothing to warn of."""
        return not self.warnings

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the self-check that `dataclasses.asdict` gave."""
        return cls(**{**value, "warnings": tuple(value["warnings"])})


def self_check(image: ImageEncoder, text: TextEncoder, cache: Path | None = None) -> SelfCheck:
    """Return how well a model matches drawn pictures with their texts, measured once for each encoder.

    Args:
        image: the tower of pictures.
        text: the tower of texts.
        cache: folder in which the outcome is kept; the user's cache folder if not given.

    Raises:
        EncoderMismatchError: the towers give vectors of different lengths.
    """
    key = json_digest([_VERSION, image.identity.fingerprint, text.identity.fingerprint])
    file = (cache or cache_folder()) / "self-checks" / f"{key}.json"
    # A cache never stops work: what cannot be read or written is measured again.
    with suppress(ZeroSceneError, TypeError, KeyError):
        return SelfCheck.from_json(read_json(file))
    found = measure(image, text)
    with suppress(ZeroSceneError):
        write_json(file, asdict(found))
    return found


def measure(image: ImageEncoder, text: TextEncoder) -> SelfCheck:
    """Return what `self_check` returns, measured now."""
    if image.width != text.width:
        raise EncoderMismatchError(
            f"{image.identity.name!r} gives pictures {image.width} numbers, {text.identity.name!r} texts "
            f"{text.width}: they are not the two towers of one model"
        )
    name = image.identity.name
    warnings = _of_loading(image, text)
    read = _read_probes(text)
    if read is None:
        warnings.append(f"{name} was not checked: it reads neither plain English words nor those of synthetic captions")
        return SelfCheck(0.0, 0.0, 0.0, tuple(warnings))
    probes, texts_CD = read
    fits_NC = _fits(_vectors(image, probes), texts_CD)
    rows = np.arange(len(probes.right))
    accuracy, chance = float((fits_NC.argmax(axis=1) == probes.right).mean()), 1 / len(probes.texts)
    margin = float(fits_NC[rows, probes.right].mean())
    margins: dict[str, float] = {}
    if margin <= _best_shuffled(fits_NC, probes.right):
        warnings.append(
            f"{name} is no better than random at telling which text belongs to a picture ({accuracy:.0%} of drawn "
            f"pictures find their text, chance is {chance:.0%}): its weights are not trained, or its towers are of two "
            "models; its answers mean nothing"
        )
    elif isinstance(image, HuggingFaceImageEncoder):
        margins, better = _preprocessings(image, probes, texts_CD)
        warnings += better
    if not warnings and accuracy < _WEAK * chance:
        warnings.append(
            f"{name} tells weakly which text belongs to a picture: {accuracy:.0%} of drawn pictures find their text, "
            f"chance is {chance:.0%}; compare it with another model before you trust it"
        )
    return SelfCheck(round(accuracy, 4), round(chance, 4), round(margin, 4), tuple(warnings), margins or None)


def _of_loading(image: ImageEncoder, text: TextEncoder) -> list[str]:
    warnings = []
    if image.identity.weights != text.identity.weights:
        warnings.append(
            f"pictures are encoded by {image.identity.name!r}, texts by {text.identity.name!r}, which are different "
            "models: their vectors have nothing to do with each other"
        )
    if unused := getattr(image, "unused", ()):
        more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        warnings.append(
            f"{image.identity.name} leaves {len(unused)} parameters of its weights file unused "
            f"({', '.join(unused[:_NAMED])}{more}): is config.json that of these weights?"
        )
    return warnings


def _read_probes(text: TextEncoder) -> tuple[Probes, npt.NDArray[np.float32]] | None:
    for make in (english, narrow):
        probes = make()
        with suppress(EncoderError):
            return probes, text.encode_texts(probes.texts)
    return None


def _vectors(image: ImageEncoder, probes: Probes) -> npt.NDArray[np.float32]:
    prepared = [image.prepare(picture) for picture in probes.pictures]
    batches = [torch.stack(prepared[first : first + _BATCH]) for first in range(0, len(prepared), _BATCH)]
    return np.concatenate([image.encode(batch).pooled_BD.numpy() for batch in batches])


def _fits(pictures_ND: npt.NDArray[np.float32], texts_CD: npt.NDArray[np.float32]) -> Reals:
    """Return the fit of each picture and text: cosines without what a picture or a text has with all, scaled.

    A text that all pictures are like, as there is one in every space, would win otherwise. The scale is the standard
    deviation over all pairs, of which nearly all are wrong ones.
    """
    cosines = (unit_rows(pictures_ND) @ unit_rows(texts_CD).T).astype(np.float64)
    fits_NC = cosines - cosines.mean(axis=0) - cosines.mean(axis=1, keepdims=True) + cosines.mean()
    return np.asarray(fits_NC / max(float(fits_NC.std()), 1e-12))


def _best_shuffled(fits_NC: Reals, right: npt.NDArray[np.int64]) -> float:
    """Return the best margin of many shuffles of the texts: what chance comes to in one model of a thousand."""
    rng = np.random.default_rng(0)
    rows = np.arange(len(right))
    shuffles = (rng.permutation(fits_NC.shape[1]) for _ in range(_SHUFFLES))
    return max(float(fits_NC[rows, order[right]].mean()) for order in shuffles)


def known_preprocessings(own: Preprocessing) -> dict[str, Preprocessing]:
    """Return the ways in which the channels of pictures are commonly prepared, each with the geometry of `own`."""
    return {
        "the mean and deviation of CLIP": own.with_statistics(*CLIP),
        "the mean and deviation of ImageNet": own.with_statistics(*IMAGENET),
        "mean and deviation 0.5": own.with_statistics((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        "grey levels from 0 to 1": own.with_statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "grey levels from 0 to 255": replace(own, scale=(1.0, 1.0, 1.0), shift=(0.0, 0.0, 0.0)),
        "the order of colours reversed": replace(own, blue_first=not own.blue_first),
    }


def _preprocessings(
    image: HuggingFaceImageEncoder, probes: Probes, texts_CD: npt.NDArray[np.float32]
) -> tuple[dict[str, float], list[str]]:
    """Return the margin behind each preprocessing, and a warning where another one is clearly better than the own."""
    firsts = np.unique(probes.right, return_index=True)[1]
    some = Probes(tuple(probes.pictures[i] for i in firsts), probes.texts, probes.right[firsts])

    def margins(encoder: HuggingFaceImageEncoder) -> Reals:
        return np.asarray(_fits(_vectors(encoder, some), texts_CD)[np.arange(len(firsts)), some.right])

    own = margins(image)
    found, gains = {"own": round(float(own.mean()), 4)}, {}
    for name, preprocessing in known_preprocessings(image.preprocessing).items():
        other = margins(image.behind(preprocessing))
        found[name] = round(float(other.mean()), 4)
        gain = other - own
        error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
        if gain.mean() >= _BETTER and gain.mean() >= _SURE * error:
            gains[name] = found[name]
    if not gains:
        return found, []
    best = max(gains, key=gains.__getitem__)
    return found, [
        f"{image.identity.name} sees better with another preprocessing than its folder declares: with {best} the right "
        f"text stands {found[best]:.1f} deviations above the others, with the declared one {found['own']:.1f}; mend "
        "preprocessor_config.json"
    ]
