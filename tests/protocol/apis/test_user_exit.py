"""KVM_MEM_DISABLED: what look-ups see, where the log is fetched, and that nobody meets a hole."""

from __future__ import annotations

import pytest
from protocol.stage import FLIP, SPLIT, broken, count, moments, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import user_exit
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, every

BOTH_WAYS = every(("load", "store"), (0,), ("guest", "emulator"))


def test_lookups_see_the_disabled_slot_and_then_the_new_layout_at_once():
    for gfn, new in ((0, "low"), (1, "high")):
        assert moments(staged(SPLIT, *user_exit.update(SPLIT, X86)), gfn) == ["old", "old~", new]


def test_there_is_a_swap_for_each_slot_that_goes_and_one_for_each_space():
    smm = Slot("smm", 0, 1, as_id=1)
    change = Change((Slot("one", 0, 1), Slot("two", 1, 1), smm), (Slot("both", 0, 2),))

    assert count(user_exit.update(change, X86), "publish") == 3 + 2


@pytest.mark.parametrize("policy", [X86, ARM64])
@pytest.mark.parametrize("change", [SPLIT, FLIP])
def test_no_access_breaks_anything_on_any_path(policy, change):
    program = user_exit.update(change, policy)

    assert broken(world(change, program, accesses=BOTH_WAYS, policy=policy)) == set()


def test_the_log_is_fetched_and_pages_are_copied_while_nothing_is_mapped():
    log, new = Slot("log", 0, 2, log=True), Slot("new", 0, 2, "B", log=True)
    names = [op.step.__name__ for op in user_exit.update(Change((log,), (new,)), X86)]
    swaps = [n for n, name in enumerate(names) if name == "publish"]

    assert swaps[0] < names.index("zap_all") < names.index("fetch_bitmap") < swaps[1]
    assert names.index("fetch_bitmap") < names.index("begin_copy") < swaps[1]
