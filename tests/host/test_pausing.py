import threading
import time

import pytest

from memslotlib.host import guest, pausing
from memslotlib.host.arena import NoProgressError, UnclaimedError
from memslotlib.host.pausing import PythonPausable, pause, paused_guests, resume
from memslotlib.host.striding import Count, program, regs
from memslotlib.interface import Context, Exit

from .conftest import GPA

pytestmark = pytest.mark.needs_kvm

CPL3 = Context.LONG64_CPL3
SIZE_BYTES = 0x4000


def programs(vm, number):
    """So many vCPUs that go round the four pages of the slot, and the words of each."""
    made, words = [], []
    code, at = program(), guest.LOOP - guest.BASE
    for one in range(number):
        cpu = vm.another_cpu() if one else vm.guest()
        cpu.memory[at : at + len(code)] = code
        line = guest.SHARED + 64 * one
        words.append(cpu.memory[line - guest.BASE :][:16].cast("Q"))
        made.append((cpu, regs(GPA, SIZE_BYTES, line)))
    return made, words


def runs(words, limit_s=5.0):
    """Whether the guest gets on, within the limit."""
    before, deadline = words[Count.ROUNDS], time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if words[Count.ROUNDS] > before + 1:
            return True
        time.sleep(0.001)
    return False


@pytest.mark.parametrize("number", [1, 3])
def test_a_paused_vcpu_makes_no_access_and_goes_on_where_it_was(vm, number):
    made, words = programs(vm, number)
    with paused_guests(made, CPL3) as running:
        assert not any(runs(one, 0.02) for one in words)
        for _ in range(3):
            resume(running)
            assert all(runs(one) for one in words)
            pause(running)
            assert all(one.is_paused for one in running)
            assert not any(runs(one, 0.02) for one in words)
        assert all(one.ended == "" for one in running)
    for one in words:
        one.release()


def test_how_long_a_vcpu_was_out_is_told_by_its_own_thread(vm):
    made, (words,) = programs(vm, 1)
    with paused_guests(made, CPL3) as running:
        resume(running)
        assert runs(words)
        pause(running)
        time.sleep(0.05)
        resume(running)
        assert runs(words)

        assert 50_000_000 <= running[0].out_ns < 5_000_000_000
    words.release()


def test_who_is_paused_already_is_not_asked_again(vm):
    made, (words,) = programs(vm, 1)
    with paused_guests(made, CPL3) as running:
        pause(running)
        pause(running)
        resume(running)
        assert runs(words)
    words.release()


@pytest.mark.parametrize("is_running", [True, False])
def test_no_thread_is_left_whatever_state_the_vcpu_is_in(vm, is_running):
    before = threading.active_count()
    made, (words,) = programs(vm, 1)
    with paused_guests(made, CPL3) as running:
        if is_running:
            resume(running)
            assert runs(words)
    words.release()

    assert threading.active_count() == before
    assert vm.read(GPA, 2) == Exit("done", vm.memory(0x2000_0000_0000, 2).tobytes())


def test_an_interrupt_while_paused_leaves_no_thread(vm):
    before = threading.active_count()
    made, (words,) = programs(vm, 1)

    def interrupted():
        with paused_guests(made, CPL3) as running:
            resume(running)
            pause(running)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    words.release()

    assert threading.active_count() == before


def test_a_vcpu_that_has_ended_is_not_waited_for_for_ever(vm, monkeypatch):
    monkeypatch.setattr(pausing, "STOP_LIMIT_S", 0.1)
    cpu = vm.guest()
    out = bytes.fromhex("e6 01")  # out %al, $1: an exit to which the loop has no answer
    at = guest.LOOP - guest.BASE
    cpu.memory[at : at + len(out)] = out
    with paused_guests([(cpu, guest.regs(guest.LOOP))], CPL3) as running:
        resume(running)
        running[0]._thread.join(5)
        with pytest.raises(UnclaimedError, match="did not pause in 0.1 s: exit reason 2"):
            pause(running)


class Deaf(PythonPausable):
    """A vCPU thread that never says that it is out."""

    def _loop(self):
        self._may_go.acquire()


def test_a_vcpu_that_does_not_come_out_is_told(vm, monkeypatch):
    monkeypatch.setattr(pausing, "STOP_LIMIT_S", 0.05)
    cpu = vm.guest()
    running = Deaf(cpu, guest.regs(guest.LOOP), cpu.sregs(CPL3))
    with pytest.raises(NoProgressError, match=r"did not pause in 0.05 s: it runs on"):
        running.start()
    running.stop()
