import errno
import time

import pytest

from memslotlib.errors import KvmError
from memslotlib.host import guest, loops
from memslotlib.host.ioctls import RUN_DETAIL, RUN_EXIT_REASON
from memslotlib.host.loops import Word
from memslotlib.host.runner import PythonRunner
from memslotlib.host.standins import Place, _Protected
from memslotlib.host.steadfast import _MEMORY_FAULT, Failure, SteadfastRunner, running
from memslotlib.interface import Access, Context
from memslotlib.uapi import ExitReason

from .conftest import GPA, SLOT

CPL3 = Context.LONG64_CPL3


class FakeVcpu:
    """A vCPU whose KVM_RUN answers what the test says, one after the other."""

    def __init__(self, *answers):
        self.kvm_run = bytearray(4096)
        self.answers = list(answers)

    def run(self):
        result, reason, gpa = self.answers.pop(0)
        if reason is not None:
            self.kvm_run[RUN_EXIT_REASON] = reason
        _MEMORY_FAULT.pack_into(self.kvm_run, RUN_DETAIL, 0, gpa, 4096)
        if isinstance(result, Exception):
            raise result
        return result


class FakeCpu:
    def __init__(self, *answers):
        self.vcpu = FakeVcpu(*answers)

    def settle(self):
        pass


def ran(*answers):
    runner = SteadfastRunner(FakeCpu(*answers), bytearray(), bytearray())
    runner._loop()
    return runner


def test_a_failure_is_noted_with_what_kvm_told_and_the_guest_runs_on():
    runner = ran(
        (-errno.EFAULT, 0, 0x5000),
        (-errno.EINTR, 0, 0),
        (-errno.EFAULT, ExitReason.MEMORY_FAULT, 0x7000),
        (0, ExitReason.HLT, 0),
    )

    assert runner.failures == [Failure(0, None), Failure(ExitReason.MEMORY_FAULT, 0x7000)]
    assert runner.entries == 4
    assert "exit reason 5" in runner.ended


def test_the_reason_of_an_earlier_exit_is_not_a_failure_s():
    runner = ran((0, ExitReason.INTR, 0), (-errno.EFAULT, None, 0), (0, ExitReason.HLT, 0))

    assert runner.failures == [Failure(0, None)]


def test_who_is_not_steadfast_takes_it_for_the_end():
    runner = PythonRunner(FakeCpu((-errno.EFAULT, 0, 0)), bytearray(), bytearray())
    runner._loop()

    assert (runner.entries, runner.ended) == (1, "KVM_RUN: EFAULT")


def test_another_errno_ends_the_run():
    runner = ran((KvmError("KVM_RUN", errno.EIO), 0, 0))

    assert runner.failures == []
    assert runner.ended == "KVM_RUN: EIO"


@pytest.mark.needs_kvm
def test_a_guest_whose_memory_is_taken_away_goes_on_when_it_is_back(vm, leaks):
    leaks()
    cpu = vm.guest()
    code = loops.loop(Access.LOAD, CPL3)
    cpu.memory[guest.LOOP - guest.BASE :][: len(code)] = code
    words = cpu.memory[guest.SHARED - guest.BASE :][: 8 * loops.WORDS].cast("Q")
    words[Word.AT] = GPA
    protected = _Protected(vm, Place(SLOT, 0))

    def beats(n, since, runner):
        deadline = time.monotonic() + 5
        while words[Word.HEARTBEAT] < since + n and time.monotonic() < deadline:
            time.sleep(0.001)
        assert words[Word.HEARTBEAT] >= since + n, runner.ended

    with running(vm, loops.regs(b"\xe6" * 4), CPL3) as runner:
        beats(10, 0, runner)
        protected.off()
        deadline = time.monotonic() + 5
        while not (runner.failures or runner.exits) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert runner.failures or runner.exits
        protected.on()
        beats(10, words[Word.HEARTBEAT], runner)
        assert runner.ended == ""
    assert not runner._thread.is_alive()
