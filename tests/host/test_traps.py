import ctypes
import errno
import threading

import pytest

from memslotlib.errors import MemslotError, NotRunError
from memslotlib.host import uffd
from memslotlib.host.memory import HostMemory
from memslotlib.host.traps import MinorTrap, WriteTrap

HVA, SIZE_BYTES = 0x2300_0000_0000, 0x3000
kinds = pytest.mark.parametrize("kind", [MinorTrap, WriteTrap])


@pytest.fixture
def view():
    memory = HostMemory()
    view = memory.view(HVA, SIZE_BYTES)
    view[:] = b"." * SIZE_BYTES
    yield view
    memory.close()


@pytest.fixture
def trap(view, request):
    try:
        trap = request.param(HVA, SIZE_BYTES)
    except NotRunError as error:
        pytest.skip(str(error))
    yield trap
    trap.close()


def each(*kinds):
    return pytest.mark.parametrize("trap", kinds, indirect=True)


def touch(value=None):
    """A thread that reads a byte of the second page there, or writes one."""
    libc, found = ctypes.CDLL(None), []
    place, at = ctypes.create_string_buffer(value or b" ", 1), ctypes.c_void_p(HVA + 0x1234)

    def run():
        libc.memcpy(*((at, place) if value else (place, at)), 1)
        found.append(place.raw)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


@each(MinorTrap, WriteTrap)
def test_a_write_waits_until_the_trap_is_opened(trap, view):
    trap.shut()
    thread, found = touch(b"w")

    assert trap.wait(5) == HVA + 0x1000
    thread.join(0.05)
    assert found == []
    assert bytes(view[0x1230:0x1238]) == b"." * 8
    trap.open()
    thread.join(5)
    assert found == [b"w"]
    assert bytes(view[0x1230:0x1238]) == b"....w..."


@each(MinorTrap)
def test_a_read_waits_and_finds_what_userspace_has_put_there_meanwhile(trap, view):
    trap.shut()
    thread, found = touch()

    assert trap.wait(5) == HVA + 0x1000
    view[0x1234] = ord("n")
    trap.open()
    thread.join(5)
    assert found == [b"n"]


@each(WriteTrap)
def test_a_read_is_served_while_writes_wait(trap):
    trap.shut()
    thread, found = touch()

    thread.join(5)
    assert found == [b"."]
    assert trap.wait(0) == 0


@each(MinorTrap, WriteTrap)
def test_an_open_trap_stops_nobody(trap):
    thread, found = touch(b"w")

    thread.join(5)
    assert found == [b"w"]
    assert trap.wait(0) == 0


@each(MinorTrap, WriteTrap)
def test_closing_lets_who_waits_go_on(trap):
    trap.shut()
    thread, found = touch(b"w")
    assert trap.wait(5) == HVA + 0x1000

    trap.close()
    trap.close()

    thread.join(5)
    assert found == [b"w"]


@kinds
def test_a_kernel_that_refuses_is_not_run_with_the_reason(kind, monkeypatch):
    def syscall(*_):
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(uffd._libc, "syscall", syscall, raising=False)

    with pytest.raises(NotRunError, match="userfaultfd: not permitted"):
        kind(HVA, SIZE_BYTES)


@kinds
def test_a_kernel_without_the_mode_is_not_run_and_leaves_no_descriptor(kind, monkeypatch, leaks):
    monkeypatch.setattr(kind, "feature", 1 << 63)
    leaks()

    with pytest.raises(NotRunError, match=r"userfaultfd, \w+: Invalid argument"):
        kind(HVA, SIZE_BYTES)
    assert leaks() == {}


@each(MinorTrap)
def test_memory_that_went_away_is_told(trap, monkeypatch):
    monkeypatch.setattr(trap, "_place", (HVA + 1, SIZE_BYTES))

    with pytest.raises(MemslotError, match="madvise: Invalid argument"):
        trap.shut()
