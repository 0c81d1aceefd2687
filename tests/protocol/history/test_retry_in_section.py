from __future__ import annotations

from protocol.history.judging import explored, labels, violated

from memslotlib.check import Model
from memslotlib.protocol.history import retry_in_section
from memslotlib.protocol.history.retry_in_section import BREAKS, BUG
from memslotlib.protocol.state import OUTSIDE
from memslotlib.protocol.vcpu import guest_access


def test_nobody_ends_once_invalid_is_published_to_a_reader() -> None:
    trace = explored(retry_in_section.before).trace(BREAKS)

    assert labels(trace) == [
        "vcpu0: pre-fault: srcu_read_lock, kvm_mmu_reload",
        "updater: mutex_lock(slots_lock)",
        "updater: inactive set: s by s!",
        "updater: swap active set of as_id 0",
    ]
    assert trace.values(len(trace))["srcu[0]"] != OUTSIDE


def test_no_lock_is_waited_for_in_a_circle() -> None:
    # The pre-fault is busy: that is why lockdep and a search for deadlocks say nothing.
    result = explored(retry_in_section.before)

    assert result.verdicts["I10 nobody waits for ever"].is_good


def test_leaving_srcu_alone_is_not_enough() -> None:
    result = explored(BUG.beyond["leave SRCU and enter it again"])
    trace = result.trace(BREAKS)

    assert violated(result) == {BREAKS}
    assert labels(trace)[-1] == "updater: swap active set of as_id 0"
    assert trace.values(len(trace))["request[0]"] == "reload"
    assert "pre-fault: INVALID, srcu_read_unlock" in [one.label for one in trace.steps]


def test_leaving_srcu_and_reloading_the_root_is_enough() -> None:
    assert explored(BUG.beyond["and reload the root"]).ok


def test_in_the_model_a_slot_that_stays_has_the_same_loop_after_the_fix() -> None:
    result = explored(BUG.beyond["a page of a slot that stays"])
    trace = result.trace(BREAKS)

    assert violated(result) == {BREAKS}
    assert labels(trace)[-1] == "updater: zap all: roots obsolete, vCPUs kicked"
    assert trace.values(len(trace))["srcu[0]"] != OUTSIDE


def test_the_fix_is_another_answer_to_invalid_and_no_other_order() -> None:
    def answer(model: Model) -> str:
        return model.steps[guest_access].__name__

    assert answer(retry_in_section.before()) == "retrying"
    assert answer(retry_in_section.after()) == "returning"
