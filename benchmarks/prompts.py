"""Zero-shot by prompts on published WHU-RS19 embeddings: what was reported, the spread over prompts, size of ensembles.

    python benchmarks/prompts.py FOLDER EXPECTED.csv [--encoder ENCODER]

FOLDER holds one safetensors file a model (`image_embeddings`, `labels`, `text_embeddings`, `text_embeddings_average`;
`model`, `classes` and `prompts` in the metadata); EXPECTED.csv has the columns model, prompt and inductive_accuracy
(percent over pictures). Exits with 1 when a figure is further off than its tolerance: 0.01 points, and 0.3 for single
prompts of models whose vectors are stored in half precision.

--encoder measures the texts of all classes in all prompts, encoded in one call and in a call a class, with a text
encoder that reads them (a sentence encoder will do: only the ratio is kept). Writes docs/results/prompts*.md.
"""

import argparse
import csv
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from tables import RESULTS
from zeroscene.encoders.base import TextEncoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.metrics import confusion_matrix, overall_accuracy, t1
from zeroscene.evaluation.sensitivity import Sensitivity, sensitivity
from zeroscene.files import write_text
from zeroscene.methods.prompts import cosine_scores
from zeroscene.semantics.prompts import NEAR
from zeroscene.vectors import unit_rows

AVERAGE = "averageprompt"
SIZES, DRAWS, SEED = (1, 3, 6, 12, 24, 48), 100, 0

Matrix = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Bed:
    """Embeddings of one model: N pictures, C classes, T prompts."""

    model: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    x: Matrix
    y: Integers
    texts_TCD: Matrix
    average_CD: Matrix
    half: bool

    @classmethod
    def read(cls, file: Path) -> "Bed":
        """Read a model's file."""
        with safe_open(file, framework="numpy") as f:
            names, x = f.metadata(), f.get_tensor("image_embeddings")
            return cls(
                names["model"],
                tuple(json.loads(names["classes"])),
                tuple(json.loads(names["prompts"])),
                x,
                f.get_tensor("labels").astype(np.int64),
                f.get_tensor("text_embeddings"),
                f.get_tensor("text_embeddings_average"),
                x.dtype == np.float16,
            )

    def confusion(self, texts_CD: Matrix) -> Integers:
        """Return the picture counts of true and chosen classes."""
        return confusion_matrix(self.y, cosine_scores(self.x, texts_CD).argmax(axis=1), len(self.classes))

    def spread(self) -> Sensitivity:
        """Return the spread over the prompts, beside their average."""
        each = (cosine_scores(self.x, text) for text in self.texts_TCD)
        return sensitivity(each, cosine_scores(self.x, self.average_CD), self.prompts, self.y)

    def ensembles(self, size: int) -> Sequence[float]:
        """Return the accuracies of ensembles of so many prompts, drawn at random."""
        unit = self.texts_TCD.astype(np.float32)
        unit /= np.linalg.norm(unit, axis=2, keepdims=True)
        rng = np.random.default_rng(SEED)
        drawn = (rng.choice(len(unit), size, replace=False) for _ in range(DRAWS))
        return [overall_accuracy(self.confusion(unit[rows].mean(axis=0))) for rows in drawn]


@dataclass(frozen=True)
class Row:
    """One model and prompt: accuracies in percent."""

    model: str
    prompt: str
    expected: float
    overall: float
    t1: float
    tolerance: float

    @property
    def difference(self) -> float:
        """Measured minus reported, in points."""
        return self.overall - self.expected


def measure(folder: Path, expected_csv: Path) -> list[Row]:
    """Return a row for each model and prompt of the expected table, average prompts first."""
    with expected_csv.open(newline="", encoding="utf-8") as f:
        expected = {(r["model"], r["prompt"]): float(r["inductive_accuracy"]) for r in csv.DictReader(f)}
    rows = []
    for bed in beds(folder):
        for prompt, text in [(AVERAGE, bed.average_CD), *zip(bed.prompts, bed.texts_TCD, strict=True)]:
            confusion = bed.confusion(text)
            tolerance = 0.3 if bed.half and prompt != AVERAGE else 0.01
            figures = 100 * overall_accuracy(confusion), 100 * t1(confusion)
            rows.append(Row(bed.model, prompt, expected[bed.model, prompt], *figures, tolerance))
    return rows


def beds(folder: Path) -> list[Bed]:
    """Return the models of a folder."""
    return [Bed.read(file) for file in sorted(folder.glob("*.safetensors"))]


