"""Flags only: one swap, the same metadata, and write access that goes where logging begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import GONE, OLD, STORE, broken, count, moments, survivors, until, world
from protocol.stage import stage as staged

from memslotlib.protocol.apis import flags
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import ARM64, X86, X86_PML, Entry, every

LOGS = Slot("logs", 0, 2, log=True)
ON, OFF = Change((OLD,), (LOGS,)), Change((LOGS,), (OLD,))


@pytest.mark.parametrize("change", [ON, OFF])
def test_nothing_is_invalid_and_there_is_one_swap(change):
    stage = staged(change, *flags.update(change, X86))

    assert moments(stage) == [str(change.before[0]), str(change.after[0])]
    assert count(stage.world.programs[0], "publish") == 1
    assert count(stage.world.programs[0], "zap_all") == 0


def test_the_new_slot_has_the_old_ones_metadata_and_a_bitmap_of_its_own():
    stage = staged(ON, *flags.update(ON, X86))
    stage.run(stage.update())
    (found,) = stage.m.sets[0, stage.m.active[0]]

    assert [found.metadata(gfn) for gfn in found.gfns] == ["old", "old"]
    assert [found.dirty_bitmap(gfn) for gfn in found.gfns] == ["logs", "logs"]


def test_the_first_write_after_logging_began_is_marked_though_the_page_was_writable():
    stage = staged(ON, *flags.update(ON, X86))
    stage.access(STORE)
    assert stage.m.spte[0] == Entry("A", True)

    stage.run(stage.update())

    assert stage.m.spte[0] == Entry("A", False)
    stage.access(STORE)
    assert stage.dirty(LOGS) == {0}


def test_between_the_swap_and_the_protection_a_write_is_not_marked():
    stage = staged(ON, *flags.update(ON, X86))
    stage.access(STORE)
    update = stage.update()
    until(update, "swap")

    stage.access(STORE)

    assert stage.dirty(LOGS) == frozenset()


def test_protection_and_flush_come_after_the_swap_and_only_where_logging_begins():
    names = [op.step.__name__ for op in flags.update(ON, X86)]

    assert names.index("publish") < names.index("write_protect") < names.index("request_flush")
    assert names.index("await_kicked") < names.index("release_slots_lock")
    assert count(flags.update(OFF, X86), "write_protect") == 0


def test_logging_that_ends_takes_its_bits_along_and_leaves_mappings():
    stage = staged(OFF, *flags.update(OFF, X86))
    stage.access(STORE)

    stage.run(stage.update())

    assert stage.dirty(LOGS) == frozenset()
    assert stage.m.spte[0] == Entry("A", True)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ON, ""),
        (OFF, ""),
        (GONE, "neither add"),
        (Change((OLD,), (replace(LOGS, base_gfn=1),)), "leave place"),
        (Change((OLD,), (replace(LOGS, npages=1),)), "leave place"),
        (Change((OLD,), (replace(LOGS, hva="B"),)), "leave place"),
        (Change((OLD,), (replace(LOGS, readonly=True),)), "EINVAL: READONLY"),
    ],
)
def test_what_is_more_than_flags_is_refused(change, why):
    found = flags.refusal(change)

    assert bool(found) == bool(why)
    assert why in found


@pytest.mark.parametrize("policy", [X86, ARM64])
def test_every_step_is_needed_but_for_these(policy):
    """That a write is marked is not asked for by a search: what the first round of a log sends.

    The steps for that are looked at one by one above.
    """
    accesses = every(("load", "store"), (0,), ("guest", "emulator"))
    w = world(ON, flags.update(ON, policy), accesses=accesses, policy=policy)

    assert broken(w) == set()
    assert {name.partition(" ")[2] for name in survivors(w)} == {
        "take slots lock",
        "write protect 0 (0, 1)",
        "request flush",
        "await kicked",
        "free old",
        "release slots lock",
    }


def test_where_the_processor_logs_pages_are_clean_and_not_protected_when_logging_begins():
    stage = staged(ON, *flags.update(ON, X86_PML), policy=X86_PML)
    stage.access(STORE)

    stage.run(stage.update())

    assert stage.m.spte[0] == Entry("A", True, True)
    assert "store gfn 0 via guest: D bit set, frame logged" in stage.run(stage.accessing(STORE))
