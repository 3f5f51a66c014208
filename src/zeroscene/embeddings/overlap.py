"""Leak audit: pictures of one collection that are, or show the ground of, pictures of another one or of the same.

Candidates are the nearest in the space of the encoder and by two sketches of the pictures themselves; a candidate is
believed when the pixels fit (`embeddings.alignment`). Where no pictures are at hand, vectors alone decide, and find
copies only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np

from zeroscene.embeddings.alignment import DISTINCT, Alignment, align
from zeroscene.embeddings.neighbours import Matrix, chance_threshold, nearest
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.embeddings.thumbnails import Thumbnail, read_thumbnails, sketches
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, OptionError
from zeroscene.files import file_digest
from zeroscene.progress import progress
from zeroscene.scenes.folder import SceneFolder
from zeroscene.vectors import unit_rows

Kind = Literal["identical", "re-encoded", "near duplicate", "turned", "overlap", "alike"]

KINDS: Final[Mapping[Kind, str]] = {
    "identical": "the files are the same, byte for byte",
    "re-encoded": "the same picture, saved again or resized",
    "near duplicate": "the same ground in other light or colours, or at another time",
    "turned": "the same ground, turned or mirrored",
    "overlap": "a part of the ground is the same",
    "alike": "vectors are nearer than those of different pictures; no pixels were compared",
}

CANDIDATES: Final = 10
"""Nearest pictures that are looked at, by the encoder and by each of the two sketches."""

_SKETCHED = 100_000
_SAMPLE = 2000
_SAME_PLACE, _SAME_TONE = 0.03, 4.0
_BATCH = 1024


@dataclass(frozen=True)
class Overlap:
    """Two pictures that share ground.

    Attributes:
        id: the picture.
        other: the picture that it shares ground with.
        kind: how (`KINDS`).
        similarity: correlation of structure in the common part, 1 for identical ones; the cosine for `alike`.
        shared: share of the smaller picture that both show.
    """

    id: str
    other: str
    kind: Kind
    similarity: float
    shared: float


@dataclass(frozen=True)
class Collection:
    """Pictures, their vectors, or both.

    Attributes:
        name: what the user calls it.
        ids: picture ids.
        root: folder that the ids are relative to, or None where the pictures are not at hand.
        x: (N, D) vectors, or None.
        encoder: that made them.
    """

    name: str
    ids: tuple[str, ...]
    root: Path | None = None
    x: Matrix | None = None
    encoder: EncoderIdentity | None = None

    @classmethod
    def of_folder(cls, pictures: SceneFolder, name: str = "") -> Self:
        """Return the pictures of a folder."""
        return cls(name or str(pictures.root), pictures.ids, pictures.root)

    @classmethod
    def of_store(cls, store: EmbeddingStore, pictures: Path | None = None) -> Self:
        """Return the vectors of a store, and its pictures if their folder is known and there.

        Raises:
            StoreError: the store is damaged or not finished.
        """
        read = store.read()
        root = pictures if pictures is not None and pictures.is_dir() else None
        return cls(str(store.path), read.ids, root, read.x, read.encoder)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        pairs: by the first picture's id; within one collection each pair stands once.
        pictures: number of pictures looked for, and looked among.
        by_pixels: pixels were compared; else vectors alone.
        candidates: number of pairs whose pixels were compared.
        threshold: least distinction (`alignment.DISTINCT`), or least cosine, that counts.
        by_chance: pairs that reach the threshold in a second orientation too, as things that look the same from two
            sides do, and chance: of `pairs`, no more are chance.
        unreadable: pictures that could not be read, by collection and id, with the reason.
    """

    pairs: tuple[Overlap, ...]
    pictures: tuple[int, int]
    by_pixels: bool
    candidates: int
    threshold: float
    by_chance: int = 0
    unreadable: Mapping[tuple[str, str], str] = field(default_factory=dict)


def find_overlaps(one: Collection, other: Collection | None = None) -> Audit:
    """Return the pictures of a collection that share ground with pictures of another one, or with each other.

    Costs one product of the vectors (2 M N D operations), and a few milliseconds of one core for each of about
    10 M to 30 M candidate pairs.

    Args:
        one: whose pictures are looked for.
        other: where; None for within `one`.

    Raises:
        EncoderMismatchError: both have vectors, and of two encoders.
        OptionError: both are the same folder.
        DatasetNotFoundError: neither vectors nor pictures of both are at hand, or no picture can be read.
    """
    _require_comparable(one, other)
    against = other or one
    with_vectors = one.x is not None and against.x is not None
    if one.root is None or against.root is None:
        return _by_vectors(one, other)
    small = len(one.ids) + (len(other.ids) if other else 0) <= _SKETCHED
    pairs: set[tuple[str, str]] = _near_vectors(one, other) if with_vectors else set()
    thumbnails, others, unreadable = _read(one, other, None if small or not with_vectors else pairs)
    if small or not with_vectors:
        pairs |= _near_sketches(thumbnails, others if other else None)
    ordered = sorted(pair for pair in pairs if pair[0] in thumbnails and pair[1] in others)
    found, by_chance = _verified(ordered, thumbnails, others, (one.root, against.root))
    return Audit(tuple(found), (len(one.ids), len(against.ids)), True, len(ordered), DISTINCT, by_chance, unreadable)


