"""What the explorer promises of itself: memory, big spaces, short waits, and its fallbacks.

Run as ``python benchmarks/bench_explorer.py [--record]``; it takes some minutes and 12 GB.
"""

from __future__ import annotations

import itertools
import sys
from statistics import median
from time import perf_counter

from measured import Number, main
from memslot_like import model

from memslotlib.check import explore, lower
from memslotlib.check.explore import ENGINES
from memslotlib.errors import NotRunError

ROUNDS = 7
BYTES_ONE_WORD_MAX = 30.0
BYTES_TWO_WORDS_MAX = 45.0
BIG_STATES_MIN = 100e6
BIG_GIB_MAX = 16.0
COUNTEREXAMPLE_MS_MAX = 50.0
CONFIGURATIONS_MIN = 100.0
NUMPY_MIN = 0.5
PYTHON_MIN = 50.0


def measure() -> list[Number]:
    """Take every measurement."""
    if "native" not in ENGINES:
        raise NotRunError("the native engine is not built (make native)")
    return [*memory(), *waits(), *fallbacks(), *big()]


def memory() -> list[Number]:
    """Return the bytes a state of the two sizes that the speed is measured with."""
    numbers = []
    sizes = ((1, (2, 2, 3), BYTES_ONE_WORD_MAX), (2, (2, 3, 3), BYTES_TWO_WORDS_MAX))
    for words, size, most in sizes:
        found = explore(model(*size), symmetry=False, traces=False)
        assert found.words == words
        name = f"memory at {words} word(s), {found.states:,} states"
        numbers.append(Number(name, found.memory_bytes / found.states, "bytes/state", at_most=most))
    return numbers


def waits() -> list[Number]:
    """Return how long an edit waits for its counterexample, and how fast a sweep goes."""
    took_ms, states = [], 0
    for _ in range(ROUNDS):
        lower._templates.clear()
        began = perf_counter()
        found = explore(model(atomic=True, sync=False), first_violation=True)
        assert len(found.trace("no stale write")) == 21
        took_ms.append(1e3 * (perf_counter() - began))
        states = found.states
    switches = list(itertools.product((False, True), repeat=3))
    began = perf_counter()
    for atomic, sync, flush in switches * ROUNDS:
        explore(model(2, 1, 1, atomic=atomic, sync=sync, flush=flush), traces=False)
    rate = ROUNDS * len(switches) / (perf_counter() - began)
    return [
        Number(
            f"edited model to its shortest counterexample, {states:,} states",
            median(took_ms),
            "ms",
            at_most=COUNTEREXAMPLE_MS_MAX,
        ),
        Number("a sweep of small models", rate, "models/s", at_least=CONFIGURATIONS_MIN),
    ]


def fallbacks() -> list[Number]:
    """Return the rates of the engines that need no compiled code of ours."""
    numbers = []
    if "numpy" in ENGINES:
        found = explore(model(accesses=3), engine="numpy", symmetry=False, traces=False)
        rate = found.states / found.search_seconds / 1e6
        name = f"numpy engine, {found.states:,} states"
        numbers.append(Number(name, rate, "million states/s", at_least=NUMPY_MIN))
    found = explore(model(accesses=1), engine="python", symmetry=False, traces=False)
    rate = found.states / found.search_seconds / 1e3
    name = f"Python engine, {found.states:,} states"
    return [*numbers, Number(name, rate, "thousand states/s", at_least=PYTHON_MIN)]


def big() -> list[Number]:
    """Return how many states were completed, in how much memory and how long."""
    found = explore(model(2, 3, 6), traces=False)
    if not found.is_complete:
        raise RuntimeError(f"the big model was not completed: {found.bound}")
    return [
        Number("states of the biggest model, complete", found.states, "", at_least=BIG_STATES_MIN),
        Number("its memory", found.memory_bytes / 2**30, "GiB", at_most=BIG_GIB_MAX),
        Number("its time", found.seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(
        main("explorer", ["memslotlib.check.explore", "memslotlib.check.engine_native"], measure)
    )
