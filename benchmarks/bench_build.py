"""How long the two commands take in a fresh clone of the last commit.

Run as ``python benchmarks/bench_build.py [--record]``. The clone is made beside nothing else in a
temporary folder; packages come through the user's own configuration, pip's cache included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from measured import Number, main

from memslotlib.provenance import ROOT

BOOK_S_MAX = 120
REPEAT_S_MAX = 10
TEST_S_MAX = 360


def timed_s(clone: Path, target: str) -> float:
    """Return how long ``make target`` takes; its output is shown only when it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "VIRTUAL_ENV"}}
    begin = perf_counter()
    run = subprocess.run(
        ["make", target],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    took_s = perf_counter() - begin
    if run.returncode:
        raise RuntimeError(f"make {target} failed in a fresh clone:\n{run.stdout}")
    return took_s


def measure() -> list[Number]:
    """Time the book from nothing, the book again, and the tests."""
    with tempfile.TemporaryDirectory(prefix="memslots-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        return [
            Number("make book, from a clean clone", timed_s(clone, "book"), "s", BOOK_S_MAX),
            Number("make book, nothing changed", timed_s(clone, "book"), "s", REPEAT_S_MAX),
            Number("make test", timed_s(clone, "test"), "s", TEST_S_MAX),
        ]


if __name__ == "__main__":
    sys.exit(main("build", ["memslotlib.booktools.build"], measure))
