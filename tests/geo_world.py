"""Rasters of all kinds for tests: small, random, and written on the spot."""

from pathlib import Path

import numpy as np
import rasterio
from rasterio import Affine

UTM = "EPSG:32632"
METRE = Affine(1.0, 0, 500_000, 0, -1.0, 5_400_000)


def write_raster(path: Path, values_BHW: np.ndarray, *, crs=UTM, transform=METRE, **options) -> Path:
    """Write values (B, H, W) as a GeoTIFF; `crs` and `transform` None for a raster that lies nowhere."""
    place = {} if transform is None else {"transform": transform}
    count, height, width = values_BHW.shape
    form = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values_BHW.dtype, "crs": crs}
    with rasterio.open(path, "w", **form, **place, **options) as file:
        file.write(values_BHW)
    return path


def noise(bands: int = 3, height: int = 40, width: int = 50, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Return random values, (bands, height, width), 1 to 200 (none is 0, which tests use as nodata)."""
    return np.random.default_rng(seed).integers(1, 201, (bands, height, width)).astype(dtype)
