"""Runs the benchmark of the small world: benchmark_job.py OUT JOBS. A script, so that a test can kill it."""

import sys
from pathlib import Path

from evaluation_world import pictures, split, table

from zeroscene.evaluation.plan import BenchmarkPlan, MethodPlan
from zeroscene.evaluation.runner import run_benchmark


def plan(**changes) -> BenchmarkPlan:
    given = {
        "name": "small world",
        "embeddings": {"tiny": pictures(noise=0.8)},
        "tables": {"knowledge": table()},
        "splits": (split(), split(("airport", "meadow"), name="2")),
        "methods": (
            MethodPlan("eszsl", {"log_lambda": 0.0}),
            MethodPlan("ale", {"epochs": 3}),
            MethodPlan("kernel", {"bandwidth": 1.0}, "kernel, fixed width"),
        ),
        "seeds": (0, 1),
    }
    return BenchmarkPlan(**(given | changes))


def many_cells() -> BenchmarkPlan:
    """16 cells of methods that start fast, slow enough to be killed between two of them."""
    large = pictures(noise=0.8, each=60, width=400)
    return plan(seeds=tuple(range(4)), methods=(MethodPlan("kernel"), MethodPlan("ale")), embeddings={"large": large})


if __name__ == "__main__":
    run_benchmark(many_cells(), Path(sys.argv[1]), int(sys.argv[2]))
