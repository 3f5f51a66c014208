"""Time the closed-form methods on 2,100 x 2,048 pictures, beside the linear algebra they cannot do without.

    python benchmarks/closed_form.py

For each method: seconds of one fit, and how many times the bare arithmetic that is. The bare arithmetic is one Gram
matrix (a 2,048 x 2,100 by 2,100 x 2,048 product) and one 2,048 x 2,048 solve with 21 right-hand sides for ESZSL, and
one pass over the pictures (a 21 x 2,100 by 2,100 x 2,048 product) for kernel regression, all in float64.
Best of five runs each, in one process, on random numbers.
"""

import time
from collections.abc import Callable

import numpy as np

from zeroscene.methods.eszsl import ESZSL
from zeroscene.methods.kernel import KernelPrototypes

PICTURES, WIDTH, CLASSES, ATTRIBUTES = 2_100, 2_048, 21, 133


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    work()
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((PICTURES, WIDTH), dtype=np.float32)
    y = np.arange(PICTURES) % CLASSES
    phi = rng.random((CLASSES, ATTRIBUTES), dtype=np.float32)

    X, right = x.astype(np.float64), rng.standard_normal((WIDTH, CLASSES))
    gram = X.T @ X + np.eye(WIDTH)
    indicator = np.eye(CLASSES)[y].T
    product = seconds(lambda: X.T @ X)
    solve = seconds(lambda: np.linalg.solve(gram, right))
    sums = seconds(lambda: indicator @ X)
    print(f"bare: Gram matrix {product:.3f} s, solve {solve:.3f} s, class sums {sums:.3f} s")

    for method, bare in ((ESZSL(), product + solve), (KernelPrototypes(), sums)):
        fit = seconds(lambda method=method: method._fit(x, y, phi))  # type: ignore[misc]
        print(f"{method.title}: fit {fit:.3f} s, {fit / bare:.1f} x the bare arithmetic")


if __name__ == "__main__":
    main()
