"""Cosine zero-shot on published WHU-RS19 embeddings, beside the accuracies that a public benchmark reports for them.

    python benchmarks/whu_rs19_cosine.py FOLDER EXPECTED.csv

FOLDER holds one safetensors file a model (`image_embeddings`, `labels`, `text_embeddings`, `text_embeddings_average`;
`model` and `prompts` in the metadata); EXPECTED.csv has the columns model, prompt and inductive_accuracy (percent over
pictures). Exits with 1 when a figure is further off than its tolerance: 0.01 points, and 0.3 for single prompts of
models whose vectors are stored in half precision.
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from zeroscene.evaluation.metrics import confusion_matrix, overall_accuracy, t1
from zeroscene.methods.prompts import cosine_scores

AVERAGE = "averageprompt"


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


def measure(folder: Path, expected_csv: Path) -> Iterator[Row]:
    """Yield a row for each model and prompt of the expected table, average prompts first."""
    with expected_csv.open(newline="", encoding="utf-8") as f:
        expected = {(r["model"], r["prompt"]): float(r["inductive_accuracy"]) for r in csv.DictReader(f)}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as f:
            model, prompts = f.metadata()["model"], json.loads(f.metadata()["prompts"])
            x, y = f.get_tensor("image_embeddings"), f.get_tensor("labels")
            texts = f.get_tensor("text_embeddings")
            average = f.get_tensor("text_embeddings_average")
        for prompt, text in [(AVERAGE, average), *zip(prompts, texts, strict=True)]:
            confusion = confusion_matrix(y, cosine_scores(x, text).argmax(axis=1), len(text))
            half = x.dtype == np.float16 and prompt != AVERAGE
            figures = 100 * overall_accuracy(confusion), 100 * t1(confusion)
            yield Row(model, prompt, expected[model, prompt], *figures, tolerance=0.3 if half else 0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("expected", type=Path)
    arguments = parser.parse_args()
    rows = list(measure(arguments.folder, arguments.expected))
    print(f"{'model':20} {'average prompt':>14} {'reported':>9} {'T1':>7}   {'single prompts: largest difference':>34}")
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        average = next(row for row in mine if row.prompt == AVERAGE)
        singles = [abs(row.difference) for row in mine if row.prompt != AVERAGE]
        print(
            f"{model:20} {average.overall:14.4f} {average.expected:9.4f} {average.t1:7.2f}   "
            f"{max(singles):22.4f} of {len(singles)} prompts"
        )
    off = [row for row in rows if abs(row.difference) > row.tolerance]
    for row in off:
        print(f"OFF: {row.model}, {row.prompt!r}: {row.overall:.4f}, reported {row.expected:.4f}")
    print(f"{len(rows) - len(off)} of {len(rows)} figures within tolerance")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
