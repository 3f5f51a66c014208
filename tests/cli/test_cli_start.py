"""The command line answers at once, and its help reads like a manual."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from zeroscene import __version__
from zeroscene.cli.main import app

COMMANDS = (
    "embed",
    "classes",
    "annotate",
    "split",
    "fit",
    "predict",
    "benchmark",
    "report",
    "audit",
    "doctor",
    "demo",
    "synthetic",
)
GROUPS = {
    "classes": ("knowledge", "text", "sensitivity", "show", "check"),
    "split": ("random", "standard", "show"),
    "synthetic": ("pictures", "mosaic", "classes"),
}
MANUALS = [(name,) for name in COMMANDS if name not in GROUPS] + [
    (g, name) for g, all_ in GROUPS.items() for name in all_
]

runner = CliRunner()


def test_nothing_heavy_is_imported_at_start() -> None:
    heavy = ("torch", "transformers", "pyarrow", "matplotlib", "numpy", "PIL", "pydantic", "jinja2")
    code = f"import sys, json, zeroscene.cli.main; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == []


def test_help_names_every_command() -> None:
    shown = runner.invoke(app, ["--help"])
    assert shown.exit_code == 0
    for name in COMMANDS:
        assert f" {name} " in shown.stdout


@pytest.mark.parametrize("command", MANUALS, ids=" ".join)
def test_every_command_has_a_manual(command: tuple[str, ...]) -> None:
    shown = runner.invoke(app, [*command, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    assert f"$ zeroscene {' '.join(command)}" in shown.stdout
    assert "Exit codes" in shown.stdout
    assert "130  interrupted" in shown.stdout


def test_a_mistyped_command_is_told_the_nearest() -> None:
    shown = runner.invoke(app, ["benchmrk"])
    assert shown.exit_code == 2
    assert "Did you mean 'benchmark'" in " ".join(shown.stderr.split())


def test_version() -> None:
    assert runner.invoke(app, ["--version"]).stdout.strip() == __version__


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "zeroscene", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == __version__


def test_an_error_is_one_line_on_stderr_and_code_2(tmp_path) -> None:
    done = runner.invoke(app, ["classes", "show", str(tmp_path / "absent.csv")])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr == f"error: no such class table: {tmp_path / 'absent.csv'}\n"


def test_an_interruption_says_how_to_go_on(tmp_path, monkeypatch) -> None:
    def interrupted(_path):
        raise KeyboardInterrupt

    monkeypatch.setattr("zeroscene.semantics.table.ClassTable.read", interrupted)
    done = runner.invoke(app, ["classes", "show", "table.csv"])
    assert done.exit_code == 130
    assert "interrupted; the same command continues" in done.stderr


def test_a_defect_keeps_its_traceback(monkeypatch) -> None:
    def broken(_path):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("zeroscene.semantics.table.ClassTable.read", broken)
    done = runner.invoke(app, ["classes", "show", "table.csv"])
    assert isinstance(done.exception, ZeroDivisionError)
