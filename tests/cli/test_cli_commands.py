"""The way of the data through the commands, on the small world: from embed to report."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from shell import error, run

from small_world import CLASSES, ENCODER, SEEN, UNSEEN, data_set, save, scene
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.methods.registry import load_method
from zeroscene.scenes.split_files import read_splits
from zeroscene.scenes.splits import random_splits
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.sources import open_image_encoder


@pytest.fixture(scope="module")
def world(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the small world for the models and results of this file."""
    return shutil.copytree(prepared, tmp_path_factory.mktemp("commands") / "world")


@pytest.fixture(scope="module")
def model(world: Path) -> Path:
    """Return a model fitted on the seen classes."""
    seen = [word for name in SEEN for word in ("--seen", name)]
    run("fit", "kernel", "-e", world / "store", "-c", world / "classes.csv", *seen, "-o", world / "model")
    return world / "model"


@pytest.fixture(scope="module")
def results(world: Path) -> Path:
    """Return the results of a small benchmark."""
    words = ("-e", f"eye={world / 'store'}", "-c", world / "classes.csv", "--splits", world / "splits.json")
    run("benchmark", *words, "--methods", "kernel,eszsl", "-o", world / "results")
    return world / "results"


def labels(file: Path) -> dict[str, str]:
    with file.open(newline="") as f:
        return {row["id"]: row["class"] for row in csv.DictReader(f)}


class TestEmbed:
    def test_says_how_many_and_lists_what_it_skipped(self, world: Path, tmp_path: Path) -> None:
        pictures = shutil.copytree(world / "pictures", tmp_path / "pictures")
        (pictures / "lake" / "broken.jpg").write_bytes(b"")
        told = json.loads(run("embed", pictures, "--encoder", ENCODER, "-o", tmp_path / "s", "--json"))
        assert told["pictures"] == told["embedded_now"] == 60
        assert told["skipped"] == [{"id": "lake/broken.jpg", "reason": "the file is empty (0 bytes)"}]

    def test_the_store_is_that_of_the_library(self, world: Path, tmp_path: Path) -> None:
        run("embed", world / "pictures", "--encoder", ENCODER, "-o", tmp_path / "s")
        parts = {p.name: p.read_bytes() for p in (world / "store").glob("*.parquet")}
        assert {p.name: p.read_bytes() for p in (tmp_path / "s").glob("*.parquet")} == parts

    def test_the_same_command_again_does_nothing(self, world: Path) -> None:
        run("embed", world / "pictures", "--encoder", ENCODER, "-o", world / "store")
        before = {p.name: p.read_bytes() for p in (world / "store").iterdir()}
        told = run("embed", world / "pictures", "--encoder", ENCODER, "-o", world / "store")
        assert "nothing was left to do" in told
        assert {p.name: p.read_bytes() for p in (world / "store").iterdir()} == before

    def test_a_model_fitted_on_turned_pictures_turns_new_ones_too(self, world: Path, tmp_path: Path) -> None:
        run("embed", world / "pictures", "--encoder", ENCODER, "--rotations", "-o", tmp_path / "s")
        run("fit", "kernel", "-e", tmp_path / "s", "-c", world / "classes.csv", "--no-select", "-o", tmp_path / "m")
        words = ("--classes", ",".join(SEEN), "-o")
        run("predict", tmp_path / "m", tmp_path / "s", *words, tmp_path / "kept.csv")
        run("predict", tmp_path / "m", world / "pictures", *words, tmp_path / "anew.csv")
        assert labels(tmp_path / "kept.csv") == labels(tmp_path / "anew.csv")
        assert "rotations" in error("predict", tmp_path / "m", world / "store", *words, tmp_path / "no.csv")

    def test_grids_are_kept_in_as_many_views_as_asked_for(self, world: Path, tmp_path: Path) -> None:
        words = (
            "embed",
            world / "pictures" / "sea",
            "--encoder",
            ENCODER,
            "--grid",
            "--views",
            2,
            "-o",
            tmp_path / "s",
        )
        told = run(*words)
        size = (tmp_path / "s" / "part-00000.grid.npy").stat().st_size
        assert f"grids: {size / 1e3:,.0f} kB in 1 file\n" in told
        grids = EmbeddingStore.open(tmp_path / "s").read(grids=True).grids
        again = json.loads(run(*words, "--json"))
        assert again["grids"] == {"shape": list(grids.shape), "views": 2, "bytes": size, "files": 1}
        assert grids.views == 2
        assert json.loads(run(*words[:4], "-o", tmp_path / "none", "--json"))["grids"] is None

    def test_views_without_grids_are_refused(self, world: Path, tmp_path: Path) -> None:
        said = error("embed", world / "pictures", "--encoder", ENCODER, "--views", 4, "-o", tmp_path / "s")
        assert "4 views need the token grids to be kept (--grid" in said
        assert not (tmp_path / "s").exists()

    def test_pictures_without_class_folders_get_no_labels(self, world: Path, tmp_path: Path) -> None:
        told = run("embed", world / "pictures" / "sea", "--encoder", ENCODER, "-o", tmp_path / "s")
        assert "6 pictures, without labels" in told

    def test_an_unknown_choice_lists_the_known(self, world: Path, tmp_path: Path) -> None:
        words = ("embed", world / "pictures", "--encoder", ENCODER, "-o", tmp_path / "s", "--precision", "fp8")
        assert error(*words) == "error: --precision 'fp8' is not one of auto, fp32, bf16\n"

    def test_an_encoder_that_is_nowhere(self, world: Path, tmp_path: Path) -> None:
        said = error("embed", world / "pictures", "--encoder", tmp_path / "absent", "-o", tmp_path / "s")
        assert "absent" in said


