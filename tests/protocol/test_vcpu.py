"""A vCPU's paths: entry, TLB hit, walk, fault, and KVM's own accesses, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import EMULATED, GONE, LOAD, OLD, SPLIT, STORE, seen, until
from protocol.stage import stage as staged

from memslotlib.protocol.kernel import LOCK, invalidate, swap
from memslotlib.protocol.kernel import replace as replaced
from memslotlib.protocol.mmu import asked, await_kicked, disallow_huge, flush, zap_all
from memslotlib.protocol.program import Op
from memslotlib.protocol.sequential import Outcome
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import OUTSIDE, READING
from memslotlib.protocol.userspace import PAUSE, RESUME
from memslotlib.protocol.vcpu import switch_space
from memslotlib.protocol.world import ABSENT, ARM64, X86_BEFORE_5_13, Access, Entry

AW, AR = Entry("A", True), Entry("A", False)


def labels(actor):
    return list(actor.labels())


def test_a_first_access_enters_faults_maps_enters_again_walks_and_hits():
    stage = staged(GONE)
    v = stage.world.cpu[0]
    access = stage.accessing(LOAD)

    until(access, "VM-entry")
    assert (stage.m.mode[v], stage.m.srcu[v]) == ("in", OUTSIDE)
    until(access, "fault: found old")
    assert (stage.m.mode[v], stage.m.srcu[v]) == ("out", READING)
    assert stage.m.spte[0] == ABSENT
    until(access, "map old's page")
    assert (stage.m.spte[0], stage.m.owner[0]) == (AW, "old")
    assert labels(access) == [
        "IN_GUEST_MODE",
        "VM-entry",
        "page walk fills the TLB",
        "load gfn 0 via guest: TLB hit",
    ]
    assert (stage.m.tlb[v, 0], stage.m.srcu[v]) == (AW, OUTSIDE)
    assert labels(stage.accessing(LOAD)) == ["load gfn 0 via guest: TLB hit"]


def test_a_request_between_saying_in_guest_and_entering_cancels_the_entry():
    stage = staged(GONE, *flush())
    access = stage.accessing(LOAD)
    until(access, "IN_GUEST_MODE")
    v = stage.world.cpu[0]
    asked(stage.m, v, "flush")

    assert access.step()
    assert access.label == "entry cancelled"
    assert stage.m.mode[v] == "out"
    until(access, "VM-entry")
    assert stage.m.request[v] == "-"


def test_another_vcpus_translation_is_found_by_a_walk_without_a_fault():
    stage = staged(GONE)
    stage.access(LOAD, cpu=0)

    found = labels(stage.accessing(LOAD, cpu=1))

    assert "page walk fills the TLB" in found
    assert not any("fault" in one for one in found)


@pytest.mark.parametrize("policy", [ARM64, X86_BEFORE_5_13])
def test_where_a_fault_on_an_invalid_slot_is_not_retried_it_is_a_hole(policy):
    stage = staged(SPLIT, *invalidate(OLD), policy=policy)
    stage.run(stage.update())

    assert stage.access(LOAD) == Outcome("hole")
    assert stage.failed == ["I3a no hole where the page stays"]


def test_x86_retries_a_fault_on_an_invalid_slot_and_meets_no_hole():
    stage = staged(SPLIT, *invalidate(OLD))
    stage.run(stage.update())
    access = stage.accessing(LOAD)

    until(access, "fault: INVALID, retry")
    until(access, "fault: found old!")
    until(access, "fault: INVALID, retry")
    assert stage.failed == []
    assert not access.is_over


def test_kvms_own_access_to_an_invalid_slot_is_a_hole_everywhere():
    stage = staged(SPLIT, *invalidate(OLD))
    stage.run(stage.update())

    assert stage.access(EMULATED) == Outcome("hole")
    assert stage.failed == ["I3a no hole where the page stays"]


def test_an_access_keeps_to_the_slot_that_it_found():
    stage = staged(GONE, replaced(OLD, None), *swap(0))
    access = stage.accessing(EMULATED)
    assert access.step()
    update = stage.update()
    until(update, "swap")

    assert seen(stage) == "-"
    assert "load gfn 0 via emulator: done" in labels(access)


def test_a_fault_that_was_under_way_when_its_root_became_obsolete_maps_nothing():
    stage = staged(GONE, Op(zap_all), Op(await_kicked))
    access = stage.accessing(LOAD)
    until(access, "fault: found old")
    stage.run(stage.update())

    assert access.step()
    assert access.label == "fault: root obsolete, retry"
    assert stage.m.spte[0] == ABSENT


def test_a_mere_flush_does_not_stop_a_fault_from_mapping():
    stage = staged(GONE, *flush())
    access = stage.accessing(LOAD)
    until(access, "fault: found old")
    stage.run(stage.update())

    assert access.step()
    assert access.label == "map old's page"


def test_a_huge_translation_fills_several_entries_of_the_tlb():
    change = Change((Slot("ram", 0, 3),), ())
    stage = staged(change, huge=(1, 2), gfns=3)
    v = stage.world.cpu[0]

    stage.access(Access("load", 1))
    assert [stage.m.tlb[v, gfn] for gfn in range(3)] == [ABSENT, AW, AW]
    assert list(stage.m.owner) == ["-", "ram", "ram"]
    assert labels(stage.accessing(Access("load", 2))) == ["load gfn 2 via guest: TLB hit"]

    stage.access(LOAD)
    assert stage.m.tlb[v, 0] == AW


@pytest.mark.parametrize(
    "slots",
    [
        (Slot("low", 0, 2), Slot("high", 2, 1)),
        (Slot("log", 0, 3, log=True),),
    ],
)
def test_a_huge_page_lies_in_one_slot_that_does_not_log(slots):
    stage = staged(Change(slots, ()), huge=(1, 2), gfns=3)

    stage.access(Access("load", 1))

    assert stage.m.spte[2] == ABSENT
    assert not stage.m.huge[0]


def test_a_huge_page_that_is_disallowed_is_not_mapped():
    stage = staged(GONE, Op(disallow_huge, (0,)), huge=(0, 1))
    stage.run(stage.update())

    stage.access(LOAD)

    assert list(stage.m.spte) == [AW, ABSENT]


def test_a_slot_that_logs_is_mapped_for_reading_until_it_is_written_and_then_marked():
    log = replace(OLD, log=True)
    stage = staged(Change((log,), ()))

    stage.access(LOAD)
    assert (stage.m.spte[0], stage.dirty(log)) == (AR, frozenset())
    stage.access(STORE)
    assert (stage.m.spte[0], stage.dirty(log)) == (AW, {0})
    stage.access(LOAD, cpu=1)
    assert stage.m.spte[0] == AW


def test_a_write_of_kvm_is_marked_after_it_was_made():
    log = replace(OLD, log=True)
    stage = staged(Change((log,), ()))
    access = stage.accessing(Access("store", 0, "emulator"))

    until(access, "store gfn 0 via emulator: written")
    assert (stage.m.newer[0], stage.dirty(log)) == (True, frozenset())
    assert stage.m.srcu[stage.world.cpu[0]] == READING
    assert access.step()
    assert stage.dirty(log) == {0}
    assert stage.m.spte[0] == ABSENT


def test_a_readonly_slot_is_never_mapped_writable():
    rom = replace(OLD, readonly=True)
    stage = staged(Change((rom,), ()))

    assert stage.access(STORE) == Outcome("readonly")
    assert stage.m.spte[0] == ABSENT
    stage.access(LOAD)
    assert stage.m.spte[0] == AR
    assert stage.access(STORE) == Outcome("readonly")


@pytest.mark.parametrize("access", [LOAD, EMULATED])
def test_an_access_to_a_disabled_slot_leaves_to_userspace_until_the_slot_changes(access):
    off = OLD.disabled
    stage = staged(Change((off,), (OLD,)), replaced(off, OLD), *swap(0))
    actor = stage.accessing(access)
    until(actor, f"{access}: exit, old~ is disabled")

    assert stage.m.srcu[stage.world.cpu[0]] == OUTSIDE
    assert not actor.step()
    stage.run(stage.update())
    stage.run(actor)
    assert stage.failed == []
    assert stage.access(access) == Outcome("memory", "A")


def test_a_paused_vcpu_does_not_enter_and_an_exit_under_way_goes_on():
    stage = staged(GONE, *PAUSE, RESUME)
    stage.access(LOAD, cpu=0)
    reader = stage.accessing(EMULATED, cpu=1)
    assert reader.step()
    update = stage.update()
    until(update, "pause")

    assert not update.step()
    late = stage.accessing(EMULATED, cpu=0)  # from the guest, so inside of KVM_RUN
    stage.run(late)
    stage.run(reader)
    again = stage.accessing(EMULATED, cpu=1)
    assert not again.step()
    entering = stage.accessing(LOAD, cpu=0)
    until(entering, "leaves KVM_RUN: paused")
    assert not entering.step()
    until(update, "resume")
    stage.run(entering)
    stage.run(again)
    assert stage.failed == []


def test_changing_the_address_space_leaves_the_guest_and_uses_smram_of_the_other():
    ram, smram = Slot("ram", 0, 2), Slot("smram", 1, 1, "S", as_id=1)
    stage = staged(Change((ram, smram), (ram,)), smram=1)
    v = stage.world.cpu[0]
    stage.access(LOAD)

    there = stage.start(switch_space.function, stage.world, v)
    assert "store gfn 1 via smi in SMM: found smram" in stage.run(there)
    assert (stage.m.smm[v], stage.m.mode[v]) == (True, "out")
    back = stage.start(switch_space.function, stage.world, v)
    assert "load gfn 1 via rsm in SMM: found smram" in stage.run(back)
    assert not stage.m.smm[v]


def test_a_lock_of_an_updater_keeps_no_vcpu_waiting():
    stage = staged(GONE, LOCK)
    stage.run(stage.update())

    assert stage.access(LOAD) == Outcome("memory", "A")


def test_a_fault_for_reading_takes_no_write_access_away_that_another_one_gave():
    stage = staged(Change((replace(OLD, log=True),), ()))
    reader, writer = stage.accessing(LOAD, 0), stage.accessing(STORE, 1)
    until(reader, "fault: found old")
    until(writer, "map old's page")

    until(reader, "map old's page")

    assert stage.m.spte[0] == AW


def test_each_frame_of_a_huge_page_is_accounted_in_its_own_metadata():
    stage = staged(Change((replace(OLD, arch=("one", "two")),), ()), huge=(0, 1))

    stage.access(LOAD)

    assert list(stage.m.owner) == ["one", "two"]


def test_changing_the_address_space_leaves_the_guest_without_smram_too():
    stage = staged(Change((OLD, Slot("smm", 0, 1, as_id=1)), ()))
    v = stage.world.cpu[0]
    stage.access(LOAD)

    stage.run(stage.start(switch_space.function, stage.world, v))

    assert (stage.m.smm[v], stage.m.mode[v]) == (True, "out")


LOGGING = replace(OLD, log=True)


def test_a_store_to_a_page_that_only_the_log_protects_is_let_through_without_the_lock():
    stage = staged(Change((LOGGING,), ()))
    assert labels(stage.accessing(LOAD))[-1] == "load gfn 0 via guest: TLB hit"
    assert stage.m.spte[0] == AR

    access = stage.accessing(STORE)
    until(access, "fast fault: SPTE writable again")
    assert (stage.m.spte[0], stage.m.bitmap[0, 0]) == (AW, False)
    until(access, "fast fault: page marked dirty")
    assert stage.m.bitmap[0, 0]
    assert labels(access)[-1] == "store gfn 0 via guest: TLB hit"


def test_it_does_not_look_at_invalid_while_the_translation_is_still_there():
    stage = staged(Change((LOGGING,), ()), *invalidate(LOGGING))
    list(stage.accessing(LOAD).labels())
    update = stage.update()
    until(update, "swap active set")

    access = stage.accessing(STORE)
    until(access, "fault: found old!")
    until(access, "fast fault: SPTE writable again")
    assert labels(access)[-1] == "store gfn 0 via guest: TLB hit"


def test_where_there_is_no_such_way_the_fault_is_handled_under_the_lock():
    stage = staged(Change((LOGGING,), ()), policy=ARM64)
    list(stage.accessing(LOAD).labels())

    told = labels(stage.accessing(STORE))

    assert "map old's page" in told
    assert not any(label.startswith("fast fault") for label in told)
