"""A long search by Hypothesis for a call that the simulator and this kernel answer differently.

Run as ``python benchmarks/bench_machine.py [--record]``; a difference is raised with the calls that
lead to it, shrunk. The short slice of the same machine runs in ``make test``.
"""

from __future__ import annotations

import sys

from measured import Number, main

from memslotlib.host import require
from memslotlib.provenance import ROOT

sys.path.insert(0, str(ROOT / "tests"))

EXAMPLES = 1200
STEPS = 150
CALLS_MIN = 100_000


def measure() -> list[Number]:
    """Search; a difference ends the run with its error."""
    import machine

    require()
    # A difference ends the search with its error: what is returned was answered alike.
    calls = machine.search(EXAMPLES, STEPS)
    name = "Hypothesis machine, calls that simulator and kernel answered alike"
    return [Number(name, calls, "calls", at_least=CALLS_MIN)]


if __name__ == "__main__":
    modules = ["memslotlib.conformance.generate", "memslotlib.abi.vm", "memslotlib.host.vm"]
    sys.exit(main("machine", modules, measure))
