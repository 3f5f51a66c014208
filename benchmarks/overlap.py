"""The leak audit on UC Merced: planted copies found and missed, what lies in the data set itself, and what it changes.

    python benchmarks/overlap.py PICTURES ENCODER [--store FOLDER] [--each 5] [--jobs 2]

PICTURES is UC Merced with one folder a class, ENCODER a Hugging Face folder (the published figures: a ResNet-50 trained
on ImageNet), --store its vectors, as benchmarks/ucmerced.py makes them. Of each class, --each pictures are copied in
eight ways; the audit looks for the copies among all pictures, by pixels alone, by vectors and pixels, and by vectors
alone. Then the pictures are compared with each other, and `kernel` is measured on the 25 splits with and without the
test pictures that overlap training pictures. Writes docs/results/overlap*.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from tables import RESULTS
from zeroscene.embeddings.alignment import DISTINCT, Alignment, align
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.neighbours import nearest
from zeroscene.embeddings.overlap import CANDIDATES, KINDS, Audit, Collection, find_overlaps
from zeroscene.embeddings.overlap_files import OverlapFile
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.embeddings.thumbnails import read_thumbnails, sketches
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.evaluation.runner import run_benchmark
from zeroscene.files import write_json, write_text
from zeroscene.provenance import environment
from zeroscene.scenes.catalog import benchmark
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.split_files import read_splits
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.vectors import unit_rows

SPLITS = Path(__file__).parent / "ucmerced_splits_16_5.json"
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4)
PLANTS = {
    "the same file": "identical",
    "JPEG of quality 50": "re-encoded",
    "resized to 150 px": "re-encoded",
    "30 % brighter": "near duplicate",
    "turned by 90 degrees": "turned",
    "mirrored": "turned",
    "cut out, 180 of 256 px": "overlap",
    "neighbouring tile, 58 % shared": "overlap",
}
WAYS = ("pixels alone", "vectors, then pixels", "vectors alone")

Figures = dict[str, Any]


def plant(scenes: SceneFolder, each: int, folder: Path) -> dict[str, set[str]]:
    """Write the copies, one folder a way; returns the pictures that each of them shows."""
    rng = np.random.default_rng(0)
    of_class = {
        name: [i for i, c in zip(scenes.ids, scenes.labels or (), strict=True) if c == name] for name in scenes.classes
    }
    drawn = [str(i) for ids in of_class.values() for i in rng.choice(ids, each, replace=False)]
    shown: dict[str, set[str]] = {}
    for number, picture in enumerate(drawn):
        image, filler = (opened(scenes.path(one)) for one in (picture, drawn[number - 1]))
        for way, (copy, saved) in copies(image, filler, rng).items():
            name = f"{slug(way)}/{slug(picture)}{'.jpg' if saved else '.png'}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if way == "the same file":
                name = f"{slug(way)}/{slug(picture)}{Path(picture).suffix}"
                shutil.copy(scenes.path(picture), folder / name)
            else:
                copy.save(folder / name, **saved)
            shown[name] = {picture, drawn[number - 1]} if way.startswith("neighbouring") else {picture}
    return shown


def opened(path: Path) -> Image.Image:
    return Image.open(path).convert("RGB").resize((256, 256))


def copies(image: Image.Image, filler: Image.Image, rng: np.random.Generator) -> dict[str, tuple[Image.Image, Figures]]:
    """Return a picture in all ways, each with how it is saved; a neighbouring tile goes on with another picture."""
    x, y = (int(v) for v in rng.integers(0, 256 - 180, 2))
    tile = filler.copy()
    tile.paste(image.crop((80, 40, 256, 256)), (0, 0))
    made: list[tuple[Image.Image, Figures]] = [
        (image, {}),
        (image, {"quality": 50}),
        (image.resize((150, 150), Image.Resampling.BICUBIC), {}),
        (ImageEnhance.Brightness(image).enhance(1.3), {}),
        (image.transpose(Image.Transpose.ROTATE_90), {}),
        (image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {}),
        (image.crop((x, y, x + 180, y + 180)), {}),
        (tile, {}),
    ]
    return dict(zip(PLANTS, made, strict=True))


def slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.rpartition(".")[0] or text)


def planted(audit: Audit, shown: Mapping[str, set[str]], alike: Mapping[str, set[str]]) -> Figures:
    """Return how many copies were found in each way, and how many pairs are right.

    A pair is right when the copy shows the other picture, or one that overlaps it in UC Merced itself (`alike`).
    """
    found: dict[str, set[str]] = {name: set() for name in shown}
    kinds: dict[str, set[str]] = {name: set() for name in shown}
    wrong = []
    for pair in audit.pairs:
        sources = shown[pair.id]
        if pair.other in sources:
            found[pair.id].add(pair.other)
            kinds[pair.id].add(pair.kind)
        elif not any(pair.other in alike.get(source, set()) for source in sources):
            wrong.append((pair.id, pair.other, pair.kind))
    ways: Figures = {}
    for way, kind in PLANTS.items():
        names = [name for name in shown if name.startswith(slug(way) + "/")]
        hits = [name for name in names if any(slug(one) == Path(name).stem for one in found[name])]
        ways[way] = {
            "planted": len(names),
            "found": len(hits),
            "named": sum(kind in kinds[name] or (kind == "turned" and "overlap" in kinds[name]) for name in hits),
        }
    return {"ways": ways, "pairs": len(audit.pairs), "wrong": wrong, "candidates": audit.candidates}


def study(own: Collection) -> tuple[list[tuple[str, str]], list[Alignment]]:
    """Return every candidate pair of a data set with its best fit, of which the threshold can be judged."""
    assert own.root is not None
    assert own.x is not None
    thumbnails, _ = read_thumbnails(own.ids, own.root.joinpath, "reading")
    pairs: set[tuple[int, int]] = set()
    for x in (unit_rows(own.x), *sketches([thumbnails[i] for i in own.ids])):
        rows, _ = nearest(x, x, CANDIDATES, same=True)
        pairs |= {(min(i, int(j)), max(i, int(j))) for i, near in enumerate(rows) for j in near}
    named = [(own.ids[i], own.ids[j]) for i, j in sorted(pairs)]
    return named, align([(thumbnails[a], thumbnails[b]) for a, b in named])


def within(own: Collection, labels: Mapping[str, str]) -> tuple[Figures, Audit]:
    begun, used = time.perf_counter(), time.process_time()
    audit = find_overlaps(own)
    seconds, work = time.perf_counter() - begun, time.process_time() - used
    _, fits = study(own)
    across = sum(labels[pair.id] != labels[pair.other] for pair in audit.pairs)
    return {
        "pictures": len(own.ids),
        "candidates": audit.candidates,
        "pairs": len(audit.pairs),
        "kinds": dict(Counter(pair.kind for pair in audit.pairs)),
        "pictures_in_pairs": len({i for pair in audit.pairs for i in (pair.id, pair.other)}),
        "across_classes": across,
        "classes": dict(Counter(labels[pair.id] for pair in audit.pairs)),
        "seconds": round(seconds, 1),
        "processor_seconds": round(work, 1),
        "thresholds": {
            str(t): {
                "pairs": sum(fit.distinct >= t for fit in fits),
                "turned": sum(fit.distinct >= t and fit.orientation != 0 for fit in fits),
                "decoys": sum(fit.decoy >= t for fit in fits),
            }
            for t in THRESHOLDS
        },
    }, audit


def measured(store: Path, overlap: OverlapFile, classes: Sequence[str], out: Path, jobs: int) -> BenchmarkResult:
    plan = BenchmarkPlan(
        name="UC Merced 16/5, without overlap",
        embeddings={"ResNet-50": store},
        tables={"knowledge": knowledge_table(classes)},
        splits=tuple(read_splits(SPLITS)),
        methods=(MethodPlan("kernel"),),
        folds=3,
        overlap=overlap,
    )
    return run_benchmark(plan, out, jobs=jobs)


def cost(inside: Figures) -> Figures:
    """Return what finding candidates and comparing them costs a core, in seconds of processor time."""
    z = unit_rows(np.random.default_rng(0).normal(size=(100_000, 512)).astype(np.float32))
    used = time.process_time()
    nearest(z[:4096], z, CANDIDATES)
    product = (time.process_time() - used) / (4096 * len(z))
    return {"vectors": product, "pair": inside["processor_seconds"] / inside["candidates"]}


def markdown(found: Figures) -> dict[str, str]:
    """Return the tables by the name of their file."""
    header = f"| planted | of | {' | '.join(f'found by {way}' for way in WAYS)} |"
    plants = [header, "|---|---|" + "---|" * len(WAYS)]
    for way in PLANTS:
        rows = [found["planted"][name]["ways"][way] for name in WAYS]
        shown = [f"{row['found']} ({100 * row['found'] / row['planted']:.0f} %)" for row in rows]
        plants.append(f"| {way} | {rows[0]['planted']} | {' | '.join(shown)} |")
    shown = [f"{len(found['planted'][name]['wrong'])} of {found['planted'][name]['pairs']}" for name in WAYS]
    plants.append(f"| pairs of different ground | | {' | '.join(shown)} |")

    own = found["within"]
    inside = [
        "| kind | pairs |",
        "|---|---|",
        *(f"| {kind} | {own['kinds'].get(kind, 0)} |" for kind in KINDS if kind != "alike"),
    ]
    inside.append(f"| all | {own['pairs']} |")
    inside.append(f"| of two classes | {own['across_classes']} |")

    choice = [
        "| distinction at least | pairs | of them turned or mirrored | second orientations |",
        "|---|---|---|---|",
    ]
    for t, row in own["thresholds"].items():
        mark = " (taken)" if float(t) == DISTINCT else ""
        choice.append(f"| {t}{mark} | {row['pairs']} | {row['turned']} | {row['decoys']} |")

    rows = found["measured"]
    lines = ["| | with | without the overlap |", "|---|---|---|"]
    lines += [f"| {name} | {rows[f'with_{key}']} | {rows[key]} |" for name, key in (("ZSL T1", "t1"), ("H", "H"))]
    lines.append(f"| pictures taken out of a split, mean (most) | 0 | {rows['removed']:.1f} ({rows['most']}) |")
    spent = found["cost"]
    costs = ["| step | one core |", "|---|---|"]
    costs.append(f"| two vectors of 512 numbers compared | {1e9 * spent['vectors']:.1f} ns |")
    costs.append(f"| a candidate pair laid over each other, pictures read | {1e3 * spent['pair']:.2f} ms |")
    million = 1e11 * spent["vectors"] / 3600, 1e6 * spent["pair"] / 3600
    costs.append(f"| 100,000 pictures looked for among 1,000,000: vectors | {60 * million[0]:.0f} min |")
    costs.append(f"| their ten candidates each | {60 * million[1]:.0f} min |")
    tables = {
        "overlap_cost": costs,
        "overlap": plants,
        "overlap_within": inside,
        "overlap_threshold": choice,
        "overlap_measured": lines,
    }
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--store", type=Path, default=Path("runs/ucmerced/store"))
    parser.add_argument("--each", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/overlap"))
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    scenes = benchmark("ucmerced").open(given.pictures)
    own = Collection.of_store(EmbeddingStore.open(given.store), scenes.root)
    inside, audit = within(own, dict(zip(scenes.ids, scenes.labels or (), strict=True)))
    overlap = OverlapFile("", audit.pairs)
    overlap.write(RESULTS / "overlap_pairs.csv")
    alike: dict[str, set[str]] = {}
    for pair in audit.pairs:
        alike.setdefault(pair.id, set()).add(pair.other)
        alike.setdefault(pair.other, set()).add(pair.id)

    with tempfile.TemporaryDirectory() as folder:
        shown = plant(scenes, given.each, Path(folder) / "copies")
        copied = SceneFolder.open_flat(Path(folder) / "copies")
        store = extract(copied, load_image_encoder(given.encoder), Path(folder) / "store")
        audits: dict[str, Callable[[], Audit]] = {
            WAYS[0]: lambda: find_overlaps(Collection.of_folder(copied), Collection.of_folder(scenes)),
            WAYS[1]: lambda: find_overlaps(Collection.of_store(store, copied.root), own),
            WAYS[2]: lambda: find_overlaps(
                Collection.of_store(store), Collection.of_store(EmbeddingStore.open(given.store))
            ),
        }
        copies_found = {way: planted(run(), shown, alike) for way, run in audits.items()}

    result = measured(given.store, overlap, scenes.classes, given.out, given.jobs)
    row = result.summary[0].without_overlap
    assert row is not None
    taken = [sum(cell.without_overlap.removed.values()) for cell in result.cells if cell.without_overlap]
    figures = {
        name: f"{100 * getattr(row, name).mean:.2f} ± {100 * getattr(row, name).deviation:.2f}"
        for name in ("t1", "H", "with_t1", "with_H")
    }
    found = {
        "planted": copies_found,
        "within": inside,
        "cost": cost(inside),
        "measured": figures | {"removed": row.removed, "most": max(taken), "splits": len(result.cells)},
        "environment": environment(),
    }
    write_json(RESULTS / "overlap.json", found)
    for name, text in markdown(found).items():
        write_text(RESULTS / f"{name}.md", text)
        print(f"{name}\n{text}")
    print(json.dumps(inside, indent=1))


if __name__ == "__main__":
    main()
