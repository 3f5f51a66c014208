"""The demo, at miniature scale: offline, every printed command works as printed, an interrupted run goes on."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zeroscene.cli import demo
from zeroscene.cli.main import app
from zeroscene.evaluation.results import BenchmarkResult
from zeroscene.methods.registry import any_table_names

SMALL = demo.Scale(("beach", "desert", "freeway", "harbor", "lake", "parking lot"), each=5, unseen=2, splits=1, new=2)

# Python runs this file at the start of every process, those of the benchmark included. What a library makes of the
# error does not matter: the attempt is noted.
GUARD = """
import os, socket

def refuse(*what, **more):
    with open(os.environ["ATTEMPTS"], "a") as attempts:
        print(*what, file=attempts)
    raise OSError("no network in this test")

def local_only(method):
    real = getattr(socket.socket, method)
    def guarded(self, *given):
        return real(self, *given) if self.family == socket.AF_UNIX else refuse(method, *given)
    setattr(socket.socket, method, guarded)

for method in ("connect", "connect_ex", "sendto"):
    local_only(method)
socket.getaddrinfo = socket.gethostbyname = refuse
"""
DEMO = f"""
from zeroscene.cli import demo
from zeroscene.cli.main import app
demo.SCALE = demo.{SMALL!r}
app(["demo", "--out", "my demo"])
"""


@dataclass(frozen=True)
class Offline:
    """A place to run Python without a network."""

    folder: Path

    @property
    def attempts(self) -> Path:
        return self.folder / "attempts"

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "guard").mkdir(exist_ok=True)
        (self.folder / "guard" / "sitecustomize.py").write_text(GUARD)
        path = os.pathsep.join(filter(None, (str(self.folder / "guard"), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "ATTEMPTS": str(self.attempts), "HF_HUB_OFFLINE": "1"}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=self.folder, env=environment, capture_output=True, text=True
        )


@dataclass(frozen=True)
class Done:
    """A demo that has run: where, and what it printed."""

    folder: Path
    told: str

    @property
    def commands(self) -> list[list[str]]:
        lines = self.told.replace("\\\n", " ").splitlines()
        return [shlex.split(line.removeprefix("$ zeroscene ")) for line in lines if line.startswith("$ zeroscene ")]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Run the demo in a process of its own in which every connection is refused and noted."""
    offline = Offline(tmp_path_factory.mktemp("demo"))
    ran = offline.python(DEMO)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not offline.attempts.exists(), offline.attempts.read_text()
    return Done(offline.folder, ran.stdout)


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "import urllib.request; urllib.request.urlopen('http://localhost:9')",
    ],
)
def test_the_guard_notes_every_attempt_to_connect(tmp_path: Path, attempt: str) -> None:
    offline = Offline(tmp_path)
    assert "no network in this test" in offline.python(attempt).stderr
    assert offline.attempts.exists()


def test_it_compares_every_method_with_both_tables_under_honest_selection(done: Done) -> None:
    result = BenchmarkResult.read(done.folder / "my demo" / "results")
    assert {(row.method, row.table) for row in result.summary} == {
        (method, table) for method in any_table_names() for table in ("knowledge", "annotated")
    }
    assert {cell.selection for cell in result.cells} == {"honest"}
    assert result.failures == ()


def test_it_shows_the_table_and_the_path_of_the_report(done: Done) -> None:
    end = done.told[done.told.index("Synthetic world, 4 seen and 2 unseen classes:", done.told.index("labels.csv")) :]
    assert [line.split()[0] for line in end.splitlines() if re.match(r"\w.* tiny ", line)] == [
        method for method in any_table_names() for _ in range(2)
    ]
    (path,) = (line.removeprefix("report: ") for line in end.splitlines() if line.startswith("report: "))
    assert "<h1>Synthetic world, 4 seen and 2 unseen classes</h1>" in (done.folder / path).read_text()


def test_it_names_the_same_pictures_by_words_alone(done: Done) -> None:
    assert re.search(r"^[0-4] of 4 right$", done.told, re.M)


def test_it_ends_with_the_map_of_a_mosaic(done: Done) -> None:
    *_, right, preview = done.told.splitlines()
    assert int(right.removesuffix(" % of the cells as drawn")) > 80
    assert (done.folder / preview.removeprefix("preview: ")).stat().st_size > 10_000


def test_it_labels_new_pictures_with_the_unseen_classes_alone(done: Done) -> None:
    (predict,) = (words for words in done.commands if words[0] == "predict")
    asked = set(predict[predict.index("--classes") + 1].split(", "))
    assert len(asked) == 2
    shown = re.findall(r"^scene0\d\.png +(\w+(?: \w+)*?)  +[\d.]+  +(\w+(?: \w+)*)$", done.told, re.M)
    assert len(shown) == 4
    assert {said for said, _ in shown} <= asked
    assert {true for _, true in shown} == asked
    right = sum(said == true for said, true in shown)
    assert f"{right} of 4 right, among 2 classes without a training picture" in done.told


def test_every_command_works_as_it_is_printed_and_makes_the_same(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder)
    before = {path: path.read_bytes() for path in (done.folder / "my demo").rglob("*") if path.is_file()}
    (fit,) = (words for words in done.commands if words[0] == "fit")
    assert [words[0] for words in done.commands] == [
        "synthetic", "embed", "split", "annotate", "annotate", "benchmark", "fit", "predict",
        "label", *(["explain"] if fit[1] == "dsva" else []), "report", "synthetic", "map",
    ]  # fmt: skip
    for words in done.commands:
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code == 0, f"{shlex.join(words)}\n{ran.stdout}{ran.stderr}"
    assert {path: path.read_bytes() for path in before} == before


def test_run_again_it_keeps_what_is_there_and_does_what_is_missing(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder)
    monkeypatch.setattr(demo, "SCALE", SMALL)
    out = done.folder / "my demo"
    lost = [next((out / "pictures").rglob("*.png")), next((out / "results" / "cells").glob("eszsl__*"))]
    content = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    costly = [*(out / "pictures").rglob("*.png"), *out.glob("store/part-*"), *(out / "results" / "cells").iterdir()]
    written = {path: path.stat().st_mtime_ns for path in costly}
    ran = CliRunner().invoke(app, ["demo", "--out", "my demo", "--json"])
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert [path.read_bytes() for path in lost] == content
    assert {path: path.stat().st_mtime_ns for path in costly} == written
    told = json.loads(ran.stdout)
    assert told["report"] == str(Path("my demo/results/report.html"))
    assert len(told["summary"]) == 2 * len(any_table_names())
    assert len(told["predictions"]) == 4


def test_a_step_that_fails_ends_the_demo_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "SCALE", SMALL)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.txt").write_text("mine")
    ran = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert ran.exit_code == 2
    assert "holds other things" in ran.stderr
    assert "report" not in ran.stdout
