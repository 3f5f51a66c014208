"""Regions of the ground to ask about: a box, or the polygons of a GeoJSON file, in longitude and latitude."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from zeroscene.errors import DataFormatError, OptionError
from zeroscene.files import read_json
from zeroscene.maps.archive.footprints import Coordinates, Mask, Outlines

_FORM: Final = "west,south,east,north in degrees, or a GeoJSON file of polygons"
# Windows that share no more than a border with a region do not lie in it.
_SHRUNK: Final = 1 - 1e-6
_TOGETHER: Final = 1 << 20  # pairs of windows and edges that are compared at once
_SYSTEMS: Final = ("CRS84", "4326")


@dataclass(frozen=True)
class Region:
    """Polygons in degrees (OGC:CRS84), none of them over the antimeridian.

    Attributes:
        name: what a user calls it.
        polygons: of each, its rings: (points, 2) arrays, the first ring outside, the others around holes.
    """

    name: str
    polygons: tuple[tuple[Coordinates, ...], ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the region that `west,south,east,north` or the name of a GeoJSON file means.

        A box whose west exceeds its east lies over the antimeridian.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it holds no polygons in degrees.
            OptionError: it is neither.
        """
        if text.lower().endswith((".geojson", ".json")):
            return cls(text, tuple(_polygons_of(Path(text))))
        try:
            west, south, east, north = (float(part) for part in text.split(","))
        except ValueError as error:
            raise OptionError(f"region {text!r} is not known; give {_FORM}") from error
        return cls.box(west, south, east, north)

    @classmethod
    def box(cls, west: float, south: float, east: float, north: float) -> Self:
        """Return a box; one whose west exceeds its east lies over the antimeridian.

        Raises:
            OptionError: numbers out of range, or a box without extent.
        """
        name = f"{west:g},{south:g},{east:g},{north:g}"
        inside = all(-180 <= v <= 180 for v in (west, east)) and all(-90 <= v <= 90 for v in (south, north))
        if not inside or south >= north or west == east:
            raise OptionError(f"region {name} is no box; give {_FORM}, such as 9.0,48.7,9.1,48.8")
        spans = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
        rings = [np.array([(w, south), (e, south), (e, north), (w, north)]) for w, e in spans if w < e]
        return cls(name, tuple((ring,) for ring in rings))

    @property
    def boxes(self) -> Coordinates:
        """(P, 4) west, south, east and north of each polygon."""
        outer = [rings[0] for rings in self.polygons]
        return np.array([[*ring.min(axis=0), *ring.max(axis=0)] for ring in outer])

    def may_touch(self, boxes: Coordinates) -> Mask:
        """Return whether bounding boxes of windows, (N, 4), meet that of a polygon; False where they are NaN."""
        found = np.zeros(len(boxes), np.bool_)
        for west, south, east, north in self.boxes:
            found |= (boxes[:, 0] < east) & (boxes[:, 2] > west) & (boxes[:, 1] < north) & (boxes[:, 3] > south)
        return found

    def touches(self, outlines: Outlines) -> Mask:
        """Return whether windows share ground with the region; those that lie nowhere do not."""
        parts, owners = outlines.parts()
        found = np.zeros(len(outlines), np.bool_)
        for rings in self.polygons:
            found[owners[_overlap(parts, rings)]] = True
        return found


