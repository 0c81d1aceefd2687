"""Page-modification logging: what the processor notes, when KVM takes it over, and what is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import LOAD, OLD, STORE, broken, until, world
from protocol.stage import stage as staged

from memslotlib.check import explore, step
from memslotlib.litmus_model import api, scene
from memslotlib.protocol.apis import today, user_exit
from memslotlib.protocol.kernel import free, invalidate, swap
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.mmu import zap_all
from memslotlib.protocol.model import model
from memslotlib.protocol.pml import is_drained, is_logged, log_store, sync_dirty_log, walked
from memslotlib.protocol.program import Op, Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import OUTSIDE, READING
from memslotlib.protocol.userspace import PAUSE, RESUME, SETTLE, get_dirty_log
from memslotlib.protocol.vcpu import switch_space
from memslotlib.protocol.world import X86_PML, Access, Entry

LOG = replace(OLD, log=True)
NEW = Slot("new", 0, 2, log=True)
STAYS, GOES, COMES = Change((LOG,), (LOG,)), Change((LOG,), ()), Change((LOG,), (NEW,))
CLEAN, DIRTY = Entry("A", True, True), Entry("A", True)
NEXT, EMULATED = Access("store", 1), Access("store", 0, "emulator")


def logging(change=STAYS, *ops, **more):
    parts = {"policy": X86_PML, "mapped": True, "accesses": (STORE, NEXT), **more}
    return staged(change, *ops, **parts)


def buffered(stage, cpu=0):
    v = stage.world.cpu[cpu]
    return {frame for frame in range(len(stage.m.spte)) if stage.m.pml[v, frame]}


def stored(stage, access=STORE, cpu=0):
    """Make a store that the processor logs, and stay in the guest."""
    return stage.run(stage.accessing(access, cpu))


def test_a_store_through_a_clean_translation_is_noted_without_an_exit():
    stage = logging()
    assert list(stage.m.spte) == [CLEAN, CLEAN]

    assert stored(stage)[-2:] == [f"{STORE}: D bit set, frame logged", f"{STORE}: TLB hit"]

    v = stage.world.cpu[0]
    assert (stage.m.mode[v], buffered(stage)) == ("in", {0})
    assert (stage.m.spte[0], stage.m.tlb[v, 0], stage.m.spte[1]) == (DIRTY, DIRTY, CLEAN)
    assert (stage.m.touched[0], stage.m.newer[0], stage.dirty(LOG)) == (True, True, frozenset())
    assert stored(stage) == [f"{STORE}: TLB hit"]


def test_a_load_notes_nothing_and_a_store_after_it_does():
    stage = logging()

    stored(stage, LOAD)
    assert (stage.m.spte[0], stage.m.tlb[stage.world.cpu[0], 0]) == (CLEAN, CLEAN)
    assert buffered(stage) == set()
    stored(stage)
    assert buffered(stage) == {0}


def test_a_page_that_another_vcpu_made_dirty_is_not_noted_again():
    stage = logging()
    stored(stage)

    assert f"{STORE}: D bit set, frame logged" not in stored(stage, STORE, 1)
    assert buffered(stage, 1) == set()


def test_a_full_buffer_makes_the_vcpu_leave_and_empty_it_first():
    stage = logging(events=("a PML buffer is full",))
    stored(stage)

    labels = stored(stage, NEXT)

    assert labels[:3] == [
        "PML buffer full: VM-exit",
        "PML: gfn 0 is in old",
        "PML: gfn 0 marked in old",
    ]
    assert (stage.dirty(LOG), buffered(stage)) == ({0}, {1})


def test_a_bigger_buffer_takes_more():
    stage = logging(policy=replace(X86_PML, pml=2))

    stored(stage)
    assert stored(stage, NEXT)[-1] == f"{NEXT}: TLB hit"

    assert (stage.dirty(LOG), buffered(stage)) == (frozenset(), {0, 1})


@pytest.mark.parametrize("access", [EMULATED, Access("load", 0, "emulator")])
def test_an_exit_for_kvms_own_access_empties_the_buffer_before_anything_else(access):
    stage = logging()
    stored(stage)

    labels = stage.run(stage.accessing(access))

    assert labels[:3] == [
        "PML: gfn 0 is in old",
        "PML: gfn 0 marked in old",
        f"{access}: found old",
    ]
    assert stage.dirty(LOG) == {0}


def test_a_fault_empties_it_and_is_handled_in_the_same_srcu_section():
    other = Slot("other", 1, 1)
    stage = logging(Change((replace(LOG, npages=1), other), ()))
    stored(stage)
    access = stage.accessing(Access("load", 1))
    v = stage.world.cpu[0]

    until(access, "PML: gfn 0 marked")
    assert stage.m.srcu[v] == READING
    assert access.step()
    assert (access.label, stage.m.srcu[v]) == ("fault: found other", READING)


def test_who_was_interrupted_has_acknowledged_before_the_buffer_is_empty():
    stage = logging(STAYS, *get_dirty_log(LOG))
    stored(stage)

    labels = stage.run(stage.update())

    assert "kick vCPUs, so that they empty their PML buffers" in labels
    assert labels.index("take and clear the dirty bits of old") > labels.index(
        "kick vCPUs, so that they empty their PML buffers"
    )
    assert stage.m.mode[stage.world.cpu[0]] == "out"
    assert (stage.m.harvested[0], buffered(stage)) == (False, {0})
    assert "PML: gfn 0 marked in old" in stored(stage)
    assert stage.dirty(LOG) == {0}


def test_the_kick_is_for_who_is_in_the_guest_and_asks_for_nothing():
    stage = logging(STAYS, Op(sync_dirty_log))
    stored(stage)

    stage.run(stage.update())

    assert list(stage.m.mode) == ["exiting", "out"]
    assert set(stage.m.request) == {"-"}


def test_get_clears_d_bits_so_that_the_next_store_is_noted_once_the_tlb_is_flushed():
    stage = logging(STAYS, *get_dirty_log(LOG))
    stored(stage)
    stage.run(stage.accessing(EMULATED))
    stored(stage)
    update = stage.update()

    until(update, "take and clear")
    assert (stage.m.spte[0], stage.m.spte[1]) == (CLEAN, CLEAN)
    assert stage.m.tlb[stage.world.cpu[0], 0] == DIRTY
    assert stored(stage) == [f"{STORE}: TLB hit"]
    stage.run(update)
    assert f"{STORE}: D bit set, frame logged" in stored(stage)


def test_a_fault_for_a_store_marks_at_once_and_leaves_the_page_dirty():
    stage = logging(mapped=False)

    stored(stage)

    assert (stage.m.spte[0], stage.dirty(LOG), buffered(stage)) == (DIRTY, {0}, set())


def test_a_fault_for_a_load_takes_no_write_access_from_a_clean_page():
    stage = logging(mapped=False, policy=replace(X86_PML, fixes_fast=False))
    reader, writer = stage.accessing(LOAD, 0), stage.accessing(STORE, 1)
    until(reader, "fault: found old")
    stage.m.spte[0] = CLEAN

    until(reader, "map old's page")
    assert stage.m.spte[0] == CLEAN
    stage.m.spte[0] = Entry()
    until(writer, "fault: found old")
    stage.m.spte[0] = CLEAN
    until(writer, "map old's page")
    assert stage.m.spte[0] == DIRTY


@pytest.mark.parametrize(
    ("moment", "label", "bits"),
    [
        ("inactive set: old by old!", "PML: gfn 0 marked in old", {"old"}),
        ("zap all", "PML: gfn 0 marked in old!", {"old"}),
        ("mutex_unlock", "PML: gfn 0 has no slot that logs, dropped", set()),
        ("the update has returned", "PML: gfn 0 marked in new", {"new"}),
    ],
)
def test_a_page_is_marked_in_the_slot_of_the_day(moment, label, bits):
    change = Change((LOG,), (NEW,))
    ops = (*today.delete(LOG, X86_PML), *today.update(Change((), (NEW,)), X86_PML))
    stage = logging(change, *ops)
    stored(stage)
    update = stage.update()
    interrupts = iter(stage.interrupts)
    while not update.label.startswith(moment):
        if not update.step():
            assert next(interrupts).step()

    until(stage.accessing(Access("load", 0, "walk")), label)

    assert {one.name for one in (LOG, NEW) if stage.dirty(one)} == bits
    assert buffered(stage) == set()


def test_a_vcpu_in_the_guest_goes_on_with_its_old_root_and_notes_that_too():
    stage = logging(GOES, Op(zap_all))
    stored(stage, LOAD)
    v = stage.world.cpu[0]
    stage.run(stage.update())
    assert (stage.m.mode[v], stage.m.request[v]) == ("exiting", "reload")

    assert walked(stage.m, stage.world, v, NEXT) == CLEAN
    assert stored(stage, NEXT) == [f"{NEXT}: D bit set, frame logged", f"{NEXT}: TLB hit"]
    assert (stage.m.spte[1], buffered(stage)) == (Entry(), {1})
    assert stage.interrupts[0].step()
    assert not is_logged(stage.m, stage.world, v, NEXT) or stage.m.mode[v] == "out"


def test_where_a_slot_loses_its_own_translations_a_walk_finds_that_at_once():
    stage = logging(GOES, *today.delete(LOG, replace(X86_PML, zaps_all=False)))
    stored(stage, LOAD)
    until(stage.update(), "zap the SPTEs")

    assert stage.m.tlb[stage.world.cpu[0], 0] == CLEAN
    assert not is_logged(stage.m, stage.world, stage.world.cpu[0], STORE)


def test_a_pause_waits_until_buffers_are_empty():
    stage = logging(STAYS, *PAUSE, RESUME)
    stored(stage)
    update = stage.update()
    until(update, "pause")
    assert stage.interrupts[0].step()
    assert not is_drained(stage.m, stage.world, stage.world.cpu[0])
    assert not update.step()

    late = stage.accessing(EMULATED)
    until(late, "the interrupt's exit is handled")
    assert not late.step()
    assert stage.m.srcu[stage.world.cpu[0]] == OUTSIDE
    assert update.step()
    assert stage.dirty(LOG) == {0}
    stage.run(update)
    stage.run(late)


def test_a_paused_vcpu_empties_its_buffer_before_it_leaves():
    stage = logging(STAYS, *PAUSE, RESUME)
    stored(stage)
    until(stage.update(), "pause")
    assert stage.interrupts[0].step()

    entering = stage.accessing(STORE)
    until(entering, "leaves KVM_RUN: paused")

    assert stage.dirty(LOG) == {0}


def test_a_change_of_address_space_comes_after_it():
    smm = Slot("smm", 0, 1, as_id=1)
    stage = logging(Change((LOG, smm), ()))
    stored(stage)
    v = stage.world.cpu[0]

    labels = stage.run(stage.start(switch_space.function, stage.world, v))

    assert labels[:2] == ["PML: gfn 0 is in old", "PML: gfn 0 marked in old"]
    assert (stage.m.smm[v], stage.m.srcu[v], stage.dirty(LOG)) == (True, OUTSIDE, {0})


def test_without_pml_there_is_no_buffer_and_nothing_is_noted():
    stage = staged(STAYS, mapped=True)

    assert is_drained(stage.m, stage.world, stage.world.cpu[0])
    assert not is_logged(stage.m, stage.world, stage.world.cpu[0], STORE)
    assert stage.m.spte[0] == Entry("A", False)


@step
def sync_and_wait(m, w):
    for v in w.cpu:
        if m.mode[v] == "in":
            m.mode[v] = "exiting"
    yield "kick vCPUs"
    for v in w.cpu:
        m.wait(is_drained(m, w, v))
    yield "all buffers are empty"


@pytest.mark.parametrize("key", ["user-exit", "fetch-remove-add"])
def test_what_blocks_first_loses_nothing_if_who_reads_the_log_waits_for_the_buffers(key):
    w = scene("truncate-logged+round").world(api(key), X86_PML)
    w = replace(w, accesses_max=2)

    assert "I5" in broken(w)
    waiting = model(w).with_step(sync_dirty_log, sync_and_wait)
    assert "I5" not in violated(explore(waiting, traces=False))


def test_between_two_ioctls_waiting_for_the_buffers_is_not_enough():
    w = replace(scene("truncate-logged+round").world(api("today"), X86_PML), accesses_max=2)

    waiting = model(w).with_step(sync_dirty_log, sync_and_wait)

    assert "I5" in violated(explore(waiting, traces=False))


def test_a_move_takes_its_bitmap_along_but_not_what_is_in_a_buffer():
    w = scene("move-logged+round").world(api("move"), X86_PML)

    assert {"I5", "I5'"} <= broken(replace(w, accesses_max=2))


@pytest.mark.parametrize("pml", [1, 2])
@pytest.mark.parametrize("key", ["pause", "primitives"])
def test_the_size_of_a_buffer_breaks_nothing_that_holds(key, pml):
    w = scene("truncate-logged+round").world(api(key), replace(X86_PML, pml=pml))

    assert "I5" not in broken(replace(w, accesses_max=2))


def test_a_step_that_notes_nothing_loses_pages():
    """Were the D bit set without a note, a pause would not help."""

    @step
    def forgetful(m, w, v, access):
        m.tlb[v, access.gfn] = m.spte[access.gfn] = DIRTY
        m.touched[access.gfn] = True
        yield "D bit set"

    w = replace(scene("truncate-logged+round").world(api("pause"), X86_PML), accesses_max=1)
    w = replace(w, events=())

    assert "I5" not in broken(w)
    assert "I5" in violated(explore(model(w).with_step(log_store, forgetful), traces=False))


def test_a_disabled_slot_is_an_answer_to_stores_and_not_to_notes():
    """The shortest way to lose a page: kicked and acknowledged, read, and only then taken over."""
    program = Program((*user_exit.update(COMES, X86_PML).ops, SETTLE))
    w = world(COMES, program, policy=X86_PML, mapped=True, accesses=(STORE,), accesses_max=1)
    trace = explore(model(w)).trace("I5 no dirty page is lost")
    labels = [one.label for one in trace.steps]

    assert labels.index("all kicked vCPUs are out") < labels.index("PML: gfn 0 marked in old~")
    assert labels.index("take and clear the dirty bits of old~") < labels.index(
        "PML: gfn 0 marked in old~"
    )


def test_a_swap_waits_for_who_is_taking_notes_over():
    stage = logging(COMES, *invalidate(LOG), edit(LOG, NEW), *swap(0))
    stored(stage)
    taking = stage.accessing(EMULATED)
    assert taking.step()
    update = stage.update()
    until(update, "synchronize_srcu: begin")

    assert not update.step()
    stage.run(taking)
    assert update.step()


def test_a_slot_that_is_freed_meanwhile_must_not_be_marked():
    stage = logging(COMES, edit(LOG, NEW), Op(free, (LOG,)))
    stored(stage)
    taking = stage.accessing(EMULATED)
    until(taking, "PML: gfn 0 is in old")
    stage.run(stage.update())
    assert stage.failed == []

    assert taking.step()
    assert stage.failed == ["I1 no use of a slot that was freed"]
