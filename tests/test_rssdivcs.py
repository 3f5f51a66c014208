"""The recipe of docs/rssdivcs.md, its commands and plans as they stand there, on a miniature of the data set.

The miniature has the 70 folders with a few drawn pictures each, and the encoder that ships in the place of CLIP. Two
things are less than on the page: the number of splits, and how long the methods train.
"""

import json
import shutil
from pathlib import Path
from random import Random

import pytest
import yaml
from tokenizers import Tokenizer, models

from test_docs import ROOT, Block, blocks, run
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.tiny import shipped
from zeroscene.methods.registry import method_names
from zeroscene.scenes.catalog import benchmark
from zeroscene.scenes.synthetic import free, world
from zeroscene.semantics.table import ClassTable

PAGE = ROOT / "docs" / "rssdivcs.md"
PLANS = ROOT / "examples" / "rssdivcs"
RATIOS = {"60-10": (60, 10), "50-20": (50, 20), "40-30": (40, 30)}
TABLES = ["knowledge", "text", "images"]
EACH, SIDE, SPLITS = 5, 80, 1
SHORT = {
    "dsva": {"episodes_per_epoch": 5},
    "mcfa": {"epochs": 1, "classifier_epochs": 1},
    "cada-vae": {"epochs": 1, "classifier_epochs": 1},
    "ale": {"epochs": 2},
}


def draw_scenes(root: Path) -> None:
    """Draw the 70 classes: 40 as the synthetic world has them, the others each by a composition of its own."""
    for name in benchmark("rssdivcs").classes:
        folder = name.replace(" ", "_")
        known = folder in world.CLASSES
        composition = None if known else free.compose(Random(folder))
        for index in range(EACH):
            if composition is None:
                pixels = world.draw(folder, 0, index, SIDE).pixels
            else:
                pixels = composition.draw(Random(f"{folder}/{index}"), SIDE).pixels
            world.write(root / folder / f"{folder}_{index:03d}.png", pixels)


def lay_out_clip(folder: Path) -> None:
    """Lay out the encoder that ships as a CLIP that reads any text, of which it understands its 281 words."""
    shutil.copytree(shipped(), folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # A tokenizer of whole words refuses what it does not know, which CLIP's never has to.
    tokenizer.model = models.WordPiece(tokenizer.get_vocab(), unk_token="<unk>")
    tokenizer.save(str(folder / "tokenizer.json"))


def console(page: list[Block]) -> list[list[str]]:
    return [words for block in page if block.language == "console" for words in block.commands()]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the whole page has been run."""
    folder = tmp_path_factory.mktemp("rssdivcs")
    draw_scenes(folder / "RSSDIVCS")
    lay_out_clip(folder / "clip-rsicd")
    for ratio in RATIOS:
        plan = yaml.safe_load((PLANS / f"{ratio}.yaml").read_text())
        plan["methods"] = [{"name": name, "options": SHORT.get(name, {})} for name in plan["methods"]]
        (folder / f"{ratio}.yaml").write_text(yaml.safe_dump(plan))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in console(blocks(PAGE.read_text(encoding="utf-8"))):
            fewer = {"--count": str(SPLITS), "--jobs": "1"}
            run([fewer.get(before, word) for before, word in zip(["", *words], words, strict=False)], 0, PAGE.name)
    return folder


def cells(results: Path, ratio: str) -> list[dict]:
    found = json.loads((results / f"results-{ratio}" / "results.json").read_text())
    assert not found["failures"]
    return found["cells"]


def test_the_miniature_has_the_layout_of_the_data_set(results):
    store = EmbeddingStore.open(results / "store").read(grids=True)
    assert len(store) == 70 * EACH
    assert len(store.classes) == 70
    assert store.grids is not None
    assert store.grids.shape[:2] == (8, 8)


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_method_is_measured_with_every_table_at_every_ratio(results, ratio):
    plan = yaml.safe_load((PLANS / f"{ratio}.yaml").read_text())
    assert set(plan["methods"]) <= set(method_names())
    assert list(plan["tables"]) == TABLES
    found = cells(results, ratio)
    assert len(found) == len(plan["methods"]) * len(TABLES) * SPLITS
    assert {(cell["method"], cell["table"]["label"]) for cell in found} == {
        (method, table) for method in plan["methods"] for table in TABLES
    }
    for cell in found:
        assert (len(cell["split"]["seen"]), len(cell["split"]["unseen"])) == RATIOS[ratio]
        assert (len(cell["zsl"]["classes"]), len(cell["gzsl"]["classes"])) == (RATIOS[ratio][1], 70)
        assert cell["selection"] == "honest"


@pytest.mark.parametrize("ratio", RATIOS)
def test_no_table_saw_a_picture_of_an_unseen_class(results, ratio):
    for cell in cells(results, ratio):
        if cell["table"]["label"] == "images":
            assert cell["table"]["source"] == "images"
            assert not cell["table"]["provenance"]["exemplars"]


def test_what_comes_out_is_recognition_and_not_chance(results):
    ways = {(c["method"], c["table"]["label"]): c["zsl"]["t1"] for c in cells(results, "60-10")}
    for table in TABLES:
        assert max(t1 for (_, label), t1 in ways.items() if label == table) > 2 / 10


@pytest.mark.parametrize("ratio", RATIOS)
def test_each_ratio_has_its_report(results, ratio):
    assert f"RSSDIVCS {ratio.replace('-', '/')}" in (results / f"results-{ratio}" / "report.html").read_text()


def test_the_text_table_has_all_classes_and_attributes(results):
    text, knowledge = (ClassTable.read(results / f"{name}.csv") for name in ("text", "knowledge"))
    assert text.matrix.shape == (70, 133)
    assert text.columns == knowledge.columns


def test_the_page_shows_the_plan_that_ships():
    (shown,) = [block.body for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "yaml"]
    assert shown == (PLANS / "60-10.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_plans_differ_in_their_ratio_only(ratio):
    one, other = ((PLANS / f"{name}.yaml").read_text() for name in ("60-10", ratio))
    seen, unseen = ratio.split("-")
    assert other == one.replace("60-10", ratio).replace("60/10", f"{seen}/{unseen}").replace(
        "60 seen and 10 unseen", f"{seen} seen and {unseen} unseen"
    )
