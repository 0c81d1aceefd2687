"""The host harness next to the same calls in C, interleaved in one run; medians.

Run as ``python benchmarks/bench_host.py [--json FILE]``; exit status 1 when a bound of the project
is missed, 0 with the reason when there is no usable KVM or no compiled module.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from memslotlib.errors import NotRunError
from memslotlib.host import KvmVm, describe, race, require
from memslotlib.host.backend import Backend, NativeBackend, choose
from memslotlib.host.loops import Access
from memslotlib.interface import Context

HVA = 0x2000_0000_0000
GPA = 0x1000_0000
SIZE_BYTES = 0x10000
ROUNDS = 400
PAIRS = 50
ACCESSES = 3000
PAIR_PER_C_MAX = 1.06
RENDEZVOUS_S_MAX = 10.0
OVERLAPPING_MIN = 10_000

Row = dict[str, Any]


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


def pairs(native: NativeBackend) -> list[Row]:
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
    base = times["C loop"]
    rows = []
    for name, took in times.items():
        ratio = statistics.median(t / b for t, b in zip(took, base, strict=True))
        rows.append({"pair": name, "median_us": statistics.median(took) / 1000, "ratio": ratio})
    return rows


def accesses(backend: Backend) -> list[Row]:
    """Time one guest load at a time, in each context."""
    rows = []
    with KvmVm(backend=backend) as vm:
        vm.memory(HVA, SIZE_BYTES)
        vm.set_user_memory_region(1, 0, GPA, SIZE_BYTES, HVA)
        for context in Context:
            vm.read(GPA, 8, context=context)
            begin = perf_counter_ns()
            for _ in range(ACCESSES):
                vm.read(GPA, 8, context=context)
            each_ns = (perf_counter_ns() - begin) / ACCESSES
            row = {"backend": backend.name, "context": context.value, "per_s": 1e9 / each_ns}
            rows.append(row)
    return rows


def races(backend: Backend) -> tuple[list[Row], list[Row]]:
    """Run each rendezvous, and each overlap of native accesses."""
    met, overlaps = [], []
    for context in Context:
        for access in Access:
            one = race.rendezvous(access, context, backend=backend)
            met.append(
                {
                    "backend": backend.name,
                    "access": access.value,
                    "context": context.value,
                    "hits": one.hits,
                    "updates": one.updates,
                    "seconds": one.wall_seconds,
                }
            )
    for update in race.UPDATES:
        for access in Access:
            seen = race.overlap(access, update, backend=backend)
            overlaps.append(
                {
                    "backend": backend.name,
                    "access": access.value,
                    "update": update,
                    "updates": seen.updates,
                    "updates_overlapped": seen.updates_overlapped,
                    "overlapping": seen.overlapping,
                    "holes": seen.holes,
                }
            )
    return met, overlaps


def missed(results: dict[str, list[Row]]) -> list[str]:
    """Return a line for each bound of the project that this run misses."""
    lines = [
        f"pair {row['pair']}: {row['ratio']:.3f} of C, more than {PAIR_PER_C_MAX}"
        for row in results["pairs"]
        if row["pair"] == "KvmVm, cffi" and row["ratio"] > PAIR_PER_C_MAX
    ]
    lines += [
        f"rendezvous {row['context']} {row['access']}: {row['hits']} hits, {row['seconds']:.1f} s"
        for row in results["rendezvous"]
        if row["hits"] < row["updates"] or row["seconds"] > RENDEZVOUS_S_MAX
    ]
    for row in results["overlap"]:
        hole_expected = row["update"] == "delete-create"
        if row["overlapping"] < OVERLAPPING_MIN or bool(row["holes"]) != hole_expected:
            lines.append(f"overlap {row['update']} {row['access']}: {row}")
    return lines


def table(title: str, rows: list[Row]) -> str:
    """Return the rows as aligned text."""
    columns = list(rows[0])
    cells = [columns] + [[_shown(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = [
        "  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in cells
    ]
    return "\n".join([title, *lines, ""])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write(path: Path, results: dict[str, list[Row]]) -> None:
    """Write the results whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"host": describe().as_dict(), **results}, indent=1) + "\n")
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    arguments = parser.parse_args()
    try:
        require()
        native = choose("cffi")
    except NotRunError as reason:
        print(f"NOT RUN: {reason}")
        return 0
    assert isinstance(native, NativeBackend)
    results: dict[str, list[Row]] = {"pairs": pairs(native), "accesses": []}
    results["rendezvous"], results["overlap"] = [], []
    for backend in (native, choose("ctypes")):
        results["accesses"] += accesses(backend)
        met, overlaps = races(backend)
        results["rendezvous"] += met
        results["overlap"] += overlaps
    print(describe().label)
    for title, rows in results.items():
        print(table(title, rows))
    if arguments.json:
        write(arguments.json, results)
    lines = missed(results)
    for line in lines:
        print(f"MISSED {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
