"""Another mapping at the same hva: no slot changes, and the copy comes too early."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import FLIP, GONE, NEW, OLD, SPLIT, broken, count, moments, survivors, world
from protocol.stage import stage as staged

from memslotlib.litmus_model import mutant
from memslotlib.protocol.apis import remap
from memslotlib.protocol.scenes import BOTH, PAIR
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import X86, every

ACCESSES = every(("load", "store"), (0,), ("guest", "emulator"))


def test_no_slot_changes():
    program = remap.update(FLIP, X86)

    assert moments(staged(FLIP, *program)) == ["old"]
    assert count(program, "publish") == 0


def test_one_mapping_is_behind_several_slots_and_both_address_spaces():
    for change in (PAIR, BOTH):
        assert remap.refusal(change) == ""
        assert count(remap.update(change, X86), "unmap") == 1
    assert count(remap.update(BOTH, X86), "zap_gfns") == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (FLIP, ""),
        (SPLIT, "stay"),
        (GONE, "stay"),
        (Change((OLD,), (replace(OLD, readonly=True),)), "stay"),
        (Change((OLD,), (replace(NEW, log=True),)), "stay"),
        (Change((OLD,), (replace(OLD, name="again"),)), "one mapping"),
        (
            Change(
                (Slot("one", 0, 1), Slot("two", 1, 1)),
                (Slot("one'", 0, 1, "B"), Slot("two'", 1, 1, "C")),
            ),
            "one mapping",
        ),
    ],
)
def test_what_is_more_than_what_is_behind_the_slots_is_refused(change, why):
    found = remap.refusal(change)

    assert bool(found) == bool(why)
    assert why in found


def test_a_store_is_lost_to_the_copy_and_nothing_else_goes_wrong():
    assert broken(world(FLIP, remap.update(FLIP, X86), accesses=ACCESSES)) == {"I4b"}


def test_every_step_is_needed_but_for_these():
    """Without the copy nothing is copied; an invalidation that never ends is retried for ever.

    That is a loop and not a deadlock, so no property forbids it.
    """
    w = world(FLIP, remap.update(FLIP, X86), accesses=ACCESSES)

    assert survivors(w) == {"1 begin copy", "7 end invalidation"}


def test_what_no_single_step_breaks_is_broken_by_the_steps_of_another_api():
    w = world(FLIP, remap.update(FLIP, X86), accesses=ACCESSES)

    assert "I3b" in broken(mutant(w, "with the steps of today"))
    assert "I12" in broken(mutant(w, "with the steps of wholesale-swap"))
