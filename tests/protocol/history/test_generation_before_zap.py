from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, steps, violated

from memslotlib.protocol.history import generation_before_zap
from memslotlib.protocol.history.generation_before_zap import BUG, store_first, zap_first
from memslotlib.protocol.history.generations import RETURNED


def test_the_oldest_tag_is_right_again_before_its_spte_is_zapped() -> None:
    trace = explored(generation_before_zap.before).trace(*BUG.breaks)

    assert len(trace) == 20
    assert come_in_order(
        [
            "vcpu0: load gfn 0 via guest: MMIO SPTE tagged, emulated",
            "updater: next generation",
            "updater: zap all MMIO SPTEs if the generation has wrapped",
            "updater: next generation",
            "vcpu0: load gfn 0 via guest: believed to be MMIO, emulated",
        ],
        labels(trace),
    )
    assert trace.values(len(trace))["mmio"] == trace.values(len(trace))["generation"] == 0


def test_it_is_over_when_the_ioctl_returns() -> None:
    result = explored(generation_before_zap.before)

    assert RETURNED not in violated(result)


def test_the_fix_exchanges_the_two_and_nothing_else() -> None:
    before, after = steps(store_first()), steps(zap_first())

    assert before.index("store_generation") + 1 == before.index("zap_after_store")
    assert after.index("zap_before_store") + 1 == after.index("store_generation")
    assert [one.split("_")[0] for one in sorted(before)] == [
        one.split("_")[0] for one in sorted(after)
    ]
