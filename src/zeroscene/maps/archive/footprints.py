"""Outlines of windows on the ground, thousands at a time: four corners in longitude and latitude, as WKB and back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.embeddings.footprint import Footprint, geo_metadata
from zeroscene.errors import DataFormatError
from zeroscene.scenes.geo_ground import LONLAT, converted

Coordinates = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_POLYGON: Final = np.dtype(
    [("order", "<u1"), ("kind", "<u4"), ("rings", "<u4"), ("points", "<u4"), ("ring", "<f8", (5, 2))]
)
_SIZE: Final = _POLYGON.itemsize


@dataclass(frozen=True)
class Outlines:
    """Outlines of N windows, four corners each.

    Attributes:
        corners: (N, 4, 2) longitude and latitude in degrees, counterclockwise. Those of a window over the antimeridian
            lie on both of its sides. NaN for a window that lies nowhere.
    """

    corners: Coordinates

    @classmethod
    def nowhere(cls, count: int) -> Self:
        """Return the outlines of windows of rasters without a reference system."""
        return cls(np.full((count, 4, 2), np.nan))

    @classmethod
    def of(cls, crs: CRS | None, transform: Affine, boxes: npt.NDArray[Any]) -> Self:
        """Return the outlines of windows of a raster; nowhere where a corner has no longitude and latitude.

        Args:
            crs: reference system of the raster, or None.
            transform: from (column, row) in pixels to the system.
            boxes: (N, 4) top, left, bottom and right in pixels.
        """
        if crs is None or not len(boxes):
            return cls.nowhere(len(boxes))
        top, left, bottom, right = (boxes[:, i].astype(np.float64) for i in range(4))
        columns = np.stack([left, left, right, right], axis=1)
        rows = np.stack([top, bottom, bottom, top], axis=1)
        x = transform.a * columns + transform.b * rows + transform.c
        y = transform.d * columns + transform.e * rows + transform.f
        corners = np.stack(converted(crs, LONLAT, x, y), axis=-1)
        beyond = np.abs(corners[..., 0]) > 180
        corners[beyond, 0] = (corners[beyond, 0] + 180) % 360 - 180
        corners[~np.isfinite(corners).all(axis=(1, 2))] = np.nan
        return cls(_counterclockwise(corners))

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def known(self) -> Mask:
        """(N,) whether a window lies somewhere."""
        return np.asarray(np.isfinite(self.corners[:, 0, 0]))

    @property
    def crossing(self) -> Mask:
        """(N,) whether a window lies over the antimeridian."""
        x = self.corners[..., 0]
        return np.asarray(x.max(axis=1) - x.min(axis=1) > 180)

    @property
    def centres(self) -> Coordinates:
        """(N, 2) longitude and latitude of the middle of each window."""
        unrolled = _unrolled(self.corners).mean(axis=1)
        unrolled[:, 0] = np.where(unrolled[:, 0] > 180, unrolled[:, 0] - 360, unrolled[:, 0])
        return np.asarray(unrolled)

    @property
    def boxes(self) -> Coordinates:
        """(N, 4) west, south, east and north; -180 and 180 for a window over the antimeridian."""
        low, high = self.corners.min(axis=1), self.corners.max(axis=1)
        crossing = self.crossing
        west, east = np.where(crossing, -180.0, low[:, 0]), np.where(crossing, 180.0, high[:, 0])
        return np.stack([west, low[:, 1], east, high[:, 1]], axis=1)

    def parts(self) -> tuple[Coordinates, npt.NDArray[np.int64]]:
        """Return (M, 4, 2) outlines that do not cross the antimeridian, and which window each is of, (M,).

        A window over the antimeridian has two: the bounding boxes of its halves.
        """
        crossing, known = self.crossing, self.known
        plain = np.flatnonzero(known & ~crossing)
        halves, owners = [self.corners[plain]], [plain]
        for i in np.flatnonzero(crossing):
            for part in _halves(self.corners[i]):
                halves.append(part[None])
                owners.append(np.array([i]))
        return np.concatenate(halves), np.concatenate(owners)

    def wkb(self) -> Any:
        """Return the outlines as an Arrow array of well-known binary, null where a window lies nowhere."""
        records = np.zeros(len(self), _POLYGON)
        records["order"], records["kind"], records["rings"], records["points"] = 1, 3, 1, 5
        records["ring"] = self.corners[:, [0, 1, 2, 3, 0]]
        known, crossing = self.known, self.crossing
        if known.all() and not crossing.any():
            offsets = np.arange(len(self) + 1, dtype=np.int32) * _SIZE
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(records)]
            return pa.BinaryArray.from_buffers(pa.binary(), len(self), buffers)
        found: list[bytes | None] = [r.tobytes() if k else None for r, k in zip(records, known, strict=True)]
        for i in np.flatnonzero(crossing):
            found[i] = _footprint(self.corners[i]).wkb
        return pa.array(found, pa.binary())

    @classmethod
    def of_wkb(cls, column: Any) -> Self:
        """Return the outlines that `wkb` or `embeddings.footprint` wrote; boxes stand for those over the antimeridian.

        Args:
            column: Arrow array of well-known binary.

        Raises:
            DataFormatError: a geometry is something else.
        """
        corners = np.full((len(column), 4, 2), np.nan)
        for i, value in enumerate(column.to_pylist()):
            if value is None:
                continue
            try:
                rings = np.frombuffer(value[9:] if len(value) > _SIZE else value, _POLYGON)["ring"]
            except ValueError as error:
                raise DataFormatError(f"geometry {i + 1} is no outline of four corners") from error
            corners[i] = rings[0, :4]
            if len(rings) == 2:
                (west, south), (_, north) = rings[0, 0], rings[0, 2]
                east = rings[1, 1, 0]
                corners[i] = (west, south), (east, south), (east, north), (west, north)
        return cls(corners)


def metadata(outlines: Outlines) -> bytes:
    """Return the GeoParquet 1.1 metadata of a file with these outlines, with `bbox` as its covering column."""
    known = outlines.known
    value = geo_metadata([_footprint(c) for c in outlines.corners[known][: 1 if known.any() else 0]])
    column = value["columns"]["geometry"]
    if known.any():
        boxes, crossing = outlines.boxes[known], outlines.crossing[known]
        kinds = {"MultiPolygon" if one else "Polygon" for one in np.unique(crossing).tolist()}
        column["geometry_types"] = sorted(kinds)
        low, high = boxes.min(axis=0), boxes.max(axis=0)
        column["bbox"] = [float(v) for v in (low[0], low[1], high[2], high[3])]
    column["covering"] = {
        "bbox": {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")},
    }
    return json.dumps(value, sort_keys=True).encode()


def box_column(outlines: Outlines) -> Any:
    """Return the bounding boxes as the Arrow struct column of the metadata's covering, null where there is none."""
    boxes = outlines.boxes
    sides = [pa.array(np.ascontiguousarray(boxes[:, i]), pa.float64()) for i in range(4)]
    return pa.StructArray.from_arrays(sides, names=["xmin", "ymin", "xmax", "ymax"], mask=pa.array(~outlines.known))


