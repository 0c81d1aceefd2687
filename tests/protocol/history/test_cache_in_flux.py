from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, violated

from memslotlib.protocol.history import cache_in_flux
from memslotlib.protocol.history.cache_in_flux import BACK, BUG
from memslotlib.protocol.history.generations import AGREES, RETURNED, remember


def test_what_was_kept_is_believed_while_the_update_is_in_progress() -> None:
    trace = explored(cache_in_flux.before).trace(AGREES)

    assert len(trace) == 7
    assert trace.values(len(trace))["in_progress"]
    assert come_in_order(
        [
            "vcpu0: fault: found no slot",
            "updater: swap active set, update in progress",
            "vcpu0: load gfn 0 via guest: MMIO SPTE tagged, emulated",
            "vcpu0: load gfn 0 via emulator: kept as MMIO, emulated",
        ],
        labels(trace),
    )


def test_one_vcpu_finds_memory_and_is_told_mmio_after_that() -> None:
    trace = explored(cache_in_flux.before).trace(BACK)

    assert come_in_order(
        [
            "vcpu1: map s's page",
            "vcpu0: load gfn 0 via guest: MMIO SPTE tagged, emulated",
            "vcpu0: load gfn 0 via guest: memory",
            "vcpu0: load gfn 0 via emulator: kept as MMIO, emulated",
        ],
        labels(trace),
    )


def test_the_harm_is_over_when_create_has_returned() -> None:
    assert RETURNED not in violated(explored(cache_in_flux.before))


def test_the_fix_is_what_is_kept() -> None:
    before, after = cache_in_flux.before(), cache_in_flux.after()

    assert [one for one in before.steps if before.steps[one] != after.steps[one]] == [remember]
    assert set(BUG.breaks) == {AGREES, BACK}
