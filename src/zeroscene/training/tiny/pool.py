"""Lessons drawn ahead: worker processes draw them into files of a folder, and training reads them again and again.

Lessons are drawn larger than the encoder looks at and shrunk as every picture is that comes to it, so that training
and use see the same pixels.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zeroscene.errors import OptionError, StoreError
from zeroscene.files import TEMPORARY_PREFIX, digest, json_digest, read_json, replacing, write_json
from zeroscene.progress import progress

PART = 500
"""Lessons a file."""

_DRAWN = 128
_FILE = "pool.json"
_PROBES = 4


@dataclass(frozen=True)
class Pool:
    """Lessons of one seed.

    Attributes:
        pixels: (N, side, side, 3) uint8.
        facts: (N, F) bool, the facts of each lesson in the order of `captions.FACTS`.
    """

    pixels: npt.NDArray[np.uint8]
    facts: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pixels)


def grammar_digest() -> str:
    """Return a digest of what the grammar draws and says: it changes with any change of either."""
    from zeroscene.scenes.synthetic.captions import FACTS, words
    from zeroscene.scenes.synthetic.stream import lesson

    drawn = [lesson(0, index, _DRAWN) for index in range(_PROBES)]
    seen = [digest(one.pixels.tobytes(), *sorted(one.facts)) for one in drawn]
    return json_digest([list(FACTS), list(words()), seen])


def draw_pool(folder: Path, seed: int, count: int, side: int, jobs: int) -> Pool:
    """Draw lessons 0 ... count-1 of a seed, those that the folder does not hold yet, and return all.

    The lessons depend on the seed alone. Killed at any moment, the same call goes on where it stopped.

    Args:
        folder: where the files are kept; a larger pool of the same seed may be there already.
        seed: of the stream.
        count: number of lessons.
        side: side of the pictures in pixels.
        jobs: worker processes.

    Raises:
        OptionError: a count that is not positive.
        StoreError: the folder holds lessons of another seed, size or grammar, or a damaged file.
    """
    if count < 1:
        raise OptionError(f"a pool needs at least 1 lesson, not {count}")
    _claim(folder, {"seed": seed, "side": side, "drawn": _DRAWN, "grammar": grammar_digest(), "part": PART})
    parts = [_Part(folder, seed, first, min(first + PART, count), side) for first in range(0, count, PART)]
    waiting = [part for part in parts if not part.file.is_file()]
    done = count - sum(len(part) for part in waiting)
    with progress("drawing lessons", count, "lessons", done=done) as advance:
        for drawn in _draw_all(waiting, jobs):
            advance(drawn)
    return _read(parts, count, side)


def shrink(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Return a picture in the size that the encoder looks at, (side, side, 3), as the encoder's own preprocessing."""
    from zeroscene.pixels import Geometry, resize_crop

    return resize_crop(pixels, Geometry(side, (side, side))).permute(1, 2, 0).numpy()


def fact_matrix(facts: Sequence[frozenset[str]]) -> npt.NDArray[np.bool_]:
    """Return sets of facts as rows, in the order of `captions.FACTS`."""
    from zeroscene.scenes.synthetic.captions import FACTS

    return np.array([[fact in own for fact in FACTS] for own in facts], bool).reshape(len(facts), len(FACTS))


def _claim(folder: Path, description: dict[str, Any]) -> None:
    file = folder / _FILE
    for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
        left.unlink(missing_ok=True)
    if not file.is_file():
        write_json(file, description)
        return
    held = read_json(file)
    if changed := [name for name, value in description.items() if held.get(name) != value]:
        raise StoreError(f"{folder} holds lessons of another {changed[0]}; remove it, or give another --out")


@dataclass(frozen=True)
class _Part:
    """A file of lessons `first` ... `stop` - 1."""

    folder: Path
    seed: int
    first: int
    stop: int
    side: int

    def __len__(self) -> int:
        return self.stop - self.first

    @property
    def file(self) -> Path:
        return self.folder / f"lessons-{self.first:06}-{self.stop:06}.safetensors"


def _draw_all(parts: Sequence[_Part], jobs: int) -> Iterator[int]:
    """Draw files of lessons and yield how many each holds, as they are finished."""
    if min(jobs, len(parts)) <= 1:
        yield from map(_draw, parts)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(parts)), context) as processes:
        for finished in as_completed([processes.submit(_draw, part) for part in parts]):
            yield finished.result()


def _draw(part: _Part) -> int:
    from safetensors.numpy import save_file

    from zeroscene.scenes.synthetic.stream import lesson

    lessons = [lesson(part.seed, index, _DRAWN) for index in range(part.first, part.stop)]
    pixels = np.stack([shrink(one.pixels, part.side) for one in lessons])
    facts = fact_matrix([one.facts for one in lessons]).astype(np.uint8)
    with replacing(part.file) as temporary:
        save_file({"pixels": pixels, "facts": facts}, temporary)
    return len(part)


def _read(parts: Sequence[_Part], count: int, side: int) -> Pool:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from zeroscene.scenes.synthetic.captions import FACTS

    pool = Pool(np.empty((count, side, side, 3), np.uint8), np.empty((count, len(FACTS)), bool))
    for part in parts:
        rows = slice(part.first, part.stop)
        try:
            tensors = load_file(part.file)
            pool.pixels[rows], pool.facts[rows] = tensors["pixels"], tensors["facts"].astype(bool)
        except (SafetensorError, KeyError, ValueError) as error:
            raise StoreError(
                f"{part.file} is damaged; remove it and repeat the command: only it is drawn again"
            ) from error
    return pool
