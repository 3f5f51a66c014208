"""Fine-tuning: an encoder folder like any other, the same killed or not, chosen and trained on training pictures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import finetune_world
import numpy as np
import pytest
import torch
from finetune_world import SEEN, SHORT, UNSEEN, pictures, tune
from safetensors.torch import load_file

from zeroscene.embeddings.crops import Crops
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.trainable import open_trainable
from zeroscene.errors import OptionError, SplitError, StoreError
from zeroscene.evaluation.protocol import carve
from zeroscene.files import write_json
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.dsva.finetune import best_epoch
from zeroscene.methods.dsva.method import DSVA
from zeroscene.methods.dsva.student import Student
from zeroscene.methods.dsva.tuning import FinetuneOptions, rate_groups
from zeroscene.pixels import resize_crop
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.splits import Split
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.training.pictures import SeenPictures

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return finetune_world.draw(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def tuned(world):
    return tune(world, world / "tuned")


def embeddings(world: Path, encoder: Path, place: Path) -> Embeddings:
    loaded = load_image_encoder(encoder, precision="fp32")
    scenes = SceneFolder.open(world / "pictures")
    return replace(extract(scenes, loaded, place, grid=True).read(grids=True), crops=Crops(scenes, lambda: loaded))


def moved(world: Path, tuned: Path, encoder: str = "clip") -> set[str]:
    before, after = load_file(world / encoder / WEIGHTS), load_file(tuned / WEIGHTS)
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_training_lowers_the_loss_and_moves_the_image_tower_alone(world, tuned):
    assert tuned.epochs == len(tuned.terms) == 2
    assert tuned.terms[1]["loss"] < tuned.terms[0]["loss"]
    changed = moved(world, tuned.folder)
    assert {name.split(".")[0] for name in changed} == {"vision_model", "visual_projection"}
    assert {f"vision_model.encoder.layers.{i}.mlp.fc1.weight" for i in (0, 1)} <= changed


def test_the_result_says_what_it_was_trained_on(tuned):
    note = json.loads((tuned.folder / "training.json").read_text())
    assert note["split"]["seen"] == list(SEEN)
    assert note["pictures"] == 6 * 5
    assert note["options"]["tune_rate"] == SHORT["tune_rate"]
    assert note["encoder"]["name"] == "clip"
    assert {"compatibility_global", "compatibility_local", "loss"} <= note["terms"][0].keys()
    assert note["environment"]["lightning-fabric"]
    (split,) = read_splits(tuned.folder / "split.json")
    assert note["split"]["fingerprint"] == split.fingerprint
    assert load_image_encoder(tuned.folder).identity.fine_tuned.split == split.fingerprint


def test_it_is_evaluated_under_its_own_split_and_no_other(world, tuned, tmp_path):
    x = embeddings(world, tuned.folder, tmp_path / "store")
    (split,) = read_splits(tuned.folder / "split.json")
    assert carve(x, split).split == split
    assert carve(x, Split("small", "1", SEEN, UNSEEN)).split == split
    with pytest.raises(SplitError, match=r"has seen pictures of lake; use the split\.json that lies beside"):
        carve(x, Split("small", "2", ("sea", *(c for c in SEEN if c != "lake")), ("river", "lake")))


def test_it_is_trained_further_under_its_own_split_and_no_other(world, tuned, tmp_path):
    """The note has room for one split, and two of them together leave nothing to be tested on."""
    assert tune(world, tmp_path / "again", tuned.folder, tune_epochs=1).epochs == 1
    scenes = SceneFolder.open(world / "pictures")
    other = Split("small", "2", (*SEEN[1:], "sea"), ("river", SEEN[0])).with_holdout(scenes.ids, scenes.labels)
    with pytest.raises(SplitError, match="under another split already"):
        finetune_world.finetune(
            SeenPictures.of(scenes, other), tuned.folder, knowledge_table(SEEN + UNSEEN), tmp_path / "other",
            FinetuneOptions(), accelerator="cpu",
        )  # fmt: skip


def test_what_an_unfinished_run_needs_is_removed_but_the_checkpoints(tuned):
    kept = {file.relative_to(tuned.folder).as_posix() for file in tuned.folder.rglob("*.safetensors")}
    assert kept == {WEIGHTS, "run/all/last.safetensors", "run/all/head/method.safetensors"}


def test_a_finished_run_is_only_read(world, tuned):
    before = (tuned.folder / WEIGHTS).stat().st_mtime_ns
    assert tune(world, tuned.folder) == tuned
    assert (tuned.folder / WEIGHTS).stat().st_mtime_ns == before


def test_test_pictures_cannot_reach_it(world, tuned, tmp_path):
    """Held-out pictures and those of unseen classes are destroyed; the weights stay the same to the last bit."""
    shutil.copytree(world, tmp_path / "world")
    for picture in (tmp_path / "world" / "pictures").rglob("*.png"):
        if picture.relative_to(tmp_path / "world" / "pictures").as_posix() not in pictures(world).ids:
            picture.write_bytes(b"destroyed")
    again = tune(tmp_path / "world", tmp_path / "tuned")
    assert (again.folder / WEIGHTS).read_bytes() == (tuned.folder / WEIGHTS).read_bytes()


def test_honest_selection_is_the_last_epoch_of_as_many_as_were_best(world, tmp_path):
    chosen = tune(world, tmp_path / "chosen", select="honest", tune_epochs=3, folds=2, tune_rate=1e-3)
    assert len(chosen.folds) == 2
    played = [set(fold.pseudo_unseen) for fold in chosen.folds]
    assert all(len(group) == 2 and group < set(SEEN) for group in played)
    assert not played[0] & played[1]
    assert all(len(fold.scores) == 4 for fold in chosen.folds)
    assert chosen.epochs == best_epoch([fold.scores for fold in chosen.folds])
    assert (tmp_path / "chosen" / "run" / "fold-1" / "best.safetensors").is_file()
    assert (moved(world, chosen.folder) == set()) == (chosen.epochs == 0)
    if chosen.epochs:
        plain = tune(world, tmp_path / "plain", tune_epochs=chosen.epochs, tune_rate=1e-3)
        assert (plain.folder / WEIGHTS).read_bytes() == (chosen.folder / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("scores", "epochs"),
    [([[0.5, 0.5, 0.4]], 0), ([[0.5, 0.7, 0.7]], 1), ([[0.5, 0.9, 0.6], [0.5, 0.1, 0.6]], 2)],
    ids=["no better is none", "the fewest of equals", "the best mean"],
)
def test_the_best_epoch(scores, epochs):
    assert best_epoch(scores) == epochs


JOB = ["tune_epochs=2", *(f"{name}={value}" for name, value in SHORT.items() if name != "tune_epochs")]


def command(world: Path, out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "zeroscene", "finetune", str(world / "pictures"), *JOB, *options,
        "--encoder", str(world / "clip"), "--split", str(world / "split.json"),
        "--classes", str(world / "classes.csv"), "-o", str(out), "--json",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def files(world) -> Path:
    write_json(world / "split.json", Split("small", "1", SEEN, UNSEEN).to_json())
    knowledge_table((*SEEN, *UNSEEN)).write(world / "classes.csv")
    return world


def test_a_killed_command_goes_on_to_the_same_bytes(files, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    whole = subprocess.run(command(files, tmp_path / "whole"), env=environment, check=True, capture_output=True)
    process = subprocess.Popen(command(files, tmp_path / "killed"), env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "killed" / "run" / "all" / "last.safetensors").is_file():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "config.json").is_file()
    again = subprocess.run(command(files, tmp_path / "killed"), env=environment, check=True, capture_output=True)
    for file in (WEIGHTS, "training.json", "split.json", "run/all/last.safetensors"):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    assert json.loads(again.stdout)["terms"] == json.loads(whole.stdout)["terms"]


@pytest.mark.parametrize(
    "options",
    [{}, {"focus": "crop"}, {"behaviour": "published"}],
    ids=["corrected", "crop", "published"],
)
@pytest.mark.parametrize("encoder", ["clip", "vit"])
def test_before_training_it_scores_as_dsva_does_on_cached_grids(world, tmp_path, encoder, options):
    x, table = embeddings(world, world / encoder, tmp_path), knowledge_table((*SEEN, *UNSEEN))
    seen = x.of_classes(SEEN)
    head = DSVA(**{"epochs": 1, "episodes_per_epoch": 5, **options}).fit(TrainingSet(seen, SEEN), table)
    opened = open_trainable(world / encoder)
    student = Student(opened.tower, head, table.select(SEEN), head.options).eval()
    assert student.crops == (options.get("focus") == "crop")
    raw = torch.stack([resize_crop(decode(world / "pictures" / i), opened.geometry) for i in x.ids])
    expected = head.scores(x, table).values
    found = student.scores(raw, table).numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_the_published_double_softmax_begins_near_ln_s_a_branch(world, tmp_path):
    made = tune(world, tmp_path, behaviour="published", epochs=0, tune_epochs=1, tune_episodes=2, tune_rate=1e-6)
    terms = made.terms[0]
    for branch in ("global", "local"):
        assert terms[f"compatibility_{branch}"] == pytest.approx(np.log(len(SEEN)), abs=0.3)


def test_the_last_layers_alone(world, tmp_path):
    made = tune(world, tmp_path, unfreeze=1, tune_epochs=1)
    changed = moved(world, made.folder)
    assert changed
    assert all(".layers.1." in name or "post_layernorm" in name or "projection" in name for name in changed)


def test_each_layer_has_its_rate_and_the_branches_theirs(world, tmp_path):
    opened = open_trainable(world / "clip")
    x = embeddings(world, world / "clip", tmp_path).of_classes(SEEN)
    table = knowledge_table(SEEN)
    head = DSVA(epochs=0).fit(TrainingSet(x, SEEN), table)
    options = FinetuneOptions(tune_rate=1e-3, layer_decay=0.5, tune_head_rate=0.1)
    student = Student(opened.tower, head, table, options)
    rates = [group.rate for group in rate_groups(opened, student, options)]
    assert rates == pytest.approx([1.25e-4, 2.5e-4, 5e-4, 1e-3, 0.1])
    plain = FinetuneOptions(tune_rate=1e-3)
    assert {group.rate for group in rate_groups(opened, student, plain)} == {1e-3}


def test_the_focus_crop_is_looked_at_while_training(world, tmp_path):
    made, whole = (tune(world, tmp_path / focus, focus=focus, tune_epochs=1) for focus in ("crop", "whole"))
    assert np.isfinite(made.terms[0]["loss"])
    assert made.terms[0]["compatibility_global"] != whole.terms[0]["compatibility_global"]


def test_bf16_begins_as_float32_does_and_learns(world, tmp_path, tuned):
    made = tune(world, tmp_path, precision="bf16")
    assert made.terms[0]["loss"] == pytest.approx(tuned.terms[0]["loss"], rel=0.05)
    assert made.terms[1]["loss"] < made.terms[0]["loss"]
    assert {value.dtype for value in load_file(made.folder / WEIGHTS).values()} == {torch.float32}


def test_another_run_in_the_folder_is_refused(world, tuned):
    with pytest.raises(StoreError, match="was begun with other pictures, classes, options or another encoder"):
        tune(world, tuned.folder, tune_rate=1e-5)


def test_a_folder_that_holds_a_model_is_refused(world, tmp_path):
    shutil.copytree(world / "vit", tmp_path / "vit")
    with pytest.raises(StoreError, match="holds a model already; give another folder"):
        tune(world, tmp_path / "vit")


def test_honest_selection_needs_classes_to_choose_on(world, tmp_path):
    few = pictures(world).of_classes(SEEN[:3])
    with pytest.raises(OptionError, match="there are 3 seen classes: set select=last"):
        finetune_world.finetune(
            few, world / "clip", knowledge_table(SEEN), tmp_path, FinetuneOptions(), accelerator="cpu"
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune_epoch": 3}, "unknown option 'tune_epoch'; did you mean tune_epochs"),
        ({"unfreeze": 0}, "unfreeze"),
        ({"unfreeze": "some"}, "unfreeze"),
        ({"layer_decay": 1.5}, "layer_decay"),
        ({"folds": 9}, "folds"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        FinetuneOptions.of(options, "finetune")


def test_more_layers_than_there_are_is_refused(world, tmp_path):
    with pytest.raises(OptionError, match="unfreeze = 7, but clip has 2 layers"):
        tune(world, tmp_path, unfreeze=7)
