"""Fetch, remove, add: the bitmap is read when nobody can set a bit in it any more."""

from __future__ import annotations

from protocol.stage import SPLIT, broken, count, moments, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import fetch_remove_add, today, wholesale
from memslotlib.protocol.program import Program
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.userspace import SETTLE
from memslotlib.protocol.world import X86, every

LOGGED = Change(
    (Slot("log", 0, 2, log=True),),
    (Slot("low", 0, 1, log=True), Slot("high", 1, 1, log=True)),
)
STORES = every(("store",), (0,), ("guest",))


def test_without_a_log_it_is_wholesale_replacement_that_blocks_first():
    assert fetch_remove_add.update(SPLIT, X86).ops == wholesale.block_first(SPLIT, X86).ops


def test_the_bits_are_fetched_between_the_flush_and_the_new_layout_and_sent_at_the_end():
    program = fetch_remove_add.update(LOGGED, X86)
    names = [op.step.__name__ for op in program]
    swaps = [n for n, name in enumerate(names) if name == "publish"]

    assert swaps[0] < names.index("await_kicked") < names.index("fetch_bitmap") < swaps[1]
    assert names[-1] == "copy_harvested"
    assert count(program, "take_slots_lock") == 1
    assert moments(staged(LOGGED, *program)) == ["log", "log!", "low"]


def test_no_dirty_page_is_lost_as_one_is_where_the_log_is_fetched_by_another_ioctl():
    found = []
    for update in (fetch_remove_add.update, today.update):
        program = Program((*update(LOGGED, X86).ops, SETTLE))
        found.append(broken(world(LOGGED, program, accesses=STORES)))

    assert found[0] == set()
    assert "I5" in found[1]
