"""Points of one reference system in another: what cannot be converted is NaN, and the rest is there."""

import numpy as np
import pytest
from pyproj import Transformer
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.scenes.geo_ground import LONLAT, converted, metres_of_pixel

EARTH = "+proj=geos +h=35785831 +lon_0=3 +sweep=y +ellps=WGS84 +units=m"  # the whole disk, as weather satellites see it
LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')


@pytest.mark.parametrize(
    ("system", "side"),
    [(EARTH, (6.4e6, 6.4e6)), ("ESRI:54030", (17e6, 8.6e6)), ("+proj=laea +lat_0=40 +lon_0=13", (2e7, 2e7))],
)
def test_points_off_the_earth_are_nan_and_the_others_converted(system: str, side: tuple[float, float]) -> None:
    x, y = np.meshgrid(np.linspace(-side[0], side[0], 60), np.linspace(-side[1], side[1], 50))
    longitude, latitude = converted(system, LONLAT, x, y)
    expected = np.stack(Transformer.from_crs(system, LONLAT, always_xy=True).transform(x, y))
    known = np.isfinite(expected).all(axis=0)
    assert 0 < known.sum() < known.size
    assert (np.isfinite(longitude) == known).all()
    assert (np.isnan(latitude) == ~known).all()
    np.testing.assert_allclose(np.stack([longitude, latitude])[:, known], expected[:, known], atol=1e-9)


@pytest.mark.parametrize("bad", [1, 3, 19, 40])
def test_some_points_that_cannot_be_converted_do_not_take_the_others_along(bad: int) -> None:
    system = EARTH.replace("lon_0=3", f"lon_0={10 + bad}")  # a transformation that has refused nothing yet
    x = np.where(np.arange(1000) % (1000 // bad) == 5, 6.4e6, 1e5)
    off = x == 6.4e6
    longitude, latitude = converted(system, LONLAT, x, x)
    assert (np.isnan(longitude) == off).all()
    assert (np.isnan(latitude) == off).all()


def test_a_system_that_leads_nowhere_has_no_points_and_no_metres() -> None:
    x = np.arange(100_000.0)
    for here, there in ((LOCAL, LONLAT), (LONLAT, LOCAL)):
        assert np.isnan(converted(here, there, x, x)).all()
    assert metres_of_pixel(LOCAL, Affine(2, 0, 0, 0, -2, 0), 10, 10) is None


def test_points_of_one_system_stay_what_they_are_to_the_bit() -> None:
    x, y = np.array([[0.1, 190.0]]), np.array([[91.0, -3.3]])
    for system in ("EPSG:4326", LONLAT):
        across, up = converted(system, LONLAT, x, y)
        assert (across.tolist(), up.tolist()) == (x.tolist(), y.tolist())
    assert converted("EPSG:32632", LONLAT, [], [])[0].shape == (0,)
