"""`zeroscene classes bank` and the commands that edit the classes of a model, as a user meets them."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from shell import error, invoke, run
from shell import value as told

from small_world import ENCODER
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.reading import read_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import join, view


@pytest.fixture(scope="module")
def fitted(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model of the knowledge base's attributes, and one of attributes annotated by `tiny`."""
    folder = tmp_path_factory.mktemp("banks")
    run(
        "fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", "-o", folder / "model", "--no-select"
    )
    words = ("--vocabulary", "synthetic", "--texts", "attributes", "--embeddings", prepared / "store")
    classes = ("beach", "desert", "freeway", "lake", "parking_lot", "river", "sea")
    run("annotate", *classes, "--encoder", ENCODER, *words, "-o", folder / "annotated.csv")
    seen = [word for name in classes for word in ("--seen", name)]
    fit = ("fit", "eszsl", "-e", prepared / "store", "-c", folder / "annotated.csv", *seen, "--no-select")
    run(*fit, "-o", folder / "rsmm")
    return folder


@pytest.fixture
def model(fitted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted / "model", tmp_path / "model")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bank of words that was begun by its first class."""
    bank = tmp_path_factory.mktemp("words") / "words.bank"
    assert told("classes", "add", "lake", "desert", "--encoder", ENCODER, "--to", bank)["made"] == ["lake", "desert"]
    return bank


def scores(model: Path, store: Path, *classes: str) -> dict[str, tuple[str, str, str]]:
    rows = csv.DictReader(io.StringIO(run("predict", model, store, "--classes", ",".join(classes), "--gamma", 0)))
    return {row["id"]: (row["class"], row["score"], row["runner_up"]) for row in rows}


class TestModel:
    def test_a_class_by_attributes_is_there_at_once_and_touches_no_weight(self, model: Path, prepared: Path) -> None:
        weights = (model / "method.safetensors").read_bytes(), (model / "method.json").read_bytes()
        before = scores(model, prepared / "store", "lake", "sea", "desert")
        said = run("classes", "add", "solar plant", "--attributes", "solar_modules=1, bare_soil=0.4", "--to", model)
        assert said.splitlines()[1] == "  solar plant: solar_modules 1, bare_soil 0.4"
        assert ((model / "method.safetensors").read_bytes(), (model / "method.json").read_bytes()) == weights
        assert scores(model, prepared / "store", "lake", "sea", "desert") == before
        assert {one for one, _, _ in scores(model, prepared / "store", "solar plant").values()} == {"solar plant"}

    def test_adding_and_removing_restores_the_file_byte_for_byte(self, model: Path) -> None:
        data = (model / "classes.bank").read_bytes()
        run("classes", "add", "harbor", "solar farm", "--to", model)
        run("classes", "remove", "Solar_Farm", "HARBOR", "--from", model)
        assert (model / "classes.bank").read_bytes() == data
        versions = told("classes", "history", model)
        assert [one["what"] for one in versions] == [
            "fitted with 10 classes", "added harbor, solar farm", "removed Solar_Farm, HARBOR",
        ]  # fmt: skip
        assert [one["by"] for one in versions] == ["zeroscene fit", "zeroscene classes add", "zeroscene classes remove"]

    def test_a_version_comes_back(self, model: Path) -> None:
        first = told("classes", "list", model)["version"]
        run("classes", "rename", "sea", "ocean", "--in", model)
        assert (
            "ocean" in told("classes", "restore", told("classes", "list", model)["version"], "--in", model)["classes"]
        )
        assert "ocean" not in told("classes", "restore", first[:8], "--in", model)["classes"]
        assert "no version 'nothing'" in error("classes", "restore", "nothing", "--in", model)

    def test_a_spreadsheet_brings_several_classes(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "mine.csv").write_text("class,Solar modules,lawn\nsolar farm,1,0.4\ngolf course,0,1\n")
        assert told("classes", "add", "--table", tmp_path / "mine.csv", "--to", model)["made"] == [
            "solar farm", "golf course",
        ]  # fmt: skip
        (tmp_path / "mine.csv").write_text("class,Solar module,lawn\nx,1,0.4\n")
        assert "'Solar module' (nearest: solar_modules" in error(
            "classes", "add", "--table", tmp_path / "mine.csv", "--to", model
        )

    def test_attributes_change_one_by_one(self, model: Path) -> None:
        run("classes", "describe", "lake", "--attributes", "small_boats=0.8", "--in", model)
        held = ClassBank.read(model / "classes.bank")
        row = dict(zip(held.recipe.columns, held.entry("lake").vector, strict=True))
        assert row["small_boats"] == np.float32(0.8)
        assert row["nature"] > 0

    def test_a_fit_into_the_same_folder_keeps_what_was_there_in_the_history(self, model: Path, prepared: Path) -> None:
        version = told("classes", "add", "harbor", "--to", model)["version"]
        words = ("fit", "kernel", "-e", prepared / "store", "-c", prepared / "classes.csv", "--no-select", "-o", model)
        assert f"note: {model} held a model of 11 classes, which this one replaces" in invoke(*words).stderr
        assert len(told("classes", "list", model)["classes"]) == 10
        assert "harbor" in told("classes", "restore", version[:10], "--in", model)["classes"]

    def test_a_bank_of_another_kind_is_refused_and_both_are_named(
        self, model: Path, prepared: Path, words: Path
    ) -> None:
        shutil.copyfile(words, model / "classes.bank")
        asked = ("predict", model, prepared / "store", "--classes", "lake")
        for said in (error(*asked), error("classes", "add", "sea", "--to", model)):
            assert "the bank is of source 'text' (encoder 'tiny'" in said
            assert "fitted with class vectors of source 'knowledge'" in said

    def test_a_bank_changed_by_hand_is_refused_with_the_way_back(self, model: Path) -> None:
        good = told("classes", "list", model)["version"]
        bank = model / "classes.bank"
        bank.write_bytes(bank.read_bytes().replace(b'"sea"', b'"see"'))
        assert "changed by hand" in error("classes", "list", model)
        run("classes", "restore", good, "--in", model)
        assert (model / "classes.bank.damaged").is_file()

    def test_the_bank_is_a_class_table_wherever_one_is_read(self, model: Path, prepared: Path) -> None:
        assert "10 classes" in run("classes", "show", model / "classes.bank")
        assert "no problems found" in run("classes", "check", model / "classes.bank", "--against", prepared / "store")


class TestAnnotated:
    """A model of attributes that an image-text model annotated takes a class by its words, through the same model."""

    @pytest.fixture
    def rsmm(self, fitted: Path, tmp_path: Path) -> Path:
        return shutil.copytree(fitted / "rsmm", tmp_path / "rsmm")

    def test_a_class_by_its_words(self, rsmm: Path, prepared: Path) -> None:
        run("classes", "add", "oasis", "--describe", "clear water, sand, trees", "--to", rsmm)
        held = ClassBank.read(rsmm / "classes.bank")
        row = dict(zip(held.recipe.columns, held.entry("oasis").vector, strict=True))
        assert row["sand"] > np.mean([one.vector[held.recipe.columns.index("sand")] for one in held.entries])
        assert held.table.provenance["described"] == ["oasis"]
        assert "oasis" in {one for one, _, _ in scores(rsmm, prepared / "store", "oasis").values()}

    def test_a_class_by_a_name_that_the_knowledge_base_knows(self, rsmm: Path) -> None:
        made = invoke("classes", "add", "harbor", "--to", rsmm, "--json")
        assert json.loads(made.stdout)["made"] == ["harbor"]
        assert ClassBank.read(rsmm / "classes.bank").entry("harbor").texts[0].startswith("boats")

    def test_a_class_by_attributes(self, rsmm: Path) -> None:
        run("classes", "add", "marina", "--attributes", "small_boats=1", "--to", rsmm)


class TestWords:
    @pytest.fixture
    def bank(self, words: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(words.parent, tmp_path / "own")) / words.name

    def test_several_texts_make_one_class(self, bank: Path) -> None:
        run("classes", "add", "solar farm", "--describe", "rows of blue rectangles", "--describe", "lawn", "--to", bank)
        listed = told("classes", "list", bank)["classes"]
        assert listed[-1]["texts"] == ["rows of blue rectangles", "lawn"]
        run("classes", "describe", "Solar Farm", "rows of rectangles", "--in", bank)
        assert told("classes", "list", bank)["classes"][-1]["texts"] == ["rows of rectangles"]

    def test_describing_with_the_same_words_is_no_edit(self, bank: Path) -> None:
        (texts,) = ClassBank.read(bank).entry("lake").texts
        before = told("classes", "history", bank)
        run("classes", "describe", "lake", texts, "--in", bank)
        assert told("classes", "history", bank) == before

    def test_near_identical_descriptions_are_told_with_the_cosine(self, bank: Path) -> None:
        texts = ClassBank.read(bank).entry("lake").texts
        made = invoke("classes", "add", "pond", "--describe", texts[0], "--to", bank)
        assert "warning: 'lake' and 'pond' are hard to tell apart (cosine 1.000)" in made.stderr

    def test_the_place_of_the_encoder_is_noted_beside_the_bank_and_asked_for_where_it_is_not(
        self, bank: Path, tmp_path: Path
    ) -> None:
        alone = tmp_path / "alone.bank"
        shutil.copyfile(bank, alone)
        assert told("classes", "add", "sea", "--to", alone)["made"] == ["sea"]  # the encoder that ships is always there
        other = alone.read_bytes()
        assert json.loads((bank.parent / "words.bank.encoder").read_text())["encoder"] == ENCODER
        assert b"words.bank" not in other

    def test_words_that_the_encoder_does_not_know(self, bank: Path) -> None:
        assert "tiny does not know the word" in error("classes", "add", "x", "--describe", "zeppelin", "--to", bank)

    def test_a_text_longer_than_the_encoder_reads(self, bank: Path) -> None:
        said = error("classes", "add", "x", "--describe", "lawn " * 400, "--to", bank)
        assert "tiny" in said
        assert "tokens" in said


class TestBank:
    def test_a_bank_of_a_table_is_that_table(self, prepared: Path, tmp_path: Path) -> None:
        run("classes", "bank", prepared / "classes.csv", "-o", tmp_path / "c.bank")
        table = ClassTable.read(prepared / "classes.csv")
        assert read_table(tmp_path / "c.bank").fingerprint == table.fingerprint

    def test_a_bank_of_names_of_the_knowledge_base(self, tmp_path: Path) -> None:
        run("classes", "bank", "crossroads", "forest", "-o", tmp_path / "c.bank")
        assert "intersection" in told("classes", "list", tmp_path / "c.bank")["classes"][0]["meant"]

    def test_another_encoder_is_refused_and_both_are_named(self, tmp_path: Path) -> None:
        from tiny_models import save_sentence_encoder

        folder = save_sentence_encoder(tmp_path / "sentences")
        run("classes", "bank", "lake", "--encoder", ENCODER, "-o", tmp_path / "c.bank")
        said = error("classes", "add", "x", "--describe", "a lake", "--encoder", folder, "--to", tmp_path / "c.bank")
        assert "was made for text encoder 'tiny'" in said
        assert f"is {folder.name!r}" in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("add", "Lake", "--to", "BANK"), "class 'Lake' is in the bank already, spelled 'lake'"),
            (("add", "x", "--to", "BANK"), "unknown classes in the knowledge base: 'x'; give its attributes"),
            (
                ("add", "x", "--describe", "y", "--to", "BANK"),
                "no words lead to a bank of source 'knowledge'; describing (--describe)",
            ),
            (("add", "x", "--attributes", "solar_module=1", "--to", "BANK"), "'solar_module' (nearest: solar_modules"),
            (("add", "x", "--attributes", "cars=2", "--to", "BANK"), "is 2.0; give a number from 0 to 1"),
            (("add", "x", "--attributes", "cars=many", "--to", "BANK"), "'cars' is 'many'; give a number"),
            (("add", "x", "--attributes", "cars", "--to", "BANK"), "'cars' is not NAME=VALUE"),
            (("add", "x", "--attributes", "cars=1,cars=1", "--to", "BANK"), "'cars' stands twice"),
            (("add", "x", "y", "--attributes", "cars=1", "--to", "BANK"), "say what one class is; 2 are named"),
            (("add", "x", "--attributes", "cars=1", "--describe", "y", "--to", "BANK"), "(--describe), not both"),
            (("add", "--to", "BANK"), "no classes: name them"),
            (("rename", "lake", "none of these", "--in", "BANK"), "name of pictures that show no class"),
            (("add", "None of These", "--encoder", "tiny", "--describe", "lawn", "--to", "n.bank"), "show no class"),
            (("describe", "lake", "--in", "BANK"), "say what 'lake' looks like"),
            (
                ("describe", "pond", "--attributes", "cars=1", "--in", "BANK"),
                "unknown classes in the class bank: 'pond'",
            ),
            (("remove", "lakes", "--from", "BANK"), "'lakes' (nearest: lake)"),
            (("rename", "lake", "River", "--in", "BANK"), "class 'River' is in the bank already, spelled 'river'"),
            (("add", "x", "--to", "absent.bank"), "no such class bank: absent.bank; make one with"),
            (("list", "nowhere.csv"), "neither the folder of a model nor a class bank"),
            (("list", "."), "holds no fitted method"),
            (("bank", "lake", "--texts", "names", "-o", "n.bank"), "need a text encoder"),
        ],
    )
    def test_bad_input_is_one_line(self, words, said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        run("classes", "bank", "lake", "river", "-o", "BANK.bank")
        found = error("classes", *("BANK.bank" if word == "BANK" else word for word in words))
        assert any(part in found for part in said.split("|"))

    def test_two_who_begin_a_bank_at_once_are_both_in_it(self, tmp_path: Path) -> None:
        words = (sys.executable, "-m", "zeroscene", "classes", "add")
        begun = [
            subprocess.Popen(
                [*words, name, "--encoder", "tiny", "--to", tmp_path / "w.bank"], stdout=subprocess.PIPE, text=True
            )
            for name in ("lake", "river")
        ]
        said = [one.communicate()[0] for one in begun]
        assert [one.returncode for one in begun] == [0, 0]
        assert sorted(ClassBank.read(tmp_path / "w.bank").classes) == ["lake", "river"]
        assert sum(one.startswith("new bank with") for one in said) == 1
        assert sum(one.startswith("added") for one in said) == 1

    def test_a_class_of_several_views_keeps_those_that_are_not_described(self, words: Path, tmp_path: Path) -> None:
        views = {"words": ClassBank.read(words).table, "attributes": knowledge_table(["lake", "desert"])}
        join(views).write(tmp_path / "fused.safetensors")
        fused = tmp_path / "fused.bank"
        run("classes", "bank", tmp_path / "fused.safetensors", "-o", fused)
        given = ("--attributes", "solar_modules=1,bare_soil=0.4", "--describe", "rows of blue rectangles")
        run("classes", "add", "solar panel", *given, "--to", fused)
        run("classes", "describe", "solar panel", "many rectangles", "--in", fused)
        run("classes", "describe", "solar panel", "--attributes", "bare_soil=0.8", "--in", fused)
        held = ClassBank.read(fused)
        shown = view(held.table, "attributes")
        row = {shown.columns[i]: value for i, value in enumerate(shown.row("solar panel")) if value}
        assert row == {"solar_modules": 1, "bare_soil": np.float32(0.8)}
        assert held.entry("solar panel").texts == ("many rectangles",)

    def test_an_empty_bank_says_so(self, tmp_path: Path) -> None:
        bank = tmp_path / "c.bank"
        run("classes", "bank", "lake", "-o", bank)
        run("classes", "remove", "lake", "--from", bank)
        assert "no classes; add one" in run("classes", "list", bank)
        assert told("classes", "add", "river", "--to", bank)["classes"] == ["river"]

    def test_a_missing_history_is_told(self, tmp_path: Path) -> None:
        run("classes", "bank", "lake", "-o", tmp_path / "c.bank")
        (tmp_path / "c.bank.history").unlink()
        assert "has no history" in error("classes", "history", tmp_path / "c.bank")
