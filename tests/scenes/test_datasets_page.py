"""The page docs/datasets.md: its commands run, its table is the catalog's."""

import re
from pathlib import Path

import pytest

from small_world import lay_out
from zeroscene.scenes.catalog import Benchmark, benchmarks

PAGE = (Path(__file__).parents[2] / "docs/datasets.md").read_text(encoding="utf-8")


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (
        "pictures/Baseball Diamond/more",
        "pictures/harbor",
        "pictures/beach",
        "UCMerced_LandUse/Images/harbor",
    ):
        lay_out(tmp_path / folder, *(f"{i}.jpg" for i in range(5)))
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, space)
    printed = capsys.readouterr().out
    assert "15 pictures; {'Baseball Diamond': 5, 'beach': 5, 'harbor': 5}" in printed
    assert "class 'harbor': 5 of 100 pictures" in printed
    assert "random-60-10-seed0-5 unseen: " in printed
    assert "2 pictures of seen classes are kept" in printed


@pytest.mark.parametrize("b", benchmarks(), ids=lambda b: b.name)
def test_the_table_is_the_catalogs(b: Benchmark) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{b.name}` ([{b.title}]({b.home}))"))
    for part in (f"{b.total:,}", f"{b.pixels} px", b.gsd, b.terms, *(f"{s}/{u}" for s, u in b.ratios)):
        assert part in row
    assert b.citation in PAGE
    assert f"`{b.layout}`" in PAGE
