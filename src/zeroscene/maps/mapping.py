"""A raster becomes a map of classes: windows, vectors, distributions, votes of cells, refinement, answers.

Every window is encoded once (`encode`), asked by itself (`question`), and votes on the cells that it covers (`votes`).
Where the map is refined, cells are refined as a set and with the cells around (`methods.transduction.spatial`), each
with the mean vector of its windows and the logarithm of its votes for scores. Refining windows before they vote was
worse (docs/maps.md): windows that overlap are too much alike to correct each other.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from zeroscene import options
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import EncoderMismatchError, StoreError
from zeroscene.maps.cells import NODATA, REJECTED
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.question import Question
from zeroscene.maps.scene_map import SceneMap
from zeroscene.maps.vectors import WindowVectors
from zeroscene.maps.votes import CellRow, Said, cast
from zeroscene.maps.windows import rectangles
from zeroscene.methods.contract import Matrix
from zeroscene.methods.transduction.spatial import Grid, refine_grid
from zeroscene.provenance import environment
from zeroscene.scenes.geo import GeoRaster

_SAMPLE = 20_000  # windows that tell the scale of scores where the model does not
_FLOOR = 1e-30  # of a probability whose logarithm is taken
_ALONE = 0.5  # least probability of a class that is alone, unless another is given
_UNCHECKED = "refined: the confidence of cells was not checked on known classes, and is too high as a rule"

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class MapOptions(options.Options):
    """How votes become a map.

    Attributes:
        refine: `spatial` lets the cells correct each other as a set and with their neighbours; `none` does not.
        least: cells whose class has less probability are none of the classes; None for no such bound, and 0.5 for a
            class that is alone.
        share: cells of which a smaller share has data are without data.
    """

    refine: Literal["none", "spatial"] = "none"
    least: float | None = Field(default=None, gt=0, lt=1)
    share: float = Field(default=0.5, gt=0, le=1)


@dataclass(frozen=True)
class _Asked:
    """A question about windows.

    Attributes:
        vectors: of the windows.
        question: who is asked, and about which classes.
        in_order: the windows come from north to south.
    """

    vectors: WindowVectors
    question: Question
    in_order: bool

    @cached_property
    def scale(self) -> float:
        """What makes scores logits."""
        nobody = np.empty((0, self.vectors.width), np.float32)
        return self.question.logit_scale(nobody if self.question.confidence is not None else _sample(self.vectors))

    def votes(self, with_vectors: bool = False) -> Iterator[CellRow]:
        """Yield what each row of cells heard: distributions, and behind them mean vectors where they are wanted."""
        width = self.question.width + (self.vectors.width if with_vectors else 0)
        return cast(self._said(with_vectors), self.vectors.layout, width, self.in_order)

    def _said(self, with_vectors: bool) -> Iterator[Said]:
        for part in self.vectors.parts():
            values = self.question.distributions(part.x, self.scale)
            if with_vectors:
                values = np.concatenate([values, part.x.astype(np.float64)], axis=1)
            yield Said(part.rows, part.columns, values, part.share.astype(np.float64))


@dataclass(frozen=True)
class _Answered:
    """What cells answer, before it is decided which of the answers stand.

    Attributes:
        best: (rows, columns) position of the first class.
        probability: (rows, columns) of the first class.
        margin: (rows, columns) lead before the runner-up.
        known: (rows, columns) whether a window looked at the cell and enough of it has data.
        notes: what a user should know, a sentence each.
    """

    best: npt.NDArray[np.int16]
    probability: Matrix
    margin: Matrix
    known: Mask
    notes: tuple[str, ...] = ()


def map_raster(
    raster: GeoRaster,
    layout: Layout,
    encoder: ImageEncoder,
    question: Question,
    options: MapOptions | None = None,
    *,
    work: str | Path,
) -> SceneMap:
    """Return the map of a raster; killed at any moment, the same call goes on where it stopped.

    Args:
        raster: the raster.
        layout: windows and cells.
        encoder: that of the question's method.
        question: who is asked, and about which classes.
        options: how votes become a map; the defaults when None.
        work: folder of the windows' vectors. It stays; another question about the same windows encodes nothing again.

    Raises:
        EncoderMismatchError: the method was fitted with another encoder, or the folder holds vectors of one.
        OptionError: a single class has nothing to be set against.
        PictureError: the file cannot be decoded.
        StoreError: the folder belongs to another raster or layout, or cannot be written.
    """
    expected = question.method.require_fitted().encoder
    if encoder.identity.fingerprint != expected.fingerprint:
        raise EncoderMismatchError(
            f"the fitted {question.method.name} needs encoder {expected.name!r} ({expected.output}), not "
            f"{encoder.identity.name!r} ({encoder.identity.output}); give the one it was fitted with"
        )
    question.require_probability()
    return map_windows(raster, encode_windows(raster, layout, encoder, work), question, options)


def map_windows(
    raster: GeoRaster, vectors: WindowVectors, question: Question, options: MapOptions | None = None
) -> SceneMap:
    """Return the map of windows that are encoded already.

    Args:
        raster: where the windows come from.
        vectors: all of its windows that have data.
        question: who is asked, and about which classes.
        options: how votes become a map; the defaults when None.

    Raises:
        EncoderMismatchError: the vectors come from another encoder than that of the method.
        OptionError: a single class has nothing to be set against.
        StoreError: a file is damaged, or there is no room beside the vectors.
    """
    question.require_probability()
    given = options or MapOptions()
    ready = vectors.cell_share >= given.share
    asked = _Asked(vectors, question, _in_order(raster, vectors.layout))
    answered = _refined(asked, ready) if given.refine == "spatial" else _voted(asked, ready)
    least = _ALONE if given.least is None and question.alone else given.least
    # Beside a class that is alone stands everything else: where that comes first, the class has less than a half.
    first = np.zeros_like(answered.best) if question.alone else answered.best
    klass = np.where(answered.known, first, NODATA).astype(np.int16)
    if least is not None:
        klass[answered.known & (answered.probability < least)] = REJECTED
    provenance = {
        **_provenance(raster, vectors, question, given),
        "cells": _told(klass, ready),
        "notes": [*vectors.layout.notes, *answered.notes, *_unseen(answered.known, ready)],
    }
    return SceneMap(
        question.table.classes,
        klass,
        np.where(answered.known, answered.probability, np.nan).astype(np.float32),
        np.where(answered.known, answered.margin, np.nan).astype(np.float32),
        vectors.cell_share,
        vectors.layout.transform(raster.transform),
        raster.crs,
        provenance,
        vectors.layout.covered,
    )


def _voted(asked: _Asked, ready: Mask) -> _Answered:
    best = np.zeros(ready.shape, np.int16)
    probability, margin = np.zeros(ready.shape, np.float32), np.zeros(ready.shape, np.float32)
    known = np.zeros(ready.shape, np.bool_)
    for heard in asked.votes():
        row = heard.row
        best[row], probability[row], margin[row] = _answers(heard.values, asked.question.alone)
        known[row] = ready[row] & (heard.weights > 0)
    return _Answered(best, probability, margin, known)


def _refined(asked: _Asked, ready: Mask) -> _Answered:
    vectors, question, width = asked.vectors, asked.question, asked.question.width
    known = np.zeros(ready.shape, np.bool_)
    scores = np.empty((int(ready.sum()), width), np.float32)
    with _scratch(vectors.store.path.parent, (len(scores), vectors.width)) as x:
        count = 0
        for heard in asked.votes(with_vectors=True):
            known[heard.row] = chosen = ready[heard.row] & (heard.weights > 0)
            rows = slice(count, count + int(chosen.sum()))
            scores[rows] = np.log(np.maximum(heard.values[chosen, :width], _FLOOR))
            x[rows] = heard.values[chosen, width:]
            count = rows.stop
        best = np.zeros(ready.shape, np.int16)
        probability, margin = np.zeros(ready.shape, np.float32), np.zeros(ready.shape, np.float32)
        if not count:
            return _Answered(best, probability, margin, known)
        refined = refine_grid(x[:count], scores[:count], Grid.of(known))
    best[known], probability[known], margin[known] = _answers(np.exp(refined.values.astype(np.float64)), question.alone)
    told = () if question.alone else refined.diagnosis.warnings(question.table.classes)
    notes = tuple(f"refined: {warning.replace('pictures', 'cells')}" for warning in told)
    return _Answered(best, probability, margin, known, (_UNCHECKED, *notes))


def _sample(vectors: WindowVectors) -> Matrix:
    """Return the vectors of windows at equal distances, `_SAMPLE` at most."""
    step, start, found = max(1, -(-len(vectors) // _SAMPLE)), 0, [np.empty((0, vectors.width), np.float32)]
    for part in vectors.parts():
        found.append(part.x[start::step])
        start = (start - len(part)) % step
    return np.concatenate(found)


def _answers(values: Array, alone: bool) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Return the first class of each (N, V) row, its probability and its lead; of a class alone its own probability."""
    best = values.argmax(axis=1)
    first = values[np.arange(len(values)), best]
    others = values.copy()
    others[np.arange(len(values)), best] = 0
    lead = first - others.max(axis=1)
    return best, np.clip(values[:, 0] if alone else first, 0, 1), np.maximum(lead, 0)


