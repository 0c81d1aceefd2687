"""What the tests of the host harness share: a VM with memory, through either backend."""

import contextlib
import threading
from collections import Counter
from pathlib import Path

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import KvmVm
from memslotlib.host.arena import Scenario
from memslotlib.host.backend import choose
from memslotlib.interface import FETCH_STUB, Access

HVA = 0x2000_0000_0000
GPA = 0x1000_0000
SLOT = (1, 0, GPA, 0x4000, HVA)
#: How each update changes the slot, and what brings it back.
UPDATES = {
    "delete-create": (((1, 0, 0, 0, 0), SLOT), ()),
    "move": (((1, 0, GPA + 0x1000, 0x4000, HVA),), (SLOT,)),
    "flags": (((1, 1, GPA, 0x4000, HVA),), (SLOT,)),
    "none": ((SLOT,), ()),
    # No ioctl at all: whatever is measured, it must find nothing.
    "nothing": ((), ()),
}


def a_scenario(access="load", update="delete-create"):
    return Scenario(Access(access), SLOT, *UPDATES[update], GPA + 0x2000, GPA + 0x3000, b"\xe6" * 8)


def backends():
    """The backends that are here: ctypes always, cffi where it has been built."""
    with contextlib.suppress(NotRunError):
        yield choose("cffi")
    yield choose("ctypes")


@pytest.fixture(params=list(backends()), ids=lambda backend: backend.name)
def backend(request):
    return request.param


@pytest.fixture
def vm(backend):
    """A VM with four pages at GPA that hold the fetch stub everywhere."""
    with KvmVm(backend=backend, time_limit_s=1.0) as vm:
        vm.memory(HVA, 0x4000)[:] = FETCH_STUB * 0x2000
        vm.set_user_memory_region(1, 0, GPA, 0x4000, HVA)
        yield vm


@pytest.fixture
def leaks():
    """Call it twice: the second call returns what the process has more than at the first."""
    taken = []

    def look():
        taken.append(_held())
        return taken[-1] - taken[0]

    return look


def _held():
    """What a VM could leave behind: descriptors by what they are of, threads, mappings."""
    held = Counter(threads=threading.active_count())
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held[f"fd of {fd.readlink()}"] += 1
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "kvm" in line or "memslots" in line:
            held[f"mapping of {line.split(maxsplit=5)[-1]}"] += 1
    return held
