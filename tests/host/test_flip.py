import dataclasses
import itertools
from collections import Counter

import pytest
from interrupted import ctrl_c

from memslotlib.errors import NotRunError
from memslotlib.host import flip as flips
from memslotlib.host.arena import NoProgressError, UnclaimedError
from memslotlib.host.flip import Backings, How, Lap, Stage, flip, tally
from memslotlib.host.race import BRACKET_LIMIT_NS
from memslotlib.interface import Context

from .conftest import GPA, HVA

OTHER = 0x2100_0000_0000
BACKINGS = Backings(1, GPA, (HVA, OTHER), 16)
CPL3 = Context.LONG64_CPL3
contexts = pytest.mark.parametrize("context", flips.PACES, ids=lambda context: context.value)
ways = pytest.mark.parametrize("how", How, ids=lambda how: how.value)

#: Ten stores: 13 was begun at the first call, 15 when it returned, 17 when the second had.
LAP = range(11, 21)
BEGUN = (13, 15, 17)
OLD, NEW, MMIO = {11, 12, 13, 14}, {17, 18, 19, 20}, Counter({15: 1, 16: 1})
FINDINGS = ("nowhere", "twice", "early", "stale_first", "stale", "late_mmio")


def findings(old=OLD, new=NEW, mmio=MMIO):
    told = tally(LAP, BEGUN, set(old), set(new), Counter(mmio), 1000)
    return {name: getattr(told, name) for name in FINDINGS if getattr(told, name)}


def test_a_lap_in_which_all_is_well_counts_what_overlapped():
    told = tally(LAP, BEGUN, OLD, NEW, MMIO, 1000)

    assert findings() == {}
    # 14, 15 and 16 were begun and ended inside; 18, 19 and 20 were begun afterwards.
    assert (told.inside, told.after, told.mmio, told.duration_ns) == (3, 3, 2, 1000)
    assert told.overlapped


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"mmio": {15: 1}}, {"nowhere": 1}),
        ({"new": NEW | {14}}, {"twice": 1}),
        ({"mmio": {15: 2, 16: 1}}, {"twice": 1}),
        ({"mmio": MMIO | Counter({18: 1})}, {"twice": 1, "late_mmio": 1}),
        ({"old": OLD - {12}, "new": NEW | {12}}, {"early": 1}),
        ({"old": OLD - {12}, "mmio": MMIO | Counter({12: 1})}, {"early": 1}),
        ({"old": OLD | {16}, "mmio": {15: 1}}, {"stale_first": 1}),
        ({"old": OLD | {19}, "new": NEW - {19}}, {"stale_first": 1, "stale": 1}),
        ({"new": NEW - {18}, "mmio": MMIO | Counter({18: 1})}, {"late_mmio": 1}),
        # Begun, but perhaps ended, when the call was made or returned: anything may be.
        ({"old": OLD - {13}, "mmio": MMIO | Counter({13: 1})}, {}),
        ({"old": OLD | {15}, "mmio": {16: 1}}, {}),
        ({"new": NEW - {17}, "mmio": MMIO | Counter({17: 1})}, {}),
    ],
)
def test_a_store_in_the_wrong_place_is_a_finding(changed, found):
    assert findings(**changed) == found


def test_one_call_is_its_own_last():
    told = tally(LAP, (13, 15), OLD | {16}, NEW, Counter({15: 1}), 1000)

    assert (told.stale_first, told.stale) == (1, 1)


def test_a_lap_shows_something_when_the_guest_stored_inside_and_after():
    lap = Lap(3, 3, 0, 0, 0, 0, 0, 0, 0, BRACKET_LIMIT_NS)

    assert lap.overlapped
    for change in ({"inside": 0}, {"after": 0}, {"duration_ns": BRACKET_LIMIT_NS + 1}):
        assert not dataclasses.replace(lap, **change).overlapped


@pytest.mark.needs_kvm
@contexts
@ways
def test_every_store_lands_once_and_none_in_the_old_backing_afterwards(backend, how, context):
    result = flip(BACKINGS, how, context, 15, backend=backend)

    assert len(result.trials) == 15
    for lap in result.laps:
        assert {name: getattr(lap, name) for name in FINDINGS} == dict.fromkeys(FINDINGS, 0)
    holes = sum(lap.mmio for lap in result.laps)
    assert (holes > 0) == (how is How.TODAY)


