"""Page tables and TLBs: what goes, what stays in a TLB until its vCPU obeys, who is waited for."""

from __future__ import annotations

import pytest
from protocol.stage import GONE, HIGH, LOAD, LOW, OLD, STORE, until
from protocol.stage import stage as staged

from memslotlib.protocol.mmu import (
    await_kicked,
    clear_dirty,
    disallow_huge,
    flush,
    flush_shadow,
    write_protect,
    zap_all,
    zap_gfns,
    zap_slot,
)
from memslotlib.protocol.program import Op
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ABSENT, ARM64, X86, X86_PML, Access, Entry

TWO = Change((LOW, HIGH), ())
OTHER = Access("load", 1)
AW = Entry("A", True)


def test_zapping_a_slot_leaves_the_other_ones():
    stage = staged(TWO, Op(zap_slot, (LOW,)))
    stage.access(LOAD)
    stage.access(OTHER)

    stage.run(stage.update())

    assert list(stage.m.spte) == [ABSENT, AW]
    assert list(stage.m.owner) == ["-", "high"]


def test_zapping_a_slot_leaves_the_other_address_space():
    smm = Slot("smm", 0, 1, as_id=1)
    stage = staged(Change((LOW, smm), ()), Op(zap_slot, (LOW,)))
    stage.access(LOAD)
    stage.access(Access("load", 0, as_id=1), cpu=1)

    stage.run(stage.update())

    assert list(stage.m.spte) == [ABSENT, ABSENT, AW, ABSENT]


def test_zapping_all_takes_every_slot_of_both_address_spaces():
    smm = Slot("smm", 0, 1, as_id=1)
    stage = staged(Change((LOW, HIGH, smm), ()), Op(zap_all))
    for access in (LOAD, OTHER, Access("load", 0, as_id=1)):
        stage.access(access)

    stage.run(stage.update())

    assert set(stage.m.spte) == {ABSENT}
    assert set(stage.m.owner) == {"-"}


def test_a_vcpu_in_the_guest_walks_its_obsolete_root_until_it_leaves():
    stage = staged(TWO, Op(zap_all), Op(await_kicked))
    stage.access(LOAD, cpu=0)
    stage.access(OTHER, cpu=1)
    update = stage.update()
    until(update, "zap all")

    mine, yours = stage.world.cpu
    assert (stage.m.tlb[mine, 1], stage.m.tlb[yours, 0]) == (AW, AW)
    assert stage.access(OTHER, cpu=0).page == "A"
    assert list(stage.m.spte) == [ABSENT, ABSENT]

    stage.run(update)
    assert stage.access(LOAD, cpu=1).page == "A"  # by a new fault
    assert stage.m.spte[0] == AW


def test_who_is_outside_of_the_guest_does_not_keep_an_obsolete_root():
    stage = staged(TWO, Op(zap_all))
    stage.access(OTHER, cpu=1)
    stage.run(stage.update())

    assert stage.m.tlb[stage.world.cpu[0], 1] == ABSENT


def test_a_flush_waits_for_who_is_in_the_guest_and_for_nobody_else():
    stage = staged(GONE, *flush())
    stage.access(LOAD, cpu=0)
    update = stage.update()
    until(update, "request TLB flush")

    assert list(stage.m.mode) == ["exiting", "out"]
    assert list(stage.m.request) == ["flush", "flush"]
    assert not update.step()
    assert stage.interrupts[1].step() is False
    assert stage.interrupts[0].step()
    assert list(stage.m.mode) == ["out", "out"]
    assert update.step()


def test_a_stale_translation_survives_in_the_tlb_until_the_vcpu_obeys():
    stage = staged(GONE, Op(zap_slot, (OLD,)), *flush())
    stage.access(LOAD)
    (v, _) = stage.world.cpu
    update = stage.update()
    until(update, "zap the SPTEs")

    assert (stage.m.spte[0], stage.m.tlb[v, 0]) == (ABSENT, AW)
    assert stage.access(LOAD).page == "A"
    stage.run(update)
    assert stage.m.tlb[v, 0] == AW
    assert stage.m.request[v] == "flush"

    again = stage.accessing(LOAD)
    until(again, "IN_GUEST_MODE")
    assert stage.m.tlb[v, 0] == ABSENT
    assert stage.m.request[v] == "-"


def test_an_obsolete_root_is_not_forgotten_for_a_mere_flush():
    stage = staged(GONE, Op(zap_all), *flush())

    stage.run(stage.update())

    assert list(stage.m.request) == ["reload", "reload"]


@pytest.mark.parametrize(("frames", "left"), [((2, 3), ABSENT), (None, AW)])
def test_a_huge_translation_goes_whole_when_one_of_its_frames_is_zapped(frames, left):
    change = Change((Slot("ram", 2, 2),), ())
    stage = staged(change, Op(zap_gfns, (0, (2,))), huge=frames, gfns=4)
    for gfn in (2, 3):
        stage.access(Access("load", gfn))

    stage.run(stage.update())

    assert list(stage.m.spte) == [ABSENT, ABSENT, ABSENT, left]


def test_what_was_huge_is_not_after_its_zap():
    change = Change((Slot("ram", 2, 2),), ())
    ops = Op(disallow_huge, (0,)), Op(zap_gfns, (0, (3,)))
    stage = staged(change, *ops, huge=(2, 3), gfns=4)
    stage.access(Access("load", 2))
    assert stage.m.huge[0]

    stage.run(stage.update())

    assert not stage.m.huge[0]
    stage.access(Access("load", 2), cpu=1)
    assert list(stage.m.spte) == [ABSENT, ABSENT, AW, ABSENT]


def test_write_protection_keeps_the_page_for_reading():
    stage = staged(GONE, Op(write_protect, (0, (0,))), *flush())
    stage.access(STORE)

    stage.run(stage.update())

    assert list(stage.m.spte) == [Entry("A", False), ABSENT]
    assert stage.access(LOAD).page == "A"
    assert stage.m.spte[0] == Entry("A", False)
    stage.access(STORE)
    assert stage.m.spte[0] == AW


def test_only_x86_zaps_all_and_only_a_zap_of_a_slot_needs_a_flush_of_its_own():
    names = [[op.step.__name__ for op in flush_shadow(policy, OLD)] for policy in (X86, ARM64)]

    assert names == [["zap_all", "await_kicked"], ["zap_slot", "request_flush", "await_kicked"]]


def test_an_interrupt_comes_only_to_who_was_kicked():
    stage = staged(GONE)
    stage.access(LOAD)

    assert not any(ipi.step() for ipi in stage.interrupts)


def test_where_the_processor_logs_a_clean_page_stays_writable():
    stage = staged(
        Change((Slot("log", 0, 2, log=True),), ()), Op(clear_dirty, (0, (0,))), policy=X86_PML
    )
    stage.access(STORE)
    stage.access(Access("store", 1))

    stage.run(stage.update())

    assert list(stage.m.spte) == [Entry("A", True, True), AW]
