"""Re-slicing: frames that keep their page never lose it, and what goes is blocked first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, OLD, SPLIT, broken, count, moments, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import primitives
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, every

SHORT = Slot("short", 0, 1)
TRUNCATE, GROW = Change((OLD,), (SHORT,)), Change((SHORT,), (OLD,))
MERGE = Change(SPLIT.after, SPLIT.before)
ROM = Change((OLD,), (replace(OLD, name="rom", readonly=True),))
HUGE = (0, 1)
BOTH_WAYS = every(("load", "store"), (0, 1), ("guest", "emulator"))


def test_a_frame_that_stays_goes_from_slot_to_slot_in_one_swap():
    assert moments(staged(SPLIT, *primitives.update(SPLIT, X86)), 1) == ["old", "high"]
    assert moments(staged(TRUNCATE, *primitives.update(TRUNCATE, X86)), 0) == ["old", "short"]
    assert count(primitives.update(SPLIT, X86), "publish") == 1


def test_a_frame_that_goes_is_invalid_first_and_zapped_before_it_is_a_hole():
    program = primitives.update(TRUNCATE, X86)
    names = [op.step.__name__ for op in program]
    swaps = [n for n, name in enumerate(names) if name == "publish"]

    assert moments(staged(TRUNCATE, *program), 1) == ["old", "old[1:2]!", "-"]
    assert swaps[0] < names.index("zap_gfns") < names.index("await_kicked") < swaps[1]


def test_a_part_has_the_metadata_of_the_slot_that_it_was_in():
    stage = staged(SPLIT, *primitives.update(SPLIT, X86))
    stage.run(stage.update())
    slots = stage.m.sets[0, stage.m.active[0]]

    assert [slots.lookup(gfn).metadata(gfn) for gfn in (0, 1)] == ["old", "old"]


def test_a_huge_page_is_taken_apart_only_where_no_slot_will_hold_it():
    assert count(primitives.update(SPLIT, X86, HUGE), "disallow_huge") == 1
    assert count(primitives.update(SPLIT, X86), "disallow_huge") == 0
    assert count(primitives.update(MERGE, X86, HUGE), "disallow_huge") == 0
    assert count(primitives.update(ROM, X86, HUGE), "disallow_huge") == 0


def test_readonly_takes_write_access_away_after_the_swap():
    names = [op.step.__name__ for op in primitives.update(ROM, X86)]

    assert names.index("publish") < names.index("write_protect") < names.index("await_kicked")


@pytest.mark.parametrize("policy", [X86, ARM64])
@pytest.mark.parametrize("change", [SPLIT, TRUNCATE, MERGE, GROW, ROM])
def test_no_access_breaks_anything(policy, change):
    program = primitives.update(change, policy, HUGE)
    more = {"accesses": BOTH_WAYS, "policy": policy, "huge": HUGE, "accesses_max": 1}

    assert broken(world(change, program, **more)) == set()


def test_another_page_and_two_address_spaces_are_refused():
    smm = Slot("smm", 0, 1, as_id=1)

    assert "hva" in primitives.refusal(FLIP)
    assert "address space" in primitives.refusal(Change((OLD, smm), ()))
    assert primitives.refusal(SPLIT) == primitives.refusal(TRUNCATE) == ""


LEFT, RIGHT = Slot("left", 0, 1), Slot("right", 1, 2)
WIDE, NARROW = Slot("left'", 0, 2), Slot("right'", 2, 1)
SHIFT = Change((LEFT, RIGHT), (WIDE, NARROW))
LOADS = every(("load",), (0, 1, 2), ("guest", "emulator"))


def shifted(*between):
    layouts = ((LEFT, RIGHT), *between, (WIDE, NARROW))
    return world(SHIFT, primitives.in_turn(layouts, X86), accesses=LOADS, gfns=3, policy=X86)


def test_operations_in_turn_are_ioctls_that_return_once():
    program = primitives.in_turn(((OLD,), SPLIT.after, (replace(OLD, name="again"),)), X86)

    assert count(program, "take_slots_lock") == count(program, "release_slots_lock") == 2
    assert count(program, "ioctl_returns") == 1
    assert program[-1].step.__name__ == "ioctl_returns"


def test_a_border_that_moves_by_truncate_and_grow_leaves_a_hole_and_by_merge_and_split_none():
    assert broken(shifted((LEFT, NARROW))) == {"I3a"}
    assert broken(shifted((Slot("both", 0, 3),))) == set()
    assert broken(shifted()) == set()


def test_a_slot_that_comes_in_between_takes_metadata_along():
    stage = staged(SPLIT, *primitives.in_turn(((OLD,), (SHORT, Slot("x", 1, 1)), SPLIT.after), X86))
    stage.run(stage.update())
    slots = stage.m.sets[0, stage.m.active[0]]

    assert [slots.lookup(gfn).metadata(gfn) for gfn in (0, 1)] == ["old", "old"]
    assert [slots.lookup(gfn).name for gfn in (0, 1)] == ["low", "high"]


@pytest.mark.parametrize("turns", [1, 2])
def test_readonly_may_be_toggled_there_and_back(turns):
    rom = replace(OLD, name="rom", readonly=True)
    states = [OLD, rom, replace(OLD, name="ram"), replace(rom, name="rom'")][: 2 * turns]
    change = Change((OLD,), (states[-1],))
    program = primitives.in_turn([(one,) for one in states], X86)
    w = world(change, program, accesses=BOTH_WAYS, policy=X86)

    assert broken(w) == set()
    found = [n for n, op in enumerate(program) if op.step.__name__ == "write_protect"]
    assert len(found) == turns
    assert "I2" in broken(w.mutated(program.without(found[-1])))
