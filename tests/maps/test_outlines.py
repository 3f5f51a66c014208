"""Outlines of windows beside their vectors: absent for windows that do not lie on the earth, there for all others."""

from pathlib import Path

import numpy as np
import pytest
from rasterio import Affine
from rasterio.crs import CRS

from geo_world import noise, write_raster
from zeroscene.maps.layout import Layout
from zeroscene.maps.outlines import footprints
from zeroscene.scenes.geo import GeoRaster

PLACES = np.divmod(np.arange(64), 8)


def raster_in(tmp_path: Path, system: str, transform: Affine) -> GeoRaster:
    values = noise(1, 80, 80)
    return GeoRaster.open(
        write_raster(tmp_path / "r.tif", values, crs=CRS.from_user_input(system), transform=transform)
    )


def test_windows_off_the_earth_have_no_outline_and_those_beside_them_do(tmp_path: Path) -> None:
    disk = "+proj=geos +h=35785831 +lon_0=57 +sweep=y +ellps=WGS84 +units=m"
    raster = raster_in(tmp_path, disk, Affine(1.6e5, 0, -6.4e6, 0, -1.6e5, 6.4e6))
    found = np.array(footprints(raster, Layout(80, 80, (10, 10)), *PLACES), object).reshape(8, 8)
    assert [found[i, j] for i in (0, -1) for j in (0, -1)] == [None] * 4
    middle = found[3, 3]
    assert (middle.east, middle.south) == pytest.approx((57, 0), abs=1e-6)
    assert 30 < middle.west < middle.east
    assert 0 < middle.north < 30


def test_a_system_that_leads_nowhere_gives_no_outline(tmp_path: Path) -> None:
    raster = raster_in(tmp_path, 'LOCAL_CS["site",UNIT["metre",1]]', Affine(2, 0, 100, 0, -2, 100))
    assert raster.crs is not None
    assert footprints(raster, Layout(80, 80, (10, 10)), *PLACES) == [None] * 64
