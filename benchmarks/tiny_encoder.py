"""What the shipped encoder knows without training, beside the same encoder with random weights, in one run.

    python benchmarks/tiny_encoder.py [--lessons 3000] [--pictures 25] [--encoder tiny]

Lessons and class pictures are drawn afresh, from seeds of which the encoder saw nothing. Attributes are found by the
cosine of picture and phrase (mean average precision, beside the prevalence); classes by the cosine of picture and a
description made of attributes, the name withheld; places by the token that is most like the phrase. Writes
docs/results/tiny_encoder.json and two tables beside it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.encoders.source import load_model, locate
from zeroscene.encoders.text import HuggingFaceTextEncoder, load_text_encoder
from zeroscene.evaluation.metrics import confusion_matrix, t1
from zeroscene.files import write_json, write_text
from zeroscene.progress import progress
from zeroscene.scenes.synthetic.captions import phrases
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.scenes.synthetic.world import CLASSES, Picture, class_attributes, draw
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.training.tiny.model import Shape, build_model, look, save_encoder
from zeroscene.training.tiny.scores import FactScores, fact_vectors, picture_vectors, score_facts

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)
LESSON_SEED, PICTURE_SEED, CLASS_SEED = 2_000_003, 7, 8
SIZE = 128
# Objects lie somewhere; a surface or a layout is often the whole picture.
PLACED = tuple(attribute.name for attribute in ATTRIBUTES if attribute.group == "objects")

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Data:
    """Fresh pictures: lessons with their true attributes, and scenes of classes with the truth about them."""

    lessons: list[npt.NDArray[np.uint8]]
    truth: npt.NDArray[np.bool_]
    scenes: list[Picture]

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """Columns of the scenes' classes."""
        return np.array([CLASSES.index(scene.label) for scene in self.scenes])


@dataclass(frozen=True)
class Eyes:
    """Both towers of an encoder."""

    folder: Path
    pictures: HuggingFaceImageEncoder
    texts: HuggingFaceTextEncoder

    @classmethod
    def load(cls, name: str | Path) -> "Eyes":
        """Load an encoder by name or folder."""
        return cls(locate(name).folder, load_image_encoder(name, precision="fp32"), load_text_encoder(name))


def fresh(lessons: int, pictures: int) -> Data:
    """Draw the pictures."""
    with progress("drawing", lessons + pictures * len(CLASSES)) as advance:
        drawn = []
        for index in range(lessons):
            drawn.append(lesson(LESSON_SEED, index, SIZE))
            advance(1)
        scenes = []
        for name in CLASSES:
            scenes += [draw(name, PICTURE_SEED, index, SIZE) for index in range(pictures)]
            advance(pictures)
    return Data([one.pixels for one in drawn], np.array([one.attributes for one in drawn]), scenes)


def descriptions() -> dict[str, list[list[str]]]:
    """Return the attributes of each class by source."""
    own = class_attributes(CLASSES, CLASS_SEED)
    table = knowledge_table(CLASSES)
    shared = [column for column in table.columns if column in NAMES]
    known = np.array([[table.matrix[row, table.columns.index(a)] for a in shared] for row in range(len(CLASSES))])
    return {
        "the world's own": [[NAMES[i] for i in np.flatnonzero(row >= 0.5)] for row in own],
        "knowledge base": [[shared[i] for i in np.flatnonzero(row >= 0.5)] for row in known],
    }


def class_vectors(eyes: Eyes, attributes: Sequence[Sequence[str]], form: str) -> Matrix:
    """Return a vector of each class: of one list of phrases, or the mean over its phrases."""
    if form == "one text":
        return eyes.texts.encode_texts([", ".join(phrases(name)[0] for name in own) for own in attributes])
    return np.stack([fact_vectors(eyes.texts, own).mean(axis=0) for own in attributes])


def classify(seen: Matrix, vectors: Matrix, y: npt.NDArray[np.int64]) -> float:
    """Return the mean accuracy of the classes by the cosine of picture and class vector."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return t1(confusion_matrix(y, (seen @ unit.T).argmax(axis=1), len(CLASSES)))


@torch.no_grad()
def point(eyes: Eyes, scenes: Sequence[Picture]) -> tuple[float, float]:
    """Return how often the token most like an attribute's phrase touches it, and how often a random token does."""
    model = load_model(locate(eyes.folder)).model
    vectors = dict(zip(PLACED, fact_vectors(eyes.texts, PLACED), strict=True))
    hits: list[bool] = []
    chances: list[float] = []
    for scene in scenes:
        _, tokens_BTD = look(model, eyes.pictures.prepare(scene.pixels)[None])
        side = int(tokens_BTD.shape[1] ** 0.5)
        for name in PLACED:
            if not (mask := scene.mask(name)).any():
                continue
            step = SIZE // side
            touched = mask[: side * step, : side * step].reshape(side, step, side, step).any(axis=(1, 3)).ravel()
            best = int((tokens_BTD[0].numpy() @ vectors[name]).argmax())
            hits.append(bool(touched[best]))
            chances.append(float(touched.mean()))
    return float(np.mean(hits)), float(np.mean(chances))


