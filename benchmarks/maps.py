"""Maps: how right they are on mosaics of known classes, without and with overlap and refinement.

    python benchmarks/maps.py ucmerced PICTURES IMAGE_ENCODER [--out runs/maps]
    python benchmarks/maps.py synthetic [--out runs/maps]

`ucmerced` lays 28 x 30 pictures of all 21 classes side by side as a GeoTIFF, those of a class in regions. A `kernel` is
fitted on other pictures of the 16 seen classes of split 1 with attributes of the knowledge base, and its map of all 21
classes is compared with the truth and with what `predict` says of the same pictures. `synthetic` maps two drawn mosaics
by the words of `tiny` alone. Killed at any moment, the same command continues.

A real raster has no cells, and windows lie anywhere in what there is to see. So each mosaic is also mapped without its
first half cell of rows and columns: no window lies on a cell then, every one on four. Figures count the area that lies
in both rasters, in quarters of cells; the cells, each of the class with the largest sum of confidence in it; and, where
nothing is refined, the cells by the mean of all votes in them.
Writes docs/results/maps.json and the tables beside it.
"""

import argparse
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.windows import Window

from tables import RESULTS
from zeroscene import names
from zeroscene.cli.fit import fit_and_keep
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.files import read_json, write_json, write_text
from zeroscene.maps.encode import encode_windows
from zeroscene.maps.layout import Layout
from zeroscene.maps.mapping import MapOptions, map_windows
from zeroscene.maps.question import Question
from zeroscene.maps.scene_map import SceneMap
from zeroscene.maps.vectors import WindowVectors
from zeroscene.maps.votes import Said, cast
from zeroscene.methods.contract import TrainingSet
from zeroscene.provenance import environment
from zeroscene.scenes.catalog import benchmark
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.geo import GeoRaster
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.synthetic.mosaic import write_mosaic
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.serving.asking import Asking
from zeroscene.serving.label import WordModel
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.model import Model
from zeroscene.serving.sources import Origin

SPLITS = Path(__file__).parent / "ucmerced_splits_16_5.json"
ROWS, COLUMNS, REGION = 28, 30, 3
CELL, METRES = 256, 0.3048  # of a UC Merced picture in pixels; of a pixel: one foot
TRAINING = 40  # pictures of each seen class, none of them on the mosaic
DRAWN_SEEDS, DRAWN_ROWS, DRAWN_COLUMNS, DRAWN_CELL = (0, 1), 24, 32, 96
ON_CELLS, OFF_CELLS = "on the cells", "half a cell off"
CELLS = {"cells": "cells right", "votes": "by all votes", "confidence": "confidence"}