@contextmanager
def _scratch(folder: Path, shape: tuple[int, int]) -> Iterator[Matrix]:
    """Yield an array on disk that vanishes with the process, killed or not.

    Raises:
        StoreError: there is no room for it.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(max(1, 4 * shape[0] * shape[1]))
            yield np.memmap(file, np.float32, "r+", shape=shape) if shape[0] else np.empty(shape, np.float32)
    except OSError as error:
        raise StoreError(f"cannot refine the map in {folder}: {error.strerror or error}") from error


def _in_order(raster: GeoRaster, layout: Layout) -> bool:
    """Return whether parts come from north to south: where the raster was not divided into swaths."""
    return len(rectangles(raster, layout, 1)[0].columns) == layout.windows[1]


def _told(klass: npt.NDArray[np.int16], ready: Mask) -> dict[str, int]:
    """Return why cells have the answer that they have: every cell is counted once."""
    return {
        "of_a_class": int((klass >= 0).sum()),
        "none_of_these": int((klass == REJECTED).sum()),
        "too_little_data": int((~ready).sum()),
        "not_encoded": int((ready & (klass == NODATA)).sum()),
    }


def _unseen(known: Mask, ready: Mask) -> list[str]:
    count = int((ready & ~known).sum())
    if not count:
        return []
    return [f"{count} cells are without a class because the encoder gives no finite vector for any window over them"]


def _provenance(raster: GeoRaster, vectors: WindowVectors, question: Question, options: MapOptions) -> dict[str, Any]:
    method = question.method
    return {
        "raster": {
            "name": raster.path.name,
            "fingerprint": raster.fingerprint,
            "bands": list(raster.bands),
            "stretch": None if raster.stretch is None else list(raster.stretch),
            "gsd": None if raster.gsd is None else list(raster.gsd),
        },
        "layout": vectors.layout.to_json(),
        "encoder": vectors.identity.to_json(),
        "method": {"name": method.name, "options": method.options.model_dump(mode="json")},
        "seen": list(method.require_fitted().seen) if method.learns else [],
        "classes": dict(question.table.provenance),
        "subtracted": {name: float(v) for name, v in zip(question.table.classes, question.offsets, strict=True) if v},
        "probabilities": "of the model" if question.confidence is not None else "relative: nobody calibrated the model",
        "options": options.model_dump(mode="json"),
        "environment": environment(),
    }
