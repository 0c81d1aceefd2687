from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, steps, violated

from memslotlib.protocol.history import copy_before_lock
from memslotlib.protocol.history.copy_before_lock import BUG, flags


def test_the_copy_is_older_than_the_reverse_maps() -> None:
    trace = explored(copy_before_lock.before).trace(*BUG.breaks)

    assert len(trace) == 10
    assert come_in_order(
        [
            "updater: copy s to s2",
            "vcpu0: first shadow root: allocate reverse maps",
            "vcpu0: first shadow root: reverse maps exist",
            "updater: mutex_lock(slots_arch_lock)",
            "updater: swap active set of as_id 0",
        ],
        labels(trace),
    )
    assert trace.values(len(trace))["rmap[0]"]
    assert not trace.values(len(trace))["rmap[1]"]


def test_the_fix_exchanges_copy_and_lock_and_nothing_else() -> None:
    before, after = steps(flags(copies_first=True)), steps(flags(copies_first=False))

    assert before[:3] == ["take_slots_lock", "copy_metadata", "take_arch_lock"]
    assert after[:3] == ["take_slots_lock", "take_arch_lock", "copy_metadata"]
    assert before[3:] == after[3:]


def test_a_lock_that_readers_want_is_not_kept_over_the_grace_period() -> None:
    result = explored(BUG.beyond["the lock kept over the grace period"])
    trace = result.trace("I10 nobody waits for ever")

    assert violated(result) == {"I10 nobody waits for ever"}
    assert trace.values(len(trace))["arch_lock"]