def reported_table(rows: Sequence[Row]) -> str:
    lines = [
        "| model | average of 106 prompts | reported | T1 | single prompts, largest difference |",
        "|---|---|---|---|---|",
    ]
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        average = next(row for row in mine if row.prompt == AVERAGE)
        largest = max(abs(row.difference) for row in mine if row.prompt != AVERAGE)
        lines.append(f"| {model} | {average.overall:.2f} | {average.expected:.2f} | {average.t1:.2f} | {largest:.2f} |")
    return "\n".join(lines)


def spread_table(spreads: Sequence[tuple[str, Sensitivity]]) -> str:
    lines = [
        "| model | ensemble | mean of single prompts | best | worst | two agree | all agree |",
        "|---|---|---|---|---|---|---|",
    ]
    for model, found in spreads:
        one = found.overall
        assert one is not None
        best, worst = (
            f"{100 * one.values[at]:.1f} {found.templates[at]!r}".replace("'", "`") for at in (one.best, one.worst)
        )
        lines.append(
            f"| {model} | {100 * one.ensemble:.1f} | {100 * one.mean:.1f} \N{PLUS-MINUS SIGN} "
            f"{100 * one.deviation:.1f} | {best} | {worst} | {100 * found.pairwise:.1f} | {100 * found.unanimous:.1f} |"
        )
    return "\n".join(lines)


def sizes_table(models: Sequence[Bed]) -> str:
    lines = [f"| model | {' | '.join(map(str, SIZES))} | all 106 |", "|---" * (len(SIZES) + 2) + "|"]
    for bed in models:
        drawn = [np.array(bed.ensembles(size)) for size in SIZES]
        cells = [f"{100 * a.mean():.1f} \N{PLUS-MINUS SIGN} {100 * a.std(ddof=1):.1f}" for a in drawn]
        lines.append(
            f"| {bed.model} | {' | '.join(cells)} | {100 * overall_accuracy(bed.confusion(bed.average_CD)):.1f} |"
        )
    return "\n".join(lines)


def nearest_pair(models: Sequence[Bed]) -> float:
    """Return the highest cosine of two classes, over models and single prompts."""
    unit = [unit_rows(text.astype(np.float32)) for bed in models for text in bed.texts_TCD]
    return max(float((text @ text.T - 2 * np.eye(len(text))).max()) for text in unit)


def calls_ratio(encoder: TextEncoder, bed: Bed) -> float:
    """Return the processor time of a call a class, as a share of that of one call for all texts."""
    of_class = [[f"{prompt} {name}" for prompt in bed.prompts] for name in bed.classes]
    every = [text for own in of_class for text in own]
    encoder.encode_texts(every[:64])
    start = time.process_time()
    together = encoder.encode_texts(every)
    middle = time.process_time()
    apart = np.concatenate([encoder.encode_texts(own) for own in of_class])
    end = time.process_time()
    assert np.abs(together - apart).max() < 1e-5
    return (end - middle) / (middle - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("expected", type=Path)
    parser.add_argument("--encoder", help="text encoder for the speed of one call")
    given = parser.parse_args()
    rows, models = measure(given.folder, given.expected), beds(given.folder)
    tables = {
        "prompts.md": reported_table(rows),
        "prompts_spread.md": spread_table([(bed.model, bed.spread()) for bed in models]),
        "prompts_sizes.md": sizes_table(models),
    }
    for name, table in tables.items():
        write_text(RESULTS / name, table + "\n")
        print(table, end="\n\n")
    off = [row for row in rows if abs(row.difference) > row.tolerance]
    for row in off:
        print(f"OFF: {row.model}, {row.prompt!r}: {row.overall:.4f}, reported {row.expected:.4f}")
    near = nearest_pair(models)
    print(f"{len(rows) - len(off)} of {len(rows)} figures within tolerance; nearest two classes: cosine {near:.3f}")
    if given.encoder:
        ratio = calls_ratio(load_text_encoder(given.encoder), models[0])
        head = "| 19 classes x 106 prompts | processor time |\n|---|---|\n"
        table = f"{head}| one call | 1 |\n| a call a class | {ratio:.2f} |\n"
        write_text(RESULTS / "prompts_calls.md", table)
        print(table)
    return 1 if off or near >= NEAR else 0


if __name__ == "__main__":
    sys.exit(main())