def _counterclockwise(corners: Coordinates) -> Coordinates:
    around = _unrolled(corners)
    x, y = around[..., 0], around[..., 1]
    area = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1)
    corners[area < 0] = corners[area < 0][:, ::-1]
    return corners


def _unrolled(corners: Coordinates) -> Coordinates:
    """Return corners with longitudes that do not jump at the antimeridian: from 0 to 360 for windows over it."""
    x = corners[..., 0]
    crossing = x.max(axis=1) - x.min(axis=1) > 180
    found = corners.copy()
    found[..., 0] = np.where(crossing[:, None] & (x < 0), x + 360, x)
    return found


def _footprint(corners: Coordinates) -> Footprint:
    x = corners[:, 0]
    south, north = (float(v) for v in (corners[:, 1].min(), corners[:, 1].max()))
    if x.max() - x.min() > 180:
        return Footprint(float(x[x > 0].min()), south, float(x[x <= 0].max()), north)
    return Footprint(float(x.min()), south, float(x.max()), north)


def _halves(corners: Coordinates) -> Sequence[Coordinates]:
    box = _footprint(corners)
    sides = ((box.west, 180.0), (-180.0, box.east))
    return [np.array([(w, box.south), (e, box.south), (e, box.north), (w, box.north)]) for w, e in sides]
