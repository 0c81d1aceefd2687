from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels

from memslotlib.protocol.history import no_retry
from memslotlib.protocol.world import X86, X86_BEFORE_5_13


def test_a_vcpu_finds_invalid_where_another_has_mapped_the_page() -> None:
    trace = explored(no_retry.before).trace(no_retry.BREAKS)

    assert len(trace) == 13
    assert come_in_order(
        [
            "vcpu0: EPT violation: VM-exit",
            "vcpu1: map s's page",
            "updater: swap active set of as_id 0",
            "vcpu0: fault: found s!",
            "vcpu0: fault: map MMIO",
        ],
        labels(trace),
    )


def test_nothing_is_zapped_yet() -> None:
    trace = explored(no_retry.before).trace(no_retry.BREAKS)

    assert not any("zap" in one for one in labels(trace))
    assert str(trace.values(len(trace))["spte[0]"]) == "A:rw"


def test_the_policy_is_all_that_the_fix_changes() -> None:
    old, new = no_retry.world(X86_BEFORE_5_13), no_retry.world(X86)

    assert (old.policy.retries, new.policy.retries) == (False, True)
    assert [op.text for op in old.programs] == [op.text for op in new.programs]
    assert explored(no_retry.before).verdicts[no_retry.WINDOW].after_steps == 12
    assert explored(no_retry.after).verdicts[no_retry.WINDOW].after_steps == 12
