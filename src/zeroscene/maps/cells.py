"""The classes of the cells of a map, and where the cells lie: what every file of a map is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.transform import array_bounds

from zeroscene import names
from zeroscene.errors import DataFormatError
from zeroscene.maps.ground import cell_areas

NODATA: Final = -1
"""Position of the class of a cell without data."""
REJECTED: Final = -2
"""Position of the class of a cell that has data and shows none of the classes."""
NONE: Final = names.NONE

_MOST = 32_000
_ROUNDING = 1e-6  # of float32 sums of shares

Codes = npt.NDArray[np.int16]
Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cells:
    """A grid of cells, each with a class.

    Attributes:
        classes: names of the C classes, unique after normalisation.
        klass: (rows, columns) int16, position of the cell's class in `classes`, `NODATA`, or `REJECTED`.
        confidence: (rows, columns) float32, probability of the class, NaN without data; of a rejected cell that of
            the class which came first.
        margin: (rows, columns) float32, lead of the class before the runner-up, 0 or more, NaN without data.
        share: (rows, columns) float32, share of the cell that has data.
        transform: from (column, row) of cells to x and y; (0, 0) is the upper left corner of the first cell.
        crs: the reference system of x and y, or None: then they are what the raster counts in (`in_pixels`).
        provenance: how the map was made, as JSON; no time stamps.
        covered: rows and columns of cells that the raster covers, with fractions: cells of the last row and column may
            reach beyond its edges. All of the grid where None.

    Raises:
        DataFormatError: shapes disagree, a value is out of range, or data and nodata do not go together.
        DuplicateNameError: two classes have the same normalised name, or one is called "none of these".
    """

    classes: tuple[str, ...]
    klass: Codes
    confidence: Values
    margin: Values
    share: Values
    transform: Affine
    crs: CRS | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    covered: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        names.index((*self.classes, NONE), "classes of a map")
        if not 1 <= len(self.classes) <= _MOST:
            raise DataFormatError(f"a map has 1 to {_MOST} classes, not {len(self.classes)}")
        for name, dtype in (("klass", np.int16), ("confidence", np.float32), ("margin", np.float32), ("share", "f4")):
            values = np.array(getattr(self, name), dtype=dtype, order="C")
            if values.ndim != 2 or not values.size or values.shape != np.shape(self.klass):
                raise DataFormatError(
                    f"map: {name} is {values.shape}; give rows and columns as in klass, {np.shape(self.klass)}, "
                    "one cell at least"
                )
            if name in ("confidence", "share"):
                values[(values > 1) & (values <= 1 + _ROUNDING)] = 1
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        object.__setattr__(self, "classes", tuple(self.classes))
        self._check()

    def _check(self) -> None:
        data = self.klass != NODATA
        for wrong, what in (
            ((self.klass < REJECTED) | (self.klass >= len(self.classes)), f"klass is no class of {len(self.classes)}"),
            (data & ~((self.confidence >= 0) & (self.confidence <= 1)), "confidence is not between 0 and 1"),
            (data & ~((self.margin >= 0) & np.isfinite(self.margin)), "margin is not a number of 0 or more"),
            (~data & ~(np.isnan(self.confidence) & np.isnan(self.margin)), "confidence and margin are not NaN"),
            (~((self.share >= 0) & (self.share <= 1)), "share is not between 0 and 1"),
        ):
            if wrong.any():
                row, column = (int(v) for v in np.argwhere(wrong)[0])
                there = "" if data[row, column] else " though the cell has no data"
                raise DataFormatError(f"map: in row {row}, column {column} {what}{there}")
        if self.covered and not all(n - 1 < v <= n for v, n in zip(self.covered, self.shape, strict=True)):
            raise DataFormatError(
                f"map: {self.covered} of {self.shape} rows and columns are covered: cells are left out"
            )
        if not np.isfinite(self.transform[:6]).all() or self.transform.determinant == 0:
            raise DataFormatError(f"map: transform {tuple(self.transform)[:6]} gives cells no area")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, columns = self.klass.shape
        return rows, columns

    @property
    def nodata(self) -> Mask:
        """(rows, columns) whether the cell has no class for want of data."""
        return np.asarray(self.klass == NODATA)

    @property
    def rejected(self) -> Mask:
        """(rows, columns) whether the cell has data and shows none of the classes."""
        return np.asarray(self.klass == REJECTED)

    @property
    def bounds(self) -> BoundingBox:
        """Least and greatest x and y of the grid, in the reference system: left, bottom, right, top."""
        return BoundingBox(*array_bounds(*self.shape, self.transform))

    @property
    def crs_name(self) -> str | None:
        """The reference system in short, like `EPSG:32632`; None where the map has none."""
        if self.crs is None:
            return None
        authority = self.crs.to_authority(confidence_threshold=100)
        if authority is not None:
            return ":".join(authority)
        name = str(self.crs.to_wkt()).split('"')[1]
        return "a projection without a name" if name == "unknown" else name

    @property
    def in_pixels(self) -> bool:
        """Whether x and y are pixels of a raster without a reference system, not units that its transform counts in."""
        a, b, c, d, e, f = self.transform[:6]
        layout = self.provenance.get("layout")
        side = layout.get("stride") if isinstance(layout, Mapping) else None
        whole = min(a, e) > 0 and not any((b, d, a % 1, e % 1)) and not (c % a or f % e)
        return self.crs is None and whole and (side is None or side == [e, a])

    @property
    def place(self) -> str:
        """The reference system in short, or what x and y are without one."""
        if self.crs_name is not None:
            return self.crs_name
        return f"no reference system: a map in {'pixels' if self.in_pixels else 'units that have no name'}"

    def counts(self) -> dict[str, int]:
        """Return the number of cells of each class, in the order of the classes; `none of these` last if there are."""
        return {name: round(value) for name, value in self._totals(np.ones(self.shape)).items()}

    def areas(self) -> dict[str, float]:
        """Return the area of each class on the ground in m2, keyed as `counts`.

        Areas are those on the WGS84 ellipsoid, in geographic as in projected systems; of a cell that reaches over the
        edge of its raster, the part inside counts.

        Raises:
            DataFormatError: the map has no reference system, or one in which a cell has no longitude and latitude.
        """
        if self.ground is None:
            why = "has no reference system"
            if self.crs is not None:
                why = f"is in {self.crs_name}, in which not all of its cells have a longitude and latitude"
            raise DataFormatError(f"the cells have no area in m2: the map {why}; use counts()")
        return self._totals(self.ground)

    @cached_property
    def ground(self) -> npt.NDArray[np.float64] | None:
        """(rows, columns) area in m2 of each cell inside of the raster (`ground.cell_areas`), None where not known."""
        return cell_areas(self.transform, self.crs, self.shape, self.covered)

    def _totals(self, weights: npt.NDArray[np.float64]) -> dict[str, float]:
        sums = np.bincount((self.klass - REJECTED).ravel(), weights.ravel(), len(self.classes) - REJECTED)
        totals = {name: float(sums[i - REJECTED]) for i, name in enumerate(self.classes)}
        return {**totals, NONE: float(sums[0])} if self.rejected.any() else totals
