"""A plan whose class table is annotated from the training pictures of each split, from YAML to the report."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import CLASSES, ENCODER, SEEN, UNSEEN
from zeroscene.cli.main import app
from zeroscene.evaluation.annotation import Annotation, read_vocabulary
from zeroscene.evaluation.plan import BenchmarkPlan
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.scenes.split_files import write_splits
from zeroscene.scenes.splits import Split
from zeroscene.semantics.vocabulary import Vocabulary

ENTRY = f"annotate: images, encoder: {ENCODER}, embeddings: eye, vocabulary: synthetic, texts: attributes"
PLAN = """\
name: Annotated
embeddings: {eye: store}
tables:
  knowledge: classes.csv
  annotated: {ENTRY}
splits: [one.json]
methods: [{name: eszsl, options: {log_gamma: 0.0}}]
folds: 2
"""


def invoke(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def world(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world with two splits."""
    place = shutil.copytree(prepared, tmp_path_factory.mktemp("tables") / "world")
    other = ("beach", "lake", "sea")
    splits = [
        Split("small", "1", SEEN, UNSEEN),
        Split("small", "2", tuple(c for c in CLASSES if c not in other), other),
    ]
    write_splits(place / "one.json", splits)
    return place


def write_plan(world: Path, entry: str = ENTRY, name: str = "plan") -> Path:
    file = world / f"{name}.yaml"
    file.write_text(PLAN.replace("ENTRY", entry))
    return file


@pytest.fixture(scope="module")
def results(world: Path) -> Path:
    invoke("benchmark", write_plan(world), "-o", world / "results")
    return world / "results"


def cells(folder: Path, table: str) -> list:
    return [cell for cell in BenchmarkResult.read(folder).cells if cell.table.label == table]


def test_each_split_is_annotated_from_its_own_seen_classes(results: Path) -> None:
    for cell in cells(results, "annotated"):
        assert cell.table.source == "images"
        assert set(cell.table.provenance["from_pictures"]) == set(cell.split.seen)
        assert set(cell.table.provenance["from_description"]) == set(cell.split.unseen)
        assert cell.table.exemplars == ()
    first, second = cells(results, "annotated")
    assert first.table.fingerprint == second.table.fingerprint
    assert first.table.provenance["space"] != second.table.provenance["space"]
    assert {cell.table.source for cell in cells(results, "knowledge")} == {"knowledge"}


def test_the_figures_do_not_depend_on_the_processes(world: Path, results: Path, tmp_path: Path) -> None:
    invoke("benchmark", write_plan(world), "-o", tmp_path / "again", "--jobs", 2)
    assert (tmp_path / "again" / "results.json").read_bytes() == (results / "results.json").read_bytes()


def test_finished_cells_are_kept_and_other_words_refused(world: Path, results: Path, tmp_path: Path) -> None:
    before = (results / "log.jsonl").read_text()
    invoke("benchmark", write_plan(world), "-o", results)
    assert (results / "log.jsonl").read_text() == before
    whole = read_vocabulary("synthetic")
    Vocabulary(whole.attributes[1:], whole.groups[1:], whole.prompts[1:]).write(tmp_path / "few.csv")
    few = write_plan(world, ENTRY.replace("synthetic", str(tmp_path / "few.csv")), "few")
    assert "table was" in invoke("benchmark", few, "-o", results, code=2)
    named = write_plan(world, f"{ENTRY}, templates: ['a zeppelin over {{}}']", "templates")
    assert "'zeppelin'" in invoke("benchmark", named, "-o", tmp_path / "r", code=2)


def test_exemplars_mark_every_place_that_shows_a_figure(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "marked"
    plan = write_plan(world, f"{ENTRY}, exemplars: [sea]", "marked")
    said = invoke("benchmark", plan, "-o", out)
    assert "MARKED: class vectors 'annotated' were made with pictures of these unseen classes: sea" in said
    assert [cell.table.exemplars for cell in cells(out, "annotated")] == [("sea",), ("sea",)]
    assert [cell.table.exemplars for cell in cells(out, "knowledge")] == [(), ()]
    rows = {row["table"]: row["exemplars"] for row in csv.DictReader((out / "summary.csv").open())}
    assert rows == {"knowledge": "", "annotated": "sea"}
    assert {row["exemplars"] for row in csv.DictReader((out / "results.csv").open())} == {"", "sea"}
    told = json.loads(invoke("benchmark", plan, "-o", out, "--json"))
    assert {row["table"]: row["exemplars"] for row in told["summary"]} == {"knowledge": [], "annotated": ["sea"]}
    invoke("report", out)
    page = (out / "report.html").read_text()
    assert "Pictures of the unseen classes sea went into the class" in " ".join(page.split())
    assert page.count('<span class="mark">exemplars</span>') > 0
    assert "no test picture was looked at" not in page


def test_an_entry_reads_files_beside_the_plan_and_stores_by_label_or_folder(world: Path) -> None:
    (world / "words.csv").write_text("attribute,group,prompt\nsand,materials,sand\nwater,materials,clear water\n")
    (world / "texts.csv").write_text("class,text\nbeach,sand\n")
    entry = f"annotate: images, encoder: {ENCODER}, vocabulary: words.csv, texts: texts.csv, templates: [aerial]"
    for embeddings in ("eye", "store"):
        read = BenchmarkPlan.read(write_plan(world, f"{entry}, embeddings: {embeddings}", "files")).tables["annotated"]
        assert isinstance(read, Annotation)
        assert (read.encoder, read.pictures) == (ENCODER, world / "store")
        assert read.vocabulary.attributes == ("sand", "water")
        assert read.texts == {"beach": ["sand"]}
        assert len(read.templates) == 6


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ENTRY.replace("images", "pictures"), "Input should be 'images'"),
        (f"{ENTRY}, template: aerial", "table 'annotated': unknown option 'template'; did you mean templates"),
        (ENTRY.replace("synthetic", "none.csv"), "no such attribute vocabulary"),
        (ENTRY.replace("texts: attributes", "texts: none.csv"), "no such file"),
        (ENTRY.replace("eye", "elsewhere"), "elsewhere"),
        (ENTRY.replace("texts: attributes", "texts: descriptions"), "does not know the words"),
        (f"{ENTRY}, exemplars: [volcano]", "exemplars without a picture: volcano"),
    ],
)
def test_bad_entries_are_one_line(world: Path, tmp_path: Path, entry: str, said: str) -> None:
    told = invoke("benchmark", write_plan(world, entry, "bad"), "-o", tmp_path / "r", code=2)
    assert said in told
    assert told.count("\n") == 1
    assert not (tmp_path / "r").exists()
