"""Labelled pictures beside words: 0 to 16 examples a class, of all classes or of half of them, WHU-RS19 and UC Merced.

    python benchmarks/anyshot.py [--whu FOLDER] [--store FOLDER] [--study [--world STORE TABLE]]

FOLDER of --whu holds one safetensors file a model, as benchmarks/prompts.py reads them; --store is UC Merced as
benchmarks/ucmerced.py embeds it. What is absent keeps its recorded figures. Each draw (its number is the seed) takes 16
pictures a class, of which the first 1, 2, 4, 8 or 16 are examples; all 16 are the reference, without labels. Every
figure is of the pictures that were not drawn, so that all columns of a row are of the same ones. Beside it stand

- nearest mean: of the examples, no words; a class without examples is never answered;
- cache: the key-value cache of Tip-Adapter (Zhang et al., ECCV 2022, without its training), on the same scaled scores:
  with alpha 1 and beta 5.5, the paper's, and with alpha and beta chosen as our own options were.

--study measures what the options were chosen by: folds of the seen classes of UC Merced, and, with --world, the
synthetic world seen by the tiny encoder (a store, and a table of text vectors as benchmarks/synthetic.py makes them).
Writes docs/results/anyshot.json and the tables beside it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from tables import RESULTS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.files import read_json, write_json, write_text
from zeroscene.methods.anyshot import AnyShot, AnyShotOptions, Examples, refine_with
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.prompts import cosine_scores
from zeroscene.methods.registry import create_method
from zeroscene.methods.scaling import apply_scaling, fit_scaling
from zeroscene.methods.transduction.refine import logit_scale, refine
from zeroscene.provenance import environment
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.splits import validation_groups
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.vectors import unit_rows

HERE = Path(__file__).resolve().parent
SPLITS = HERE / "ucmerced_splits_16_5.json"
SHOTS = (1, 2, 4, 8, 16)
DRAWS, DRAWN = 10, 16
LEAD = AnyShotOptions().lead
PAPER, CHOSEN = (1.0, 5.5), (10.0, 5.5)  # alpha and beta of the cache
STUDIED: Sequence[Mapping[str, float]] = (
    {},
    {"deviation": 5.0},
    {"deviation": 80.0},
    {"caution": 0.0},
    {"caution": 0.3},
    {"caution": 1.0},
    {"lead": 1.0},
    {"lead": 4.0},
)
STUDIED_SHOTS = (1, 4, 16)
STUDIED_CACHES = ((1.0, 5.5), (3.0, 3.0), (3.0, 5.5), (10.0, 3.0), (10.0, 5.5), (30.0, 5.5), (30.0, 10.0))

Figures = dict[str, Any]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bed:
    """Labelled pictures with their zero-shot scores."""

    pictures: Embeddings
    scores: Scores

    @property
    def y(self) -> Integers:
        """Columns of the pictures' classes."""
        return self.pictures.label_indices(self.scores.classes)


