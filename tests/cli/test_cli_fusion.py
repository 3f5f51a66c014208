"""`zeroscene fit fusion`: members, their class tables, and a model that answers like any other."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import CLASSES, UNSEEN
from zeroscene.cli.main import app
from zeroscene.methods.registry import load_method
from zeroscene.semantics.views import labels
from zeroscene.serving.model import Model

runner = CliRunner()


def run(*words: object, code: int = 0) -> str:
    done = runner.invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def world(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the small world with the class texts of its encoder."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("fusion") / "world")
    run("classes", "text", "--folder", folder / "pictures", "--encoder", "tiny", "-o", folder / "text.safetensors")
    return folder


@pytest.fixture(scope="module")
def tables(world: Path) -> list[object]:
    return ["-c", f"words={world / 'text.safetensors'}", "-c", f"attributes={world / 'classes.csv'}"]


MEMBERS = ("--with", "prompts:words", "--with", "kernel:attributes,ridge=0.1,kernel=rbf")
SPLIT = "random-7-3-seed0-1"


def test_a_fusion_is_fitted_kept_and_asked_like_any_method(world, tables):
    out = world / "fused"
    words = ["-e", world / "store", *tables, "--split", f"{world / 'splits.json'}:{SPLIT}"]
    said = json.loads(run("fit", "fusion", *MEMBERS, *words, "-o", out, "--json"))
    members = said["choice"]["options"]["members"]
    assert [(m["method"], m["view"]) for m in members] == [("prompts", "words"), ("kernel", "attributes")]
    assert sum(m["weight"] for m in members) == pytest.approx(1)
    assert members[1]["options"]["ridge"] == 0.1
    kept = Model.load(out).table
    assert kept is not None
    assert labels(kept.provenance) == ("words", "attributes")
    assert set(kept.classes) == set(CLASSES)
    assert load_method(out).options.members[1].options["ridge"] == 0.1
    answers = run("predict", out, world / "new-pictures", "--classes", ",".join(UNSEEN), "--json")
    assert any(name in answers for name in UNSEEN)


def test_people_read_the_weights_and_what_they_are_worth(world, tables):
    said = run("fit", "fusion", *MEMBERS, "-e", world / "store", *tables, "-o", world / "told")
    assert re.search(
        r"sum of: 0\.\d prompts on words \(the defaults\) \+ 0\.\d kernel on attributes \(.*ridge = 0\.1", said
    )
    assert "note: weights by AUSUC on seen classes that played unseen" in said


def test_given_weights_are_used(world, tables):
    given = ("--with", "prompts:words,weight=1,scale=0.1", "--with", "kernel:attributes,weight=2,scale=0.2")
    run("fit", "fusion", *given, "--no-select", "-e", world / "store", *tables, "-o", world / "given")
    options = load_method(world / "given").options
    assert [(m.weight, m.scale) for m in options.members] == [(1, 0.1), (2, 0.2)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kernel", "--with", "prompts:words"), "--with names members of a fusion; kernel has none"),
        (("fusion", "--with", "prompt:words"), "nearest: prompts"),
        (("fusion", "--with", "kernel:words,ridges=1"), "did you mean ridge"),
        (("fusion", "--with", "kernel:texts"), "'texts'; known: words, attributes"),
        (("kernel",), "kernel takes one class table; several are views of a fusion"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(world, tables, words, said):
    told = run("fit", *words, "-e", world / "store", *tables, "-o", world / "never", code=2)
    assert said in told
    assert told.count("\n") == 1


def test_several_tables_need_labels(world):
    tables = ("-c", world / "classes.csv", "-c", world / "text.safetensors")
    told = run("fit", "fusion", "-e", world / "store", *tables, "-o", world / "never", code=2)
    assert "LABEL=FILE" in told
