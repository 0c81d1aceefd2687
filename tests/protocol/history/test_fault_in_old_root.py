from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, violated

from memslotlib.protocol.history import fault_in_old_root
from memslotlib.protocol.history.fault_in_old_root import BUG
from memslotlib.protocol.vcpu import page_fault


def test_the_fault_maps_where_the_walk_has_passed() -> None:
    trace = explored(fault_in_old_root.before).trace(*BUG.breaks)

    assert len(trace) == 13
    assert come_in_order(
        [
            "updater: roots obsolete, vCPUs kicked",
            "updater: walk the old root: zap gfn 0",
            "vcpu0: map t's page in the old root",
        ],
        labels(trace),
    )


def test_the_guest_never_uses_what_leaked() -> None:
    assert violated(explored(fault_in_old_root.before)) == set(BUG.breaks)


def test_the_fix_is_a_look_at_the_root() -> None:
    before, after = fault_in_old_root.before(), fault_in_old_root.after()

    assert before.steps[page_fault].__name__ == "fault_unchecked"
    assert after.steps[page_fault].__name__ == "fault_checked"
    assert {one: before.steps[one] for one in before.steps if one != page_fault} == {
        one: after.steps[one] for one in after.steps if one != page_fault
    }
