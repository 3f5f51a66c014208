"""Transduction beside the inductive scores it starts from: WHU-RS19 by image-text models, UC Merced 16/5 by `kernel`.

    python benchmarks/transduction.py [--whu FOLDER --expected FILE] [--store FOLDER] [--prompts] [--study]

FOLDER of --whu holds one safetensors file a model, as benchmarks/prompts.py reads them, and FILE the accuracies
that a public benchmark reports for them, inductive and transductive. --store is UC Merced as benchmarks/ucmerced.py
embeds it. What is absent is said, and its recorded figures stay. One setting, the defaults, serves every row; labels of
the pictures that are refined are read only to measure.

--prompts adds every single prompt of WHU-RS19. --study adds what the defaults and the warnings were chosen by: folds
of the seen classes of the UC Merced splits, some of which play unseen. Writes docs/results/transduction.json and the
tables beside it.
"""

import argparse
import csv
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from tables import RESULTS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.evaluation.metrics import confusion_matrix, overall_accuracy, t1
from zeroscene.files import write_json, write_text
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.prompts import cosine_scores
from zeroscene.methods.registry import create_method
from zeroscene.methods.transduction.diagnosis import CLEAR, STRAINED
from zeroscene.methods.transduction.refine import Labelled, Refined, TransductionOptions, refine
from zeroscene.methods.transduction.self_training import self_training
from zeroscene.provenance import environment
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.splits import validation_groups
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
SPLITS = HERE / "ucmerced_splits_16_5.json"
AVERAGE, NOISE = "averageprompt", 0.01
FOLDS, RAREST, PRESENT, DRAWS = 3, 10, 3, 10

Figures = dict[str, Any]
Integers = npt.NDArray[np.int64]

KINDS: Mapping[str, tuple[str, bool]] = {  # priors, or self-training; with the labelled pictures of the seen classes
    "free": ("free", False),
    "free, seen pictures": ("free", True),
    "balanced": ("balanced", False),
    "balanced, seen pictures": ("balanced", True),
    "self-training": ("self-training", False),
}
SET_KINDS = tuple(kind for kind in KINDS if kind != "self-training")
BEDS = {
    "even": "100 each",
    "uneven": f"100 down to {RAREST}",
    "absent": f"100 each of {PRESENT}, others absent",
}
STUDIED: Sequence[Mapping[str, Any]] = (
    {},
    {"lead": 1.0},
    {"lead": 4.0},
    {"neighbours": 4},
    {"neighbours": 16},
    {"affinity": 0.0},
    {"affinity": 3.0},
    {"width": 64},
    {"width": 256},
    {"shrinkage": 0.1},
    {"shrinkage": 0.6},
)


@dataclass(frozen=True)
class Case:
    """Unlabelled pictures of C classes with their inductive scores, what to measure by, and the training pictures."""

    x: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    y: Integers
    seen: Labelled

    def t1(self, values: npt.NDArray[np.float32]) -> float:
        """Return the mean of the per-class accuracies."""
        return t1(confusion_matrix(self.y, values.argmax(axis=1), self.scores.shape[1]))

    def take(self, rows: Integers) -> "Case":
        """Return some of the pictures."""
        return Case(self.x[rows], self.scores[rows], self.y[rows], self.seen)


def refined(case: Case, kind: str) -> Refined:
    priors, with_seen = KINDS[kind]
    seen = case.seen if with_seen else None
    if priors == "self-training":
        return self_training(case.x, case.scores, labelled=seen)
    return refine(case.x, case.scores, TransductionOptions.of({"priors": priors}, "transduction"), labelled=seen)


