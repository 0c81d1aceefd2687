"""The claims of the model: how long all of them take to check, and one scene after an edit.

Run as ``python benchmarks/bench_claims.py [--record]``; it takes two minutes. Nothing is compared
with anything else here: the bounds are what a reader and the tests can wait for.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

from measured import Number, main

from memslotlib import claims, recheck
from memslotlib.check import explore, lower
from memslotlib.litmus_model import api, explored, scene
from memslotlib.protocol.model import model
from memslotlib.provenance import ROOT

CHECK_MAX_S = 240.0
EDIT_MAX_S = 1.0
ROUNDS = 5


def measure() -> list[Number]:
    """Check every claim once; explore one chapter's scene as after an edit, a few times."""
    explored.cache_clear()
    began = perf_counter()
    cells = [
        cell
        for claim in claims.load(ROOT / "book" / "claims").values()
        for cell in recheck.check(claim)
    ]
    took_s = perf_counter() - began
    if not all(cell.is_as_expected for cell in cells):
        raise RuntimeError("a claim is not as expected: memslots claims --check")
    edited_s = median(_edited_s() for _ in range(ROUNDS))
    return [
        Number("all claims checked, mutants included", took_s, "s", at_most=CHECK_MAX_S),
        Number("cells of claims", len(cells), ""),
        Number("states of these cells", sum(cell.states for cell in cells) / 1e6, "million"),
        Number("split+load edited, to its verdict and trace", edited_s, "s", at_most=EDIT_MAX_S),
    ]


def _edited_s() -> float:
    """Return how long a scene takes from the text of its actors to the shortest trace."""
    lower._templates.clear()
    began = perf_counter()
    result = explore(model(scene("split+load").world(api("today"))))
    assert result.traces
    return perf_counter() - began


if __name__ == "__main__":
    sys.exit(main("claims", ["memslotlib.recheck"], measure))
