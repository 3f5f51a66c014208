"""Adding whole pictures to an archive: each is one window, encoded as `embeddings.extract` does."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rasterio import Affine

from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import ImageEncoder
from zeroscene.errors import OptionError, PictureError, StoreError
from zeroscene.files import file_digest, remove_folder
from zeroscene.maps.archive.add import Adding, Told, already, reason, require_encoder, require_one
from zeroscene.maps.archive.folder import Archive
from zeroscene.maps.archive.partition import PICTURES, Partition, id_of
from zeroscene.maps.archive.source import Source, Windows
from zeroscene.maps.archive.time import iso
from zeroscene.maps.archive.write import write
from zeroscene.maps.layout import Layout
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.geo_source import georeference, opened

_TOGETHER: Final = 512
"""Pictures of one partition, which is the work that an interruption can cost."""


def add_pictures(
    archive: Archive,
    pictures: Sequence[Path],
    encoder: ImageEncoder,
    adding: Adding | None = None,
    tell: Callable[[Told], None] = lambda told: None,
) -> list[Told]:
    """Encode pictures that are not in the archive yet, each as one window.

    What could not be read once is not tried again while its bytes are the same.

    Args:
        archive: the archive.
        pictures: the files.
        encoder: the archive's encoder.
        adding: how; only the rule for times matters.
        tell: called with what became of each, when it is known.

    Raises:
        EncoderMismatchError: it is another encoder; both are named.
        PictureError: not one of the pictures could be read.
        StoreError: another run is adding, or the folder cannot be written.
    """
    require_encoder(archive, encoder)
    adding = adding or Adding()
    done: list[Told] = []

    def say(told: Told) -> None:
        done.append(told)
        tell(told)

    with archive.writing():
        there, failed = _known(archive)
        new: dict[str, Path] = {}
        for path in pictures:
            try:
                content = file_digest(path)
            except OSError as error:
                say(Told(str(path), "skipped", notes=(error.strerror or str(error),)))
                continue
            if content in there:
                say(already(path, there[content], content, adding.rule))
            elif content in failed:
                say(Told(str(path), "skipped", notes=(failed[content],)))
            elif content in new:
                say(Told(str(path), "there", 1, notes=(f"the same content as {new[content]}",)))
            elif (wrong := _timeless(path, adding)) is not None:
                say(Told(str(path), "skipped", notes=(wrong,)))
            else:
                new[content] = path
        waiting = list(new.items())
        for first in range(0, len(waiting), _TOGETHER):
            for told in _add(archive, dict(waiting[first : first + _TOGETHER]), encoder, adding):
                say(told)
    require_one(done)
    return done


def _known(archive: Archive) -> tuple[dict[str, Partition], dict[str, str]]:
    """Return the partitions of known contents, and why others could not be read."""
    partitions = archive.partitions()
    there = {source.fingerprint: partition for partition in partitions for source in partition.sources}
    return there, {content: why for partition in partitions for _, why, content in partition.skipped}


def _add(archive: Archive, pictures: dict[str, Path], encoder: ImageEncoder, adding: Adding) -> list[Told]:
    contents = {str(path.resolve()): content for content, path in pictures.items()}
    name = id_of(list(pictures))
    root = Path(os.path.commonpath([str(Path(path).parent) for path in contents]))
    ids = {Path(path).relative_to(root).as_posix(): path for path in contents}
    store = _encoded(SceneFolder(root, tuple(ids), None, ()), encoder, archive.work(name), adding)
    sources, rows, skipped = [], [], [(ids[s.id], s.reason, contents[ids[s.id]]) for s in store.skipped]
    vectors = _vectors(store)
    for picture, path in ids.items():
        if picture not in vectors:
            continue
        try:
            sources.append(_source(Path(path), contents[path], adding))
            rows.append(vectors[picture])
        except PictureError as error:
            skipped.append((path, reason(error, Path(path)), contents[path]))
    count = len(sources)
    zeros = np.zeros(count, np.int64)
    seen = np.array([s.layout.height * s.layout.width for s in sources], np.int64).reshape(-1, 1)
    x = np.array(rows, np.float32).reshape(count, archive.width)
    windows = Windows(np.arange(count), zeros, zeros, seen)
    write(archive.file(name), archive.encoder, archive.width, PICTURES, sources, windows, [x], skipped)
    remove_folder(archive.work(name))
    return [Told(s.path, "added", 1, iso(s.time)) for s in sources] + [
        Told(path, "skipped", notes=(why,)) for path, why, _ in skipped
    ]


def _encoded(pictures: SceneFolder, encoder: ImageEncoder, work: Path, adding: Adding) -> EmbeddingStore:
    try:
        return extract(pictures, encoder, work, batch=adding.batch)
    except StoreError:
        store = EmbeddingStore.open(work)
        if store.complete and len(store.skipped) == len(pictures):  # not one of them could be read, which is told
            return store
        # Begun with another batch or other versions: nothing of it is of use here.
        remove_folder(work)
        return extract(pictures, encoder, work, batch=adding.batch)


def _timeless(path: Path, adding: Adding) -> str | None:
    try:
        adding.rule.time(path)
    except OptionError as error:
        return reason(error, path)
    return None


def _vectors(store: EmbeddingStore) -> dict[str, Any]:
    read = store.read()
    return dict(zip(read.ids, read.x, strict=True))


def _source(path: Path, content: str, adding: Adding) -> Source:
    with opened(path) as file:
        crs, transform = georeference(path, file)
        layout = Layout(file.height, file.width, (file.height, file.width))
    return Source(str(path), content, layout, crs, transform if crs else Affine.identity(), adding.rule.time(path))
