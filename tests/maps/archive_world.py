"""Rasters of painted cells on one grid, and an archive of them, for tests; run as a program, a job that adds them."""

import sys
from pathlib import Path

import numpy as np
import torch
from mapping_world import MeanColour, painted
from rasterio import Affine

from geo_world import METRE, UTM, write_raster
from zeroscene.maps import encode
from zeroscene.maps.archive.add import Adding, Told, add_rasters, rasters_in
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.archive.time import TimeRule

CELL = 8
CUTTING = Cutting("16 px")


def labels(seed: int, rows: int = 6, columns: int = 7, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, (rows, columns))


def write(path: Path, of: np.ndarray, *, crs=UTM, transform=METRE, noise: int = 8) -> Path:
    """Write a raster whose cells of 8 x 8 metres have the colours of four classes; -1 is nodata."""
    return write_raster(path, painted(of, CELL, noise), crs=crs, transform=transform, nodata=0)


def east(cells: float) -> Affine:
    """Return the transform of a raster that lies some cells further east."""
    return Affine.translation(cells * CELL, 0) * METRE


def begun(path: Path) -> Archive:
    return Archive.begin(path, MeanColour.identity, MeanColour.width, CUTTING)


def added(path: Path, *places: Path, time: str | None = None) -> tuple[Archive, list[Told]]:
    archive = begun(path)
    return archive, add_rasters(archive, rasters_in(places), MeanColour(), Adding(TimeRule.of(time), batch=4))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    encode._PART = 20
    print("ready", flush=True)
    added(Path(sys.argv[1]), Path(sys.argv[2]), time="%Y")
