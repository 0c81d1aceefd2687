from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, steps

from memslotlib.protocol.history import protect_before_swap
from memslotlib.protocol.history.protect_before_swap import BUG, fetched


def test_the_second_write_stands_in_no_bitmap() -> None:
    trace = explored(protect_before_swap.before).trace(*BUG.breaks)

    assert len(trace) == 25
    assert come_in_order(
        [
            "updater: write-protect gfns 0",
            "vcpu0: map s's page",
            "updater: swap active set of as_id 0",
            "updater: hand the bitmap of s to userspace",
            "updater: send the pages that were dirty",
            "vcpu0: store gfn 0 via guest: TLB hit",
            "updater: last round of the log",
        ],
        labels(trace),
    )


def test_the_bit_went_to_the_bitmap_that_was_about_to_go() -> None:
    trace = explored(protect_before_swap.before).trace(*BUG.breaks)
    marked = [one for one in trace.steps if "bitmap[0,0]" in one.changes]

    assert [one.label for one in marked] == ["map s's page", "free s"]
    assert "bitmap[1,0]" not in {name for one in trace.steps for name in one.changes}


def test_the_fix_exchanges_the_two_and_nothing_else() -> None:
    before, after = steps(fetched(protects_first=True)), steps(fetched(protects_first=False))

    assert sorted(before) == sorted(after)
    assert before.index("await_kicked") < before.index("publish")
    assert after.index("end_grace_period") < after.index("write_protect")