@pytest.fixture
def exchanged(monkeypatch):
    """Let the backing be exchanged by the calls that the test says."""

    def install(calls):
        monkeypatch.setattr(Stage, "exchange", calls)

    return install


def a_lap(how):
    """The first lap of a run in which the guest stored inside the exchange and after it."""
    for _ in range(30):
        with flips._stage(BACKINGS, how, CPL3, flips.PACES[CPL3], None) as stage:
            lap = stage.lap()
        if lap.overlapped:
            return lap
    return pytest.skip("the host was too busy for one lap to outlast its exchange")


@pytest.mark.needs_kvm
def test_an_exchange_that_does_nothing_is_found_to_leave_stores_in_the_old_backing(exchanged):
    exchanged(lambda stage: (lambda: None,))
    lap = a_lap(How.MMAP)

    assert lap.stale == lap.stale_first == lap.after > 0
    assert lap.nowhere == lap.twice == lap.mmio == 0


@pytest.mark.needs_kvm
def test_an_exchange_for_a_third_backing_is_found_to_lose_stores(exchanged):
    third = 0x2101_0000_0000
    size = BACKINGS.size_bytes
    exchanged(lambda stage: (lambda: stage.vm.remap(HVA, size, third),))
    lap = a_lap(How.MMAP)

    assert lap.nowhere >= lap.after > 0
    assert lap.stale == 0


@pytest.mark.needs_kvm
def test_a_slot_that_stays_deleted_is_found_to_have_a_hole_afterwards(exchanged):
    exchanged(lambda stage: (lambda: stage.vm.set_user_memory_region(1, 0, 0, 0, 0),))
    lap = a_lap(How.TODAY)

    assert lap.late_mmio == lap.after > 0
    assert lap.nowhere == lap.stale == 0


@pytest.mark.needs_kvm
def test_an_exit_that_is_no_store_of_the_lap_ends_the_run(backend, monkeypatch, leaks):
    real = flips.stores.regs
    monkeypatch.setattr(flips.stores, "regs", lambda gpa, pause: real(gpa + 0x10_0000, pause))
    leaks()

    with pytest.raises(UnclaimedError, match="no store of this lap: mmio write at 0x10100000"):
        flip(BACKINGS, How.MMAP, CPL3, 3, backend=backend)
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_a_guest_without_progress_is_reported_in_time(monkeypatch, leaks):
    monkeypatch.setattr(flips, "WAIT_LIMIT_S", 0.2)
    monkeypatch.setattr(flips.stores, "program", lambda pages: b"\xeb\xfe")
    leaks()

    with pytest.raises(NoProgressError, match=r"no progress in 0\.2 s \(store 0, 0 exits\)"):
        flip(BACKINGS, How.MMAP)
    assert leaks() == {}


@pytest.mark.needs_kvm
def test_the_run_ends_in_time_without_enough_laps_that_overlap(monkeypatch):
    monkeypatch.setattr(flips, "LAPS_LIMIT_S", 0.3)
    monkeypatch.setattr(flips, "BRACKET_LIMIT_NS", -1)

    result = flip(BACKINGS, How.MMAP, laps=10**9)

    assert len(result.laps) > 3
    assert result.trials == ()


@pytest.mark.needs_kvm
@ways
def test_ctrl_c_leaves_neither_thread_nor_vm_nor_mapping(backend, how, leaks):
    flip(BACKINGS, how, laps=1, backend=backend)
    leaks()

    with pytest.raises(KeyboardInterrupt), ctrl_c(0.3):
        flip(BACKINGS, how, laps=10**9, backend=backend)

    assert leaks() == {}


def test_a_lap_stores_to_each_place_once():
    places = BACKINGS.pages * flips.stores.PLACES
    for pace in flips.PACES.values():
        assert pace.stores <= places
        assert pace.pause >= 1


def test_without_a_device_nothing_runs(monkeypatch):
    def absent(*_):
        raise NotRunError("/dev/kvm: absent")

    monkeypatch.setattr(flips.KvmVm, "_open", absent)

    for how, context in itertools.product(How, flips.PACES):
        with pytest.raises(NotRunError, match="absent"):
            flip(BACKINGS, how, context)
