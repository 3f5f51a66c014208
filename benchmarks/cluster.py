"""What a worker of a cluster does in a second, what a window takes on disk, and that Ray gives the same files.

    python benchmarks/cluster.py [ENCODER ...] [--windows 400]

ENCODER is a model folder; `tiny` is always measured. Rates are of one core: windows by the processor time of a process
whose encoder has one thread, so that what else the machine does does not count; finishing is by the clock. The same
maps and the same archive are then made in one process and on Ray with two local workers. `cluster_plan.py` reads the
figures. Writes docs/results/cluster.json, cluster.md and cluster_same.md.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tables import RESULTS
from zeroscene.encoders.base import ImageEncoder
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.files import write_json, write_text
from zeroscene.maps.archive.add import Adding, add_one, add_rasters
from zeroscene.maps.archive.cluster import add_rasters_on
from zeroscene.maps.archive.folder import Archive, Cutting
from zeroscene.maps.cluster import cluster
from zeroscene.maps.encode import WindowWork, encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions, map_windows
from zeroscene.maps.windows import WindowReader, rectangles
from zeroscene.provenance import environment
from zeroscene.scenes.geo import GeoRaster
from zeroscene.scenes.synthetic.mosaic import write_mosaic
from zeroscene.serving.label import WordModel
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.map_list import Making, write_maps
from zeroscene.serving.maps import Windows

BATCH, CELL, ADDED = 16, 128, Adding(batch=16)
CLASSES = ("beach", "dense_residential", "desert", "freeway", "lake", "river")
SIDES = ((12, 16), (14, 12), (16, 16), (6, 6))

Figures = dict[str, Any]


def labeller() -> Labeller:
    """Make what answers in the maps; runs in workers too."""
    return WordModel.of(CLASSES, "tiny").labeller


def processor(work: Callable[[], object]) -> float:
    """Return seconds of processor time, of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def clock(work: Callable[[], object]) -> float:
    """Return seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mosaic(path: Path, windows: int, window: int) -> GeoRaster:
    """Write a square raster with about so many windows that overlap by a half."""
    side = round((windows**0.5 + 1) * window / 2 / CELL)
    return GeoRaster.open(write_mosaic(path, CLASSES, 0, side, side, CELL, border=0).path)


def rates(source: str, windows: int, folder: Path) -> Figures:
    """Measure what one core does with the windows of one encoder."""
    encoder = load_image_encoder(source)
    window = 128 if source == "tiny" else 224
    raster = mosaic(folder / f"{Path(source).name}.tif", windows * (8 if source == "tiny" else 1), window)
    layout = Layout.of(raster, window)
    reader = WindowReader(raster, layout, encoder.prepare, 64, 1)
    pictures: list[torch.Tensor] = []

    def read() -> None:
        pictures.extend(
            cut.picture for cut in reader.windows(rectangles(raster, layout, 512)) if cut.picture is not None
        )

    def encode() -> None:
        for start in range(0, len(pictures), BATCH):
            encoder.encode(torch.stack(pictures[start : start + BATCH]))

    reading = processor(read)
    encoder.encode(torch.stack(pictures[:BATCH]))
    encoding = processor(encode)
    work = WindowWork.begin(raster, layout, encoder, folder / f"{encoder.identity.name}-work", BATCH)
    whole = processor(lambda: work.encode(work.missing(), 1))
    archive = Archive.begin(
        folder / f"{encoder.identity.name}-archive", encoder.identity, encoder.width, Cutting(f"{window} px")
    )
    store = archive.work(raster.fingerprint)
    encode_windows(raster, layout, encoder, store, batch=BATCH, workers=1)
    kept = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    adding = clock(lambda: add_one(archive, raster.path, encoder, ADDED, {}))
    count = len(pictures)
    return {
        "encoder": encoder.identity.name,
        "window": window,
        "windows": count,
        "width": encoder.width,
        "read": count / reading,
        "encode": count / encoding,
        "whole": count / whole,
        "finish": count / adding,
        "part_windows": [len(part) for part in work.parts],
        "stored": archive.file(raster.fingerprint).stat().st_size / count,
        "working": kept / count,
        "raster": raster.path.stat().st_size / count,
    }


def mapping_rate(folder: Path) -> Figures:
    """Measure how fast a map is made of windows that are encoded."""
    asked = labeller()
    encoder = asked.eye()
    raster = mosaic(folder / "map.tif", 3200, CELL)
    vectors = encode_windows(raster, Layout.of(raster, CELL), encoder, folder / "map-work", batch=BATCH, workers=1)
    seconds = clock(lambda: map_windows(raster, vectors, asked.question).write(folder / "map"))
    return {"windows": len(vectors), "rate": len(vectors) / seconds}


def checksum(folder: Path) -> tuple[int, str]:
    """Return the number of files of a folder, and a checksum over their names and bytes."""
    found = hashlib.sha256()
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in files:
        found.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return len(files), found.hexdigest()


def same(folder: Path) -> list[Figures]:
    """Make maps and an archive in one process and on Ray, and compare all files."""
    rasters = [
        write_mosaic(folder / f"same{k}.tif", CLASSES, k, rows, columns, CELL).path
        for k, (rows, columns) in enumerate(SIDES)
    ]
    making = Making(labeller, Windows(CELL), MapOptions())
    eye = partial(load_image_encoder, "tiny")
    encoder: ImageEncoder = eye()
    cutting = Cutting(f"{CELL} px")
    archives = {
        name: Archive.begin(folder / f"archive-{name}", encoder.identity, encoder.width, cutting)
        for name in ("here", "ray")
    }
    seconds = {
        ("maps", "here"): clock(lambda: write_maps(rasters, making, folder / "maps-here")),
        ("archive", "here"): clock(lambda: add_rasters(archives["here"], rasters, encoder, ADDED)),
    }
    start = time.perf_counter()
    with cluster("local", workers=2) as ray:
        begun = time.perf_counter() - start
        seconds["maps", "ray"] = clock(lambda: write_maps(rasters, making, folder / "maps-ray", ray=ray))
        seconds["archive", "ray"] = clock(lambda: add_rasters_on(ray, archives["ray"], rasters, eye, ADDED))
    found = []
    for job in ("maps", "archive"):
        (count, here), (_, there) = (checksum(folder / f"{job}-{name}") for name in ("here", "ray"))
        found.append(
            {"job": job, "rasters": len(rasters), "files": count, "here": here, "ray": there, "start": begun,
             "here_seconds": seconds[job, "here"], "ray_seconds": seconds[job, "ray"]}
        )  # fmt: skip
    return found


def tables(figures: Figures) -> tuple[str, str]:
    """Return the rates and the comparison as Markdown tables."""
    rows = [
        "| encoder | window | read and prepare | encoder | all of it, to parts on disk | finish in an archive | "
        "archive, bytes a window | raster, bytes a window |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for f in figures["rates"]:
        rows.append(
            f"| {f['encoder']} ({f['width']} wide) | {f['window']} px | {f['read']:,.0f} | {f['encode']:,.0f} | "
            f"{f['whole']:,.0f} | {f['finish']:,.0f} | {f['stored']:,.0f} | {f['raster']:,.0f} |"
        )
    pairs = [
        "| job | rasters | files | one process, SHA-256 | Ray, two local workers, SHA-256 | one process, s | Ray, s |",
        "|---|--:|--:|---|---|--:|--:|",
    ]
    for f in figures["same"]:
        pairs.append(
            f"| {f['job']} | {f['rasters']} | {f['files']} | `{f['here'][:16]}` | `{f['ray'][:16]}` | "
            f"{f['here_seconds']:.0f} | {f['ray_seconds']:.0f} |"
        )
    return "\n".join(rows) + "\n", "\n".join(pairs) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="*", help="model folders")
    parser.add_argument("--windows", type=int, default=400, help="windows measured; 8 times as many for tiny")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            "rates": [rates(source, given.windows, folder) for source in ("tiny", *given.encoders)],
            "map": mapping_rate(folder), "same": same(folder), "environment": environment(),
        }  # fmt: skip
    write_json(RESULTS / "cluster.json", figures)
    for file, table in zip(("cluster.md", "cluster_same.md"), tables(figures), strict=True):
        write_text(RESULTS / file, table)
        print(table)
    for one in figures["same"]:
        assert one["here"] == one["ray"], one


if __name__ == "__main__":
    main()
