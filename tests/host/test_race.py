import dataclasses

import pytest
from interrupted import ctrl_c

from memslotlib.errors import NotRunError
from memslotlib.host import arena as arenas
from memslotlib.host import race
from memslotlib.host.race import RaceResult, UpdateSeen, overlap, rendezvous
from memslotlib.interface import Access, Context

from .conftest import a_scenario

#: What a guest in a hole exits with. A stock kernel faults a CPL 3 fetch instead of telling.
EXITS = {Access.LOAD: {"mmio"}, Access.STORE: {"mmio"}, Access.FETCH: {"internal_error"}}
accesses = pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
contexts = pytest.mark.parametrize("context", Context, ids=lambda context: context.value)


def test_an_update_counts_when_the_guest_proves_it_or_met_a_hole():
    proven, met, neither = (
        UpdateSeen({}, 3, 1000),
        UpdateSeen({"mmio": 2}, 0, 9_000_000),
        UpdateSeen({}, 0, 1000),
    )

    result = RaceResult(Access.LOAD, Context.LONG64, (proven, met, neither), 0.1, "cffi")

    assert [one.overlapped for one in result.seen] == [True, True, False]
    assert (result.trials, result.hits, result.accesses) == (2, 1, 3)
    assert result.exits_by_reason == {"mmio": 2}


@pytest.mark.needs_kvm
@accesses
@contexts
def test_every_update_of_a_rendezvous_is_hit(backend, access, context):
    # The bound that the project states is of the compiled backend; the other one does the same.
    updates = 300 if backend.name == "cffi" else 100
    result = rendezvous(a_scenario(access), context, updates, backend=backend)

    assert (result.hits, result.trials, len(result.seen)) == (updates,) * 3
    assert result.wall_seconds < 10
    told = EXITS[access] | ({"shutdown"} if context is Context.LONG64_CPL3 else set())
    assert set(result.exits_by_reason) <= told
    assert sum(result.exits_by_reason.values()) >= updates


@pytest.mark.needs_kvm
def test_a_rendezvous_gives_up_after_a_few_waits_for_nothing(backend, monkeypatch):
    monkeypatch.setattr(arenas, "WAIT_LIMIT_S", 0.1)
    once = a_scenario(update="none")
    # Two ioctls between which the slot is there.
    calm = dataclasses.replace(once, update=once.update * 2)

    result = rendezvous(calm, updates=300, backend=backend)

    assert (result.hits, len(result.seen)) == (0, race.MISSES)
    # The guest was served all along: these are trials, and no hits.
    assert result.trials == race.MISSES
    assert result.accesses > 1000
    assert result.wall_seconds < 2


@pytest.mark.needs_kvm
@accesses
@contexts
def test_delete_and_create_are_hit_without_waiting(backend, access, context):
    result = overlap(a_scenario(access), context, 50, backend=backend)

    assert 0 < result.hits <= result.trials == 50 <= len(result.seen)
    assert set(result.exits_by_reason) <= EXITS[access] | {"shutdown"}
    assert all(one.duration_ns > 0 for one in result.seen)


@pytest.mark.needs_kvm
@contexts
def test_a_change_of_flags_opens_no_hole(backend, context):
    result = overlap(a_scenario(update="flags"), context, 50, backend=backend)

    assert (result.hits, result.trials) == (0, 50)
    assert result.accesses >= 50


@pytest.mark.needs_kvm
@accesses
def test_a_move_opens_no_hole_for_native_accesses_where_delete_and_create_do(backend, access):
    control = overlap(a_scenario(access), updates=200, backend=backend)
    moved = overlap(a_scenario(access, "move"), updates=200, backend=backend)

    assert control.hits > 10
    assert moved.accesses >= 10_000
    assert (moved.hits, moved.trials) == (0, 200)


@pytest.mark.needs_kvm
@accesses
def test_a_move_opens_a_hole_for_accesses_that_kvm_makes(backend, access):
    if not _interprets(Context.LONG64):
        pytest.skip("this host runs long64 on the processor")
    moved = overlap(a_scenario(access, "move"), Context.LONG64, 50, backend=backend)

    assert moved.hits > 25


def _interprets(context):
    from memslotlib.abi.policy import HostPolicy
    from memslotlib.host import describe

    return context not in HostPolicy.of(describe().module).native_contexts


@pytest.mark.needs_kvm
def test_without_an_ioctl_nothing_overlaps_and_nothing_is_met(backend, monkeypatch):
    monkeypatch.setattr(race, "OVERLAP_LIMIT_S", 0.3)

    result = overlap(a_scenario(update="nothing"), Context.LONG64, 10**9, backend=backend)

    assert len(result.seen) > 10
    # The phase is odd for an instant all the same: no interpreted access is as short as that.
    assert result.trials <= len(result.seen) // 10
    assert result.hits == 0


@pytest.mark.needs_kvm
def test_an_ioctl_that_changes_nothing_is_overlapped_and_hits_nothing(backend):
    result = overlap(a_scenario(update="none"), updates=100, backend=backend)

    assert (result.hits, result.trials) == (0, 100)


@pytest.mark.needs_kvm
def test_an_update_that_took_long_proves_nothing(backend, monkeypatch):
    monkeypatch.setattr(race, "BRACKET_LIMIT_NS", 0)
    monkeypatch.setattr(race, "OVERLAP_LIMIT_S", 0.3)

    result = overlap(a_scenario(update="move"), backend=backend)

    assert len(result.seen) > 10
    assert (result.accesses, result.trials) == (0, 0)
    assert result.wall_seconds < 5


@pytest.mark.needs_kvm
def test_ctrl_c_leaves_neither_thread_nor_vm(backend, leaks):
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.3):
        rendezvous(a_scenario(), updates=10**9, backend=backend)

    assert leaks() == {}


def test_an_update_of_one_ioctl_has_no_inside_to_wait_in():
    with pytest.raises(ValueError, match="one ioctl has no inside"):
        rendezvous(a_scenario(update="flags"))


def test_without_a_device_nothing_runs(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(arenas.KvmVm, "_open", absent)

    with pytest.raises(NotRunError, match="absent"):
        rendezvous(a_scenario())