def whu(folder: Path, expected_csv: Path, prompts: bool) -> Figures:
    with expected_csv.open(newline="", encoding="utf-8") as text:
        reported = {(row["model"], row["prompt"]): row for row in csv.DictReader(text)}
    found: Figures = {"average": {}, "absent": {}, "prompts": {}}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as tensors:
            model, names = tensors.metadata()["model"], json.loads(tensors.metadata()["prompts"])
            x, y = tensors.get_tensor("image_embeddings"), tensors.get_tensor("labels").astype(np.int64)
            average, texts = tensors.get_tensor("text_embeddings_average"), tensors.get_tensor("text_embeddings")
        found["average"][model] = _whu_row(
            x, y, average, reported[model, AVERAGE], ("free", "balanced", "self-training")
        )
        found["absent"][model] = _whu_absent(x, y, average)
        if prompts:
            rows = [
                _whu_row(x, y, text, reported[model, name], ("free",)) for name, text in zip(names, texts, strict=True)
            ]
            before, after, theirs = (np.array([row[key] for row in rows]) for key in ("inductive", "free", "reported"))
            found["prompts"][model] = {
                "prompts": len(rows),
                "inductive": before.mean(),
                "transductive": after.mean(),
                "reported": theirs.mean(),
                "at_or_above_reported": int((after >= np.round(theirs, 1)).sum()),
                "worst_change": (after - before).min(),
                "worse": int((after < before - 100 * NOISE).sum()),
            }
    return found


def _whu_row(
    x: npt.NDArray[Any], y: Integers, text: npt.NDArray[Any], reported: Mapping[str, str], kinds: Sequence[str]
) -> Figures:
    scores = cosine_scores(x, text)
    case = Case(x.astype(np.float32), scores, y, Labelled(x[:0], y[:0]))
    row: Figures = {"inductive": _overall(y, scores), "reported": float(reported["transductive_accuracy"])}
    for kind in kinds:
        start = time.perf_counter()
        result = refined(case, kind)
        row |= {kind: _overall(y, result.values)}
        if kind == "free":
            row["seconds"] = round(time.perf_counter() - start, 3)
            row["moved"] = result.diagnosis.moved
            row["agreement"] = [result.diagnosis.agreement_before, result.diagnosis.agreement_after]
    return row


