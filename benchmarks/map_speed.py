"""Speed and memory of the windows of a raster, beside the encoder alone, in one run.

    python benchmarks/map_speed.py [--rounds 4] [--widths 5000 10000 30000]

The rasters are tiled GeoTIFFs (blocks of 256, deflate) of a synthetic mosaic laid side by side. Speed: all windows of a
raster from file to vectors on disk (`encode_windows`), and the encoder alone over the same prepared windows in the same
batches, in turns, so that a busy machine slows both alike; and reading, decoding and resizing alone, whose processor
time added to the encoder's is the floor. Memory: a fresh process that encodes a whole square raster of each width.
Rasters are written to the folder for temporary files and deleted. Writes docs/results/map_speed.json, map_speed.md and
map_memory.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import torch
from rasterio import Affine
from rasterio.windows import Window

from tables import RESULTS
from zeroscene.encoders.base import ImageEncoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.source import quiet
from zeroscene.files import write_json, write_text
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.windows import WindowReader, rectangles
from zeroscene.pixels import batch_of
from zeroscene.provenance import environment
from zeroscene.scenes.geo import GeoRaster
from zeroscene.scenes.synthetic.mosaic import write_mosaic

BATCH, BLOCK, GSD = 16, 256, 0.4296875
# (encoder, side of the raster, side of a window), pixels; windows overlap by a half.
CASES = (("tiny", 4096, 128), ("tiny", 6144, 256), ("ViT-B/32", 2048, 256))

Figures = dict[str, Any]


def write_tiled(path: Path, tile: npt.NDArray[np.uint8], side: int) -> None:
    """Write a square raster of a tile (3, H, W) laid side by side, one row of blocks after the other."""
    form = {
        "driver": "GTiff", "height": side, "width": side, "count": 3, "dtype": "uint8", "crs": "EPSG:32632",
        "transform": Affine(GSD, 0, 5e5, 0, -GSD, 5.4e6), "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK,
        "compress": "deflate", "predictor": 2, "zlevel": 1, "interleave": "pixel", "photometric": "rgb",
        "bigtiff": "if_safer",
    }  # fmt: skip
    across = -(-side // tile.shape[2])
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **form) as file:
        for top in range(0, side, BLOCK):
            rows = np.arange(top, min(top + BLOCK, side)) % tile.shape[1]
            file.write(np.tile(tile[:, rows], (1, 1, across))[:, :, :side], window=Window(0, top, side, len(rows)))


def random_vit(folder: Path) -> Path:
    """Save a vision transformer of the size of CLIP's ViT-B/32 with random weights, which take as long as trained."""
    from transformers import ViTConfig, ViTModel

    with quiet():
        ViTModel(ViTConfig(patch_size=32), add_pooling_layer=False).save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    settings = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 224, "width": 224}, "resample": 3,
        "image_mean": half, "image_std": half,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def prepared(raster: GeoRaster, layout: Layout, encoder: ImageEncoder) -> tuple[list[torch.Tensor], float]:
    """Return all windows in batches, and decoded pixels a pixel of the raster."""
    reader = WindowReader(raster, layout, encoder.prepare, 64)
    cuts = reader.windows(rectangles(raster, layout, 512))
    pictures = [cut.picture for cut in cuts if cut.picture is not None]
    batches = [batch_of(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]
    return batches, reader.decoded / (raster.width * raster.height)


def timed(work: Any) -> tuple[float, float]:
    """Return seconds and seconds of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def speed(encoder: ImageEncoder, name: str, raster: GeoRaster, window: int, rounds: int, folder: Path) -> Figures:
    layout = Layout.of(raster, window)
    batches, decoded = prepared(raster, layout, encoder)

    def forward() -> None:
        for batch in batches:
            encoder.encode(batch)

    def whole() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            encode_windows(raster, layout, encoder, work, batch=BATCH)

    def reading() -> None:
        for _ in WindowReader(raster, layout, encoder.prepare, 64, workers=1).windows(rectangles(raster, layout, 512)):
            pass

    forward()
    turns = [(timed(forward), timed(whole), timed(reading), timed(whole), timed(forward)) for _ in range(rounds)]
    alone = [[turn[0][k] + turn[-1][k] for turn in turns] for k in (0, 1)]
    mapped = [[turn[1][k] + turn[3][k] for turn in turns] for k in (0, 1)]
    floors = [1 + 2 * turn[2][1] / a for turn, a in zip(turns, alone[1], strict=True)]
    ratios = [[m / a for m, a in zip(mapped[k], alone[k], strict=True)] for k in (0, 1)]
    return {
        "encoder": name,
        "window": window,
        "windows": layout.count,
        "forward_rate": 2 * layout.count / statistics.median(alone[0]),
        "map_rate": 2 * layout.count / statistics.median(mapped[0]),
        "time": statistics.median(ratios[0]),
        "times": ratios[0],
        "processor": statistics.median(ratios[1]),
        "processors": ratios[1],
        "floor": statistics.median(floors),
        "decoded": decoded,
    }


def bytes_read() -> int:
    """Return the bytes that this process has asked the system for."""
    said = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(said["rchar"])


def held(what: str) -> float:
    """Return the memory of this process, MB: `VmRSS` now, or `VmHWM` at most since `forget_peak`."""
    said = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(said[what].split()[0]) / 1000


def forget_peak() -> None:
    """Begin to measure the peak anew: loading an encoder takes more than running it."""
    Path("/proc/self/clear_refs").write_text("5")


def child(path: Path, work: Path) -> None:
    """Encode a whole raster and print what it took; runs in a process of its own."""
    encoder = load_image_encoder("tiny")
    encoder.encode(torch.zeros((BATCH, 3, *encoder.geometry.size), dtype=torch.uint8))
    raster = GeoRaster.open(path)
    layout = Layout.of(raster, 256)
    forget_peak()
    before, read = held("VmRSS"), bytes_read()
    seconds, processor = timed(lambda: encode_windows(raster, layout, encoder, work, batch=BATCH))
    found = {
        "width": raster.width,
        "windows": layout.count,
        "before_mb": before,
        "peak_mb": held("VmHWM"),
        "read": (bytes_read() - read) / path.stat().st_size,
        "seconds": seconds,
        "processor_seconds": processor,
    }
    print(json.dumps(found))


def memory(tile: npt.NDArray[np.uint8], width: int, folder: Path) -> Figures:
    path = folder / "square.tif"
    write_tiled(path, tile, width)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [sys.executable, __file__, "--child", str(path), f"{work}/windows"]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    path.unlink()
    found: Figures = json.loads(out)
    return found


def tables(figures: Figures) -> tuple[str, str]:
    speeds = [
        "| encoder | window | windows | encoder alone, windows/s | map, windows/s | time, map : encoder | "
        "processor time, map : encoder | floor of it | decoded pixels a pixel |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for f in figures["speed"]:
        times, processors = (f"{f[k]:.2f} ({min(f[k + 's']):.2f}-{max(f[k + 's']):.2f})" for k in ("time", "processor"))
        speeds.append(
            f"| {f['encoder']} | {f['window']} px | {f['windows']:,} | {f['forward_rate']:,.0f} | "
            f"{f['map_rate']:,.0f} | {times} | {processors} | {f['floor']:.2f} | {f['decoded']:.2f} |"
        )
    memories = [
        "| raster | windows | peak memory, MB | of which encoder and libraries | bytes read a byte of the file |",
        "|--:|--:|--:|--:|--:|",
    ]
    for f in figures["memory"]:
        memories.append(
            f"| {f['width']:,} x {f['width']:,} px | {f['windows']:,} | {f['peak_mb']:,.0f} | {f['before_mb']:,.0f} | "
            f"{f['read']:.2f} |"
        )
    return "\n".join(speeds) + "\n", "\n".join(memories) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--widths", type=int, nargs="*", default=[5000, 10_000, 30_000])
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mosaic = write_mosaic(folder / "mosaic.tif", rows=8, columns=8, cell=256, border=0)
        with rasterio.open(mosaic.path) as file:
            tile = file.read()
        encoders = {"tiny": load_image_encoder("tiny"), "ViT-B/32": load_image_encoder(random_vit(folder / "vit"))}
        measured = []
        for encoder, side, window in CASES:
            write_tiled(folder / "square.tif", tile, side)
            raster = GeoRaster.open(folder / "square.tif")
            measured.append(speed(encoders[encoder], encoder, raster, window, given.rounds, folder))
            print(measured[-1], flush=True)
        remembered = []
        for width in given.widths:
            remembered.append(memory(tile, width, folder))
            print(remembered[-1], flush=True)
    figures = {
        "speed": measured, "memory": remembered, "threads": torch.get_num_threads(), "environment": environment(),
    }  # fmt: skip
    write_json(RESULTS / "map_speed.json", figures)
    for file, table in zip(("map_speed.md", "map_memory.md"), tables(figures), strict=True):
        write_text(RESULTS / file, table)


if __name__ == "__main__":
    main()
