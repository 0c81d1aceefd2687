"""What the tests of the host harness share: a VM with memory, through either backend."""

import contextlib
import os
import threading
from pathlib import Path

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import KvmVm
from memslotlib.host.backend import choose
from memslotlib.interface import FETCH_STUB

HVA = 0x2000_0000_0000
GPA = 0x1000_0000


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
        now = {
            "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            "threads": threading.active_count(),
            "mappings of KVM": Path("/proc/self/maps").read_text().count("kvm"),
            "mappings of ours": Path("/proc/self/maps").read_text().count("memfd:memslots"),
        }
        taken.append(now)
        return {name: count for name, count in now.items() if count > taken[0][name]}

    return look