Figures = dict[str, Any]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """A raster of square cells of known classes.

    Attributes:
        path: the raster.
        classes: C names.
        labels: (rows, columns) of cells.
        cell: side of a cell in pixels.
        seen: which of the classes the method was fitted on; empty where nothing was fitted.
    """

    path: Path
    classes: tuple[str, ...]
    labels: Labels
    cell: int
    seen: tuple[str, ...] = ()

    def cropped(self) -> Path:
        """Write the raster without its first half cell of rows and columns."""
        path, off = self.path.with_name(f"{self.path.stem}-off.tif"), self.cell // 2
        with rasterio.open(self.path) as source:
            part = Window(off, off, source.width - off, source.height - off)
            form = source.profile | {
                "width": part.width, "height": part.height, "transform": source.window_transform(part)
            }  # fmt: skip
            with rasterio.open(path, "w", **form) as file:
                file.write(source.read(window=part))
        return path

    def measure(self, made: SceneMap, stride: int, off: bool) -> Figures:
        """Return the share of the area and of the cells that is right, and the mean confidence, percent.

        Args:
            made: the map.
            stride: side of its cells in pixels.
            off: of the raster without its first half cell.
        """
        at = self._quarters(stride, off)
        given, sure = made.klass[at].astype(np.int64), made.confidence[at].astype(np.float64)
        truth = np.repeat(np.repeat(self.labels, 2, 0), 2, 1)[1:, 1:]
        found = {"area": given == truth, "confidence": sure}
        if self.seen:
            known = np.isin(truth, [i for i, name in enumerate(self.classes) if name in self.seen])
            found |= {"seen": (given == truth)[known], "unseen": (given == truth)[~known]}
        return {
            **{name: 100 * float(np.mean(values)) for name, values in found.items()},
            "cells": 100 * float((self._of_cells(given, sure) == self.labels).mean()),
        }

    def by_votes(self, vectors: WindowVectors, asked: Question, off: bool) -> float:
        """Return the share of cells that is right by the mean of all votes in them, percent."""
        scale = asked.logit_scale(np.empty((0, vectors.width), np.float32))
        said = (
            Said(part.rows, part.columns, asked.distributions(part.x, scale), part.share.astype(np.float64))
            for part in vectors.parts()
        )
        heard = np.array([row.values for row in cast(said, vectors.layout, asked.width)])
        values = heard[self._quarters(vectors.layout.stride[0], off)]
        total = np.zeros((*self.labels.shape, asked.width))
        y, x = np.mgrid[1 : values.shape[0] + 1, 1 : values.shape[1] + 1]
        np.add.at(total, (y // 2, x // 2), values)
        return 100 * float((total.argmax(axis=2) == self.labels).mean())

    def _quarters(self, stride: int, off: bool) -> tuple[npt.NDArray[Any], ...]:
        """Return the cells of a map at the centres of the quarters, but for the first, which the cropped one lacks."""
        half = self.cell // 2
        shift = half if off else 0
        return np.ix_(*((np.arange(1, 2 * n) * half + half // 2 - shift) // stride for n in self.labels.shape))

    def _of_cells(self, given: Labels, sure: npt.NDArray[np.float64]) -> Labels:
        votes = np.zeros((*self.labels.shape, len(self.classes)))
        y, x = np.mgrid[1 : given.shape[0] + 1, 1 : given.shape[1] + 1]
        np.add.at(votes, (y // 2, x // 2, given), sure)
        return votes.argmax(axis=2)


def regions(classes: int, rows: int, columns: int, seed: int) -> Labels:
    """Return (rows, columns) classes: that of the nearest of some sites, one in each square of cells."""
    rng = np.random.default_rng(seed)
    down, across = -(-rows // REGION), -(-columns // REGION)
    order = np.concatenate([rng.permutation(classes) for _ in range(-(-down * across // classes))])[: down * across]
    corners = np.stack(np.mgrid[:down, :across], -1).reshape(-1, 2) * REGION
    sites = corners + REGION * rng.random((down * across, 2))
    y, x = np.mgrid[:rows, :columns][..., None] + 0.5
    return np.asarray(order[((y - sites[:, 0]) ** 2 + (x - sites[:, 1]) ** 2).argmin(axis=-1)], np.int64)


def lay(pictures: Path, out: Path) -> tuple[Truth, list[str]]:
    """Write the mosaic of UC Merced pictures, and folders of those on it and those for the fit.

    Returns:
        The truth, and the name of each picture in `cells`, by rows.
    """
    split = read_splits(SPLITS)[0]
    scenes = benchmark("ucmerced").open(pictures)
    files: dict[str, list[Path]] = {name: [] for name in scenes.classes}
    for scene, label in zip(scenes.ids, scenes.labels or (), strict=True):
        files[label].append(scenes.root / scene)
    known = {names.key(name) for name in split.seen}
    seen = tuple(name for name in scenes.classes if names.key(name) in known)
    for name in seen:
        for file in sorted(files[name])[:TRAINING]:
            _copy(file, out / "training" / name / file.name)
    labels = regions(len(files), ROWS, COLUMNS, 0)
    # Some pictures are smaller than a cell; they stay out. None is on the mosaic twice, or in the fit.
    left = {name: iter(sorted(own)[TRAINING:]) for name, own in files.items()}
    mosaic, used = np.empty((ROWS * CELL, COLUMNS * CELL, 3), np.uint8), []
    for row, column in np.ndindex(ROWS, COLUMNS):
        name = scenes.classes[labels[row, column]]
        file, pixels = next((f, p) for f in left[name] if (p := decode(f)).shape == (CELL, CELL, 3))
        mosaic[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = pixels
        used.append(f"{row:02d}-{column:02d}{file.suffix}")
        _copy(file, out / "cells" / used[-1])
    path = out / "ucmerced.tif"
    if not path.is_file():
        form = {
            "driver": "GTiff", "height": len(mosaic), "width": mosaic.shape[1], "count": 3, "dtype": "uint8",
            "crs": "EPSG:32611", "transform": Affine(METRES, 0, 4e5, 0, -METRES, 3.8e6), "tiled": True,
            "blockxsize": 512, "blockysize": 512, "compress": "deflate", "photometric": "rgb",
        }  # fmt: skip
        with rasterio.open(path, "w", **form) as file:
            file.write(mosaic.transpose(2, 0, 1))
    return Truth(path, scenes.classes, labels, CELL, seen), used


def _copy(file: Path, to: Path) -> None:
    if not to.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)


def maps_of(truth: Truth, labeller: Labeller, out: Path, overlaps: Sequence[float]) -> list[Figures]:
    """Return the figures of the raster, on its cells and off them, for each overlap, refined and not."""
    found = []
    encoder, asked = labeller.eye(), labeller.question
    for off, path in ((False, truth.path), (True, truth.cropped())):
        raster = GeoRaster.open(path)
        for overlap in overlaps:
            layout = Layout.of(raster, truth.cell, overlap)
            vectors = encode_windows(raster, layout, encoder, out / f"windows-{path.stem}-{layout.steps}")
            for refine in ("none", "spatial"):
                made = map_windows(raster, vectors, asked, MapOptions(refine=refine))
                figures = truth.measure(made, layout.stride[0], off)
                if refine == "none":
                    figures["votes"] = truth.by_votes(vectors, asked, off)
                found.append({"off": off, "overlap": overlap, "refine": refine, "windows": layout.count, **figures})
                print(
                    path.stem, {k: v if isinstance(v, str) else round(v, 2) for k, v in found[-1].items()}, flush=True
                )
    return found


def ucmerced(pictures: Path, image_encoder: Path, out: Path) -> Figures:
    truth, used = lay(pictures, out)
    encoder = load_image_encoder(str(image_encoder))
    training = SceneFolder.open(out / "training")
    store = extract(training, encoder, out / "store")
    Origin.of(str(image_encoder), "auto", training.root).write(out / "store")
    table = knowledge_table(truth.classes)
    if not (out / "model" / "method.json").is_file():
        fit_and_keep("kernel", TrainingSet(store.read(), truth.seen), table, out / "model", out / "store", {})
    model = Model.load(out / "model")
    labeller = Labeller(model.method, table, lambda: encoder, model.confidence, gamma=model.gamma)
    answers = labeller.label(_embedded(out, encoder), Asking())
    assert list(answers.ids) == used
    predicted = answers.best.reshape(truth.labels.shape)
    maps = maps_of(truth, labeller, out, (0, 0.5))
    return {
        "pictures": len(training.ids),
        "predict": 100 * float((predicted == truth.labels).mean()),
        "same": _same(truth, labeller, out, predicted),
        "maps": maps,
    }


def _embedded(out: Path, encoder: Any) -> Path:
    extract(SceneFolder.open_flat(out / "cells"), encoder, out / "cells-store")
    return out / "cells-store"


def _same(truth: Truth, labeller: Labeller, out: Path, predicted: Labels) -> Figures:
    """Return how far a map without overlap and `predict` agree: in pixels, vectors and answers."""
    raster = GeoRaster.open(truth.path)
    vectors = encode_windows(raster, Layout.of(raster, CELL, 0), labeller.eye(), out / f"windows-{truth.path.stem}-1")
    windows, pictures = vectors.read().x, EmbeddingStore.open(out / "cells-store").read().x
    made = map_windows(raster, vectors, labeller.question)
    return {
        "cells": predicted.size,
        "answers": int((made.klass == predicted).sum()),
        "vectors": int((windows == pictures).all(axis=1).sum()),
        "largest_difference": float(np.abs(windows - pictures).max()),
        "largest_number": float(np.abs(pictures).max()),
        "right": 100 * float((made.klass == truth.labels).mean()),
    }


def synthetic(out: Path) -> Figures:
    found: Figures = {"maps": []}
    for seed in DRAWN_SEEDS:
        mosaic = write_mosaic(
            out / f"drawn-{seed}.tif", None, seed, DRAWN_ROWS, DRAWN_COLUMNS, DRAWN_CELL, border=0
        )  # fmt: skip
        truth = Truth(mosaic.path, mosaic.classes, mosaic.labels, DRAWN_CELL)
        labeller = WordModel.of([names.words(name) for name in mosaic.classes]).labeller
        found["maps"].append(maps_of(truth, labeller, 0.0, out, (0, 0.5, 0.75)))
    return found


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    tables = {}
    if "ucmerced" in found:
        columns = {"area": "area right", "seen": "of seen classes", "unseen": "of unseen", **CELLS}
        tables["maps_ucmerced"] = _table(columns, [[row] for row in found["ucmerced"]["maps"]])
        same = found["ucmerced"]["same"]
        tables["maps_predict"] = [
            "| | cells | right | same answer | same vector to the bit | largest difference of a number |",
            "|---|---|---|---|---|---|",
            f"| `predict` on the pictures | {same['cells']} | {found['ucmerced']['predict']:.2f} % | | | |",
            f"| map without overlap | {same['cells']} | {same['right']:.2f} % | {same['answers']} | "
            f"{same['vectors']} | {same['largest_difference']:.2g} of {same['largest_number']:.2g} |",
        ]
    if "synthetic" in found:
        rows = zip(*found["synthetic"]["maps"], strict=True)
        tables["maps_synthetic"] = _table({"area": "area right", **CELLS}, rows)
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


def _table(columns: Mapping[str, str], rows: Iterable[Sequence[Figures]]) -> list[str]:
    """Return the lines of a table of means; nothing stands where something is not measured."""
    lines = [f"| windows | overlap | refined | {' | '.join(columns.values())} |", "|---" * (3 + len(columns)) + "|"]
    for same in rows:
        means = (f"{np.mean([row[k] for row in same]):.1f}" if k in same[0] else "" for k in columns)
        lines.append(f"{_head(same[0])} | {' | '.join(means)} |")
    return lines


def _head(row: Figures) -> str:
    refined = "yes" if row["refine"] == "spatial" else "no"
    return f"| {OFF_CELLS if row['off'] else ON_CELLS} | {100 * row['overlap']:.0f} % | {refined}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ucmerced", "synthetic"))
    parser.add_argument("pictures", type=Path, nargs="?")
    parser.add_argument("image_encoder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("runs/maps"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file = RESULTS / "maps.json"
    found: Figures = read_json(file) if file.is_file() else {}
    if given.what == "synthetic":
        found["synthetic"] = synthetic(given.out)
    elif given.pictures is None or given.image_encoder is None:
        parser.error("ucmerced needs the folder of pictures and that of the encoder")
    else:
        found["ucmerced"] = ucmerced(given.pictures, given.image_encoder, given.out)
    found["environment"] = environment()
    write_json(file, found)
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(text)


if __name__ == "__main__":
    main()