class TestClasses:
    def test_knowledge_equals_the_library(self, world: Path, tmp_path: Path) -> None:
        run("classes", "knowledge", "--folder", world / "pictures", "-o", tmp_path / "t.csv")
        assert ClassTable.read(tmp_path / "t.csv").fingerprint == knowledge_table(sorted(CLASSES)).fingerprint

    def test_names_from_a_file_and_words(self, tmp_path: Path) -> None:
        (tmp_path / "names.txt").write_text("# mine\nforest\n\n river \n")
        run("classes", "knowledge", f"@{tmp_path / 'names.txt'}", "sea", "-o", tmp_path / "t.csv")
        assert ClassTable.read(tmp_path / "t.csv").classes == ("forest", "river", "sea")

    def test_no_names_at_all(self, tmp_path: Path) -> None:
        assert "no classes: name them" in error("classes", "knowledge", "-o", tmp_path / "t.csv")

    def test_show_names_the_strongest_attributes(self, world: Path) -> None:
        told = run("classes", "show", world / "classes.csv")
        lake = next(line for line in told.splitlines() if line.startswith("lake"))
        assert "water" in lake

    def test_check_names_the_class_without_a_row(self, world: Path, tmp_path: Path) -> None:
        run("classes", "knowledge", "lake", "sea", "harbor", "-o", tmp_path / "t.csv")
        told = json.loads(run("classes", "check", tmp_path / "t.csv", "--against", world / "store", "--json", code=1))
        missing = {p.split("'")[1] for p in told["problems"] if p.startswith("no row")}
        assert missing == set(CLASSES) - {"lake", "sea"}
        assert told["extra"] == ["harbor"]

    def test_check_finds_rows_that_are_alike_and_columns_that_tell_nothing(self, tmp_path: Path) -> None:
        data_set(tmp_path / "p", ("lake", "sea"), each=1)
        (tmp_path / "t.csv").write_text("class,wet,blue\nlake,1,0.5\nsea,1,0.5\n")
        told = run("classes", "check", tmp_path / "t.csv", "--against", tmp_path / "p", code=1)
        assert "'lake' and 'sea' have the same vector" in told
        assert "the same for every class here, which tells nothing: wet, blue" in told


class TestSplit:
    def test_random_equals_the_library(self, world: Path, tmp_path: Path) -> None:
        words = ("--folder", world / "pictures", "--unseen", 3, "--count", 2)
        run("split", "random", *words, "-o", tmp_path / "splits.json")
        made, expected = read_splits(tmp_path / "splits.json"), random_splits("pictures", sorted(CLASSES), 3, 2)
        assert made == list(expected)

    def test_show(self, world: Path) -> None:
        told = json.loads(run("split", "show", world / "splits.json", "--json"))
        assert [len(split["unseen"]) for split in told] == [3, 3]

    def test_standard(self, tmp_path: Path) -> None:
        told = run("split", "standard", "ucmerced", "16/5", "--count", 3, "-o", tmp_path / "s.json")
        assert told == f"3 splits of 16 seen and 5 unseen: {tmp_path / 's.json'}\n"

    def test_a_ratio_nobody_uses(self, tmp_path: Path) -> None:
        assert "16/5" in error("split", "standard", "ucmerced", "3/18", "-o", tmp_path / "s.json")


