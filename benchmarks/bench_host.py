"""The host harness next to the same calls in C, interleaved in one run; medians.

Run as ``python benchmarks/bench_host.py [--record]``; exit status 1 when a bound is missed, 0 with
the reason when there is no usable KVM or no compiled module.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from time import perf_counter_ns

from measured import Number, main

from memslotlib import litmus
from memslotlib.host import KvmVm, race, require
from memslotlib.host.backend import Backend, NativeBackend, choose
from memslotlib.interface import Context
from memslotlib.litmus_host import scenario

HVA = 0x2000_0000_0000
GPA = 0x1000_0000
SIZE_BYTES = 0x10000
ROUNDS = 400
PAIRS = 50
ACCESSES = 3000
UPDATES = 300
PAIR_PER_C_MAX = 1.06
RENDEZVOUS_S_MAX = 10.0
OVERLAPPING_MIN = 10_000


def in_c(vm: KvmVm, native: NativeBackend) -> Callable[[], float]:
    """Return the reference: a batch of pairs in C, mean nanoseconds a pair."""
    out = native.ffi.new("uint64_t[]", PAIRS)
    call, fd = native.lib.ms_pairs, vm._vm.fd

    def run() -> float:
        begin = perf_counter_ns()
        if call(fd, 1, GPA, SIZE_BYTES, HVA, PAIRS, out):
            raise RuntimeError("the C loop was refused")
        return (perf_counter_ns() - begin) / PAIRS

    return run


def in_python(vm: KvmVm) -> Callable[[], float]:
    """Return the same batch through KvmVm."""
    region = vm.set_user_memory_region

    def run() -> float:
        begin = perf_counter_ns()
        for _ in range(PAIRS):
            region(1, 0, GPA, 0, HVA)
            region(1, 0, GPA, SIZE_BYTES, HVA)
        return (perf_counter_ns() - begin) / PAIRS

    return run


def pairs(native: NativeBackend) -> list[Number]:
    """Time create+delete pairs: each round in C, through cffi and through fcntl, one after another.

    The ratio is the median over rounds of a round's own ratio: what slows the machine for longer
    than a round slows all three.
    """
    with KvmVm(backend=native) as first, KvmVm(backend=choose("ctypes")) as second:
        for vm in (first, second):
            # Two VMs cannot have one address; the second one's slots are never accessed.
            vm.set_user_memory_region(1, 0, GPA, SIZE_BYTES, HVA)
        programs = {
            "C loop": in_c(first, native),
            "KvmVm, cffi": in_python(first),
            "KvmVm, ctypes": in_python(second),
        }
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(ROUNDS):
            for name, program in programs.items():
                times[name].append(program())
    base = times.pop("C loop")
    median_us = statistics.median(base) / 1000
    return [
        Number(
            f"{name}, create+delete (in C {median_us:.1f} us)",
            statistics.median(t / b for t, b in zip(took, base, strict=True)),
            "of the loop in C",
            at_most=PAIR_PER_C_MAX if "cffi" in name else None,
        )
        for name, took in times.items()
    ]


def accesses(backend: Backend) -> list[Number]:
    """Time one guest load at a time, in each context."""
    numbers = []
    with KvmVm(backend=backend) as vm:
        vm.memory(HVA, SIZE_BYTES)
        vm.set_user_memory_region(1, 0, GPA, SIZE_BYTES, HVA)
        for context in Context:
            vm.read(GPA, 8, context=context)
            begin = perf_counter_ns()
            for _ in range(ACCESSES):
                vm.read(GPA, 8, context=context)
            each_ns = (perf_counter_ns() - begin) / ACCESSES
            name = f"Single loads, {context.value} ({backend.name})"
            numbers.append(Number(name, 1e9 / each_ns, "a second"))
    return numbers


def rendezvous(backend: Backend) -> list[Number]:
    """Run every rendezvous; return the fewest hits and the longest time."""
    raced = [scenario(test, "today") for test in litmus.TESTS.values()]
    runs = [race.rendezvous(each, c, UPDATES, backend=backend) for c in Context for each in raced]
    fewest = min(one.hits for one in runs)
    of = f"of {UPDATES} updates, the fewest of {len(runs)} runs"
    return [
        Number(f"Rendezvous hits ({backend.name})", fewest, of, at_least=UPDATES),
        Number(
            f"Rendezvous, the longest run ({backend.name})",
            max(one.wall_seconds for one in runs),
            "s",
            at_most=RENDEZVOUS_S_MAX,
        ),
    ]


def overlaps(backend: Backend) -> list[Number]:
    """Run every overlap; return the fewest overlapping accesses, and the updates hit, by API."""
    numbers = []
    for api in litmus.UPDATES:
        runs = [
            race.overlap(scenario(test, api), updates=UPDATES, backend=backend)
            for test in litmus.TESTS.values()
        ]
        name = f"{api} under native accesses ({backend.name})"
        control = api == "today"
        numbers += [
            Number(
                f"Overlapping accesses, {name}",
                min(one.accesses for one in runs),
                "in the least of three runs",
                at_least=OVERLAPPING_MIN,
            ),
            Number(
                f"Updates hit of {UPDATES}, {name}",
                min(one.hits for one in runs) if control else max(one.hits for one in runs),
                "in the least of three runs" if control else "in the worst of three runs",
                at_least=1 if control else None,
                at_most=None if control else 0,
            ),
        ]
    return numbers


def measure() -> list[Number]:
    """Measure pairs, single accesses, rendezvous and overlaps, on both backends."""
    require()
    native = choose("cffi")
    assert isinstance(native, NativeBackend)
    numbers = pairs(native)
    for backend in (native, choose("ctypes")):
        numbers += [*accesses(backend), *rendezvous(backend), *overlaps(backend)]
    return numbers


if __name__ == "__main__":
    sys.exit(main("host", ["memslotlib.litmus_host"], measure))
