"""The simulator's speed next to the real ioctls, interleaved in one run; medians.

Run as ``python benchmarks/bench_abi.py [--record]``; exit status 1 when a bound is missed.
"""

from __future__ import annotations

import statistics
import sys
import tracemalloc
from collections.abc import Callable
from time import perf_counter_ns

from measured import Number, main

from memslotlib.abi import SimVm
from memslotlib.host import KvmVm, require
from memslotlib.interface import Vm

HVA = 0x2000_0000_0000
PAGE = 0x1000
MANY = 32_000
ROUNDS = 2_000
SIM_PER_KVM_MAX = 1.0
LOOKUP_US_MAX = 3.0
SLOTS_MIB_MAX = 64


def fill(vm: Vm, slots: int) -> None:
    """Create slots of one page with a hole of one page between two."""
    for slot in range(slots):
        vm.set_user_memory_region(slot, 0, (2 * slot + 16) * PAGE, PAGE, HVA)


def pair(vm: Vm) -> Callable[[], None]:
    """Return the pair under test: create one more slot, delete it again."""
    region = vm.set_user_memory_region
    region(MANY, 0, PAGE, PAGE, HVA)
    region(MANY, 0, 0, 0, 0)

    def run() -> None:
        region(MANY, 0, PAGE, PAGE, HVA)
        region(MANY, 0, 0, 0, 0)

    return run


def timed_us(call: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1000


def ratio_of_pairs(slots: int) -> Number:
    """Return the ratio of the medians, simulator to ioctl, of interleaved pairs."""
    with SimVm() as sim, KvmVm() as kvm:
        fill(sim, slots)
        fill(kvm, slots)
        calls = pair(sim), pair(kvm)
        times = [[timed_us(call) for call in calls] for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    name = f"SimVm, create+delete at {slots:,} slots ({ours:.1f} us, ioctls {theirs:.1f} us)"
    return Number(name, ours / theirs, "of the ioctls", at_most=SIM_PER_KVM_MAX)


def lookup() -> Number:
    """Return the median time of a look-up by frame among many slots."""
    with SimVm() as sim:
        fill(sim, MANY)
        gfns = [(7919 * n) % (2 * MANY) + 16 for n in range(100)]

        def sweep() -> None:
            for gfn in gfns:
                sim.find(gfn)

        lookup_us = statistics.median(timed_us(sweep) for _ in range(ROUNDS)) / len(gfns)
    return Number(f"SimVm, look-up at {MANY:,} slots", lookup_us, "us", at_most=LOOKUP_US_MAX)


def memory() -> Number:
    """Return what many slots hold."""
    tracemalloc.start()
    with SimVm() as sim:
        fill(sim, MANY)
        mib = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()
    return Number(f"SimVm, {MANY:,} slots", mib, "MiB", at_most=SLOTS_MIB_MAX)


def measure() -> list[Number]:
    """Measure everything; the pairs need a kernel to compare with."""
    require()
    return [lookup(), memory(), ratio_of_pairs(1), ratio_of_pairs(MANY)]


if __name__ == "__main__":
    sys.exit(main("abi", ["memslotlib.abi.vm", "memslotlib.host.vm"], measure))
