"""`zeroscene finetune`, and its encoder in all that follows: embed, annotate, fit, predict, benchmark."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny_models
from small_world import data_set
from zeroscene.cli.main import app
from zeroscene.encoders.text import load_text_encoder
from zeroscene.files import write_json
from zeroscene.scenes.splits import Split
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable

SEEN = ("beach", "dense_residential", "desert", "lake", "parking_lot")
UNSEEN = ("freeway", "sea")
OTHER = ("beach", "sea")
SHORT = (
    "tune_epochs=2", "tune_episodes=6", "tune_rate=0.0003", "classes_per_episode=3", "pictures_per_class=2",
    "epochs=1", "episodes_per_epoch=5", "select=last",
)  # fmt: skip
# In the few words of the small tokenizer.
VOCABULARY = [
    ("sea", "places", "sea"), ("sand", "materials", "sand|beach sand"), ("trees", "things", "trees"),
    ("runway", "things", "a runway"), ("dense", "layout", "dense"),
]  # fmt: skip
TEXTS = {
    "beach": "sand and sea", "dense_residential": "dense forest with trees", "desert": "sand from above",
    "lake": "sea with trees", "parking_lot": "dense airport", "freeway": "a runway with trees", "sea": "the sea",
}  # fmt: skip


def invoke(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finetune")
    data_set(place / "pictures", SEEN + UNSEEN, each=5)
    (place / "clip").mkdir()
    tiny_models.save_vision("clip", place / "clip")
    write_json(place / "split.json", Split("small", "1", SEEN, UNSEEN).to_json())
    others = tuple(name for name in SEEN + UNSEEN if name not in OTHER)
    write_json(place / "other.json", Split("small", "2", others, OTHER).to_json())
    knowledge_table(SEEN + UNSEEN).write(place / "classes.csv")
    write_csv(place / "vocabulary.csv", [("attribute", "group", "prompt"), *VOCABULARY])
    write_csv(place / "texts.csv", [("class", "text"), *TEXTS.items()])
    return place


def finetune(world: Path, *words: object, code: int = 0, classes: str = "classes.csv") -> str:
    given = ("--encoder", world / "clip", "--split", world / "split.json", "--classes", world / classes)
    return invoke("finetune", world / "pictures", *words, *given, code=code)


@pytest.fixture(scope="module")
def tuned(world: Path) -> dict:
    return json.loads(finetune(world, *SHORT, "-o", world / "tuned", "--json"))


def test_the_result_is_told(world: Path, tuned: dict) -> None:
    assert tuned["encoder"] == str(world / "tuned")
    assert tuned["pictures"] == 5 * 4
    assert tuned["seen"] == list(SEEN)
    assert tuned["epochs"] == len(tuned["terms"]) == 2
    said = finetune(world, *SHORT, "-o", world / "tuned")
    assert "20 pictures of 5 seen classes, 2 epochs of fine-tuning" in said
    assert f"evaluate it under {world / 'tuned' / 'split.json'} only" in said


@pytest.fixture(scope="module")
def store(world: Path, tuned: dict) -> Path:
    invoke("embed", world / "pictures", "--encoder", tuned["encoder"], "--grid", "-o", world / "store")
    return world / "store"


def test_a_clip_goes_through_embed_annotate_and_fit(world: Path, tuned: dict, store: Path) -> None:
    """The texts are those of before, and the table's words lie in the space of the tuned tokens."""
    own = world / "tuned" / "split.json"
    told = invoke(
        "annotate", *SEEN, *UNSEEN, "--encoder", tuned["encoder"], "--vocabulary", world / "vocabulary.csv",
        "--texts", world / "texts.csv", "--embeddings", store, "--split", own, "-o", world / "annotated.csv", "--json",
    )  # fmt: skip
    assert json.loads(told)["source"] == "images"
    table = ClassTable.read(world / "annotated.csv")
    assert table.provenance["from_pictures"] == list(SEEN)
    assert table.provenance["encoder"]["fine_tuned"]["seen"] == list(SEEN)
    before, after = (
        load_text_encoder(folder).encode_texts(["the sea"]) for folder in (world / "clip", world / "tuned")
    )
    assert (before == after).all()
    fitted = ("--embeddings", store, "--classes", world / "annotated.csv", "--split", own)
    invoke(
        "fit", "dsva", "start=prompts", "epochs=1", "episodes_per_epoch=3", "--no-select", *fitted, "-o", world / "m"
    )
    answered = json.loads(invoke("predict", world / "m", store, "--classes", world / "annotated.csv", "--json"))
    assert answered


def benchmark(world: Path, store: Path, split: Path, out: Path, code: int = 0) -> str:
    return invoke(
        "benchmark", "--embeddings", f"tuned={store}", "--classes", f"knowledge={world / 'classes.csv'}",
        "--splits", split, "--methods", "eszsl", "--selection", "defaults", "-o", out, code=code,
    )  # fmt: skip


def test_a_benchmark_takes_its_own_split(world: Path, tuned: dict, store: Path, tmp_path: Path) -> None:
    benchmark(world, store, world / "tuned" / "split.json", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["cells"][0]["encoder"]["fine_tuned"]["seen"] == list(SEEN)


def test_a_benchmark_refuses_another_split(world: Path, tuned: dict, store: Path, tmp_path: Path) -> None:
    benchmark(world, store, world / "other.json", tmp_path, code=1)
    (failure,) = json.loads((tmp_path / "results.json").read_text())["failures"]
    assert failure["error"] == "SplitError"
    assert "has seen pictures of beach" in failure["message"]


def test_honest_selection_says_what_it_saw(world: Path, tmp_path: Path) -> None:
    said = finetune(world, *SHORT[:-1], "select=honest", "-o", tmp_path / "tuned")
    assert "playing unseen: T1" in said
    note = json.loads((tmp_path / "tuned" / "training.json").read_text())
    (fold,) = note["folds"]
    assert len(fold["pseudo_unseen"]) == 2 + (len(SEEN) % 2)
    assert note["epochs"] == fold["t1"].index(max(fold["t1"]))
    assert ("the encoder is as it was" in said) == (note["epochs"] == 0)


def test_a_picture_that_cannot_be_read_takes_no_part(world: Path, tmp_path: Path) -> None:
    data_set(tmp_path / "pictures", SEEN + UNSEEN, each=4)
    (tmp_path / "pictures" / "lake" / "lake 01.png").write_bytes(b"damaged")
    said = invoke(
        "finetune", tmp_path / "pictures", *SHORT, "tune_epochs=1", "--encoder", world / "clip", "--split",
        world / "split.json", "-c", world / "classes.csv", "-o", tmp_path / "tuned",
    )  # fmt: skip
    assert "1 picture could not be read and took no part" in said
    invoke("embed", tmp_path / "pictures", "--encoder", tmp_path / "tuned", "-o", tmp_path / "store")
    benchmark(world, tmp_path / "store", world / "split.json", tmp_path / "results")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("tune_epoch=3",), "finetune: unknown option 'tune_epoch'; did you mean tune_epochs"),
        (("unfreeze=9",), "unfreeze = 9, but clip has 2 layers"),
        (("accumulate=4",), "6 episodes an epoch are not a whole number of steps of accumulate = 4"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(world: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    said = finetune(world, *SHORT, *words, "-o", tmp_path / "out", code=2)
    assert message in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_class_table_without_a_seen_class_is_refused(world: Path, tmp_path: Path) -> None:
    knowledge_table(SEEN[1:]).write(world / "few.csv")
    assert "'beach'" in finetune(world, *SHORT, "-o", tmp_path / "out", code=2, classes="few.csv")
