from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels

from memslotlib.protocol.history import notifier_maps_invalid
from memslotlib.protocol.history.notifier_maps_invalid import BUG, change_pte


def test_the_page_is_mapped_again_between_the_zap_and_the_second_swap() -> None:
    trace = explored(notifier_maps_invalid.before).trace(*BUG.breaks)

    assert len(trace) == 27
    assert come_in_order(
        [
            "updater: zap the SPTEs of s",
            "updater: all kicked vCPUs are out",
            "ksm: change_pte: map the page of s!",
            "ksm: range_end: count down",
            "updater: swap active set of as_id 0",
            "updater: the update has returned",
            "vcpu0: load gfn 0 via guest: TLB hit",
        ],
        labels(trace),
    )


def test_the_count_of_invalidations_only_delays_the_swap() -> None:
    trace = explored(notifier_maps_invalid.before).trace(*BUG.breaks)
    swaps = [n for n, one in enumerate(labels(trace), 1) if "swap active set" in one]

    assert all(not trace.values(n)["invalidating"] for n in swaps)


def test_the_fix_replaces_the_walk_and_no_step_of_the_update() -> None:
    before, after = notifier_maps_invalid.before(), notifier_maps_invalid.after()

    assert set(after.steps) - set(before.steps) == {change_pte}
    assert after.steps[change_pte].__name__ == "change_pte_of_valid"
