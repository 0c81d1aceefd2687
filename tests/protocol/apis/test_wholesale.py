"""Wholesale replacement, swapping first or blocking first: what shows, what each step is for."""

from __future__ import annotations

import pytest
from protocol.stage import FLIP, SPLIT, broken, count, moments, survivors, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import wholesale
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, X86_SLOT_ZAP, every

FRAMES = every(("load",), (0, 1), ("guest",))
LOADS = every(("load",), (0,), ("guest",))
WRITES = every(("load", "store"), (0,), ("guest",))
EMULATED = every(("load",), (0,), ("emulator",))
SPACES = Change((Slot("ram", 0, 1), Slot("smm", 0, 1, as_id=1)), ())


def test_swapping_first_shows_the_new_layout_at_once_in_one_swap():
    for gfn, new in ((0, "low"), (1, "high")):
        assert moments(staged(SPLIT, *wholesale.swap_first(SPLIT, X86)), gfn) == ["old", new]
    assert count(wholesale.swap_first(SPLIT, X86), "publish") == 1
    assert count(wholesale.swap_first(SPACES, X86), "publish") == 2


def test_blocking_first_shows_invalid_and_then_the_new_layout_in_two_swaps():
    for gfn, new in ((0, "low"), (1, "high")):
        stage = staged(SPLIT, *wholesale.block_first(SPLIT, X86))
        assert moments(stage, gfn) == ["old", "old!", new]
    assert count(wholesale.block_first(SPLIT, X86), "publish") == 2
    assert count(wholesale.block_first(SPACES, X86), "publish") == 4


def test_all_is_zapped_once_and_slots_are_zapped_each():
    change = Change((Slot("one", 0, 1), Slot("two", 1, 1)), ())

    assert count(wholesale.block_first(change, X86), "zap_all") == 1
    assert count(wholesale.block_first(change, ARM64), "zap_slot") == 2
    assert count(wholesale.swap_first(change, ARM64), "zap_all") == 1


def test_pages_are_copied_before_the_only_ioctl_begins():
    for program in (wholesale.swap_first(FLIP, X86), wholesale.block_first(FLIP, X86)):
        assert program[0].step.__name__ == "begin_copy"
        assert count(program, "take_slots_lock") == 1


def test_swapping_first_leaves_old_translations_beside_new_slots():
    program = wholesale.swap_first(FLIP, X86)

    assert broken(world(FLIP, program, accesses=LOADS)) == {"I4a'", "I12"}


def test_blocking_first_breaks_nothing_for_the_guests_own_accesses():
    for policy in (X86, X86_SLOT_ZAP):
        split = wholesale.block_first(SPLIT, policy)
        flip = wholesale.block_first(FLIP, policy)
        assert broken(world(SPLIT, split, accesses=FRAMES, policy=policy)) == set()
        assert broken(world(FLIP, flip, accesses=LOADS, policy=policy)) == set()


def test_blocking_first_shows_a_hole_where_a_fault_is_not_retried_and_to_kvm_itself():
    for policy, accesses in ((ARM64, LOADS), (X86, EMULATED)):
        program = wholesale.block_first(SPLIT, policy)
        assert broken(world(SPLIT, program, accesses=accesses, policy=policy)) == {"I3a"}


def test_a_write_after_the_copy_began_is_lost():
    assert broken(world(FLIP, wholesale.block_first(FLIP, X86), accesses=WRITES)) == {"I4b"}


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        # A fault that began before the swap finds its root obsolete when it wants to map.
        (X86, {"begin grace period", "end grace period"}),
        (X86_SLOT_ZAP, set()),
    ],
)
def test_every_step_of_blocking_first_is_needed_but_for_these(policy, more):
    """One updater, memory that may be kept, and a copy that only a property looks at."""
    program = wholesale.block_first(FLIP, policy)
    found = survivors(world(FLIP, program, accesses=WRITES, policy=policy))

    assert {name.partition(" ")[2] for name in found} - more == {
        "begin copy",
        "take slots lock",
        "free old!",
        "free old",
        "release slots lock",
    }
    first = {name for name in found if name.partition(" ")[2] in more}
    assert first == ({"5 begin grace period", "6 end grace period"} if more else set())


def test_where_pages_stay_nobody_need_wait_for_tlbs():
    """A stale translation leads to the page that the frame has still."""
    program = wholesale.block_first(SPLIT, X86_SLOT_ZAP)
    found = survivors(world(SPLIT, program, accesses=FRAMES, policy=X86_SLOT_ZAP))

    assert {"request flush", "await kicked"} <= {name.partition(" ")[2] for name in found}