@dataclass(frozen=True)
class Draw:
    """One draw of a bed: which rows may be examples, in their order by class, and which classes are the half."""

    bed: Bed
    pool: list[Integers]
    half: Integers

    @classmethod
    def of(cls, bed: Bed, seed: int) -> "Draw":
        """Draw the pool and half of the classes."""
        rng = np.random.default_rng(seed)
        classes = len(bed.scores.classes)
        pool = [rng.permutation(np.flatnonzero(bed.y == c))[:DRAWN] for c in range(classes)]
        return cls(bed, pool, np.sort(rng.permutation(classes)[: classes // 2]))

    @property
    def reference(self) -> Integers:
        """Rows of the pool."""
        return np.concatenate(self.pool)

    @property
    def test(self) -> Integers:
        """All other rows."""
        return np.setdiff1d(np.arange(len(self.bed.pictures)), self.reference)

    def rows(self, count: int, classes: Sequence[int] | Integers) -> Integers:
        """Rows of the first examples of some classes."""
        return np.concatenate([self.pool[c][:count] for c in classes])

    def take(self, rows: Integers) -> tuple[Embeddings, Scores]:
        """Pictures and scores of some rows."""
        scores = self.bed.scores
        return self.bed.pictures.take(rows), Scores(
            tuple(scores.ids[i] for i in rows), scores.classes, scores.values[rows]
        )


Rule = Callable[[Draw, Integers], npt.NDArray[Any]]


def ours(draw: Draw, examples: Integers, options: AnyShotOptions | None = None) -> npt.NDArray[Any]:
    fitted = AnyShot.fit(Examples(*draw.take(examples)), *draw.take(draw.reference), options)
    pictures, scores = draw.take(draw.test)
    return fitted.adapt(scores, pictures).values


def ours_refined(draw: Draw, examples: Integers) -> npt.NDArray[Any]:
    given = Examples(*draw.take(examples))
    pictures, scores = draw.take(draw.test)
    adapted = AnyShot.fit(given, *draw.take(draw.reference)).adapt(scores, pictures)
    return refine_with(given, pictures, adapted).values


def cache(draw: Draw, examples: Integers, vectors: str, alpha: float, beta: float) -> npt.NDArray[Any]:
    x = _vectors(draw, vectors)
    values = draw.bed.scores.values
    logits = values[draw.test].astype(np.float64) * logit_scale(values[draw.reference], LEAD)
    return logits + alpha * np.exp(beta * (x[draw.test] @ x[examples].T - 1)) @ _indicator(draw, examples)


def nearest_mean(draw: Draw, examples: Integers) -> npt.NDArray[Any]:
    x, indicator = _vectors(draw, "power"), _indicator(draw, examples)
    found = x[draw.test] @ unit_rows((indicator.T @ x[examples]).astype(np.float32)).T
    found[:, indicator.sum(axis=0) == 0] = -np.inf
    return found


def _vectors(draw: Draw, kind: str) -> npt.NDArray[np.float32]:
    x = draw.bed.pictures.x
    if kind == "raw":
        return unit_rows(x)
    return apply_scaling("power", fit_scaling("power", x[draw.reference], "x"), x, "x")


def _indicator(draw: Draw, rows: Integers) -> Floats:
    return np.eye(len(draw.bed.scores.classes))[draw.bed.y[rows]]


RULES: Mapping[str, Rule] = {
    "any-shot": ours,
    "any-shot, refined": ours_refined,
    "nearest mean": nearest_mean,
    "cache, paper's": lambda draw, rows: cache(draw, rows, "raw", *PAPER),
    "cache, chosen": lambda draw, rows: cache(draw, rows, "power", *CHOSEN),
}


SHOWN_OF_HALF = ("any-shot", "cache, chosen")


def measure(draws: Sequence[Draw], rules: Mapping[str, Rule], shots: Sequence[int] = SHOTS) -> Figures:
    """Return the accuracies in percent, one of each draw: `all` classes with examples, half with them and half not."""
    found: Figures = {"zero-shot": {"all": [], "with": [], "without": []}, "refined": {"all": []}}
    for draw in draws:
        pictures, scores = draw.take(draw.test)
        zero = _accuracies(draw, scores.values)
        for key in ("all", "with", "without"):
            found["zero-shot"][key].append(zero[key])
        found["refined"]["all"].append(_accuracies(draw, refine(pictures.x, scores.values).values)["all"])
    for name, rule in rules.items():
        found[name] = {}
        for count in shots:
            of: dict[str, list[float]] = {"all": [], "with": [], "without": []}
            for draw in draws:
                everything = range(len(draw.pool))
                of["all"].append(_accuracies(draw, rule(draw, draw.rows(count, everything)))["all"])
                half = _accuracies(draw, rule(draw, draw.rows(count, draw.half)))
                of["with"].append(half["with"])
                of["without"].append(half["without"])
            found[name][str(count)] = of
    return found


def _accuracies(draw: Draw, values: npt.NDArray[Any]) -> dict[str, float]:
    y = draw.bed.y[draw.test]
    right, among = values.argmax(axis=1) == y, np.isin(y, draw.half)
    return {
        "all": 100 * float(right.mean()),
        "with": 100 * float(right[among].mean()),
        "without": 100 * float(right[~among].mean()),
    }


def whu(folder: Path) -> Iterator[tuple[str, Bed]]:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            model, classes = tensors.metadata()["model"], json.loads(tensors.metadata()["classes"])
            x, y = tensors.get_tensor("image_embeddings").astype(np.float32), tensors.get_tensor("labels")
            values = cosine_scores(x, tensors.get_tensor("text_embeddings_average"))
        ids = tuple(str(i) for i in range(len(x)))
        pictures = Embeddings(ids, x, EncoderIdentity(model, model, "", ""), tuple(classes[c] for c in y))
        yield model, Bed(pictures, Scores(ids, tuple(classes), values))


def kernel_bed(pictures: Embeddings, table: ClassTable, seen: Sequence[str], unseen: Sequence[str]) -> Bed:
    """Fit `kernel` on the seen classes and score the pictures of the unseen ones."""
    method = create_method("kernel").fit(TrainingSet(pictures.of_classes(seen), tuple(seen)), table)
    test = pictures.of_classes(unseen)
    return Bed(test, method.scores(test, table.select(unseen)))


def ucmerced(store: Path) -> list[Draw]:
    pictures = EmbeddingStore.open(store).read()
    table = knowledge_table(pictures.classes)
    splits = list(read_splits(SPLITS))[:DRAWS]
    return [Draw.of(kernel_bed(pictures, table, s.seen, s.unseen), seed) for seed, s in enumerate(splits)]


def study(store: Path, world: Sequence[Path] | None) -> Figures:
    pictures = EmbeddingStore.open(store).read()
    table = knowledge_table(pictures.classes)
    folds = []
    for number, split in enumerate(list(read_splits(SPLITS))[10:16]):
        group = validation_groups(split.seen, 3)[number % 3]
        seen = [name for name in split.seen if name not in group]
        folds.append(Draw.of(kernel_bed(pictures, table, seen, group), number))
    beds = {"folds": folds}
    if world:
        drawn = EmbeddingStore.open(world[0]).read()
        texts = ClassTable.read(world[1])
        bed = Bed(drawn, Scores(drawn.ids, texts.classes, cosine_scores(drawn.x, texts.matrix)))
        beds["world"] = [Draw.of(bed, seed) for seed in range(3)]
    return {name: measure(draws, studied(), STUDIED_SHOTS) for name, draws in beds.items()}


def studied() -> dict[str, Rule]:
    """Return our rule with one option changed at a time, and caches."""
    rules: dict[str, Rule] = {}
    for changed in STUDIED:
        name = ", ".join(f"`{option}={value:g}`" for option, value in changed.items()) or "nothing"
        rules[name] = partial(ours, options=AnyShotOptions.of(changed, "any-shot"))
    for alpha, beta in STUDIED_CACHES:
        rules[f"cache, alpha {alpha:g}, beta {beta:g}"] = partial(cache, vectors="power", alpha=alpha, beta=beta)
    return rules


def mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    tables = {}
    heads = " | ".join(f"{count}" for count in SHOTS)
    if "beds" in found:
        lines = [f"| scores | rule | 0 examples | {heads} |", "|---|---|---|" + "---|" * len(SHOTS)]
        half = [f"| scores | rule | classes | 0 examples | {heads} |", "|---|---|---|---|" + "---|" * len(SHOTS)]
        for bed, figures in sorted(found["beds"].items(), reverse=True):
            for name in RULES:
                of = figures[name]
                start = "refined" if name == "any-shot, refined" else "zero-shot"
                zero = "-" if name == "nearest mean" else mean(figures[start]["all"])
                lines.append(f"| {bed} | {name} | {zero} | {_cells(of, 'all')} |")
                if name not in SHOWN_OF_HALF:
                    continue
                for key in ("with", "without"):
                    zero = mean(figures["zero-shot"][key])
                    half.append(f"| {bed} | {name} | {key} examples | {zero} | {_cells(of, key)} |")
        tables |= {"anyshot": lines, "anyshot_half": half}
    if "study" in found:
        beds = found["study"]
        lines = ["| changed | bed | 1, 4, 16 of all classes | with, without: 1 | 4 | 16 |", "|---|---|---|---|---|---|"]
        for name in studied():
            for bed, figures in beds.items():
                of = [figures[name][str(count)] for count in STUDIED_SHOTS]
                every = ", ".join(f"{np.mean(one['all']):.1f}" for one in of)
                parts = (f"{np.mean(one['with']):.1f}, {np.mean(one['without']):.1f}" for one in of)
                lines.append(f"| {name} | {bed} | {every} | {' | '.join(parts)} |")
        for bed, figures in beds.items():
            zero = figures["zero-shot"]
            lines.append(
                f"| zero-shot | {bed} | {np.mean(zero['all']):.1f} | "
                f"{np.mean(zero['with']):.1f}, {np.mean(zero['without']):.1f} | | |"
            )
        tables["anyshot_options"] = lines
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


def _cells(of: Figures, key: str) -> str:
    return " | ".join(mean(of[str(count)][key]) for count in SHOTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--whu", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--study", action="store_true")
    parser.add_argument("--world", type=Path, nargs=2, metavar=("STORE", "TABLE"))
    arguments = parser.parse_args()
    file = RESULTS / "anyshot.json"
    found: Figures = read_json(file) if file.is_file() else {}
    if arguments.study:
        found["study"] = study(arguments.store, arguments.world)
    else:
        beds = found.setdefault("beds", {})
        if arguments.whu:
            for model, bed in whu(arguments.whu):
                beds[f"WHU-RS19, {model}"] = measure([Draw.of(bed, seed) for seed in range(DRAWS)], RULES)
                print(model, flush=True)
        if arguments.store:
            beds["UC Merced 16/5, kernel"] = measure(ucmerced(arguments.store), RULES)
    found["seeds"], found["environment"] = list(range(DRAWS)), environment()
    write_json(file, found)
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(text)


if __name__ == "__main__":
    main()
