"""Put the result files of docs/results into the pages that show them.

    python benchmarks/insert_tables.py

A page names the file between `<!-- table: results/NAME -->` and `<!-- end -->`. A test holds pages and files together.
"""

import re
from pathlib import Path

from zeroscene.files import write_text

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"<!-- table: (results/\S+) -->\n(.*?)<!-- end -->", re.DOTALL)


def filled(page: str) -> str:
    """Return the page with every block holding its file; text files stand in a fence."""

    def block(found: re.Match[str]) -> str:
        file = ROOT / "docs" / found[1]
        text = file.read_text(encoding="utf-8").strip()
        if file.suffix == ".txt":
            text = f"```\n{text}\n```"
        return f"<!-- table: {found[1]} -->\n\n{text}\n\n<!-- end -->"

    return BLOCK.sub(block, page)


def main() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := filled(text)) != text:
            write_text(page, new)
            print(f"{page.relative_to(ROOT)}: tables renewed")


if __name__ == "__main__":
    main()
