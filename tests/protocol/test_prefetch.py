"""Prefetching: which neighbours a fault maps, which it leaves out, and what that may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import LOAD, NEW, OLD, STORE, broken
from protocol.stage import stage as staged

from memslotlib.check import explore
from memslotlib.protocol import vcpu
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.kernel import publish, swap
from memslotlib.protocol.kernel import replace as put
from memslotlib.protocol.model import model
from memslotlib.protocol.notifier import begin_invalidation, end_invalidation
from memslotlib.protocol.prefetch import PREFETCHED, neighbours, prefetch
from memslotlib.protocol.program import Op
from memslotlib.protocol.scenes import HUGE, SCENES
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ABSENT, X86, X86_PREFETCH, Access, Entry

BESIDE = Slot("beside", 1, 1, "B")
RW = Entry("B", True)
FLIPPED = SCENES["hva-flip+prefetch"]


def fetching(beside, *ops, policy=X86_PREFETCH, change=None, **more):
    """Return a stage with a slot of frame 0, and another one of frame 1."""
    slots = (Slot("own", 0, 1), *([beside] if beside else []))
    return staged(change or Change(slots, slots), *ops, policy=policy, **more)


def test_a_fault_maps_the_frame_beside_its_own_to_be_written_and_accounts_for_it():
    stage = fetching(BESIDE)

    stage.access(LOAD)

    assert list(stage.m.spte) == [Entry("A", True), RW]
    assert list(stage.m.owner) == ["own", "beside"]
    assert all(one == ABSENT for one in (stage.m.tlb[stage.world.cpu[0], 1],))


def test_the_tdp_mmu_prefetches_nothing():
    stage = fetching(BESIDE, policy=X86)

    stage.access(LOAD)

    assert list(stage.m.spte) == [Entry("A", True), ABSENT]


@pytest.mark.parametrize(
    "beside",
    [
        None,
        BESIDE.invalid,
        BESIDE.disabled,
        replace(BESIDE, log=True),
        replace(BESIDE, readonly=True),
    ],
    ids=["hole", "invalid", "disabled", "logged", "readonly"],
)
def test_what_is_left_out(beside):
    stage = fetching(beside)

    stage.access(LOAD)

    assert list(stage.m.spte) == [Entry("A", True), ABSENT]
    assert list(stage.m.owner) == ["own", "-"]


def test_the_userfault_flag_keeps_nothing_out():
    stage = fetching(BESIDE.userfault, Op(publish, (0,)))

    stage.access(LOAD)

    assert stage.m.spte[1] == RW


def test_what_is_mapped_already_stays_as_it_is():
    stage = fetching(BESIDE)
    stage.m.spte[1] = Entry("B", False)

    stage.access(STORE)

    assert stage.m.spte[1] == Entry("B", False)


def test_nothing_is_prefetched_between_the_two_calls_of_a_notifier():
    stage = fetching(BESIDE, Op(begin_invalidation), Op(end_invalidation))
    stage.m.is_invalidating = True

    prefetch(stage.m, stage.world, LOAD)
    assert stage.m.spte[1] == ABSENT

    stage.m.is_invalidating = False
    prefetch(stage.m, stage.world, LOAD)
    assert stage.m.spte[1] == RW


def test_the_neighbours_slot_is_that_of_the_moment_and_not_that_of_the_fault():
    edit = put(OLD, NEW)
    stage = staged(Change((OLD,), (NEW,)), edit, *swap(0), edit, policy=X86_PREFETCH)
    fault = stage.accessing(LOAD)
    while fault.label != "fault: found old":
        assert fault.step()
    update = stage.update()
    assert update.step()
    assert update.step()

    assert fault.step()

    assert list(stage.m.spte) == [Entry("A", True), RW]


def test_neighbours_are_under_the_same_huge_page_or_all_not():
    w = FLIPPED.world(APIS["today"])

    assert w.huge == HUGE
    assert [neighbours(w, gfn) for gfn in range(4)] == [[1], [0], [3], [2]]
    assert neighbours(replace(w, huge=None), 2) == [0, 1, 3]


def test_a_huge_page_has_no_neighbours():
    whole = Slot("whole", 0, 4)
    stage = fetching(None, change=Change((whole,), (whole,)), gfns=4, huge=HUGE)

    stage.access(Access("load", 2))

    assert [one.page for one in stage.m.spte] == ["", "", "A", "A"]


def flipped(key, policy=X86_PREFETCH):
    return replace(FLIPPED.world(APIS[key], policy), accesses_max=2)


@pytest.mark.parametrize(
    ("key", "policy", "lost"),
    [
        ("kvm-userfault", X86, False),
        ("kvm-userfault", X86_PREFETCH, True),
        ("userfaultfd", X86_PREFETCH, False),
        ("user-exit", X86_PREFETCH, False),
        ("today", X86_PREFETCH, False),
    ],
)
def test_a_store_is_lost_where_a_block_of_faults_is_no_block_of_prefetching(key, policy, lost):
    assert ("I4b" in broken(flipped(key, policy))) == lost


def test_the_event_is_asked_where_kvm_prefetches_and_reached():
    assert PREFETCHED not in flipped("today", X86).events
    assert PREFETCHED in explore(model(flipped("today")), traces=False).verdicts
    assert explore(model(flipped("today"))).trace(PREFETCHED)


def test_a_disabled_slot_that_is_prefetched_from_loses_stores(monkeypatch):
    def careless(m, w, access):
        for gfn in neighbours(w, access.gfn):
            slot = vcpu.lookup(m, 0, gfn)
            if slot is not None and not slot.is_invalid and m.spte[gfn] == ABSENT:
                m.spte[gfn] = Entry(slot.hva, True)
                m.owner[gfn] = slot.metadata(gfn)

    w = flipped("user-exit", replace(X86_PREFETCH, name="careless"))
    w = replace(w, events=())
    assert "I4b" not in broken(w)
    monkeypatch.setattr(vcpu, "prefetch", careless)

    assert "I4b" in broken(replace(w))
