"""A vCPU that is attended: paused between two calls, served from memory, let go on after EFAULT."""

import ctypes
import time

import pytest

from memslotlib.host import KvmVm, guest, pausing, stores
from memslotlib.host.arena import UnclaimedError
from memslotlib.host.attended import attended
from memslotlib.host.pausing import pause, resume
from memslotlib.host.stores import Word
from memslotlib.interface import Context

from .conftest import GPA, HVA
from .test_runner import until

CPL3 = Context.LONG64_CPL3
PAGES = 4
SIZE = PAGES << 12
REGION = (1, 0, GPA, SIZE, HVA)


@pytest.fixture
def storing(backend):
    """A guest that stores to four pages as far as it may, and what it shares."""
    with KvmVm(backend=backend) as vm:
        memory = vm.memory(HVA, SIZE)
        vm.set_user_memory_region(*REGION)
        cpu, code = vm.guest(), stores.program(PAGES)
        cpu.memory[guest.LOOP - guest.BASE :][: len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        with attended(cpu, stores.regs(GPA, 100), CPL3, GPA, memory) as running:
            yield vm, running, words, memory.cast("Q")


def ran(words):
    before = words[Word.ENDED]
    until(lambda: words[Word.ENDED] > before + 2)


@pytest.mark.needs_kvm
def test_a_paused_guest_does_nothing_and_goes_on_where_it_was(storing):
    vm, running, words, memory = storing
    words[Word.LIMIT] = 1 << 40
    for _ in range(3):
        ran(words)
        pause([running])
        stood = words[Word.BEGUN]
        # Without a slot, which it would meet at once if it ran.
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        time.sleep(0.01)
        vm.set_user_memory_region(*REGION)
        assert words[Word.BEGUN] == stood
        resume([running])
        ran(words)
    running.stop()

    assert running.exits == 0
    assert memory[stores.place(words[Word.ENDED], PAGES)] == words[Word.ENDED]


@pytest.mark.needs_kvm
def test_a_guest_that_is_paused_can_be_stopped(storing):
    _, running, words, _ = storing
    words[Word.LIMIT] = 1 << 40
    ran(words)
    pause([running])

    running.stop()

    assert running.ended == ""


@pytest.mark.needs_kvm
def test_a_store_into_a_hole_is_made_in_the_memory(storing):
    vm, running, words, memory = storing
    vm.set_user_memory_region(1, 0, 0, 0, 0)
    words[Word.LIMIT] = 9
    until(lambda: words[Word.ENDED] >= 9)

    assert running.exits == 9
    assert [memory[stores.place(n, PAGES)] for n in range(1, 10)] == list(range(1, 10))


@pytest.mark.needs_kvm
def test_without_memory_a_store_into_a_hole_goes_nowhere(backend):
    with KvmVm(backend=backend) as vm:
        cpu, code = vm.guest(), stores.program(PAGES)
        cpu.memory[guest.LOOP - guest.BASE :][: len(code)] = code
        words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * stores.WORDS].cast("Q")
        words[Word.LIMIT] = 3
        with attended(cpu, stores.regs(GPA, 1), CPL3) as running:
            until(lambda: words[Word.ENDED] >= 3)
            assert [one.gpa - GPA for one in running.since(0)] == [0, 0x1000, 0x2000]


@pytest.mark.needs_kvm
def test_memory_that_may_not_be_written_stops_the_guest_until_it_may(storing):
    libc = ctypes.CDLL(None)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    _, running, words, memory = storing
    words[Word.LIMIT] = 1 << 40
    ran(words)
    assert libc.mprotect(HVA, SIZE, 1) == 0
    until(lambda: running.failures)
    stood, content = words[Word.ENDED], memory.tolist()
    time.sleep(0.01)

    assert words[Word.ENDED] == stood
    assert memory.tolist() == content
    assert libc.mprotect(HVA, SIZE, 3) == 0
    ran(words)


@pytest.mark.needs_kvm
def test_an_exit_without_an_answer_ends_the_loop_and_is_told(backend, monkeypatch):
    monkeypatch.setattr(pausing, "STOP_LIMIT_S", 0.05)
    with KvmVm(backend=backend) as vm:
        cpu = vm.guest()
        at = guest.LOOP - guest.BASE
        cpu.memory[at : at + 4] = bytes.fromhex("e6 e6 eb fe")  # out %al, $0xe6; jmp to itself
        with attended(cpu, guest.regs(guest.LOOP), CPL3) as running:
            until(lambda: running.ended)
            with pytest.raises(UnclaimedError, match="exit reason 2"):
                running.check()
            with pytest.raises(UnclaimedError):
                pause([running])
