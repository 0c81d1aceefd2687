import dataclasses
from collections import Counter

import pytest
from interrupted import ctrl_c
from made_rounds import WELL

from memslotlib import litmus
from memslotlib.errors import NotRunError
from memslotlib.host import arena, guest, loops
from memslotlib.host import switched as switching
from memslotlib.host.arena import NoProgressError
from memslotlib.host.describe import describe
from memslotlib.host.loops import Word
from memslotlib.host.standins import AWAY_BYTES, How, Standin, _Nothing
from memslotlib.host.switched import Met, Round, switched
from memslotlib.interface import Access, Context
from memslotlib.litmus_standins import OTHER_HVA, scenario
from memslotlib.uapi import PAGE_SIZE

from .test_runner import until

CPL3, LONG64 = Context.LONG64_CPL3, Context.LONG64
contexts = pytest.mark.parametrize("context", [CPL3, LONG64], ids=lambda context: context.value)
accesses = pytest.mark.parametrize("access", Access, ids=lambda access: access.value)
WAITS = (How.UFFD_MINOR, How.UFFD_WP)
ROUNDS = 5

QUIET = Met(9, {}, {}, asleep=False, told=False)


def run(how, access=Access.STORE, context=CPL3, rounds=ROUNDS, backend=None):
    try:
        return switched(scenario(access), OTHER_HVA, how, context, rounds, backend=backend)
    except NoProgressError:
        raise
    except NotRunError as error:
        pytest.skip(str(error))


def a_round(stores=WELL, **met):
    return Round(dataclasses.replace(QUIET, **met), False, False, True, stores)


def test_what_was_met_counts_each_access_once():
    assert QUIET.count == 9
    assert Met(7, {"mmio": 8}, {}, False, False).count == 8
    assert Met(0, {}, {0: 3}, False, False).count == 1
    assert Met(0, {}, {}, asleep=True, told=True).count == 1
    assert Met(0, {}, {}, asleep=False, told=True).count == 1
    assert Met(0, {}, {}, False, False).count == 0


def test_an_access_is_stopped_when_it_sleeps_or_kvm_run_fails():
    assert not QUIET.stopped
    assert not dataclasses.replace(QUIET, exits={"mmio": 1}).stopped
    assert dataclasses.replace(QUIET, failures={0: 1}).stopped
    assert dataclasses.replace(QUIET, asleep=True).stopped


def test_a_round_that_nothing_met_or_whose_log_did_not_work_says_nothing():
    assert a_round().is_trial
    assert a_round(stores=None).is_trial
    assert not a_round(accesses=0).is_trial
    assert not a_round(dataclasses.replace(WELL, sent=False)).is_trial


def test_a_store_is_lost_when_it_ended_and_no_memory_has_it():
    gone = dataclasses.replace(WELL, kept=False)
    assert a_round(gone).lost
    assert not a_round(WELL).lost
    # The one under way when the zeroes were put there.
    assert not a_round(gone, accesses=1).lost
    assert not a_round(None).lost


@pytest.mark.needs_kvm
@contexts
@accesses
def test_without_a_switch_the_guest_goes_on_and_every_store_lands(access, context, backend):
    result = run(How.NOTHING, access, context, backend=backend)

    assert len(result.trials) == ROUNDS
    for one in result.trials:
        assert one.met.accesses > 1
        assert one.met == dataclasses.replace(QUIET, accesses=one.met.accesses)
        assert one.resumed
        assert not one.held_up
        if access is Access.STORE:
            assert one.stores == dataclasses.replace(WELL, leaked=True)
        else:
            assert one.stores is None


@pytest.mark.needs_kvm
@contexts
@accesses
def test_a_slot_that_is_away_is_a_hole(access, context, backend):
    result = run(How.MOVE, access, context, backend=backend)

    assert len(result.trials) == ROUNDS
    for one in result.trials:
        assert one.met.exits
        assert not one.met.stopped
        if access is Access.STORE:
            assert not one.stores.leaked
            assert not one.stores.shut
            assert one.stores.first
    if access is Access.STORE:
        assert any(one.lost for one in result.trials)


@pytest.mark.needs_kvm
def test_a_deleted_slot_has_no_log_and_its_bits_are_gone(backend):
    for one in run(How.TODAY, backend=backend).trials:
        assert one.stores.shut
        assert not one.stores.first
        assert one.stores.then


