"""Maps: cells scored alone, refined as a set, and refined with what the cells around say, on mosaics of known classes.

    python benchmarks/spatial.py [--study] [--large]

Each mosaic is 24 x 32 cells of 96 px in the 31 classes that have scenes of its scale, cells encoded by `tiny` and
scored by the cosine with texts of attributes, class names withheld. The options were chosen on mosaics of other seeds
than those shown; --study measures them there. The rival is a majority filter, the most frequent answer among a cell and
its eight neighbours (ties go to the cell's own). --large measures time and peak memory on a million drawn vectors.
Writes docs/results/spatial.json and the tables beside it.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import torch

from tables import RESULTS
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.files import read_json, write_json, write_text
from zeroscene.methods.prompts import cosine_scores
from zeroscene.methods.transduction.refine import refine
from zeroscene.methods.transduction.spatial import Grid, GridOptions, refine_grid
from zeroscene.provenance import environment
from zeroscene.scenes.synthetic.captions import phrases
from zeroscene.scenes.synthetic.mosaic import write_mosaic
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.scenes.synthetic.world import class_attributes
from zeroscene.semantics.text import text_table

SHOWN, CHOSEN_ON = (0, 1, 2, 3, 4), (100, 101, 102)
ROWS, COLUMNS, CELL = 24, 32, 96
CLASS_SEED = 8
LARGE, WIDTH, CLASSES = 1000, 512, 20
STUDIED: Sequence[Mapping[str, Any]] = (
    {},
    {"neighbours": 4},
    {"weight": 0.5},
    {"weight": 2.0},
    {"lead": 2.0},
    {"lead": 8.0},
    {"sample": 300},
)

Figures = dict[str, Any]
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Map:
    """Cells of a mosaic: vectors, zero-shot scores, and (rows, columns) true classes."""

    x: Values
    scores: Values
    labels: npt.NDArray[np.int64]

    def accuracy(self, best: npt.NDArray[np.int64]) -> float:
        """Return the share of cells that are right, percent."""
        return 100 * float((best.ravel() == self.labels.ravel()).mean())

    def majority(self, best: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the majority of each cell and its eight neighbours."""
        rows, columns = self.labels.shape
        votes = np.eye(self.scores.shape[1])[best.reshape(rows, columns)]
        wide = np.pad(votes, ((1, 1), (1, 1), (0, 0)))
        counts = sum(wide[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) + votes / 2
        return np.asarray(counts.argmax(axis=2), np.int64)


def draw(seeds: Sequence[int]) -> list[Map]:
    images, texts = load_image_encoder("tiny", precision="fp32"), load_text_encoder("tiny")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            mosaic = write_mosaic(Path(folder) / f"{seed}.tif", None, seed, ROWS, COLUMNS, CELL)
            shares = class_attributes(mosaic.classes, CLASS_SEED)
            said = {
                name: ", ".join(phrases(ATTRIBUTES[i].name)[0] for i in np.flatnonzero(row >= 0.5))
                for name, row in zip(mosaic.classes, shares, strict=True)
            }
            with rasterio.open(mosaic.path) as file:
                pixels = file.read().transpose(1, 2, 0)
            vectors = []
            for row in range(ROWS):
                cells = [np.ascontiguousarray(pixels[mosaic.window(row, column)]) for column in range(COLUMNS)]
                with torch.inference_mode():
                    vectors.append(images.encode(torch.stack([images.prepare(c) for c in cells])).pooled_BD.numpy())
            x = np.concatenate(vectors)
            text = text_table(mosaic.classes, texts, texts=said).matrix
            found.append(Map(x, cosine_scores(x, text), mosaic.labels))
            print(f"mosaic {seed} drawn and encoded", flush=True)
    return found


def on_map(one: Map, changed: Mapping[str, Any]) -> float:
    grid = Grid.of(np.ones(one.labels.shape, np.bool_))
    return one.accuracy(
        refine_grid(one.x, one.scores, grid, GridOptions.of(dict(changed), "map")).values.argmax(axis=1)
    )


def measure(one: Map) -> dict[str, float]:
    alone, together = one.scores.argmax(axis=1), refine(one.x, one.scores).values.argmax(axis=1)
    return {
        "inductive": one.accuracy(alone),
        "majority": one.accuracy(one.majority(alone)),
        "refined": one.accuracy(together),
        "refined, majority": one.accuracy(one.majority(together)),
        "refined, neighbours": on_map(one, {}),
    }


def large() -> Figures:
    """Refine a map of LARGE x LARGE cells whose vectors lie on disk, and a quarter of its rows."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, CLASSES, (LARGE // 5, LARGE // 5))
    y = np.repeat(np.repeat(blocks, 5, 0), 5, 1).ravel()
    means = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    found: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cells.npy"
        x = np.lib.format.open_memmap(file, "w+", "f4", (len(y), WIDTH))
        for start in range(0, len(y), LARGE):
            part = slice(start, start + LARGE)
            x[part] = means[y[part]] + 3 * rng.normal(size=(LARGE, WIDTH)).astype(np.float32)
        x.flush()
        del x
        x = np.load(file, mmap_mode="r")
        scores = (1.5 * np.eye(CLASSES)[y] + rng.normal(size=(len(y), CLASSES))).astype(np.float32)
        for rows in (LARGE // 4, LARGE):
            n = rows * LARGE
            start = time.perf_counter()
            result = refine_grid(x[:n], scores[:n], Grid.of(np.ones((rows, LARGE), np.bool_)))
            found[str(n)] = {
                "seconds": time.perf_counter() - start,
                "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "right": 100 * float((result.values.argmax(axis=1) == y[:n]).mean()),
            }
            print(n, found[str(n)], flush=True)
    return found


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    tables = {}
    if "shown" in found:
        columns = ("inductive", "majority", "refined", "refined, majority", "refined, neighbours")
        heads = "inductive | majority filter | refined | refined, majority filter | refined with neighbours"
        lines = [f"| mosaic | {heads} |", "|---|---|---|---|---|---|"]
        for seed, row in zip(SHOWN, found["shown"], strict=True):
            lines.append(f"| {seed} | {' | '.join(f'{row[c]:.1f}' for c in columns)} |")
        means = (np.mean([row[c] for row in found["shown"]]) for c in columns)
        lines.append(f"| mean | {' | '.join(f'{value:.1f}' for value in means)} |")
        tables["spatial"] = lines
    if "study" in found:
        lines = ["| changed | accuracy, mean | by mosaic |", "|---|---|---|"]
        for row in found["study"]:
            name = ", ".join(f"`{key}={value}`" for key, value in row["changed"].items()) or "nothing"
            each = ", ".join(f"{value:.1f}" for value in row["accuracies"])
            lines.append(f"| {name} | {np.mean(row['accuracies']):.1f} | {each} |")
        tables["spatial_options"] = lines
    if "large" in found:
        lines = ["| cells | seconds | peak memory, MiB | microseconds a cell |", "|---|---|---|---|"]
        for n, row in sorted(found["large"].items(), key=lambda item: int(item[0])):
            lines.append(
                f"| {int(n):,} | {row['seconds']:.0f} | {row['peak_MiB']:,.0f} | {1e6 * row['seconds'] / int(n):.0f} |"
            )
        tables["spatial_large"] = lines
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--study", action="store_true")
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    file = RESULTS / "spatial.json"
    found: Figures = read_json(file) if file.is_file() else {}
    if arguments.large:
        found["large"] = large()
    elif arguments.study:
        maps = draw(CHOSEN_ON)
        found["study"] = [{"changed": dict(c), "accuracies": [on_map(one, c) for one in maps]} for c in STUDIED]
        alone = [one.accuracy(refine(one.x, one.scores).values.argmax(axis=1)) for one in maps]
        found["study"].append({"changed": {"weight": 0}, "accuracies": alone})
    else:
        found["shown"] = [measure(one) for one in draw(SHOWN)]
    found["environment"] = environment()
    write_json(file, found)
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(text)


if __name__ == "__main__":
    main()