class TestFit:
    def test_keeps_what_predict_needs(self, model: Path) -> None:
        kept = {file.name for file in model.iterdir()}
        bank = {"classes.bank", "classes.bank.history"}
        assert kept == {
            "method.safetensors",
            "method.json",
            "card.md",
            "selection.json",
            "confidence.json",
            "origin.json",
            *bank,
        }
        choice = json.loads((model / "selection.json").read_text())
        assert choice["selection"] == "honest"
        assert len(choice["candidates"]) > 1

    def test_a_split_leaves_its_unseen_classes_out(self, world: Path, tmp_path: Path) -> None:
        first = json.loads((world / "splits.json").read_text())["splits"][0]
        words = ("fit", "eszsl", "-e", world / "store", "-c", world / "classes.csv", "--json", "-o", tmp_path / "m")
        told = json.loads(run(*words, "--split", f"{world / 'splits.json'}:{first['name']}"))
        assert set(told["seen"]) == set(first["seen"])
        assert "holds 2 splits; say which" in error(*words, "--split", world / "splits.json")

    def test_given_options_are_kept_and_not_chosen(self, world: Path, tmp_path: Path) -> None:
        words = ("-e", world / "store", "-c", world / "classes.csv", "-o", tmp_path / "m", "--no-select", "--json")
        told = json.loads(run("fit", "eszsl", "log_gamma=1", *words))
        assert told["choice"]["options"] == {"log_gamma": 1}
        assert told["choice"]["candidates"] == []

    def test_a_mistyped_option_or_method_is_told_the_nearest(self, world: Path, tmp_path: Path) -> None:
        words = ("-e", world / "store", "-c", world / "classes.csv", "-o", tmp_path / "m")
        assert "did you mean log_gamma" in error("fit", "eszsl", "loggamma=1", *words)
        assert "nearest: kernel" in error("fit", "kernal", *words)


class TestPredict:
    def test_labels_a_flat_folder_with_classes_that_were_never_seen(self, model: Path, tmp_path: Path) -> None:
        drawn = {f"{i}.png": scene(name, 100 + i) for i, name in enumerate((*UNSEEN, "lake") * 2)}
        for file, picture in drawn.items():
            save(tmp_path / "new" / file, picture)
        run("predict", model, tmp_path / "new", "--classes", ", ".join(UNSEEN), "-o", tmp_path / "labels.csv")
        encoder = open_image_encoder(ENCODER)
        x = encoder.encode(torch.stack([encoder.prepare(picture) for picture in drawn.values()])).pooled_BD.numpy()
        classes = knowledge_table(UNSEEN)
        scores = load_method(model).scores(Embeddings(tuple(drawn), x, encoder.identity), classes)
        expected = {file: classes.classes[best] for file, best in zip(drawn, scores.best(), strict=True)}
        assert labels(tmp_path / "labels.csv") == expected
        assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []

    def test_a_class_that_the_table_lacks_comes_from_the_knowledge_base(self, model: Path, world: Path) -> None:
        told = json.loads(run("predict", model, world / "store", "--classes", "Harbour,golf_course", "--json"))
        assert told["classes"] == ["Harbour", "golf_course"]
        assert len(told["predictions"]) == 60

    def test_names_follow_the_edited_table(self, world: Path, tmp_path: Path) -> None:
        lines = (world / "classes.csv").read_text().splitlines()
        lake = next(line for line in lines if line.startswith("lake,"))
        (tmp_path / "mine.csv").write_text("\n".join([*lines, lake.replace("lake", "my pond", 1)]) + "\n")
        run("fit", "eszsl", "-e", world / "store", "-c", tmp_path / "mine.csv", "-o", tmp_path / "m", "--no-select")
        told = json.loads(run("predict", tmp_path / "m", world / "store", "--classes", "my pond, desert", "--json"))
        said = {one["id"]: one["class"] for one in told["predictions"]}
        assert {said[i] for i in said if i.startswith("lake/")} == {"my pond"}

    def test_gamma_only_where_seen_and_new_classes_meet(self, model: Path, world: Path) -> None:
        def asked(classes: str, *more: object) -> dict:
            return json.loads(run("predict", model, world / "store", "--classes", classes, "--json", *more))

        chosen = json.loads((model / "selection.json").read_text())["gamma"]
        assert asked("river, sea")["gamma"] == asked("lake, desert")["gamma"] == 0
        assert asked("river, lake")["gamma"] == chosen
        assert asked("river, lake", "--gamma", 1e6)["predictions"][0]["class"] == "river"
        assert asked("river, lake", "--gamma", -1e6)["predictions"][0]["class"] == "lake"

    def test_bad_pictures_are_listed_beside_the_labels(self, model: Path, tmp_path: Path) -> None:
        save(tmp_path / "new" / "good.png", scene("sea", 50))
        (tmp_path / "new" / "bad.jpg").write_text("not a picture")
        run("predict", model, tmp_path / "new", "--classes", "river,sea", "-o", tmp_path / "labels.csv")
        assert list(labels(tmp_path / "labels.csv")) == ["good.png"]
        assert (tmp_path / "labels.skipped.csv").read_text().splitlines()[1].startswith("bad.jpg,")

    def test_csv_on_stdout_without_a_file(self, model: Path, world: Path) -> None:
        told = run("predict", model, world / "store", "--classes", "beach")
        assert told.splitlines()[0] == "id,class,probability,score,margin,runner_up"
        assert len(told.splitlines()) == 61

    def test_an_encoder_that_moved_is_asked_for(self, model: Path, world: Path, tmp_path: Path) -> None:
        shutil.copytree(model, tmp_path / "m")
        origin = json.loads((model / "origin.json").read_text())
        (tmp_path / "m" / "origin.json").write_text(json.dumps({**origin, "encoder": str(tmp_path / "gone")}))
        words = ("predict", tmp_path / "m", world / "pictures", "--classes", "beach")
        assert f"was in {tmp_path / 'gone'} and is not there any more" in error(*words)
        assert len(run(*words, "--encoder", ENCODER).splitlines()) == 61
        (tmp_path / "m" / "origin.json").unlink()
        assert "does not say where its encoder 'tiny' is" in error(*words)

    def test_an_interrupted_embedding_is_kept_and_continued(self, model: Path, world: Path, tmp_path: Path) -> None:
        hidden = tmp_path / ".labels.csv.embeddings"
        run("embed", world / "pictures" / "sea", "--encoder", ENCODER, "-o", hidden)
        words = ("predict", model, world / "pictures", "--classes", "beach", "-o", tmp_path / "labels.csv")
        run(*words)
        assert len(labels(tmp_path / "labels.csv")) == 60
        assert not hidden.exists()