@pytest.mark.needs_kvm
@contexts
@pytest.mark.parametrize("how", WAITS, ids=lambda how: how.value)
def test_who_waits_is_named_and_holds_an_update_up(how, context):
    result = run(how, context=context, rounds=3)

    assert len(result.trials) == 3
    for one in result.trials:
        assert one.met.asleep
        assert one.met.told
        assert one.met.accesses <= 1
        assert one.met.exits == one.met.failures == {}
        assert one.held_up
        assert one.resumed
        assert one.stores == dataclasses.replace(WELL, kept=False)


@pytest.mark.needs_kvm
@contexts
def test_memory_that_may_not_be_used_fails_kvm_run_or_is_a_hole(context, backend):
    native = context is CPL3 or not describe().out_of_tree
    for one in run(How.PROTECT_NONE, context=context, backend=backend).trials:
        assert one.resumed
        assert not one.stores.leaked
        assert bool(one.met.failures) is native
        assert bool(one.met.exits) is not native


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", [How.MMAP, How.MREMAP], ids=lambda how: how.value)
def test_other_memory_serves_and_no_log_names_what_it_changed(how, backend):
    for one in run(how, backend=backend).trials:
        assert one.met.accesses > 1
        assert one.stores == dataclasses.replace(WELL, changed=True)


class _Spoiling(_Nothing):
    """A switch that does not keep what is in memory."""

    def off(self):
        self._vm.memory(self._place.hva + PAGE_SIZE, 1)[0] ^= 1


class _Stuck(Standin):
    """A switch that cannot be switched on again: the slot stays away."""

    def off(self):
        slot, flags, gpa, size_bytes, hva = self._place.region
        self._vm.set_user_memory_region(slot, flags, gpa + AWAY_BYTES, size_bytes, hva)

    def on(self):
        pass


class _Diverting(_Nothing):
    """A switch after which the guest stores to its first page, and not to the one of before."""

    def on(self):
        at = guest.SHARED - guest.BASE
        words = self._vm.guest().memory[at:][: 8 * loops.WORDS].cast("Q")
        # A log that is fetched now names the page of before.
        began = words[Word.HEARTBEAT]
        until(lambda: words[Word.HEARTBEAT] > began + 1)
        words[Word.AT] = litmus.GPA
        until(lambda: words[Word.BEGUN] == litmus.GPA)


@pytest.mark.needs_kvm
def test_a_page_that_only_stores_before_the_guest_went_on_have_named_is_not_named_then(monkeypatch):
    monkeypatch.setattr(switching, "standin", lambda how, vm, place: _Diverting(vm, place))

    for one in run(How.NOTHING).trials:
        assert one.stores.first
        assert not one.stores.then


@pytest.mark.needs_kvm
def test_memory_that_is_another_afterwards_is_found(monkeypatch):
    monkeypatch.setattr(switching, "standin", lambda how, vm, place: _Spoiling(vm, place))

    assert [one.stores.intact for one in run(How.NOTHING, rounds=2).rounds] == [False, True]


@pytest.mark.needs_kvm
def test_a_guest_that_does_not_go_on_is_found_and_ends_the_run(monkeypatch, leaks):
    monkeypatch.setattr(switching, "standin", lambda how, vm, place: _Stuck(vm, place))
    monkeypatch.setattr(arena, "WAIT_LIMIT_S", 1.0)
    leaks()

    # A fetch that meets a hole is tried over and over.
    (one,) = run(How.NOTHING, Access.FETCH, rounds=9).rounds

    assert not one.resumed
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_log_that_names_a_page_too_many_is_found(monkeypatch):
    # The page that nobody is to store to is the one stored to before.
    first = dataclasses.replace(scenario(Access.STORE), target=litmus.GPA)

    for one in switched(first, OTHER_HVA, How.NOTHING, rounds=3).trials:
        assert one.stores.idle


@pytest.mark.needs_kvm
@pytest.mark.parametrize(
    "how", [How.NOTHING, How.TODAY, How.PROTECT_NONE, *WAITS], ids=lambda how: how.value
)
def test_ctrl_c_leaves_neither_thread_nor_vm_nor_mapping(how, leaks):
    run(how, rounds=1)
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.3):
        run(how, rounds=10**6)

    assert leaks() == Counter()


def test_without_a_device_nothing_runs(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(switching.KvmVm, "_open", absent)

    for how in How:
        with pytest.raises(NotRunError, match="absent"):
            switched(scenario(Access.LOAD), OTHER_HVA, how)
