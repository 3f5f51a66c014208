"""The command line as tests type it."""

import json
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from zeroscene.cli.main import app

_RUNNER = CliRunner()


def invoke(*words: object, code: int = 0) -> Result:
    """Run a command and return what it gave; anything but the expected exit code fails."""
    done = _RUNNER.invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.stderr or done.stdout or done.exception
    return done


def run(*words: object, code: int = 0) -> str:
    """Run a command and return what it printed."""
    return invoke(*words, code=code).stdout


def value(*words: object) -> Any:
    """Run a command with `--json` and return its value."""
    return json.loads(run(*words, "--json"))


def error(*words: object) -> str:
    """Run a command that is to fail, and return the one line that says why."""
    said = invoke(*words, code=2).stderr
    assert said.startswith("error: ")
    assert said.count("\n") == 1, said
    return said
