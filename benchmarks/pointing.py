"""Do the attention maps of DSVA point at what they name, and do they matter? On drawn pictures with true masks.

    python benchmarks/pointing.py [--out runs/pointing] [--splits 5]

On the splits, encoder and training pictures of benchmarks/synthetic.py, DSVA is fitted on the seen classes with the
attributes of the knowledge base; other pictures of the same world, which nothing was fitted on, are looked at. For
every attribute that such a picture shows on less than half of it, the map plays the pointing game against the true
mask, beside the picture's middle and chance (`explain.pointing`); whether the table gives the attribute to the class
does not matter. Then, for pictures of unseen classes, what the map of the chosen class is worth in deletion and
insertion, beside random orders (`explain.faithfulness`). Writes docs/results/pointing.json, tables beside it, and a
card of an unseen class to docs/pictures. DSVA is taken thrice:

    words, trained    weights begin with the tiny text tower's words for the attributes, which is the default
    words, untrained  the same before the first step
    without words     weights begin in closed form: only the training pictures say where an attribute is
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tables import RESULTS
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.explain.card import make_card
from zeroscene.explain.evidence import explain
from zeroscene.explain.faithfulness import Faithfulness, Worth, measure
from zeroscene.explain.maps import Frame
from zeroscene.explain.png import write_png
from zeroscene.explain.pointing import FIGURES, LARGEST, Pointed, PointingTable, point
from zeroscene.files import replacing, write_json, write_text
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.method import DSVA
from zeroscene.progress import progress
from zeroscene.provenance import environment
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.splits import Split, random_splits
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.scenes.synthetic.world import CLASSES, Picture, draw, write_folder
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import with_prompts

SEED, SIZE, TRAINING, UNSEEN = 0, 128, 40, 10
OBJECTS = {attribute.name for attribute in ATTRIBUTES if attribute.group == "objects"}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "words, trained": {},
    "words, untrained": {"epochs": 0},
    "without words": {"start": "ridge"},
}
EXAMPLE = "bridge/bridge_00041.png"
SUBSETS = ("unseen", "seen", "unseen, objects")


def pointed(
    method: DSVA, x: Embeddings, table: ClassTable, drawn: Mapping[str, Picture], encoder: HuggingFaceImageEncoder
) -> Iterator[Pointed]:
    """Yield what the maps are worth on every mask of the pictures."""
    with progress("pointing", len(x)) as advance:
        for evidence in explain(method, x, table):
            scene = drawn[evidence.picture]
            frame = Frame.of(encoder.geometry, *scene.pixels.shape[:2])
            for attribute, mask in scene.masks().items():
                if (one := point(attribute, evidence.map(attribute), mask, frame)) is not None:
                    yield one
            advance(1)


def measured(
    method: DSVA, x: Embeddings, table: ClassTable, drawn: Mapping[str, Picture], encoder: HuggingFaceImageEncoder
) -> list[Faithfulness]:
    """Return what the map of the chosen class is worth on each picture; none for a method without such a map."""
    found = []
    with progress("covering", len(x)) as advance:
        for evidence in explain(method, x, table):
            if evidence.class_map_HW is not None:
                pixels, label = drawn[evidence.picture].pixels, evidence.chosen
                found.append(measure(method, encoder, pixels, table, label, evidence.class_map_HW))
            advance(1)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation over splits."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=min(1, len(values) - 1)))}


def percent(value: Mapping[str, float]) -> str:
    return f"{100 * value['mean']:.1f} ± {100 * value['deviation']:.1f}"


def gain(value: Mapping[str, float]) -> str:
    return f"{value['mean']:+.2f} ± {value['deviation']:.2f}"


def over_splits(tables: Sequence[PointingTable]) -> dict[str, Any]:
    """Return the figures of maps and baselines as mean and deviation over splits."""
    figures = {
        kind: {
            name: spread([table.all.figures[kind][i] for table in tables]) for i, name in enumerate(FIGURES)
        } | {"hit, mean of attributes": spread([table.mean.figures[kind][0] for table in tables])}
        for kind in ("map", "centre", "random")
    }  # fmt: skip
    return {"masks": int(sum(table.all.masks for table in tables)), **figures}


def pointing_table(value: Mapping[str, Any]) -> str:
    """Return the pointing game as a Markdown table."""
    lines = [
        "| pictures of | map | masks | hit | mean of attributes | strict hit | IoU |",
        "|---|---|---|---|---|---|---|",
    ]
    for subset in SUBSETS:
        rows = {f"DSVA, {kind}": (own[subset], "map") for kind, own in value["kinds"].items()}
        first = value["kinds"][next(iter(KINDS))][subset]
        rows |= {"middle of the picture": (first, "centre"), "random place": (first, "random")}
        for title, (own, which) in rows.items():
            cells = [percent(own[which][name]) for name in ("hit", "hit, mean of attributes", "strict", "iou")]
            lines.append(f"| {subset} | {title} | {own['masks']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def faithfulness_table(value: Mapping[str, Any]) -> str:
    """Return deletion and insertion as a Markdown table."""
    lines = [
        "| map of the class | pictures | deletion gain | insertion gain | better than random |",
        "|---|---|---|---|---|",
    ]
    for kind, own in value["kinds"].items():
        if worth := own.get("faithfulness"):
            cells = (
                gain(worth["deletion_gain"]),
                gain(worth["insertion_gain"]),
                f"{100 * worth['better_than_random']:.0f} %",
            )
            lines.append(f"| DSVA, {kind} | {worth['pictures']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def attribute_table(value: Mapping[str, Any]) -> str:
    """Return what maps are worth by attribute on pictures of unseen classes, all splits together, as Markdown."""
    lines = ["| attribute | masks | hit | middle | random | IoU |", "|---|---|---|---|---|---|"]
    rows = value["kinds"][next(iter(KINDS))]["by_attribute"]
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["map"]["hit"]):
        cells = (row["map"]["hit"], row["centre"]["hit"], row["random"]["hit"], row["map"]["iou"])
        lines.append(f"| {name} | {row['masks']} | {' | '.join(f'{100 * cell:.1f}' for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pointing"))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=6, help="of each class, to look at")
    parser.add_argument("--covered", type=int, default=20, help="pictures a split for deletion and insertion")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()

    encoder, reader = load_image_encoder("tiny"), load_text_encoder("tiny")
    write_folder(given.out / "training", CLASSES, SEED, count=TRAINING, size=SIZE)
    write_folder(given.out / "new", CLASSES, SEED, first=TRAINING, count=given.pictures, size=SIZE)
    training, new = (
        extract(SceneFolder.open(given.out / part), encoder, given.out / f"store-{part}", grid=True).read(grids=True)
        for part in ("training", "new")
    )
    drawn = {picture: draw(_class(picture), SEED, int(Path(picture).stem[-5:]), SIZE) for picture in new.ids}
    table = with_prompts(knowledge_table(CLASSES), read_vocabulary("synthetic"), reader)
    splits = random_splits("synthetic", CLASSES, UNSEEN, given.splits, SEED)
    value: dict[str, Any] = {
        "encoder": encoder.identity.to_json(), "splits": given.splits, "classes": len(CLASSES), "unseen": UNSEEN,
        "training_pictures_a_class": TRAINING, "pictures_a_class": given.pictures, "size": SIZE, "seed": SEED,
        "largest_mask": LARGEST, "environment": environment(), "kinds": {},
    }  # fmt: skip
    for kind, options in KINDS.items():
        value["kinds"][kind] = one_kind(options, splits, training, new, drawn, table, encoder, given.covered)
    write_json(given.results / "pointing.json", value)
    with replacing(given.results.parent / "pictures" / "explain.jpg") as temporary:
        card = example(splits[0], training, new, drawn, table, encoder)
        card.save(temporary, format="JPEG", quality=88, subsampling=0, optimize=True)
    for name, page in (
        ("pointing", pointing_table(value)),
        ("pointing_faithfulness", faithfulness_table(value)),
        ("pointing_attributes", attribute_table(value)),
    ):
        write_text(given.results / f"{name}.md", page)
        print(page)


def example(
    split: Split,
    training: Embeddings,
    new: Embeddings,
    drawn: Mapping[str, Picture],
    table: ClassTable,
    encoder: HuggingFaceImageEncoder,
) -> Image.Image:
    """Return the card of a picture of an unseen class, its map measured."""
    method = DSVA().fit(TrainingSet(training.of_classes(split.seen), split.seen), table)
    candidates, pixels = table.select(split.unseen), drawn[EXAMPLE].pixels
    evidence = next(explain(method, new.take([new.ids.index(EXAMPLE)]), candidates))
    assert evidence.class_map_HW is not None
    worth = measure(method, encoder, pixels, candidates, evidence.chosen, evidence.class_map_HW)
    with tempfile.TemporaryDirectory() as folder:
        write_png(make_card(evidence, pixels, encoder.geometry, worth), Path(folder) / "card.png")
        with Image.open(Path(folder) / "card.png") as card:
            return card.convert("RGB")


def one_kind(
    options: Mapping[str, Any],
    splits: Sequence[Split],
    training: Embeddings,
    new: Embeddings,
    drawn: Mapping[str, Picture],
    table: ClassTable,
    encoder: HuggingFaceImageEncoder,
    covered: int,
) -> dict[str, Any]:
    """Fit DSVA on every split; returns its figures over the splits."""
    points: dict[str, list[PointingTable]] = {subset: [] for subset in SUBSETS}
    every: list[Pointed] = []
    worth: list[Faithfulness] = []
    for split in splits:
        method = DSVA(**options).fit(TrainingSet(training.of_classes(split.seen), split.seen), table)
        candidates = table.select(split.unseen)
        unseen = list(pointed(method, new.of_classes(split.unseen), candidates, drawn, encoder))
        seen = list(pointed(method, new.of_classes(split.seen), candidates, drawn, encoder))
        every += unseen
        of = {"unseen": unseen, "seen": seen, "unseen, objects": [one for one in unseen if one.attribute in OBJECTS]}
        for subset, own in of.items():
            points[subset].append(PointingTable.of(own))
        some = new.of_classes(split.unseen)
        worth += measured(
            method, some.take(range(0, len(some), max(1, len(some) // covered))), candidates, drawn, encoder
        )
    found = {subset: over_splits(own) for subset, own in points.items()}
    if worth:
        found["faithfulness"] = Worth.of(worth).to_json()
    return {**found, "by_attribute": PointingTable.of(every).to_json()["by_attribute"]}


def _class(picture: str) -> str:
    return picture.partition("/")[0]


if __name__ == "__main__":
    main()
