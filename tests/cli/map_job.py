"""Runs `zeroscene map` again and again in children that are killed, each at another moment; prints how many were.

    python map_job.py MOSAIC OUT CLASSES

Everything is imported once, here, and nothing is computed before the children are made: threads do not survive a fork.
Parts are small, so that there are several to lose.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import zeroscene.maps.mapping
import zeroscene.serving.label
import zeroscene.serving.maps  # noqa: F401
from zeroscene.cli.main import app
from zeroscene.maps import encode

SMALL_PART = 40


def command(mosaic: str, out: str, classes: str) -> None:
    """Run the command in this process."""
    encode._PART = SMALL_PART
    words = ["map", mosaic, "--classes", classes, "--refine", "spatial", "--overlap", "0.75", "-o", out]
    if app(words, standalone_mode=False):
        sys.exit("the command failed")


def killed(words: list[str], moment: Callable[[], bool]) -> bool:
    """Run the command in a child and kill it at a moment; return whether it was still running."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        command(*words)
        os._exit(0)
    while not moment():
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def main() -> None:
    out = Path(sys.argv[2])

    def parts(count: int) -> Callable[[], bool]:
        return lambda: len(list(out.glob(".windows-*/vectors/part-*.parquet"))) >= count

    def there(name: str) -> Callable[[], bool]:
        return lambda: any(out.glob(name))

    moments = [parts(1), parts(3), there(".writing-map"), there("map.tif"), there("run.json"), there(".removing-*")]
    print(sum(killed(sys.argv[1:], moment) for moment in moments), flush=True)
    command(*sys.argv[1:])


if __name__ == "__main__":
    main()
