"""Knowing when not to answer: is the wanted precision reached on classes that the threshold was not chosen on?

    python benchmarks/confidence.py [--whu FOLDER] [--store FOLDER]

WHU-RS19, six image-text models, average prompts: ten times 12 classes are drawn (seeds 0 to 9), on which temperature
and thresholds are chosen, and the 7 others are measured. UC Merced by `kernel` with knowledge attributes: the 16 seen
classes of each of the first ten splits choose, in the folds of honest selection, and the 5 unseen ones are measured.
Coverage is the share of pictures that get an answer, precision the share of right ones among these: once for the
pictures' own scores (inductive), once for scores refined by the set of test pictures (transductive). Beside it a plain
threshold: the lowest lead from which on the precision measured on the same held-out pictures is the wanted one.

Pictures of no known class: half of the measured classes are taken out of the candidates, then the other half. One
class alone: each measured class by itself against the names of the choosing ones. Writes
docs/results/confidence.json and the tables beside it. What is absent is said, and its recorded figures stay.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from tables import RESULTS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.evaluation.confidence import fit_confidence
from zeroscene.evaluation.confidence_figures import WANTED, Answered, answers, auroc, calibration_error
from zeroscene.evaluation.selection import select_in_folds
from zeroscene.files import write_json, write_text
from zeroscene.methods.confidence import Confidence, answer_probability, leads, softmax
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.kernel import KernelPrototypes
from zeroscene.methods.prompts import Prompts
from zeroscene.methods.registry import AnyMethod
from zeroscene.methods.transduction.refine import Labelled, TransductionOptions, refine
from zeroscene.provenance import environment
from zeroscene.scenes.split_files import read_splits
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"
SEEDS, CHOOSING, SPLITS = 10, 12, 10
CLIP_SCALE = 100.0  # of cosines to logits, as these models were trained

Figures = dict[str, Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trial:
    """A fitted method, its confidence, and pictures of classes that neither has met.

    Attributes:
        plain: the plain threshold, a lead in scores.
        scale: what makes logits of scores before anything is calibrated.
        labelled: training pictures, for the refinement.
        gamma: what is subtracted from seen classes where others are asked about.
    """

    method: AnyMethod
    confidence: Confidence
    table: ClassTable
    pictures: Embeddings
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    plain: float
    scale: float
    labelled: Labelled | None = None
    gamma: float = 0.0

    def scored(self, candidates: Sequence[str], pictures: Embeddings) -> Scores:
        """Return the scores of pictures among some classes."""
        return self.method.scores(pictures, self.table.select(candidates))

    def refined(self, scores: Scores, pictures: Embeddings) -> Scores:
        """Return the scores refined by the set."""
        return Scores(scores.ids, scores.classes, refine(pictures.x, scores.values, labelled=self.labelled).values)


def measured(trial: Trial) -> Figures:
    """Return what the reject option and the probabilities are worth in one trial."""
    test = trial.pictures.of_classes(trial.unseen)
    y = test.label_indices(trial.unseen)
    inductive = Answered(trial.scored(trial.unseen, test), y)
    refined = Answered(trial.refined(inductive.scores, test), y)
    kept = leads(inductive.scores.values) >= trial.plain
    p = answer_probability(trial.confidence.probabilities(refined.scores, refined=True))
    return {
        "accuracy": float(inductive.right.mean()),
        "inductive": answers(trial.confidence, inductive).to_json(),
        "plain": {
            "coverage": float(kept.mean()),
            "precision": float(inductive.right[kept].mean()) if kept.any() else None,
        },
        "accuracy_refined": float(refined.right.mean()),
        "transductive": answers(trial.confidence, refined, refined=True).to_json(),
        "ece_seen": _errors(trial, trial.seen),
        "ece_unseen": _errors(trial, trial.unseen),
        "ece_refined": calibration_error(p, refined.right),
        **_unknown(trial, test, y),
        "alone": _alone(trial, test, y),
    }


def _errors(trial: Trial, classes: Sequence[str]) -> list[float]:
    """Return the calibration error before and after the temperature, among pictures of some classes."""
    pictures = trial.pictures.of_classes(classes)
    one = Answered(trial.scored(classes, pictures), pictures.label_indices(classes))
    logits = one.scores.values.astype(np.float64)
    temperature = trial.confidence.settings["new"].temperature
    return [calibration_error(softmax(z).max(axis=1), one.right) for z in (logits * trial.scale, logits / temperature)]


def _unknown(trial: Trial, test: Embeddings, y: npt.NDArray[np.int64]) -> Figures:
    found: dict[str, list[float]] = {"auroc_alone": [], "auroc_contrast": [], "auroc_refined": []}
    for half in (trial.unseen[0::2], trial.unseen[1::2]):
        known = np.isin(y, [trial.unseen.index(name) for name in half])
        scores = trial.scored(half, test)
        rated = {
            "auroc_alone": trial.confidence.probabilities(scores),
            "auroc_contrast": trial.confidence.against(scores, trial.scored(trial.seen, test)),
            "auroc_refined": trial.confidence.probabilities(trial.refined(scores, test), refined=True),
        }
        for name, p in rated.items():
            rating = answer_probability(p)
            found[name].append(auroc(rating[known], rating[~known]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _alone(trial: Trial, test: Embeddings, y: npt.NDArray[np.int64]) -> list[list[float | None]]:
    """Ask about each class by itself: share of its pictures found, and of right ones among those found, from 0.5 on."""
    contrast = trial.scored(trial.seen, test)
    contrast.values[...] -= np.float32(trial.gamma)
    found: list[list[float | None]] = []
    for k, name in enumerate(trial.unseen):
        share = trial.confidence.against(trial.scored([name], test), contrast).values[:, 0]
        taken = share >= 0.5
        if taken.any():
            found.append([float(taken[y == k].mean()), float((y[taken] == k).mean())])
        else:
            found.append([0.0, None])
    return found


def whu(file: Path) -> tuple[str, list[Figures]]:
    """Return the name of a model and the figures of each draw."""
    with safe_open(file, framework="numpy") as tensors:
        model, names = tensors.metadata()["model"], json.loads(tensors.metadata()["classes"])
        x, y = tensors.get_tensor("image_embeddings").astype(np.float32), tensors.get_tensor("labels").astype(int)
        texts = tensors.get_tensor("text_embeddings_average").astype(np.float32)
    tower = EncoderIdentity(model, "recorded", "recorded", "text-projection")
    columns = tuple(f"dim{i}" for i in range(texts.shape[1]))
    provenance = {"source": "text", "encoder": tower.to_json(), "space": model}
    table = ClassTable(tuple(names), texts, columns, "embedding", provenance=provenance)
    encoder = EncoderIdentity(model, "recorded", "recorded", "projection")
    pictures = Embeddings(tuple(map(str, range(len(y)))), x, encoder, tuple(names[i] for i in y))
    return model, [measured(trial) for trial in whu_trials(pictures, table)]


def whu_trials(pictures: Embeddings, table: ClassTable) -> Iterator[Trial]:
    """Yield the draws."""
    method = Prompts.untrained(pictures.encoder, table)
    for seed in range(SEEDS):
        order = [table.classes[i] for i in np.random.default_rng(seed).permutation(len(table))]
        seen, unseen = tuple(order[:CHOOSING]), tuple(order[CHOOSING:])
        train = TrainingSet(pictures.of_classes(seen), seen)
        confidence = fit_confidence(Prompts, {}, 0.0, train, table, refinement=TransductionOptions(), seed=seed)
        held = method.scores(train.pictures, table.select(seen)).values
        plain = plain_lead(leads(held), held.argmax(axis=1) == train.y)
        yield Trial(method, confidence, table, pictures, seen, unseen, plain, CLIP_SCALE)


def ucmerced(pictures: Embeddings) -> list[Figures]:
    """Return the figures of each split."""
    table = knowledge_table(pictures.classes)
    fixed = KernelPrototypes().options.model_dump(mode="json")
    found = []
    for split in read_splits(HERE / "ucmerced_splits_16_5.json")[:SPLITS]:
        train = TrainingSet(pictures.of_classes(split.seen), split.seen)
        chosen = select_in_folds(KernelPrototypes, train, table, fixed=fixed)
        confidence = fit_confidence(
            KernelPrototypes,
            fixed,
            chosen.choice.gamma,
            train,
            table,
            folds=chosen.folds,
            measures=chosen.measures,
            refinement=TransductionOptions(),
            labelled=True,
        )
        held = [measure.among_unseen for measure in chosen.measures]
        right = [
            scores.best() == fold.unseen_pictures.label_indices(fold.unseen)
            for scores, fold in zip(held, chosen.folds, strict=True)
        ]
        plain = plain_lead(np.concatenate([leads(scores.values) for scores in held]), np.concatenate(right))
        method = KernelPrototypes(**fixed).fit(train, table)
        labelled = Labelled(train.pictures.x, train.y)
        found.append(
            measured(
                Trial(
                    method,
                    confidence,
                    table,
                    pictures,
                    split.seen,
                    split.unseen,
                    plain,
                    1.0,
                    labelled,
                    chosen.choice.gamma,
                )
            )
        )
    return found


def plain_lead(lead: npt.NDArray[np.float64], right: Mask) -> float:
    """Return the lowest lead from which on the measured precision is the wanted one."""
    order = np.argsort(-lead)
    precision = np.cumsum(right[order]) / np.arange(1, len(lead) + 1)
    enough = np.flatnonzero(precision >= WANTED)
    return float(lead[order][enough[-1]]) if len(enough) else float("inf")


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    rows = [(f"WHU-RS19, {model}", trials) for model, trials in found.get("whu", {}).items()]
    rows += [("UC Merced, kernel", found["ucmerced"])] if "ucmerced" in found else []
    return {
        "confidence_inductive": _table(
            "all answered, right | answered | right | lowest | sets at 95 | plain: answered | right | sets at 95",
            [
                (title, _mean(t, "accuracy"), *_answers(t, "inductive", lowest=True), *_answers(t, "plain"))
                for title, t in rows
            ],
        ),
        "confidence_transductive": _table(
            "all answered, right | answered | right | lowest | sets at 95",
            [(title, _mean(t, "accuracy_refined"), *_answers(t, "transductive", lowest=True)) for title, t in rows],
        ),
        "confidence_calibration": _table(
            "seen, before | after | unseen, before | after | unseen, refined",
            [
                (
                    title,
                    *(_percent([one[key][i] for one in t]) for key in ("ece_seen", "ece_unseen") for i in (0, 1)),
                    _mean(t, "ece_refined"),
                )
                for title, t in rows
            ],
        ),
        "confidence_alone": _table(
            "its pictures found | right among those found",
            [
                (
                    title,
                    *(
                        _percent([v for one in t for pair in one["alone"] if (v := pair[i]) is not None])
                        for i in (0, 1)
                    ),
                )
                for title, t in rows
            ],
        ),
        "confidence_unknown": _table(
            "probability | against contrast | refined",
            [
                (
                    title,
                    *(f"{np.mean([one[f'auroc_{key}'] for one in t]):.3f}" for key in ("alone", "contrast", "refined")),
                )
                for title, t in rows
            ],
        ),
    }


def _table(columns: str, rows: Sequence[Sequence[str]]) -> str:
    head = f"| pictures and scores | {columns} |"
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _answers(trials: Sequence[Figures], key: str, lowest: bool = False) -> list[str]:
    given = [one[key] for one in trials]
    got = [one["precision"] for one in given if one["precision"] is not None]
    right = [_percent(got)] if got else ["-"]
    low = ([f"{100 * min(got):.1f}"] if got else ["-"]) if lowest else []
    return [
        _percent([one["coverage"] for one in given]),
        *right,
        *low,
        f"{sum(p >= WANTED for p in got)} of {len(got)}",
    ]


def _mean(trials: Sequence[Figures], key: str) -> str:
    return _percent([one[key] for one in trials])


def _percent(values: Sequence[float]) -> str:
    return f"{100 * np.mean(values):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whu", type=Path, default=SHARED / "real" / "whu-rs19-embeddings")
    parser.add_argument("--store", type=Path, default=Path("runs/ucmerced/store"))
    given = parser.parse_args()
    file = RESULTS / "confidence.json"
    found: Figures = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if given.whu.is_dir():
        found["whu"] = dict(whu(one) for one in sorted(given.whu.glob("*.safetensors")))
    else:
        print(f"no WHU-RS19 embeddings at {given.whu}: left out")
    if given.store.is_dir():
        found["ucmerced"] = ucmerced(EmbeddingStore.open(given.store).read())
    else:
        print(f"no UC Merced store at {given.store} (benchmarks/ucmerced.py makes one): left out")
    write_json(file, found | {"environment": environment(), "wanted": WANTED})
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(f"{name}\n{text}")


if __name__ == "__main__":
    main()
