from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels

from memslotlib.protocol.history import notifier_skips_old_root
from memslotlib.protocol.history.notifier_skips_old_root import BUG, unmap_range


def test_the_walk_zaps_an_spte_of_a_page_that_was_freed() -> None:
    trace = explored(notifier_skips_old_root.before).trace(*BUG.breaks)

    assert len(trace) == 18
    assert come_in_order(
        [
            "vcpu0: map s's page",
            "updater: roots obsolete, vCPUs kicked",
            "mm: range_start: unmap",
            "mm: the host frees the page",
            "updater: walk the old root: zap gfn 0",
        ],
        labels(trace),
    )


def test_the_update_is_between_its_two_swaps() -> None:
    trace = explored(notifier_skips_old_root.before).trace(*BUG.breaks)

    assert sum("swap active set" in one for one in labels(trace)) == 1


def test_the_fix_replaces_the_walk_of_the_notifier() -> None:
    before, after = notifier_skips_old_root.before(), notifier_skips_old_root.after()

    assert set(after.steps) - set(before.steps) == {unmap_range}
