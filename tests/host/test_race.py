import signal
import threading

import pytest

from memslotlib.errors import MemslotError, NotRunError
from memslotlib.host import race
from memslotlib.host.loops import Access
from memslotlib.host.race import UPDATES, free_running, overlap, rendezvous
from memslotlib.interface import Context

LONG = (Context.LONG64, Context.LONG64_CPL3)
#: What a guest in a hole exits with. A stock kernel faults a CPL 3 fetch instead of telling.
EXITS = {Access.LOAD: {"mmio"}, Access.STORE: {"mmio"}, Access.FETCH: {"internal_error"}}


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
@pytest.mark.parametrize("context", Context, ids=lambda context: context.value)
def test_every_update_of_a_rendezvous_is_hit(backend, access, context):
    # The bound that the project states is of the compiled backend; the other one does the same.
    updates = 300 if backend.name == "cffi" else 100
    result = rendezvous(access, context, updates=updates, backend=backend)

    assert (result.hits, result.updates, result.opportunities) == (updates,) * 3
    assert result.wall_seconds < 10
    assert sum(result.exits_by_reason.values()) >= updates
    told = EXITS[access] | ({"shutdown"} if context is Context.LONG64_CPL3 else set())
    assert set(result.exits_by_reason) <= told
    before, after = result.progress
    assert after >= before + updates, "the guest went on after each update"


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
def test_delete_and_create_are_hit_without_waiting(backend, access):
    result = free_running(access, updates=200, backend=backend)

    assert 0 < result.hits <= result.opportunities <= result.updates == 200
    assert all(one.progressed for one in result.seen if one.hit)
    assert all(one.duration_ns > 0 for one in result.seen)
    assert sum(one.exits for one in result.seen) == sum(result.exits_by_reason.values())


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", Context, ids=lambda context: context.value)
def test_a_change_of_flags_opens_no_hole(backend, context):
    result = free_running("load", context, "flags", updates=200, backend=backend)

    assert result.hits == 0
    assert result.opportunities > 0


@pytest.mark.needs_kvm
@pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
def test_a_move_opens_no_hole_for_native_accesses_where_delete_and_create_do(backend, access):
    control = overlap(access, "delete-create", updates=200, backend=backend)
    moved = overlap(access, "move", updates=200, backend=backend)

    assert control.holes > 0
    assert control.updates_overlapped > 0
    assert moved.overlapping >= 10_000
    assert moved.updates_overlapped > 10
    assert moved.holes == 0
    assert moved.exits_by_reason == {}


@pytest.mark.needs_kvm
@pytest.mark.parametrize("context", LONG, ids=lambda context: context.value)
def test_the_guest_s_own_count_of_holes_is_ours(backend, context):
    seen = overlap("load", "delete-create", context, updates=100, wanted=1, backend=backend)

    assert seen.wrong_values == seen.exits_by_reason["mmio"] == seen.holes
    assert seen.overlapping <= seen.accesses
    assert seen.updates_overlapped <= seen.updates
    assert seen.updates >= 100


@pytest.mark.needs_kvm
def test_an_update_that_took_long_counts_for_nothing(backend, monkeypatch):
    monkeypatch.setattr(race, "BRACKET_LIMIT_NS", 0)
    monkeypatch.setattr(race, "OVERLAP_LIMIT_S", 0.5)

    seen = overlap("load", updates=10, backend=backend)

    assert (seen.overlapping, seen.updates_overlapped) == (0, 0)
    assert seen.discarded > 0
    assert seen.wall_seconds < 5


@pytest.mark.needs_kvm
def test_ctrl_c_leaves_neither_thread_nor_vm(backend, leaks):
    leaks()
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    timer.start()

    with pytest.raises(KeyboardInterrupt):
        rendezvous("load", updates=10**9, backend=backend)

    timer.join()
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_guest_without_progress_is_reported_in_time(backend, monkeypatch, leaks):
    monkeypatch.setattr(race, "WAIT_LIMIT_S", 0.2)
    # jmp . : it runs, and counts nothing.
    monkeypatch.setattr(race.loops, "access_loop", lambda access, context: b"\xeb\xfe")
    leaks()

    with pytest.raises(MemslotError, match=r"no progress in 0\.2 s \(access 0, 0 exits\)"):
        free_running("load", backend=backend)

    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_vcpu_that_stops_by_itself_is_reported(backend, monkeypatch):
    monkeypatch.setattr(race.loops, "access_loop", lambda access, context: b"\xe6\xe6")

    with pytest.raises(MemslotError, match="stopped by itself: exit reason 2"):
        free_running("load", backend=backend)


def test_an_even_update_undoes_an_odd_one():
    for update in UPDATES:
        first, second = race._steps(update, 0), race._steps(update, 1)
        assert second[-1] == race._region()
        assert first[-1] == race._region() if update == "delete-create" else first != second


def test_the_target_is_covered_before_and_after_every_update():
    for update in UPDATES:
        for number in (0, 1):
            _, _, gpa, size_bytes, _ = race._steps(update, number)[-1]
            assert gpa <= race.TARGET < gpa + size_bytes
            assert gpa + size_bytes >= race.TARGET + (race.PAGES - 1) * 4096


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rendezvous("load", update="flags"), "update 'flags' is one ioctl"),
        (lambda: free_running("load", update="resize"), "not one of delete-create, move, flags"),
        (lambda: overlap("load", "resize"), "not one of delete-create, move, flags"),
        (lambda: overlap("load", context=Context.PROT32), "64-bit code"),
        (lambda: rendezvous("jump"), "'jump' is not a valid Access"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_a_device_nothing_runs(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(race.KvmVm, "_open", absent)

    with pytest.raises(NotRunError, match="absent"):
        rendezvous("load")
