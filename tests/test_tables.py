"""Every figure that a page shows in a table stands in a file that a committed command made."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("insert_tables", ROOT / "benchmarks" / "insert_tables.py")
assert spec is not None
assert spec.loader is not None
insert_tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(insert_tables)


@pytest.mark.parametrize("page", insert_tables.PAGES, ids=lambda page: page.name)
def test_tables_of_a_page_are_those_of_the_result_files(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert insert_tables.filled(text) == text, "run: python benchmarks/insert_tables.py"


def test_the_readme_shows_a_table() -> None:
    assert insert_tables.BLOCK.search((ROOT / "README.md").read_text(encoding="utf-8"))
