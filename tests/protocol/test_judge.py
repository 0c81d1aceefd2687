"""What an access came to, held against the properties: each verdict, and what is no violation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, LOAD, OLD, SPLIT, STORE
from protocol.stage import stage as staged

from memslotlib.protocol.apis import today
from memslotlib.protocol.judge import consequence, happened, holds, met_hole, met_page
from memslotlib.protocol.kernel import free
from memslotlib.protocol.program import Op
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import X86, Access

I2 = "I2 nothing reaches the old page after the update"
I4A = "I4a one vCPU never sees the old page after the new one"
I4A_ = "I4a' no vCPU sees the old page after another saw the new one"
I4B = "I4b no write to the old page once it is being copied"
I4B_ = "I4b' no write to the new page before it is copied to"


def test_what_a_hole_does_depends_on_who_meets_it():
    fetch, walk = Access("fetch", 0, "emulator"), Access("load", 0, "walk")

    assert "cannot fetch" in consequence(fetch)
    assert consequence(fetch) == consequence(fetch._replace(via="guest"))
    assert "internal error" in consequence(fetch)
    assert "#UD" in consequence(fetch)
    assert "#PF" in consequence(walk)
    assert "dead" in consequence(Access("store", 0, "smi", 1))
    assert "triple fault" in consequence(Access("load", 0, "rsm", 1))
    assert "lost MSI" in consequence(Access("store", 0, "device"))
    assert consequence(Access("load", 0, "device")) == "the device's read fails"
    assert consequence(LOAD) == "KVM_EXIT_MMIO, a read"
    assert consequence(STORE) == "KVM_EXIT_MMIO, a write"


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (SPLIT, ["I3a no hole where the page stays"]),
        (FLIP, ["I3b no hole where the page changes"]),
        (GONE, []),
        (Change((), (OLD,)), []),
    ],
)
def test_a_hole_is_wrong_only_where_a_page_is_before_and_after(change, broken):
    stage = staged(change)

    met_hole(stage.m, stage.world, stage.world.cpu[0], LOAD)

    assert stage.failed == broken


def test_a_write_may_be_refused_where_the_frame_is_readonly_and_a_read_may_not():
    change = Change((OLD,), (replace(OLD, name="rom", readonly=True),))
    stage = staged(change)
    v = stage.world.cpu[0]

    met_hole(stage.m, stage.world, v, STORE)
    assert stage.failed == []
    met_hole(stage.m, stage.world, v, LOAD)
    assert stage.failed == ["I3a no hole where the page stays"]


def test_the_old_page_is_wrong_only_after_the_return():
    stage = staged(FLIP)
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, LOAD, "A")
    assert stage.failed == []
    m.returned = True
    met_page(m, w, v, LOAD, "B")
    assert stage.failed == []
    met_page(m, w, stage.world.cpu[1], LOAD, "A")
    assert I2 in stage.failed


def test_after_the_return_a_write_through_a_frame_that_became_readonly_is_wrong():
    stage = staged(Change((OLD,), (replace(OLD, name="rom", readonly=True),)))
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, STORE, "A")
    m.returned = True
    met_page(m, w, v, LOAD, "A")
    assert stage.failed == []
    met_page(m, w, v, STORE, "A")
    assert stage.failed == [I2]


def test_back_to_the_old_page_is_told_from_what_another_vcpu_saw():
    stage = staged(FLIP)
    m, w, (one, other) = stage.m, stage.world, stage.world.cpu

    met_page(m, w, one, LOAD, "B")
    met_page(m, w, other, LOAD, "A")
    assert stage.failed == [I4A_]
    met_page(m, w, one, LOAD, "A")
    assert stage.failed == [I4A_, I4A]


def test_another_frames_new_page_is_no_reason():
    stage = staged(FLIP)
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, Access("load", 1), "B")
    met_page(m, w, v, LOAD, "A")

    assert stage.failed == []


def test_only_a_write_to_the_old_page_is_lost_and_only_once_it_is_copied():
    stage = staged(FLIP)
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, STORE, "A")
    m.copying = True
    met_page(m, w, v, LOAD, "A")
    met_page(m, w, v, STORE, "B")
    assert stage.failed == []
    met_page(m, w, stage.world.cpu[1], STORE, "A")
    assert I4B in stage.failed


def test_a_write_to_the_new_page_is_undone_where_the_copy_is_still_to_come():
    for exits, told in ((True, [I4B_]), (False, [])):
        stage = staged(FLIP, exits=exits)
        m, w, v = stage.m, stage.world, stage.world.cpu[0]

        met_page(m, w, v, STORE, "A")
        met_page(m, w, v, Access("load", 1), "B")
        assert stage.failed == []
        met_page(m, w, v, Access("store", 1), "B")
        assert stage.failed == told
        m.copying = True
        met_page(m, w, v, Access("store", 1), "B")
        assert stage.failed == told


@pytest.mark.parametrize(("mix", "cpu", "broken"), [
    (True, 0, ["I13 one vCPU never sees a mix"]),
    (True, 1, ["I13' vCPUs that talk never see a mix"]),
    (False, 0, []),
])  # fmt: skip
def test_a_mix_is_the_old_layout_in_one_place_after_the_new_one_in_another(mix, cpu, broken):
    stage = staged(FLIP, mix=mix)
    m, w = stage.m, stage.world

    met_page(m, w, w.cpu[cpu], Access("load", 1), "A")
    met_page(m, w, w.cpu[0], LOAD, "B")
    assert stage.failed == []
    met_page(m, w, w.cpu[cpu], Access("load", 1), "A")

    assert stage.failed == broken


def test_a_hole_that_the_change_makes_is_the_new_layout():
    stage = staged(GONE, mix=True)
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_hole(m, w, v, LOAD)
    met_page(m, w, v, Access("load", 1), "A")

    assert stage.failed == ["I13 one vCPU never sees a mix"]


def test_a_write_leaves_a_page_newer_than_its_copy_and_a_load_does_not():
    stage = staged(Change((Slot("log", 0, 2, log=True),), ()))
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, LOAD, "A")
    met_page(m, w, v, Access("store", 1), "A")

    assert list(m.newer) == list(m.touched) == [False, True]


def test_a_slot_may_be_held_until_it_is_freed():
    stage = staged(GONE, Op(free, (OLD,)))
    m, w = stage.m, stage.world

    holds(m, w, OLD)
    assert stage.failed == []
    stage.run(stage.update())
    holds(m, w, OLD.invalid)
    assert stage.failed == []
    holds(m, w, OLD)
    assert stage.failed == ["I1 no use of a slot that was freed"]


def test_an_event_that_the_world_does_not_ask_for_is_not_noted():
    stage = staged(GONE, events=())

    happened(stage.m, stage.world, "an access gets to memory")

    assert stage.failed == []


def test_a_page_of_neither_layout_is_no_mix():
    stage = staged(FLIP, mix=True)
    m, w, v = stage.m, stage.world, stage.world.cpu[0]

    met_page(m, w, v, LOAD, "B")
    met_page(m, w, v, Access("load", 1), "C")

    assert stage.failed == []


I11 = "I11 an update of one address space does not show in another"
I15 = "I15 no access meets a hole where memory is after the update"


def test_after_the_update_a_hole_is_wrong_where_memory_is_whatever_was_there_before():
    come, gone = Change((), (OLD,)), GONE
    for change, returned, failed in ((come, True, [I15]), (come, False, []), (gone, True, [])):
        stage = staged(change, *today.update(change, X86), caches=True)
        stage.m.returned = returned
        met_hole(stage.m, stage.world, stage.world.cpu[0], LOAD)
        assert stage.failed == failed


def test_a_store_to_readonly_memory_after_the_update_meets_no_hole():
    rom = replace(OLD, readonly=True)
    stage = staged(Change((), (rom,)), *today.create(rom), caches=True)
    stage.m.returned = True

    met_hole(stage.m, stage.world, stage.world.cpu[0], STORE)

    assert stage.failed == []


@pytest.mark.parametrize(
    ("access", "page", "failed"),
    [
        (Access("load", 0, "guest", 1), "S", []),
        (Access("load", 0, "guest", 1), "A", [I11]),
        (Access("load", 0, "guest", 1), "", [I11]),
        (Access("load", 1, "guest", 1), "", []),
        (Access("load", 1, "guest", 1), "A", [I11]),
        (Access("load", 1), "A", []),
        (Access("load", 1), "", []),
    ],
)
def test_in_a_space_that_no_update_touches_an_access_finds_what_was_there(access, page, failed):
    smm = Slot("smm", 0, 1, "S", as_id=1)
    stage = staged(Change((smm,), (OLD, smm)), *today.create(OLD), caches=True)
    v = stage.world.cpu[0]

    if page:
        met_page(stage.m, stage.world, v, access, page)
    else:
        met_hole(stage.m, stage.world, v, access)

    assert [one for one in stage.failed if one[:3] != "I3a"] == failed


def test_a_page_is_newer_wherever_it_is():
    log = Slot("log", 0, 2, log=True)
    stage = staged(Change((log,), (replace(log, base_gfn=1, hva="A-1"),)), gfns=3)

    met_page(stage.m, stage.world, stage.world.cpu[0], Access("store", 2), "A-1")

    assert list(stage.m.newer) == list(stage.m.touched) == [False, True, False]
