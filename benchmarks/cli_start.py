"""How long `zeroscene --help` takes, beside a Python process that does nothing.

python benchmarks/cli_start.py
"""

import statistics
import subprocess
import sys
import time

RUNS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "zeroscene --help": [sys.executable, "-m", "zeroscene", "--help"],
    "zeroscene fit --help": [sys.executable, "-m", "zeroscene", "fit", "--help"],
}


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    # Interleaved, so that a busy moment of the machine meets every command alike.
    taken = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    bare = statistics.median(taken["python -c pass"])
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<22} {1000 * median:6.0f} ms   {median / bare:5.1f} x a bare Python")


if __name__ == "__main__":
    main()
