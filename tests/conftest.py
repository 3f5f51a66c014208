"""Fixtures shared by all tests."""

import os
import signal
from pathlib import Path

import pytest

import small_world

SHARED = Path(os.environ.get("ZEROSCENE_SHARED", Path(__file__).resolve().parents[2] / "shared"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background ignores ^C, and so would the programs that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data; tests that need it are skipped, with the reason, where it is absent."""
    if not (SHARED / "real").is_dir():
        pytest.skip(f"no real data at {SHARED}; set ZEROSCENE_SHARED to run this test")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def text_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the text vectors of tests, and of the processes they start, out of the user's cache."""
    os.environ["ZEROSCENE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the small world as `small_world.prepare` makes it; not to be written to."""
    return small_world.prepare(tmp_path_factory.mktemp("small-world"))