def _require_comparable(one: Collection, other: Collection | None) -> None:
    if other is None:
        return
    if one.encoder is not None and other.encoder is not None and one.encoder.fingerprint != other.encoder.fingerprint:
        raise EncoderMismatchError(
            f"{one.name} holds vectors of encoder {one.encoder.name!r}, {other.name} of {other.encoder.name!r}, which "
            "cannot be compared; give the folders of their pictures instead of the stores"
        )
    if one.root is not None and other.root is not None and one.root.resolve() == other.root.resolve():
        raise OptionError(
            f"{one.name} and {other.name} are the same pictures ({one.root}); to compare them with each other, leave "
            "--against out and say --within"
        )
    for place, missing in ((one, other), (other, one)):
        if place.root is None and missing.x is None:
            raise DatasetNotFoundError(
                f"{place.name} holds vectors only, and its pictures are not where they were; give the folder of its "
                f"pictures, or embed {missing.name} with the same encoder"
            )


def _near_vectors(one: Collection, other: Collection | None) -> set[tuple[str, str]]:
    assert one.x is not None
    x = unit_rows(one.x)
    z = x if other is None or other.x is None else unit_rows(other.x)
    rows, _ = nearest(x, z, CANDIDATES, same=other is None)
    return _named(rows, one.ids, (other or one).ids, other is None)


def _named(rows: np.ndarray, ids: Sequence[str], others: Sequence[str], within: bool) -> set[tuple[str, str]]:
    pairs = {(ids[i], others[j]) for i, near in enumerate(rows.tolist()) for j in near}
    return {(min(pair), max(pair)) for pair in pairs} if within else pairs


def _near_sketches(one: Mapping[str, Thumbnail], other: Mapping[str, Thumbnail] | None) -> set[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    looked_among = other or one
    theirs = sketches(list(looked_among.values()))
    own = theirs if other is None else sketches(list(one.values()))
    for x, z in zip(own, theirs, strict=True):
        rows, _ = nearest(x, z, CANDIDATES, same=other is None)
        pairs |= _named(rows, list(one), list(looked_among), other is None)
    return pairs


def _read(
    one: Collection, other: Collection | None, only: set[tuple[str, str]] | None
) -> tuple[dict[str, Thumbnail], dict[str, Thumbnail], dict[tuple[str, str], str]]:
    """Return the thumbnails of both sides, those of candidates only where `only` names them."""
    unreadable: dict[tuple[str, str], str] = {}

    def read(place: Collection, side: int) -> dict[str, Thumbnail]:
        assert place.root is not None
        wanted = None if only is None else {pair[k] for pair in only for k in ((0, 1) if other is None else (side,))}
        ids = [picture for picture in place.ids if wanted is None or picture in wanted]
        found, failed = read_thumbnails(ids, place.root.joinpath, f"reading {place.name}")
        unreadable.update({(place.name, picture): reason for picture, reason in failed.items()})
        if not found:
            first = next(iter(failed.items()), ("", "there are none"))
            raise DatasetNotFoundError(f"no picture of {place.name} can be read ({first[0]}: {first[1]})")
        return found

    own = read(one, 0)
    return own, own if other is None else read(other, 1), unreadable


def _verified(
    pairs: Sequence[tuple[str, str]],
    one: Mapping[str, Thumbnail],
    other: Mapping[str, Thumbnail],
    roots: tuple[Path, Path],
) -> tuple[list[Overlap], int]:
    found: list[Overlap] = []
    by_chance = 0
    with progress("laying over each other", len(pairs), "pairs") as advance:
        for first in range(0, len(pairs), _BATCH):
            some = pairs[first : first + _BATCH]
            fits = align([(one[a], other[b]) for a, b in some])
            for (a, b), fit in zip(some, fits, strict=True):
                if _same_bytes(roots[0] / a, roots[1] / b):
                    found.append(Overlap(a, b, "identical", 1.0, 1.0))
                    continue
                if fit.same_ground:
                    kind = _kind(fit, one[a], other[b])
                    found.append(Overlap(a, b, kind, round(fit.likeness, 4), round(fit.shared, 4)))
                by_chance += fit.decoy >= DISTINCT
            advance(len(some))
    return found, by_chance


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and file_digest(one) == file_digest(other)


def _kind(fit: Alignment, one: Thumbnail, other: Thumbnail) -> Kind:
    if fit.shift > _SAME_PLACE or fit.shared < (1 - _SAME_PLACE) ** 2:
        return "overlap"
    if fit.orientation:
        return "turned"
    difference = np.abs(one.grey.astype(np.float32) - other.grey.astype(np.float32)).mean()
    return "re-encoded" if difference <= _SAME_TONE else "near duplicate"


def _by_vectors(one: Collection, other: Collection | None) -> Audit:
    """Compare vectors alone: a pair counts when it is nearer than different pictures come to each other by chance."""
    against = other or one
    if one.x is None or against.x is None:
        raise DatasetNotFoundError(f"{one.name}: neither pictures nor vectors are at hand")
    x = unit_rows(one.x)
    z = x if against.x is one.x else unit_rows(against.x)
    if len(z) < 2:
        raise DataFormatError(f"{against.name} holds one picture only; vectors alone need others to judge by")
    rows, cosines = nearest(x, z, CANDIDATES, same=other is None)
    # How near different pictures come is read off one collection, of which few are copies of each other.
    sample = z[np.linspace(0, len(z) - 1, min(_SAMPLE, len(z))).astype(int)]
    usual = nearest(sample, z, 2)[1][:, 1]
    threshold = chance_threshold(usual, len(x))
    found: dict[tuple[str, str], Overlap] = {}
    for i, j in np.argwhere(cosines >= threshold).tolist():
        a, b = one.ids[i], against.ids[rows[i, j]]
        if other is None:
            a, b = min(a, b), max(a, b)
        found[a, b] = Overlap(a, b, "alike", round(float(cosines[i, j]), 4), 1.0)
    pairs = tuple(found[pair] for pair in sorted(found))
    return Audit(pairs, (len(one.ids), len(against.ids)), False, 0, threshold)
