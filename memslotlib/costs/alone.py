"""Times of ioctls with no vCPU around: by the number of slots, by the size of one, all against one.

Each function is an experiment: parameters in, samples out. NotRunError when the host has no KVM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from ..host import KvmVm
from ..host.backend import Backend, NativeBackend, choose
from ..uapi import PAGE_SIZE
from .operations import (
    CREATE,
    DELETE,
    FLAGS,
    MOVE,
    NO_OP,
    Place,
    a_vm,
    cycle,
    timed,
    zaps_here,
)
from .rounds import Samples, Turn, by_turns

#: Nothing is mapped here: no vCPU runs, so nobody accesses it.
HVA = 0x2000_0000_0000
GPA = 0x1_0000_0000
#: What one page costs a slot where KVM keeps reverse maps: a map's head, write tracking, 2 bits of
#: dirty bitmap, rounded up. Source: x86.c, kvm_alloc_memslot_metadata().
METADATA_PER_PAGE_BYTES = 11
#: A size takes part when the metadata of its slots takes no more than this share of what is free.
FREE_SHARE_MAX = 1 / 8


def measure_slots(given: Mapping[str, Any]) -> Samples:
    """Time each operation in VMs with ``counts`` slots, ``rounds`` times.

    ``slot``: the ``newest`` is always the same one; the ``oldest`` is, of those that are there, the
    one that was put into its set before all others, another one for each operation.
    """
    turn = {"newest": _newest, "oldest": _oldest}[given["slot"]]
    with ExitStack() as later:
        contenders = {}
        for slots in given["counts"]:
            vm = later.enter_context(a_vm())
            for number in range(slots):
                vm.set_user_memory_region(*_page(number).rest)
            contenders[str(slots)] = turn(vm, slots)
        return by_turns(contenders, given["rounds"])


def _page(number: int) -> Place:
    gpa = GPA + 2 * PAGE_SIZE * number
    return Place(number, gpa, PAGE_SIZE, HVA + gpa, gpa + PAGE_SIZE)


def _newest(vm: KvmVm, slots: int) -> Turn:
    return partial(cycle, vm, _page(slots - 1))


def _oldest(vm: KvmVm, slots: int) -> Turn:
    numbers = count()

    def turn() -> dict[str, int]:
        found = {}
        for operation in (NO_OP, FLAGS, MOVE, DELETE):
            steps = list(_page(next(numbers) % slots).steps(operation))
            took = [timed(vm, region) for _, region in steps]
            # What undoes it finds the slot where it was just put: that is measure_slots' newest.
            found[operation] = took[0]
        return found

    return turn


def measure_size(given: Mapping[str, Any]) -> Samples:
    """Time each operation on a slot of each of ``sizes`` bytes, ``rounds`` times.

    In VMs that zap all and in VMs that zap their own, where the kernel has both. Sizes too big for
    the memory that is free here take no part.
    """
    zaps = zaps_here()
    sizes = [size for size in given["sizes"] if _fits(size, len(zaps))]
    with ExitStack() as later:
        contenders = {}
        for zap in zaps:
            for size in sizes:
                vm = later.enter_context(a_vm(zap))
                place = Place(0, GPA, size, HVA, GPA + max(sizes))
                vm.set_user_memory_region(*place.rest)
                contenders[f"{size} {zap}"] = partial(cycle, vm, place)
        return by_turns(contenders, given["rounds"])


def _fits(size_bytes: int, vms: int) -> bool:
    metadata = size_bytes // PAGE_SIZE * METADATA_PER_PAGE_BYTES * vms
    return metadata <= free_bytes() * FREE_SHARE_MAX


def free_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return how much memory the kernel says that it can hand out without swapping."""
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def measure_wholesale(given: Mapping[str, Any]) -> Samples:
    """Time the deletion and creation of all of ``counts`` slots, and of one of them."""
    with ExitStack() as later:
        contenders = {}
        for slots in given["counts"]:
            vm = later.enter_context(a_vm())
            places = [_big(number) for number in range(slots)]
            for place in places:
                vm.set_user_memory_region(*place.rest)
            contenders[f"{slots} all"] = partial(_replaced, vm, places)
            # The first: any other is as near to the head of its chain after a wholesale turn.
            contenders[f"{slots} one"] = partial(_replaced, vm, places[:1])
        return by_turns(contenders, given["rounds"])


def _big(number: int) -> Place:
    size = 512 * PAGE_SIZE
    gpa = GPA + 2 * size * number
    return Place(number, gpa, size, HVA + gpa, gpa + size)


def _replaced(vm: KvmVm, places: list[Place]) -> dict[str, int]:
    begin = perf_counter_ns()
    for place in places:
        vm.set_user_memory_region(*place.gone)
    for place in places:
        vm.set_user_memory_region(*place.rest)
    return {"ns": perf_counter_ns() - begin}


def measure_harness(given: Mapping[str, Any]) -> Samples:
    """Time ``calls`` of each kind in one C loop, through cffi and through fcntl; a call's mean.

    Without the compiled module there is no C loop, and no cffi either.
    """
    with ExitStack() as later:
        contenders: dict[str, Turn] = {}
        for kind in (NO_OP, f"{DELETE}, {CREATE}"):
            for name, backend in _backends():
                vm = later.enter_context(a_vm(backend=backend))
                place = _page(0)
                vm.set_user_memory_region(*place.rest)
                regions = [place.rest] if kind == NO_OP else [place.gone, place.rest]
                looped = _in_c if name == "C" else _in_python
                contenders[f"{kind} {name}"] = looped(vm, regions, given["calls"])
        return by_turns(contenders, given["rounds"])


def _backends() -> list[tuple[str, Backend]]:
    native, plain = choose(""), choose("ctypes")
    compiled = isinstance(native, NativeBackend)
    return [*([("C", native), ("cffi", native)] if compiled else []), ("fcntl", plain)]


_Regions = list[tuple[int, int, int, int, int]]


def _in_c(vm: KvmVm, regions: _Regions, calls: int) -> Turn:
    words = memoryview(bytearray(8)).cast("Q")
    updates = regions * (calls // len(regions))

    def turn() -> dict[str, int]:
        begin = perf_counter_ns()
        vm.update_bracketed(words, 0, updates)
        return {"ns": (perf_counter_ns() - begin) // calls}

    return turn


def _in_python(vm: KvmVm, regions: _Regions, calls: int) -> Turn:
    call: Callable[..., None] = vm.set_user_memory_region

    def turn() -> dict[str, int]:
        begin = perf_counter_ns()
        for _ in range(calls // len(regions)):
            for region in regions:
                call(*region)
        return {"ns": (perf_counter_ns() - begin) // calls}

    return turn