def _overlap(quads: Coordinates, rings: Sequence[Coordinates]) -> Mask:
    """Return which of (N, 4, 2) convex outlines share area with a polygon.

    Where no edges cross, one of the two lies in the other, or they lie apart.
    """
    centres = quads.mean(axis=1, keepdims=True)
    quads = centres + _SHRUNK * (quads - centres)
    starts = np.concatenate(list(rings))
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    found = np.zeros(len(quads), np.bool_)
    step = max(1, _TOGETHER // len(starts))
    for first in range(0, len(quads), step):
        some = quads[first : first + step]
        inside = _in_polygon(centres[first : first + step, 0], starts, ends)
        found[first : first + step] = inside | _holds_any(some, starts) | _crosses(some, starts, ends)
    return found


def _in_polygon(points: Coordinates, starts: Coordinates, ends: Coordinates) -> Mask:
    """Return whether points have an odd number of edges to their east."""
    x, y = points[:, :1], points[:, 1:]
    spans = (starts[:, 1] > y) != (ends[:, 1] > y)
    rise = ends[:, 1] - starts[:, 1]
    share = np.divide(y - starts[:, 1], rise, out=np.zeros(spans.shape), where=spans)
    return np.asarray((spans & (x < starts[:, 0] + share * (ends[:, 0] - starts[:, 0]))).sum(axis=1) % 2 == 1)


def _holds_any(quads: Coordinates, points: Coordinates) -> Mask:
    held = np.ones((len(quads), len(points)), np.bool_)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)):
        held &= _side(quads[:, a, None], quads[:, b, None], points[None]) > 0
    return np.asarray(held.any(axis=1))


def _crosses(quads: Coordinates, starts: Coordinates, ends: Coordinates) -> Mask:
    found = np.zeros(len(quads), np.bool_)
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)):
        p, q = quads[:, a, None], quads[:, b, None]
        apart = _side(p, q, starts[None]) * _side(p, q, ends[None])
        across = _side(starts[None], ends[None], p) * _side(starts[None], ends[None], q)
        found |= ((apart < 0) & (across < 0)).any(axis=1)
    return found


def _side(a: Coordinates, b: Coordinates, point: Coordinates) -> Coordinates:
    """Return on which side of a line from a to b points lie: above 0 on its left."""
    return np.asarray(
        (b[..., 0] - a[..., 0]) * (point[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (point[..., 0] - a[..., 0])
    )


def _polygons_of(path: Path) -> Iterator[tuple[Coordinates, ...]]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise DataFormatError(f"{path} is no GeoJSON; give {_FORM}")
    if not (system := _system(value)).endswith(_SYSTEMS):
        raise DataFormatError(f"{path} is in {system}; write it in longitude and latitude (ogr2ogr -t_srs EPSG:4326)")
    any_yet = False
    for geometry in _geometries(value):
        given = geometry.get("coordinates") or []
        for rings in [given] if geometry["type"] == "Polygon" else _listed(path, given):
            if rings:
                any_yet = True
                yield tuple(_ring(path, ring) for ring in _listed(path, rings))
    if not any_yet:
        raise DataFormatError(f"{path} holds no polygon; give {_FORM}")


def _system(value: dict[str, Any]) -> str:
    """Return the reference system; without one, or with null for one, it is longitude and latitude."""
    if (crs := value.get("crs")) is None:
        return _SYSTEMS[0]
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    return name if isinstance(name, str) and name else "a reference system (crs) without a name"


def _listed(path: Path, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataFormatError(f"{path}: a polygon is damaged: {value!r:.40} is no list of coordinates")
    return value


def _geometries(value: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(value, dict):
        return
    if value.get("type") in ("Polygon", "MultiPolygon"):
        yield value
    several = [inside for name in ("features", "geometries") if isinstance(inside := value.get(name), list)]
    for inside in (value.get("geometry"), *chain(*several)):
        yield from _geometries(inside)


def _ring(path: Path, points: Any) -> Coordinates:
    try:
        ring: npt.NDArray[np.float64] = np.array([point[:2] for point in points], np.float64)
        if ring.ndim != 2 or len(ring) < 3 or not (np.abs(ring) <= (180, 90)).all():
            raise DataFormatError(
                f"{path}: a ring has fewer than three points, or points outside of -180..180, -90..90"
            )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        if isinstance(error, DataFormatError):
            raise
        raise DataFormatError(f"{path}: a polygon is damaged: {error}") from error
    return ring[:-1] if len(ring) > 3 and (ring[0] == ring[-1]).all() else ring
