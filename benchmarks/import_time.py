"""Time ``import semtx`` against ``import anndata``: best of several fresh interpreters each, taken in turn.

Run with ``python benchmarks/import_time.py``; exits with 1 where semtx costs more than 1.5 times anndata.
"""

from __future__ import annotations

import subprocess
import sys

LIMIT, ROUNDS = 1.5, 7
TIMED = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Time one import in a fresh interpreter."""
    run = subprocess.run([sys.executable, "-c", TIMED.format(module)], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> int:
    """Print the two times and their ratio."""
    best = {"anndata": float("inf"), "semtx": float("inf")}
    for _ in range(ROUNDS):
        for module, fastest in best.items():
            best[module] = min(fastest, seconds(module))
    ratio = best["semtx"] / best["anndata"]
    print(f"anndata {best['anndata']:.3f} s, semtx {best['semtx']:.3f} s, ratio {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
