"""`zeroscene explain`: from a fitted model to cards."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from shell import error, run
from typer.testing import CliRunner

from small_world import ENCODER, SEEN
from zeroscene.cli.main import app
from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.scenes.folder import SceneFolder
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import with_prompts

runner = CliRunner()
ASKED = ("--classes", "harbor,lake,river")


@pytest.fixture(scope="module")
def world(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the small world with models: `model` and `global`, which predicts without places, and `kernel`."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("explain") / "world")
    extract(SceneFolder.open(folder / "pictures"), load_image_encoder(ENCODER), folder / "grids", grid=True)
    shutil.copy(folder / "store" / "origin.json", folder / "grids")
    table = ClassTable.read(folder / "classes.csv")
    with_prompts(table, read_vocabulary("synthetic"), load_text_encoder(ENCODER)).write(folder / "told.csv")
    words = ("-e", folder / "grids", "--no-select", *(word for name in SEEN for word in ("--seen", name)))
    run("fit", "dsva", "epochs=0", *words, "-c", folder / "told.csv", "-o", folder / "model")
    run("fit", "dsva", "epochs=0", "predict=global", *words, "-c", folder / "told.csv", "-o", folder / "global")
    run("fit", "kernel", *words, "-c", folder / "told.csv", "-o", folder / "kernel")
    return folder


@pytest.fixture
def pictures(world: Path) -> list[Path]:
    return sorted((world / "new-pictures").rglob("*.png"))


def test_a_picture_gets_a_card_in_each_format(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    told = run("explain", world / "model", pictures[0], *ASKED, "--format", "png,html,json", "-o", tmp_path / "why")
    stem = pictures[0].stem
    assert sorted(p.name for p in (tmp_path / "why").iterdir()) == [f"{stem}.{s}" for s in ("html", "json", "png")]
    value = json.loads((tmp_path / "why" / f"{stem}.json").read_text())
    assert f"{pictures[0].name}: {value['why']}" in told
    assert "1 picture explained" in told
    with Image.open(tmp_path / "why" / f"{stem}.png") as opened:
        assert opened.width == 1200


def test_the_class_and_margin_are_those_of_predict(world: Path, tmp_path: Path) -> None:
    asked = ("--classes", "harbor,lake,river,beach")
    told = json.loads(run("explain", world / "model", world / "new-pictures", *asked, "-o", tmp_path, "--json"))
    labels = json.loads(run("predict", world / "model", world / "new-pictures", *asked, "--json"))
    assert len(told["pictures"]) == 8
    for one, label in zip(told["pictures"], labels["predictions"], strict=True):
        assert (one["picture"], one["class"], one["rather_than"]) == (label["id"], label["class"], label["runner_up"])
        assert one["margin"] == pytest.approx(label["margin"], abs=1e-3)
        assert (tmp_path / one["picture"]).with_suffix(".html").is_file()
    assert not list(tmp_path.glob(".*"))


def test_gamma_is_subtracted_from_seen_classes_and_told(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    words = (world / "model", *pictures[:1], "--classes", "harbor,lake", "--gamma", 50, "--format", "json")
    run("explain", *words, "-o", tmp_path)
    value = json.loads((tmp_path / pictures[0].name).with_suffix(".json").read_text())
    assert (value["class"], value["rather_than"], value["calibration"]) == ("harbor", "lake", 50)


def test_why_not_another_class(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    for against in ("lake", "river"):
        words = (world / "model", *pictures[:2], *ASKED, "--against", against, "--json", "-o", tmp_path)
        for one in json.loads(run("explain", *words))["pictures"]:
            assert one["rather_than"] == against or one["class"] == against
    assert "'harbur' (nearest: harbor)" in error("explain", *words[:-3], "--against", "harbur", "-o", tmp_path)


def test_faithfulness_is_measured_and_kept(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    words = (world / "model", pictures[0], *ASKED, "--faithfulness", "--format", "json", "-o", tmp_path)
    assert "faithfulness over random orders: deletion" in run("explain", *words)
    worth = json.loads((tmp_path / "faithfulness.json").read_text())
    one = json.loads((tmp_path / pictures[0].name).with_suffix(".json").read_text())["faithfulness"]
    assert worth["pictures"] == 1
    assert worth["deletion_gain"]["mean"] == one["deletion_gain"]


def test_a_class_has_a_card_of_its_own_without_pictures(world: Path, tmp_path: Path) -> None:
    words = ("--class", "tennis_court", "--class", "solar panel", "--format", "png,html,json", "-o", tmp_path, "--json")
    told = json.loads(run("explain", world / "model", *words))
    assert [one["class"] for one in told["classes"]] == ["tennis_court", "solar panel"]
    assert {p.name for p in tmp_path.iterdir()} == {
        f"class-{name}.{form}" for name in ("tennis-court", "solar-panel") for form in ("png", "html", "json")
    }


def test_pictures_of_one_name_do_not_share_a_card(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.jpg", "b.png"):
        Image.open(pictures[0]).save(tmp_path / "in" / name)
    run("explain", world / "model", tmp_path / "in", *ASKED, "--format", "json", "-o", tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jpg.json", "a.png.json", "b.json"]


def test_unreadable_pictures_are_listed_and_skipped(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"")
    words = ("explain", world / "model", pictures[0], tmp_path / "broken.jpg", *ASKED, "-o", tmp_path / "out")
    done = runner.invoke(app, [str(word) for word in (*words, "--json")])
    value = json.loads(done.stdout)
    assert (len(value["pictures"]), value["skipped"][0]["reason"]) == (1, "the file is empty (0 bytes)")
    assert "broken.jpg: the file is empty" in done.stderr


def test_what_a_user_can_get_wrong_is_one_line(world: Path, pictures: list[Path], tmp_path: Path) -> None:
    model, out = world / "model", ("-o", tmp_path / "out")
    assert "no picture or folder" in error("explain", model, tmp_path / "none.png", *out)
    assert "keeps no pictures" in error("explain", model, world / "grids", *out)
    assert "give pictures, or a class" in error("explain", model, *out)
    assert "not one of html, png, json" in error("explain", model, pictures[0], "--format", "pdf", *out)
    assert "'fairyland'" in error("explain", model, pictures[0], "--classes", "fairyland", *out)
    assert "'fairyland'" in error("explain", model, "--class", "fairyland", *out)
    worth = (pictures[0], *ASKED, "--faithfulness", *out)
    assert "does not predict by the places of a picture" in error("explain", world / "global", *worth)
    assert "can be explained: dsva" in error("explain", world / "kernel", pictures[0], *ASKED, *out)
    over = ("--format", "png", "-o", world / "new-pictures")
    assert "would overwrite the picture" in error("explain", model, world / "new-pictures", *ASKED, *over)
    assert not (tmp_path / "out").exists()
