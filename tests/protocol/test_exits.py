"""Exits that userspace completes: where its map leads, when, and what draining them is worth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import COME, FLIP, GONE, LOAD, OLD, SPLIT, STORE, broken, seen, until, world
from protocol.stage import stage as staged

from memslotlib.check import explore
from memslotlib.litmus_model import explored
from memslotlib.protocol.apis import APIS, pause, today, user_exit, wholesale
from memslotlib.protocol.exits import CHANGE_MAP, HOLD, RELEASE, mapped
from memslotlib.protocol.kernel import RETURN, invalidate, swap
from memslotlib.protocol.kernel import replace as edit
from memslotlib.protocol.model import model
from memslotlib.protocol.notifier import MAP, UNMAP
from memslotlib.protocol.program import Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import EXITS, SCENES
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.state import OUTSIDE, variables
from memslotlib.protocol.userspace import COPY, PAUSE, RESUME
from memslotlib.protocol.world import ARM64, X86, Access, every

EMULATED = Access("store", 0, "emulator")
ANY = every(("load", "store"), (0,), ("guest", "emulator"))
I2 = "I2 nothing reaches the old page after the update"
I2_ = "I2' no load brings a value of the old page after the update"
I3A = "I3a no hole where the page stays"
I3B = "I3b no hole where the page changes"
I4B_ = "I4b' no write to the new page before it is copied to"
HOLE = edit(OLD, None), *swap(0)


def exiting(change, *ops, **more):
    """Return actors of a world in which exits are completed by userspace."""
    return staged(change, *ops, exits=True, **more)


def test_a_world_without_exits_has_the_steps_and_variables_as_ever():
    plain, asked = world(FLIP), world(FLIP, Program((*HOLD, CHANGE_MAP, RELEASE)), exits=True)

    assert model(plain).steps == {}
    assert set(variables(asked)) - set(variables(plain)) == {"map", "has_begun", "is_held"}
    assert "is_held" not in variables(world(FLIP, Program((CHANGE_MAP,)), exits=True))


def test_a_fault_in_a_hole_leaves_is_made_by_userspace_and_completed():
    on = exiting(FLIP, *HOLE)
    on.run(on.update())
    v = on.world.cpu[0]
    access = on.accessing(STORE)

    until(access, "store gfn 0 via guest: fault, no slot")
    until(access, "store gfn 0 via guest: userspace finds A")
    assert (on.m.has_begun[v], on.m.srcu[v], on.m.mode[v]) == (True, OUTSIDE, "out")
    until(access, "store gfn 0 via guest: made by userspace in A")
    assert on.m.has_begun[v]
    until(access, "store gfn 0 via guest: completed by KVM_RUN")
    assert not on.m.has_begun[v]
    assert on.failed == [I3B]


def test_kvms_own_access_leaves_from_an_invalid_slot_too_and_a_fault_is_retried_there():
    on = exiting(FLIP, *invalidate(OLD))
    on.run(on.update())

    assert "store gfn 0 via emulator: made by userspace in A" in on.run(on.accessing(EMULATED))
    until(on.accessing(LOAD, 1), "fault: INVALID, retry")


def test_where_a_fault_on_an_invalid_slot_is_a_hole_it_leaves():
    on = exiting(FLIP, *invalidate(OLD), policy=ARM64)
    on.run(on.update())

    assert "load gfn 0 via guest: made by userspace in A" in on.run(on.accessing(LOAD))


def test_an_access_that_finds_memory_does_not_leave():
    on = exiting(FLIP)

    for access in (STORE, EMULATED):
        assert not [one for one in on.run(on.accessing(access)) if "userspace" in one]


@pytest.mark.parametrize("access", [Access("fetch", 0, "emulator"), Access("load", 0, "walk")])
def test_a_fetch_and_a_walk_have_no_exit_to_be_completed(access):
    on = exiting(SPLIT, *HOLE)
    on.run(on.update())

    assert not [one for one in on.run(on.accessing(access)) if "userspace" in one]
    assert on.failed == [I3A]


def test_userspace_goes_by_its_own_map_whatever_the_slots_are():
    on = exiting(FLIP, *HOLE, CHANGE_MAP)
    update = on.update()
    early, late = on.accessing(STORE, 0), on.accessing(STORE, 1)
    until(update, "synchronize_srcu: end")
    until(early, "store gfn 0 via guest: userspace finds A")
    on.run(update)
    until(late, "store gfn 0 via guest: userspace finds B")

    assert seen(on) == "-"
    until(early, "store gfn 0 via guest: made by userspace in A")
    until(late, "store gfn 0 via guest: made by userspace in B")


def test_userspace_has_no_memory_where_its_map_has_none_or_only_some_to_read():
    rom = Slot("rom", 0, 2, readonly=True)
    for change in (COME, Change((rom,), (rom,))):
        on = exiting(change)

        assert list(on.accessing(EMULATED).labels())[-2:] == [
            "store gfn 0 via emulator: userspace finds no memory",
            "store gfn 0 via emulator: completed by KVM_RUN",
        ]
        assert on.failed == []


def test_userspace_reads_of_a_readonly_slot_what_it_may_not_write():
    rom = Slot("rom", 0, 2, readonly=True)
    on = exiting(Change((rom,), (rom,)))

    assert mapped(on.m, on.world, LOAD) == "A"
    assert mapped(on.m, on.world, STORE) == ""


def test_what_is_behind_the_hva_of_userspaces_map_may_change_or_be_waited_for():
    on = exiting(FLIP, *HOLE, UNMAP, MAP)
    update, store = on.update(), on.accessing(STORE)
    until(update, "synchronize_srcu: end")
    until(store, "store gfn 0 via guest: userspace finds A")
    until(update, "unmap the hva")

    assert not store.step()
    on.run(update)
    until(store, "store gfn 0 via guest: made by userspace in B")


def test_a_load_that_found_no_memory_brings_nothing_old():
    on = exiting(COME, *today.create(OLD), RETURN)
    load, update = on.accessing(LOAD), on.update()
    until(load, "load gfn 0 via guest: userspace finds no memory")
    on.run(update)
    on.run(load)

    assert on.failed == []


def test_a_store_that_userspace_makes_after_the_return_reaches_the_old_page():
    on = exiting(FLIP, *HOLE, RETURN)
    update, store = on.update(), on.accessing(STORE)
    until(update, "synchronize_srcu: end")
    until(store, "store gfn 0 via guest: userspace finds A")
    assert on.failed == [I3B]
    on.run(update)

    on.run(store)

    assert on.failed == [I3B, I2]


@pytest.mark.parametrize(("kind", "told"), [("load", [I3B, I2_]), ("store", [I3B])])
def test_a_load_that_was_made_before_the_return_brings_an_old_value_after_it(kind, told):
    on = exiting(FLIP, *HOLE, RETURN)
    update, access = on.update(), on.accessing(Access(kind, 0))
    until(update, "synchronize_srcu: end")
    until(access, f"{kind} gfn 0 via guest: made by userspace in A")
    on.run(update)

    on.run(access)

    assert on.failed == told


def test_a_load_of_the_page_that_a_frame_keeps_is_never_old():
    on = exiting(SPLIT, *HOLE, RETURN)
    update, load = on.update(), on.accessing(LOAD)
    until(update, "synchronize_srcu: end")
    until(load, "load gfn 0 via guest: made by userspace in A")
    on.run(update)
    on.run(load)

    assert on.failed == [I3A]


@pytest.mark.parametrize(("ops", "told"), [((), [I3B, I4B_]), ((COPY,), [I3B])])
def test_what_userspace_stores_in_the_new_page_is_undone_by_a_later_copy(ops, told):
    on = exiting(FLIP, CHANGE_MAP, *HOLE, *ops)
    on.run(on.update())

    assert "store gfn 0 via guest: made by userspace in B" in on.run(on.accessing(STORE))
    assert on.failed == told


def test_a_load_of_the_new_page_before_the_copy_undoes_nothing():
    on = exiting(FLIP, CHANGE_MAP, *HOLE)
    on.run(on.update())

    assert "load gfn 0 via guest: made by userspace in B" in on.run(on.accessing(LOAD))
    assert on.failed == [I3B]


def test_draining_waits_for_who_has_begun_and_holds_back_who_has_not():
    on = exiting(FLIP, *HOLE, *HOLD, CHANGE_MAP, RELEASE)
    update, begun, late = on.update(), on.accessing(STORE, 0), on.accessing(STORE, 1)
    until(update, "synchronize_srcu: end")
    until(begun, "store gfn 0 via guest: userspace finds A")
    until(update, "userspace holds exits back")

    assert not update.step()
    until(begun, "store gfn 0 via guest: made by userspace in A")
    assert not update.step()
    until(late, "store gfn 0 via guest: fault, no slot")
    assert not late.step()
    until(begun, "store gfn 0 via guest: completed by KVM_RUN")
    until(update, "userspace goes on with exits")
    assert "store gfn 0 via guest: made by userspace in B" in on.run(late)


def test_who_is_kept_out_of_kvm_run_completes_nothing():
    on = exiting(FLIP, *HOLE, *PAUSE, RESUME)
    update, store = on.update(), on.accessing(STORE)
    until(update, "synchronize_srcu: end")
    until(store, "store gfn 0 via guest: made by userspace in A")
    until(update, "all vCPUs are out of KVM_RUN")

    assert not store.step()
    until(update, "resume")
    until(store, "store gfn 0 via guest: completed by KVM_RUN")


def test_so_exits_are_drained_before_vcpus_are_paused_and_not_after():
    create = today.create(OLD)
    right = Program((*HOLD, *PAUSE, *create, RETURN, CHANGE_MAP, RESUME, RELEASE))
    wrong = Program((*PAUSE, *HOLD, *create, RETURN, CHANGE_MAP, RESUME, RELEASE))
    w = world(COME, accesses=(STORE,), exits=True)

    assert broken(replace(w, programs=(right,))) == set()
    assert broken(replace(w, programs=(wrong,))) == {"I10"}


def around(when, update, change=FLIP):
    """Return a world in which userspace does so about exits around an update."""
    program = Program(EXITS[when](update(change, X86).ops))
    return world(change, program, accesses=ANY, exits=True)


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("early", {"I3b", "I4a", "I4a'", "I4b'"}),
        ("late", {"I2", "I2'", "I3b", "I4a'", "I4b"}),
        ("drained", {"I3b"}),
    ],
)
def test_what_userspace_does_about_exits_of_delete_and_create(when, told):
    scene = f"hva-flip+{'' if when == 'late' else f'{when}-'}exit"

    assert broken(around(when, today.update)) == told
    assert set(explored(scene, "today").violated) == told


@pytest.mark.parametrize("when", EXITS)
def test_who_shows_no_hole_has_no_exit_to_complete(when):
    for update in (pause.update, user_exit.update):
        w = replace(around(when, update), events=("an exit is completed",))
        result = explore(model(w), traces=False)

        assert result.vacuous == ("an exit is completed",)
        assert violated(result) == {}


def test_block_first_shows_holes_to_kvms_own_accesses_only():
    w = around("late", wholesale.block_first)
    guest = replace(w, accesses=every(("load", "store"), (0,), ("guest",)))

    assert broken(w) == {"I2", "I2'", "I3b", "I4a'", "I4b"}
    assert broken(guest) == {"I4b"}


def test_each_step_of_the_drain_is_needed():
    w = around("drained", today.update)
    (program,) = w.programs
    found = {
        op.step.__name__: broken(w.mutated(program.without(number)))
        for number, op in enumerate(program)
        if op in (*HOLD, CHANGE_MAP, RELEASE)
    }

    assert found == {
        "hold_exits": {"I2", "I2'", "I3b", "I4a'", "I4b"},
        "await_exits": {"I2", "I2'", "I3b", "I4a'", "I4b"},
        "change_map": {"I2", "I2'", "I3b", "I4a'", "I4b"},
        "release_exits": {"I3b", "I10"},
    }


def test_a_split_needs_no_drain_as_both_maps_lead_to_the_same_page():
    assert broken(around("late", today.update, SPLIT)) == {"I3a"}


def test_what_was_truncated_is_reached_by_a_late_map_and_not_by_an_early_one():
    assert broken(around("late", today.update, GONE)) == {"I2", "I2'"}
    assert broken(around("early", today.update, GONE)) == set()


def test_userspace_changes_its_map_when_the_scene_says():
    early, late = (
        SCENES[f"hva-flip+{name}"].world(APIS["pause"]).programs[0].ops
        for name in ("early-exit", "exit")
    )

    assert early[0] == late[-1] == CHANGE_MAP
    assert early[1:] == late[:-1]


def test_where_nothing_is_copied_userspace_drains_first():
    assert EXITS["drained"]((RETURN,)) == (*HOLD, RETURN, CHANGE_MAP, RELEASE)


def test_userspace_drains_before_it_copies_and_maps_nothing_anew_where_slots_stay():
    found = {
        key: [op.step.__name__ for op in SCENES["hva-flip+drained-exit"].world(api).programs[0]]
        for key, api in APIS.items()
        if key in ("today", "remap")
    }

    for names in found.values():
        assert names[names.index("begin_copy") - 2 :][:2] == ["hold_exits", "await_exits"]
        assert names[-1] == "release_exits"
    assert found["today"][-2] == "change_map"
    assert "change_map" not in found["remap"]