def _whu_absent(x: npt.NDArray[Any], y: Integers, text: npt.NDArray[Any]) -> Figures:
    """Refine the pictures of about half of the classes, drawn, while all can be chosen."""
    rng = np.random.default_rng(0)
    scores, changes = cosine_scores(x, text), []
    for _ in range(DRAWS):
        rows = np.flatnonzero(np.isin(y, rng.permutation(len(text))[: (len(text) + 1) // 2]))
        result = refine(x[rows], scores[rows])
        changes.append((_overall(y[rows], scores[rows]), _overall(y[rows], result.values)))
    before, after = np.transpose(changes)
    return {
        "inductive": before.mean(),
        "transductive": after.mean(),
        "worst_change": (after - before).min(),
        "worse": int((after < before - 100 * NOISE).sum()),
    }


def _overall(y: Integers, values: npt.NDArray[np.float32]) -> float:
    return 100 * overall_accuracy(confusion_matrix(y, values.argmax(axis=1), values.shape[1]))


def case(pictures: Embeddings, table: ClassTable, seen: Sequence[str], unseen: Sequence[str]) -> Case:
    """Fit `kernel` on the seen classes and score the pictures of the unseen ones."""
    train, test = pictures.of_classes(seen), pictures.of_classes(unseen)
    method = create_method("kernel").fit(TrainingSet(train, tuple(seen)), table)
    scores = method.scores(test, table.select(unseen)).values
    return Case(test.x, scores, test.label_indices(unseen), Labelled(train.x, train.label_indices(seen)))


def ucmerced(pictures: Embeddings, table: ClassTable) -> Figures:
    cases = [case(pictures, table, split.seen, split.unseen) for split in read_splits(SPLITS)]
    before = np.array([c.t1(c.scores) for c in cases])
    found: Figures = {"inductive": before.tolist()}
    for kind in KINDS:
        found[kind] = [c.t1(refined(c, kind).values) for c in cases]
    return found


def folds(pictures: Embeddings, table: ClassTable) -> Iterator[Case]:
    for split in read_splits(SPLITS):
        for group in validation_groups(split.seen, FOLDS):
            yield case(pictures, table, [name for name in split.seen if name not in group], group)


def thinned(cases: Sequence[Case]) -> list[Case]:
    """Return the folds with classes of 100 pictures down to RAREST, in a geometric series and a drawn order."""
    rng = np.random.default_rng(0)
    found = []
    for c in cases:
        classes = c.scores.shape[1]
        counts = rng.permutation(np.geomspace(np.bincount(c.y).max(), RAREST, classes)).astype(int)
        rows = [rng.choice(np.flatnonzero(c.y == k), counts[k], replace=False) for k in range(classes)]
        found.append(c.take(np.sort(np.concatenate(rows))))
    return found


def present(cases: Sequence[Case]) -> list[Case]:
    """Return the folds with the pictures of PRESENT drawn classes only; all classes can still be chosen."""
    rng = np.random.default_rng(0)
    kept = (rng.permutation(c.scores.shape[1])[:PRESENT] for c in cases)
    return [c.take(np.flatnonzero(np.isin(c.y, classes))) for c, classes in zip(cases, kept, strict=True)]


def study(pictures: Embeddings, table: ClassTable) -> Figures:
    even = list(folds(pictures, table))
    beds = {"even": even, "uneven": thinned(even), "absent": present(even)}
    found: Figures = {"folds": len(even), "options": [], "signs": {}}
    for name, cases in beds.items():
        before = np.array([c.t1(c.scores) for c in cases])
        found[name] = {"inductive": float(before.mean())}
        for kind in SET_KINDS:
            results = [refined(c, kind) for c in cases]
            after = np.array([c.t1(r.values) for c, r in zip(cases, results, strict=True)])
            found[name][kind] = _change(before, after)
            found["signs"][f"{name}, {kind}"] = _signs(cases, results)
    for options in STUDIED:
        given = TransductionOptions.of(dict(options), "transduction")
        row: Figures = {"changed": dict(options)}
        for name, cases in beds.items():  # one fold of each split, another group of classes each time
            some = [cases[FOLDS * split + split % FOLDS] for split in range(len(cases) // FOLDS)]
            row[name] = float(np.mean([c.t1(refine(c.x, c.scores, given).values) for c in some]))
        found["options"].append(row)
    return found


def _signs(cases: Sequence[Case], results: Sequence[Refined]) -> Figures:
    """Count what the warnings find: a class is misnamed when most of its pictures are of another one."""
    flagged, wrong = [], []
    for c, r in zip(cases, results, strict=True):
        best = r.values.argmax(axis=1)
        for k in np.unique(best):
            flagged.append(r.diagnosis.naming[k] < CLEAR)
            wrong.append((c.y[best == k] == k).mean() < 0.5)
    flags, errors = np.array(flagged), np.array(wrong)
    return {
        "classes": len(errors),
        "misnamed": int(errors.sum()),
        "misnamed_flagged": float(flags[errors].mean()),
        "right_flagged": float(flags[~errors].mean()),
        "strained": float(np.mean([r.diagnosis.strain > STRAINED for r in results])),
    }


def _change(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> Figures:
    return {
        "mean": float(after.mean()),
        "deviation": float(after.std(ddof=1)),
        "worst_change": float((after - before).min()),
        "worse": int((after < before - NOISE).sum()),
    }


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    tables = {}
    if "whu" in found:
        lines = ["| model | inductive | transductive | reported, transductive | balanced priors | self-training |"]
        lines.append("|---|---|---|---|---|---|")
        for model, row in found["whu"]["average"].items():
            shown = (row[key] for key in ("inductive", "free", "reported", "balanced", "self-training"))
            lines.append(f"| {model} | {' | '.join(f'{value:.2f}' for value in shown)} |")
        tables["transduction"] = lines
        lines = ["| model | inductive | transductive | worst change | sets worse |", "|---|---|---|---|---|"]
        for model, row in found["whu"]["absent"].items():
            lines.append(
                f"| {model} | {row['inductive']:.1f} | {row['transductive']:.1f} | {row['worst_change']:+.1f} | "
                f"{row['worse']} of {DRAWS} |"
            )
        tables["transduction_absent"] = lines
        if found["whu"]["prompts"]:
            lines = [
                "| model | prompts | inductive | transductive | reported, transductive | at or above | worst change |"
            ]
            lines.append("|---|---|---|---|---|---|---|")
            for model, row in found["whu"]["prompts"].items():
                shown = (f"{row[key]:.2f}" for key in ("inductive", "transductive", "reported"))
                count = f"{row['at_or_above_reported']} of {row['prompts']}"
                lines.append(
                    f"| {model} | {row['prompts']} | {' | '.join(shown)} | {count} | {row['worst_change']:+.1f} |"
                )
            tables["transduction_prompts"] = lines
    if "ucmerced" in found:
        before = np.array(found["ucmerced"]["inductive"])
        lines = ["| priors | labelled pictures used | inductive T1 | transductive T1 | worst change | splits worse |"]
        lines.append("|---|---|---|---|---|---|")
        for kind in KINDS:
            row = _change(before, np.array(found["ucmerced"][kind]))
            priors, with_seen = KINDS[kind]
            lines.append(
                f"| {priors} | {'of seen classes' if with_seen else 'none'} | {_percent(before)} | "
                f"{_percent(np.array(found['ucmerced'][kind]))} | {100 * row['worst_change']:+.1f} | "
                f"{row['worse']} of {len(before)} |"
            )
        tables["transduction_ucmerced"] = lines
    if "study" in found:
        tables |= _study_tables(found["study"])
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


def _study_tables(found: Figures) -> dict[str, list[str]]:
    hurts = [
        "| pictures a class | priors | labelled pictures used | inductive T1 | transductive T1 | worst change | "
        "folds worse | strained |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, shown in BEDS.items():
        for kind in SET_KINDS:
            row, signs = found[name][kind], found["signs"][f"{name}, {kind}"]
            priors, with_seen = KINDS[kind]
            strained = "-" if priors == "free" else f"{100 * signs['strained']:.0f} %"
            known = "of seen classes" if with_seen else "none"
            hurts.append(
                f"| {shown} | {priors} | {known} | {100 * found[name]['inductive']:.1f} | {100 * row['mean']:.1f} ± "
                f"{100 * row['deviation']:.1f} | {100 * row['worst_change']:+.1f} | {row['worse']} of "
                f"{found['folds']} | {strained} |"
            )
    choice = [f"| changed | {' | '.join(BEDS.values())} |", "|---|---|---|---|"]
    for row in found["options"]:
        changed = ", ".join(f"`{key}={value:g}`" for key, value in row["changed"].items()) or "nothing"
        choice.append(f"| {changed} | {' | '.join(f'{100 * row[name]:.1f}' for name in BEDS)} |")
    worth = [
        "| pictures a class | classes | misnamed | warned of these | warned of the right ones |",
        "|---|---|---|---|---|",
    ]
    for name, shown in BEDS.items():
        signs = found["signs"][f"{name}, free"]
        warned = (f"{100 * signs[key]:.0f} %" for key in ("misnamed_flagged", "right_flagged"))
        worth.append(f"| {shown} | {signs['classes']} | {signs['misnamed']} | {' | '.join(warned)} |")
    return {"transduction_priors": hurts, "transduction_options": choice, "transduction_signs": worth}


def _percent(values: npt.NDArray[np.float64]) -> str:
    return f"{100 * values.mean():.1f} ± {100 * values.std(ddof=1):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whu", type=Path, default=SHARED / "real" / "whu-rs19-embeddings")
    parser.add_argument("--expected", type=Path, default=SHARED / "facts" / "whu_rs19_expected.csv")
    parser.add_argument("--store", type=Path, default=Path("runs/ucmerced/store"))
    parser.add_argument("--prompts", action="store_true", help="every prompt of WHU-RS19, too")
    parser.add_argument("--study", action="store_true", help="folds of seen classes, too")
    given = parser.parse_args()

    file = RESULTS / "transduction.json"
    found: Figures = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if given.whu.is_dir() and given.expected.is_file():
        recorded = found.get("whu", {}).get("prompts", {})
        found["whu"] = whu(given.whu, given.expected, given.prompts)
        found["whu"]["prompts"] = found["whu"]["prompts"] or recorded
    else:
        print(f"no WHU-RS19 embeddings at {given.whu} with {given.expected}: left out")
    if given.store.is_dir():
        pictures = EmbeddingStore.open(given.store).read()
        table = knowledge_table(pictures.classes)
        found["ucmerced"] = ucmerced(pictures, table)
        if given.study:
            found["study"] = study(pictures, table)
    else:
        print(f"no UC Merced store at {given.store} (benchmarks/ucmerced.py makes one): left out")
    write_json(file, found | {"environment": environment(), "options": TransductionOptions().model_dump()})
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(f"{name}\n{text}")


if __name__ == "__main__":
    main()
