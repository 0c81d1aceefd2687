import ctypes
import errno
import threading

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import uffd
from memslotlib.host.memory import HostMemory
from memslotlib.host.uffd import Userfault

HVA = 0x2300_0000_0000


def refuse(monkeypatch, number):
    def syscall(*_):
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(uffd._libc, "syscall", syscall, raising=False)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EPERM, "userfaultfd: not permitted; root may, or .*unprivileged_userfaultfd=1"),
        (errno.ENOSYS, "userfaultfd: Function not implemented"),
    ],
)
def test_a_kernel_that_refuses_is_not_run_with_the_reason(monkeypatch, number, reason):
    refuse(monkeypatch, number)

    with pytest.raises(NotRunError, match=reason):
        Userfault(HVA, 0x1000)


@pytest.fixture
def memory():
    memory = HostMemory()
    memory.view(HVA, 0x2000)
    yield memory
    memory.close()


@pytest.fixture
def pages(memory):
    try:
        pages = Userfault(HVA, 0x2000)
    except NotRunError as error:
        pytest.skip(str(error))
    yield pages
    pages.close()


def reader(at):
    """A thread that reads a byte there; a ctypes call waits without the interpreter's lock."""
    libc, found = ctypes.CDLL(None), []
    place = ctypes.create_string_buffer(1)

    def read():
        libc.memcpy(place, ctypes.c_void_p(at), 1)
        found.append(place.raw)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, found


def test_who_touches_a_page_waits_until_it_is_served(pages):
    assert pages.wait(0) == 0
    thread, found = reader(HVA + 0x1234)

    assert pages.wait(5) == HVA + 0x1000
    thread.join(0.05)
    assert found == []
    pages.serve(HVA + 0x1000)
    thread.join(5)
    assert found == [b"\0"]


def test_closing_serves_who_waits(pages):
    thread, found = reader(HVA)
    assert pages.wait(5) == HVA

    pages.close()
    pages.close()

    thread.join(5)
    assert found == [b"\0"]


def test_memory_that_is_not_there_is_refused(pages):
    with pytest.raises(NotRunError, match="userfaultfd, Userfault: Invalid argument"):
        Userfault(0x2310_0000_0000, 0x1000)
