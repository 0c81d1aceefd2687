"""Delete and create: what look-ups see meanwhile, how many swaps, and what each step is for."""

from __future__ import annotations

import pytest
from protocol.stage import COME, FLIP, GONE, OLD, SPLIT, broken, count, moments, survivors, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import today
from memslotlib.protocol.program import Program
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, every

BOTH_WAYS = every(("load",), (0,), ("guest", "emulator"))


def test_a_delete_shows_the_slot_then_invalid_then_a_hole_in_two_swaps():
    stage = staged(GONE, *today.delete(OLD, X86))

    assert moments(stage) == ["old", "old!", "-"]
    assert count(stage.world.programs[0], "publish") == 2
    assert stage.failed == []


def test_a_create_shows_the_slot_at_once_in_one_swap():
    stage = staged(COME, *today.create(OLD))

    assert moments(stage) == ["-", "old"]
    assert count(stage.world.programs[0], "publish") == 1


def test_the_flush_comes_while_the_slot_is_invalid_and_the_free_after_both_grace_periods():
    names = [op.step.__name__ for op in today.delete(OLD, ARM64)]
    swaps = [n for n, name in enumerate(names) if name == "publish"]
    ends = [n for n, name in enumerate(names) if name == "end_grace_period"]

    assert swaps[0] < ends[0] < names.index("zap_slot") < names.index("await_kicked") < swaps[1]
    assert swaps[1] < ends[1] < names.index("free")


def test_an_update_deletes_all_that_goes_before_it_creates_what_comes():
    assert moments(staged(SPLIT, *today.update(SPLIT, X86))) == ["old", "old!", "-", "low"]
    program = today.update(SPLIT, X86)
    assert count(program, "publish") == 2 + 1 + 1
    assert count(program, "take_slots_lock") == count(program, "release_slots_lock") == 3
    assert program[-1].step.__name__ == "ioctl_returns"


def test_each_ioctl_swaps_the_address_space_of_its_slot_alone():
    smm = Slot("smm", 0, 2, as_id=1)
    program = today.update(Change((OLD, smm), (OLD,)), X86)

    assert {op.arguments for op in program if op.step.__name__ == "publish"} == {(1,)}


def test_a_log_is_fetched_and_sent_just_before_its_slot_is_deleted():
    log = Slot("log", 0, 2, log=True)
    names = [op.step.__name__ for op in today.update(Change((log,), ()), X86)]

    assert names.index("fetch_bitmap") < names.index("copy_harvested") < names.index("publish")
    assert count(today.update(GONE, X86), "fetch_bitmap") == 0


def test_pages_are_copied_while_no_slot_is_there():
    names = [op.step.__name__ for op in today.update(FLIP, X86)]
    last_free = max(n for n, name in enumerate(names) if name == "free")
    last_publish = max(n for n, name in enumerate(names) if name == "publish")

    assert last_free < names.index("begin_copy") < last_publish
    assert count(today.update(SPLIT, X86), "begin_copy") == 0


@pytest.mark.parametrize("policy", [X86, ARM64])
def test_delete_alone_and_create_alone_break_nothing(policy):
    for change in (GONE, COME):
        program = today.update(change, policy)
        assert broken(world(change, program, accesses=BOTH_WAYS, policy=policy)) == set()


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        # A fault that began before the swap finds its root obsolete when it wants to map.
        (X86, {"4 begin grace period", "5 end grace period"}),
        (ARM64, set()),
    ],
)
def test_every_step_of_a_delete_is_needed_but_for_these(policy, more):
    """Locks have nobody to exclude where there is one updater, and to free is never needed."""
    program = Program(today.update(GONE, policy).ops)
    found = survivors(world(GONE, program, accesses=BOTH_WAYS, policy=policy))

    size = len(program) - 1
    assert found - more == {
        "1 take slots lock",
        f"{size - 2} free old!",
        f"{size - 1} free old",
        f"{size} release slots lock",
    }
    assert more <= found


def test_every_step_of_a_create_is_needed_but_for_these():
    """A look-up is one step here, so that nobody is inside of a set while it is edited.

    In the kernel a reader may be walking the old set, and the grace period waits for that.
    """
    found = survivors(world(COME, today.update(COME, X86), accesses=BOTH_WAYS))

    assert found == {
        "1 take slots lock",
        "4 begin grace period",
        "5 end grace period",
        "7 release slots lock",
    }
