from __future__ import annotations

from dataclasses import replace

from protocol.history.judging import come_in_order, explored, labels, steps, violated

from memslotlib.check import explore
from memslotlib.protocol.history import no_flush_on_enable
from memslotlib.protocol.history.no_flush_on_enable import (
    BUG,
    enabled,
    flush_always,
    flush_if_changed,
)
from memslotlib.protocol.program import Op


def test_a_write_goes_through_a_tlb_entry_from_before_the_ioctl() -> None:
    trace = explored(no_flush_on_enable.before).trace(*BUG.breaks)

    assert len(trace) == 23
    assert come_in_order(
        [
            "vcpu0: page walk fills the TLB",
            "age: clear_young: access-track, no flush",
            "updater: swap active set of as_id 0",
            "updater: write-protect what can write",
            "updater: the update has returned",
            "vcpu0: store gfn 0 via guest: TLB hit",
            "updater: last round of the log",
        ],
        labels(trace),
    )
    assert not any("flush, kick" in one for one in labels(trace))


def test_without_ageing_the_old_rule_does_no_harm() -> None:
    model = no_flush_on_enable.before()
    others = [actor for actor in model.actors if actor.name != "age"]

    result = explore(replace(model, actors=others), traces=False)

    assert result.is_complete
    assert violated(result) == {BUG.window}


def test_the_fix_is_when_to_flush() -> None:
    before, after = steps(enabled(Op(flush_if_changed))), steps(enabled(Op(flush_always)))

    assert [pair for pair in zip(before, after, strict=True) if len(set(pair)) > 1] == [
        ("flush_if_changed", "flush_always")
    ]
    assert before.index("protect") < before.index("flush_if_changed")