def measure(
    eyes: Eyes, data: Data, described: dict[str, list[list[str]]]
) -> tuple[dict[str, float], dict[str, FactScores]]:
    """Return the figures of an encoder and its average precision by attribute, on lessons and on scenes."""
    texts = fact_vectors(eyes.texts, NAMES)
    seen = picture_vectors(eyes.pictures, [scene.pixels for scene in data.scenes])
    truth = np.array([scene.attributes for scene in data.scenes]) > 0
    scores = {
        "lessons": score_facts(picture_vectors(eyes.pictures, data.lessons), NAMES, data.truth, texts),
        "scenes": score_facts(seen, NAMES, truth, texts),
    }
    figures = {f"attributes, {where}": own.mean for where, own in scores.items()}
    for source, attributes in described.items():
        for form in ("one text", "mean of phrases"):
            figures[f"classes, {source}, {form}"] = classify(seen, class_vectors(eyes, attributes, form), data.y)
    figures["pointing"], figures["pointing, chance"] = point(eyes, data.scenes)
    return figures, scores


def untrained(eyes: Eyes, folder: Path) -> Eyes:
    """Save the same encoder with random weights and return it."""
    from transformers import AutoTokenizer

    config = load_model(locate(eyes.folder)).model.config
    shape = Shape(
        picture=config.vision_config.image_size,
        patch=config.vision_config.patch_size,
        width=config.vision_config.hidden_size,
        depth=config.vision_config.num_hidden_layers,
        text_width=config.text_config.hidden_size,
        text_depth=config.text_config.num_hidden_layers,
        space=config.projection_dim,
        longest=config.text_config.max_position_embeddings,
    )
    tokenizer = AutoTokenizer.from_pretrained(eyes.folder, local_files_only=True)
    save_encoder(folder, build_model(shape, len(tokenizer), 1), tokenizer, shape)
    return Eyes.load(folder)


def summary(own: dict[str, float], none: dict[str, float], scores: dict[str, FactScores], data: Data) -> str:
    """Return the figures as a Markdown table, chance beside them."""
    lines = ["| zero-shot, no training | tiny | random weights | chance |", "|---|---|---|---|"]

    def row(title: str, key: str, chance: float) -> None:
        lines.append(f"| {title} | **{100 * own[key]:.1f}** | {100 * none[key]:.1f} | {100 * chance:.1f} |")

    lessons, scenes = len(data.lessons), len(data.scenes)
    for where, title in (("lessons", f"{lessons:,} fresh lessons"), ("scenes", f"{scenes:,} fresh scenes of classes")):
        row(f"attributes of {title}, mAP", f"attributes, {where}", scores[where].chance)
    for key in own:
        if key.startswith("classes, "):
            _, source, form = key.split(", ")
            row(f"{len(CLASSES)} classes, T1, attributes by {source}, {form}", key, 1 / len(CLASSES))
    row("best token for an object touches it", "pointing", own["pointing, chance"])
    return "\n".join(lines) + "\n"


def by_attribute(own: dict[str, FactScores], none: dict[str, FactScores]) -> str:
    """Return the average precision of each attribute as a Markdown table."""
    lines = [
        "| attribute | AP, lessons | random weights | prevalence | AP, scenes | prevalence |",
        "|---|---|---|---|---|---|",
    ]
    cells = {where: _by_name(scores) for where, scores in own.items()}
    blind = _by_name(none["lessons"])
    for name in NAMES:
        lesson_cell, scene_cell = (cells[where].get(name) for where in ("lessons", "scenes"))
        shown = [
            _percent(lesson_cell, 0), _percent(blind.get(name), 0), _percent(lesson_cell, 1),
            _percent(scene_cell, 0), _percent(scene_cell, 1),
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _by_name(scores: FactScores) -> dict[str, tuple[float, float]]:
    pairs = zip(scores.precision.tolist(), scores.prevalence.tolist(), strict=True)
    return dict(zip(scores.facts, pairs, strict=True))


def _percent(cell: tuple[float, float] | None, which: int) -> str:
    return f"{100 * cell[which]:.1f}" if cell else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lessons", type=int, default=3000)
    parser.add_argument("--pictures", type=int, default=25, help="of each class")
    parser.add_argument("--encoder", default="tiny")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    data, described = fresh(given.lessons, given.pictures), descriptions()
    eyes = Eyes.load(given.encoder)
    with tempfile.TemporaryDirectory() as folder:
        blind = untrained(eyes, Path(folder) / "random")
        (own, scores), (none, blind_scores) = (measure(one, data, described) for one in (eyes, blind))
    value = {
        "encoder": eyes.pictures.identity.to_json(),
        "lessons": len(data.lessons),
        "scenes": len(data.scenes),
        "tiny": own,
        "random weights": none,
        "attributes": {where: _by_name(one) for where, one in scores.items()},
        "descriptions": {source: dict(zip(CLASSES, one, strict=True)) for source, one in described.items()},
    }
    write_json(given.out / "tiny_encoder.json", value)
    table = summary(own, none, scores, data)
    write_text(given.out / "tiny_encoder.md", table)
    write_text(given.out / "tiny_encoder_attributes.md", by_attribute(scores, blind_scores))
    print(table)


if __name__ == "__main__":
    main()
