"""The house: imports point down the floors, rooms of one floor stay apart, and nothing reads a pickle."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "zeroscene"
FLOORS = {
    "scenes": 1, "semantics": 1, "encoders": 1, "embeddings": 2, "training": 2, "methods": 3, "explain": 4,
    "evaluation": 5, "maps": 5, "serving": 6, "cli": 7,
}  # fmt: skip
# The protocols and the identity of encoders are the one thing of that room that its neighbours may know.
SHARED_PROTOCOL = "zeroscene.encoders.base"
ENTRANCE = "__main__.py"


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name.split(".")[0] == "zeroscene"}


def room(parts: tuple[str, ...]) -> str:
    return parts[0] if parts and parts[0] in FLOORS else ""


FILES = sorted(f for f in SOURCE.rglob("*.py") if f.name != ENTRANCE)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_down(file: Path) -> None:
    here = room(file.relative_to(SOURCE).parts)
    for name in imports(file):
        there = room(tuple(name.split(".")[1:]))
        if there in ("", here) or name.startswith(SHARED_PROTOCOL):
            continue
        if there and here == "":
            pytest.fail(f"floor 0 imports {name}")
        assert FLOORS[there] < FLOORS[here], f"{here} imports {name}"


def test_no_file_of_the_package_can_read_a_pickle() -> None:
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "import pickle" not in text, file
        assert "torch.load(" not in text, file
        assert "allow_pickle=True" not in text, file


def test_files_stay_short() -> None:
    long = {str(f.relative_to(SOURCE)): n for f in FILES if (n := len(f.read_text().splitlines())) > 400}
    assert not long