class TestBenchmark:
    def test_the_table_is_printed_again_from_what_is_kept(self, world: Path, results: Path) -> None:
        before = (results / "results.json").read_bytes()
        words = ("-e", f"eye={world / 'store'}", "-c", world / "classes.csv", "--splits", world / "splits.json")
        told = run("benchmark", *words, "--methods", "kernel,eszsl", "-o", results)
        rows = [line.split()[:3] for line in told.splitlines() if line.startswith(("kernel", "eszsl"))]
        assert rows == [["kernel", "classes", "eye"], ["eszsl", "classes", "eye"]]
        assert (results / "results.json").read_bytes() == before

    def test_the_report_shows_pictures_without_being_told_where(self, results: Path) -> None:
        told = run("report", results)
        assert told == f"report: {results / 'report.html'}\n"
        assert "data:image/jpeg;base64," in (results / "report.html").read_text()

    def test_parts_that_are_missing_are_named(self, world: Path, tmp_path: Path) -> None:
        said = error("benchmark", "-e", world / "store", "-o", tmp_path / "r")
        assert said == "error: give a plan, or all its parts; missing: --classes, --splits, --methods\n"

    def test_a_plan_and_parts_contradict(self, tmp_path: Path) -> None:
        assert "--methods: say it in" in error("benchmark", "plan.yaml", "--methods", "eszsl", "-o", tmp_path / "r")


class TestDoctor:
    def test_json_only(self) -> None:
        told = json.loads(run("doctor", "--json"))
        assert told["problems"] == []
        assert told["encoder"]["identity"]["name"] == "tiny"
        assert told["encoder"]["width"] == open_image_encoder(ENCODER).width

    def test_an_encoder_that_cannot_be_loaded_is_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "eye").mkdir()
        assert "is not a model in the Hugging Face layout" in run("doctor", "--encoder", tmp_path / "eye", code=1)

    def test_a_data_set_that_lacks_things(self, world: Path) -> None:
        told = run("doctor", "--folder", world / "pictures", "--dataset", "ucmerced", code=1)
        assert "class 'airplane': missing" in told
        assert "class 'freeway': 6 of 100 pictures" in told
