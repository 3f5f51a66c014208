"""Maps of the rasters of an archive, from the vectors that are kept: the rasters themselves may be gone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zeroscene.errors import StoreError
from zeroscene.maps.archive.footprints import Mask, Outlines
from zeroscene.maps.archive.partition import RASTER, Partition
from zeroscene.maps.archive.query import Answers
from zeroscene.maps.archive.region import Region
from zeroscene.maps.archive.source import Source
from zeroscene.maps.cells import NODATA
from zeroscene.maps.mapping import MapOptions, map_windows
from zeroscene.maps.scene_map import SceneMap


def maps(
    answers: Answers, options: MapOptions | None = None, notes: Sequence[str] = ()
) -> Iterator[tuple[Source, SceneMap]]:
    """Yield the map of each raster that was asked about: what `maps.mapping.map_raster` makes of the raster.

    Cells outside of the region are without data. Whole pictures have no maps.

    Args:
        answers: which rasters, and the region.
        options: how votes become a map; the defaults when None.
        notes: what a user should know of who answers, a sentence each; they stand first among those of each map.

    Raises:
        OptionError: a single class has nothing to be set against.
        StoreError: a partition is damaged, or there is no room beside the vectors.
    """
    for chosen in answers.chosen:
        partition = chosen.partition
        if partition.kind != RASTER:
            continue
        _make_room(partition)
        source = partition.sources[0]
        vectors = partition.encoded()
        layout = replace(vectors.layout, notes=(*notes, *source.reading.get("notes", ())))
        made = map_windows(source.raster, replace(vectors, layout=layout), answers.question, options)
        if answers.region is not None:
            made = _within(made, cells_in(source, answers.region), answers.region)
        yield source, made


def cells_in(source: Source, region: Region) -> Mask:
    """Return which cells of a raster share ground with a region, (rows, columns)."""
    layout = source.layout
    rows, columns = (a.ravel() for a in np.indices(layout.shape))
    top, left = rows * layout.stride[0], columns * layout.stride[1]
    bottom, right = np.minimum(top + layout.stride[0], layout.height), np.minimum(left + layout.stride[1], layout.width)
    outlines = Outlines.of(source.crs, source.transform, np.stack([top, left, bottom, right], axis=1))
    near = region.may_touch(outlines.boxes)
    near[near] = region.touches(Outlines(outlines.corners[near]))
    return near.reshape(layout.shape)


def folders(sources: Sequence[Source]) -> Mapping[str, str]:
    """Return a folder name for each raster, by its fingerprint: its own name, with the fingerprint where two meet."""
    stems = [Path(source.path).stem for source in sources]
    return {
        source.fingerprint: stem if stems.count(stem) == 1 else f"{stem}-{source.fingerprint}"
        for source, stem in zip(sources, stems, strict=True)
    }


def _within(made: SceneMap, inside: Mask, region: Region) -> SceneMap:
    return replace(
        made,
        klass=np.where(inside, made.klass, NODATA).astype(np.int16),
        confidence=np.where(inside, made.confidence, np.float32(np.nan)),
        margin=np.where(inside, made.margin, np.float32(np.nan)),
        provenance={**made.provenance, "region": region.name},
    )


def _make_room(partition: Partition) -> None:
    try:
        partition.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {partition.path.parent}: {error.strerror or error}") from error
