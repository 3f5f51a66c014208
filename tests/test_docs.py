"""Every command and every Python block of README.md and docs/ runs, page by page, from top to bottom.

A page starts in the folder that `small_world.prepare` makes, and with

    UCMerced_LandUse/
                   a copy of UC Merced of which nearly everything is missing
    names.txt      three class names, one a line
    plan.yaml      of a benchmark on the store, the table and the splits

In a ```console block, lines that start with `$ zeroscene` are run (a backslash continues a line); other lines show
output and are not compared. Blocks of Python share their names within a page. Hidden comments right before a block:

    <!-- docs-test: needs REASON -->    the block is not run: it needs real data, weights, a network
    <!-- docs-test: exit CODE -->       its commands end with this code
    <!-- docs-test: file NAME -->       the block (of any language) is written to this file
"""

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from small_world import data_set
from zeroscene.cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if page.is_file()]
PLAN = """\
name: Small world
embeddings: {tiny: store}
tables: {knowledge: classes.csv}
splits: [splits.json]
methods: [kernel]
"""

_BLOCK = re.compile(
    r"(?:<!-- docs-test: (?P<note>[^>]*?) -->\n+)?^```(?P<language>\w+)\n(?P<body>.*?)^```", re.M | re.S
)
_PROMPT = "$ zeroscene "


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    verb: str
    argument: str
    line: int

    def commands(self) -> Iterator[list[str]]:
        lines = self.body.replace("\\\n", " ").splitlines()
        return (shlex.split(line.removeprefix(_PROMPT), comments=True) for line in lines if line.startswith(_PROMPT))


def blocks(text: str) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(text):
        verb, _, argument = (match["note"] or "").partition(" ")
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(Block(match["language"], match["body"], verb, argument, line))
    return found


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which a page starts, and be in it."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    data_set(tmp_path / "UCMerced_LandUse" / "Images", ("harbor", "beach"), each=2)
    (tmp_path / "names.txt").write_text("forest\nsolar farm\nriver\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str], code: int, where: str) -> None:
    done = CliRunner().invoke(app, words, prog_name="zeroscene")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"{where}: zeroscene {shlex.join(words)}") from done.exception
    assert done.exit_code == code, f"{where}: zeroscene {shlex.join(words)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("folder")
def test_every_block_of_the_page_runs(page: Path) -> None:
    names: dict[str, object] = {"__name__": "docs"}
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}, line {block.line}"
        assert block.verb in ("", "needs", "exit", "file"), f"{where}: unknown docs-test note {block.verb!r}"
        if block.verb == "needs":
            assert block.argument, f"{where}: say what it needs"
        elif block.verb == "file":
            Path(block.argument).write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * block.line + block.body, str(page), "exec"), names)
        elif block.language == "console":
            for words in block.commands():
                run(words, int(block.argument) if block.verb == "exit" else 0, where)


def test_blocks_are_found() -> None:
    text = (
        "```python\nx = 1\n```\n\n<!-- docs-test: needs a network -->\n```console\n$ zeroscene embed a \\\n"
        "    -o b  # once\n3 pictures\n$ pip install x\n```\n"
    )
    first, second = blocks(text)
    assert (first.language, first.body, first.verb) == ("python", "x = 1\n", "")
    assert (second.verb, second.argument, second.line) == ("needs", "a network", 6)
    assert list(second.commands()) == [["embed", "a", "-o", "b"]]
