import time
from collections import Counter

import pytest

from memslotlib.errors import NotRunError
from memslotlib.host import KvmVm, guest, loops, runner
from memslotlib.host.loops import Word
from memslotlib.interface import FETCH_STUB, Access, Context, Exit
from memslotlib.uapi import ExitReason

from .conftest import GPA

pytestmark = pytest.mark.needs_kvm

HOLE = 0x3000_0000
CPL3 = Context.LONG64_CPL3


def start(vm, code, context=CPL3):
    at = guest.LOOP - guest.BASE
    vm.guest().memory[at : at + len(code)] = code
    return vm.run_in_thread(guest.regs(guest.LOOP), context)


def accesses(vm, access, at, context=CPL3):
    """A guest that accesses `at` over and over."""
    word = guest.SHARED - guest.BASE + 8 * Word.AT
    vm.guest().memory[word : word + 8] = at.to_bytes(8, "little")
    return start(vm, loops.loop(access, context), context)


def reasons(running):
    return Counter(record.name for record in running.since(0))


def until(met, limit_s=5.0):
    deadline = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def heartbeat(vm):
    at = guest.SHARED - guest.BASE + 8 * Word.HEARTBEAT
    return int.from_bytes(vm.guest().memory[at : at + 8], "little")


def test_a_guest_that_never_exits_runs_until_it_is_stopped(vm):
    running = accesses(vm, Access.LOAD, GPA)
    until(lambda: heartbeat(vm) > 1000)
    begin = time.monotonic()

    running.stop()

    assert time.monotonic() - begin < 1
    stopped_at = heartbeat(vm)
    assert running.exits == 0
    assert running.ended == ""
    time.sleep(0.01)
    assert heartbeat(vm) == stopped_at


@pytest.mark.parametrize("context", Context, ids=lambda context: context.value)
def test_the_count_of_turns_has_64_bits(vm, context):
    at = guest.SHARED - guest.BASE
    vm.guest().memory[at : at + 8] = ((1 << 32) - 2).to_bytes(8, "little")

    running = accesses(vm, Access.LOAD, GPA, context)
    until(lambda: heartbeat(vm) > 1 << 32)
    running.stop()

    assert (1 << 32) < heartbeat(vm) < 1 << 40


def test_after_a_stop_the_vcpu_makes_accesses_again(vm):
    for _ in range(20):
        running = accesses(vm, Access.LOAD, HOLE)
        until(lambda running=running: running.exits > 3)
        running.stop()

        assert vm.read(GPA, 2) == Exit("done", FETCH_STUB)


@pytest.mark.parametrize(("access", "is_write"), [(Access.LOAD, False), (Access.STORE, True)])
def test_mmio_exits_are_counted_and_logged(vm, access, is_write):
    running = accesses(vm, access, HOLE + 8)
    until(lambda: running.exits > 10)
    running.stop()
    log = running.since(0)

    assert reasons(running) == {"mmio": running.exits}
    assert len(log) == running.exits <= running.entries
    assert {(r.reason, r.gpa, r.size_bytes, r.is_write) for r in log} == {
        (ExitReason.MMIO, HOLE + 8, 4, is_write)
    }
    assert [r.time_ns for r in log] == sorted(r.time_ns for r in log)


def test_a_guest_that_cannot_fetch_is_tried_again_until_it_can(vm, backend):
    running = accesses(vm, Access.FETCH, HOLE, Context.LONG64)
    until(lambda: running.exits > 3)
    vm.memory(0x2000_0010_0000, 1)[0] = 0xC3
    before = heartbeat(vm)
    vm.set_user_memory_region(2, 0, HOLE, 0x1000, 0x2000_0010_0000)
    until(lambda: heartbeat(vm) > before + 10)
    running.stop()

    assert reasons(running) == {"internal_error": running.exits}
    assert {(record.suberror, record.gpa) for record in running.since(0)} == {(1, HOLE)}


def test_a_guest_that_shuts_down_starts_over(vm):
    count_then_die = bytes.fromhex("48 ff 06  0f 0b")  # incq (%rsi); ud2, with no handler
    running = start(vm, count_then_die)
    until(lambda: heartbeat(vm) > 3)
    running.stop()

    assert set(reasons(running)) == {"shutdown"}
    assert running.exits >= 3


def test_an_exit_without_an_answer_ends_the_loop_and_is_named(vm):
    running = start(vm, FETCH_STUB)
    until(lambda: running.ended)

    assert running.ended == "exit reason 2, to which there is no answer"


def test_memory_without_backing_ends_the_loop_with_its_errno(vm):
    vm.set_user_memory_region(2, 0, HOLE, 0x1000, 0x2000_0020_0000)
    running = accesses(vm, Access.LOAD, HOLE)
    until(lambda: running.ended or running.exits > 10)

    # Interpreted, the same access is an MMIO exit.
    assert running.ended == "KVM_RUN: EFAULT" or set(reasons(running)) == {"mmio"}


def test_the_log_keeps_the_last_exits_and_says_when_it_has_lost_some(vm, monkeypatch):
    monkeypatch.setattr(runner, "LOG_CAPACITY", 8)
    running = accesses(vm, Access.LOAD, HOLE)
    until(lambda: running.exits > 50)
    running.stop()

    log = running.since(running.exits - 8)
    assert len(log) == 8
    assert [r.time_ns for r in log] == sorted(r.time_ns for r in log)
    assert running.since(running.exits) == []
    with pytest.raises(NotRunError, match="9 exits, of which the log keeps 8"):
        running.since(running.exits - 9)


def test_an_exit_tells_of_itself_in_one_line():
    mmio = runner.ExitRecord(1, ExitReason.MMIO, 0x10, 4, True)
    failed = runner.ExitRecord(1, ExitReason.INTERNAL_ERROR, 0x20, suberror=1)

    assert mmio.text == "mmio write at 0x10, suberror 0"
    assert failed.text == "internal_error at 0x20, suberror 1"


def test_a_running_guest_uses_cpu_time(vm):
    running = accesses(vm, Access.LOAD, GPA)
    before = running.cpu_seconds
    until(lambda: running.cpu_seconds > before + 0.01)


def test_closing_the_vm_stops_its_guest(backend, leaks):
    leaks()

    for _ in range(20):
        with KvmVm(backend=backend) as vm:
            accesses(vm, Access.LOAD, guest.BASE)
            until(lambda vm=vm: heartbeat(vm) > 10)

    assert leaks() == {}


def test_stopping_twice_is_stopping_once(vm):
    running = accesses(vm, Access.LOAD, GPA)
    running.stop()
    running.stop()

    assert vm.read(GPA, 2).reason == "done"
