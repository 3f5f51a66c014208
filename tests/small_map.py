"""A random map in each kind of reference system, for the tests of maps and their files."""

import numpy as np
from rasterio import Affine
from rasterio.crs import CRS

from zeroscene.maps.scene_map import NODATA, REJECTED, SceneMap

CLASSES = ("forest", "dense_residential", "sea & <sand>", "Weiße Dünen")

PLACES: dict[str, tuple[str | None, Affine]] = {
    "utm": ("EPSG:32632", Affine(110, 0, 500_000.3, 0, -110, 5_400_000.7)),
    "rotated": (
        "EPSG:32632",
        Affine.translation(691_000.1, 5_334_000) @ Affine.rotation(30) @ Affine.scale(64.5, -64.5),
    ),
    "degrees": ("EPSG:4326", Affine(0.0013, 0, 9.1, 0, -0.0009, 48.3)),
    "mercator": ("EPSG:3857", Affine(152.87, 0, 1_000_000, 0, -152.87, 6_000_000)),
    "own": ("+proj=laea +lat_0=47 +lon_0=11 +datum=WGS84", Affine(200, 0, -3000, 0, -200, 4000)),
    "south up": ("EPSG:32632", Affine(110, 0, 500_000, 0, 110, 5_300_000)),
    "pixels": (None, Affine(1, 0, 0, 0, 1, 0)),
}


def small_map(place: str = "utm", rows: int = 9, columns: int = 13, seed: int = 0) -> SceneMap:
    """Return a map whose cells hang together in part, some rejected, some without data."""
    random = np.random.default_rng(seed)
    coarse = random.integers(REJECTED, len(CLASSES), (-(-rows // 2), -(-columns // 3)))
    klass = coarse.repeat(2, axis=0).repeat(3, axis=1)[:rows, :columns].astype(np.int16)
    mixed = random.random(klass.shape) < 0.3
    klass[mixed] = random.integers(REJECTED, len(CLASSES), int(mixed.sum()))
    share = random.random(klass.shape, np.float32)
    confidence, margin = random.random((2, *klass.shape), np.float32)
    confidence[klass == NODATA] = margin[klass == NODATA] = np.nan
    crs, transform = PLACES[place]
    known = None if crs is None else CRS.from_string(crs)
    return SceneMap(CLASSES, klass, confidence, margin, share, transform, known, {"raster": {"name": "scene.tif"}})
