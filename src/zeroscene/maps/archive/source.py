"""Rasters of an archive, and where their windows lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.maps.archive.footprints import Outlines
from zeroscene.maps.layout import Layout
from zeroscene.scenes.geo import GeoRaster

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """A raster, or a picture that is one window, of a partition.

    Attributes:
        path: where it was when it was added.
        fingerprint: of its content.
        layout: where its windows lie.
        crs: reference system, or None.
        transform: from pixels to the system.
        time: when it was taken, UTC, or None.
        reading: how its values became pixels: bands, stretch, type, metres a pixel, blocks.
    """

    path: str
    fingerprint: str
    layout: Layout
    crs: CRS | None
    transform: Affine
    time: datetime | None
    reading: dict[str, Any] = field(default_factory=dict)

    @property
    def raster(self) -> GeoRaster:
        """The facts of the raster as it was when it was added; its pixels may be gone."""
        given = self.reading
        stretch, gsd = (None if given[name] is None else tuple(given[name]) for name in ("stretch", "gsd"))
        return GeoRaster(
            Path(self.path), self.layout.width, self.layout.height, self.crs, self.transform, tuple(given["bands"]),
            given["dtype"], stretch, gsd, tuple(given["block"]), self.fingerprint,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return the source as a JSON value."""
        return {
            "path": self.path,
            "fingerprint": self.fingerprint,
            "layout": self.layout.to_json(),
            "crs": None if self.crs is None else self.crs.to_wkt(),
            "transform": list(self.transform)[:6],
            "time": None if self.time is None else self.time.isoformat(),
            "reading": self.reading,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the source that `to_json` wrote."""
        (height, width), stride, window = (value["layout"][name] for name in ("raster", "stride", "window"))
        return cls(
            value["path"],
            value["fingerprint"],
            Layout(height, width, (stride[0], stride[1]), window[0] // stride[0]),
            None if value["crs"] is None else CRS.from_wkt(value["crs"]),
            Affine(*value["transform"]),
            None if value["time"] is None else datetime.fromisoformat(value["time"]).astimezone(UTC),
            value["reading"],
        )


@dataclass(frozen=True)
class Windows:
    """Windows of a partition, in the order of its rows.

    Attributes:
        source: (N,) position of the source of each.
        row: (N,) row of windows.
        column: (N,) column of windows.
        seen: (N, steps^2) pixels with data in each cell that it covers.
    """

    source: Indices
    row: Indices
    column: Indices
    seen: Indices

    def outlines(self, sources: Sequence[Source]) -> Outlines:
        """Return the outlines of all windows on the ground."""
        found = np.full((len(self.source), 4, 2), np.nan)
        for k in np.unique(self.source).tolist():
            own, source = self.source == k, sources[k]
            layout = source.layout
            top, left = self.row[own] * layout.stride[0], self.column[own] * layout.stride[1]
            bottom = np.minimum(top + layout.window[0], layout.height)
            right = np.minimum(left + layout.window[1], layout.width)
            found[own] = Outlines.of(source.crs, source.transform, np.stack([top, left, bottom, right], axis=1)).corners
        return Outlines(found)
