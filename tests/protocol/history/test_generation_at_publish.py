from __future__ import annotations

from protocol.history.judging import come_in_order, explored, labels, steps, violated

from memslotlib.protocol.history import generation_at_publish
from memslotlib.protocol.history.generation_at_publish import BUG, at_once, early, twice
from memslotlib.protocol.history.generations import AGREES, RETURNED


def test_memory_is_taken_for_mmio_after_create_has_returned() -> None:
    trace = explored(generation_at_publish.before).trace(RETURNED)

    assert len(trace) == 13
    assert come_in_order(
        [
            "vcpu0: fault: found no slot",
            "updater: swap active set, next generation",
            "vcpu0: load gfn 0 via guest: MMIO SPTE tagged, emulated",
            "updater: synchronize_srcu: end",
            "updater: the update has returned",
            "vcpu0: load gfn 0 via guest: believed to be MMIO, emulated",
        ],
        labels(trace),
    )
    assert trace.values(len(trace))["mmio"] == trace.values(len(trace))["generation"] == 1


def test_a_mark_alone_is_not_enough() -> None:
    result = explored(BUG.beyond["the final value before the grace period"])

    assert violated(result) == {AGREES, RETURNED}


def test_the_final_value_comes_after_the_grace_period() -> None:
    assert steps(at_once())[2:5] == ["publish_next", "begin_grace_period", "end_grace_period"]
    assert steps(early())[2:6] == [
        "publish_in_progress",
        "store_generation",
        "begin_grace_period",
        "end_grace_period",
    ]
    assert steps(twice())[2:6] == [
        "publish_in_progress",
        "begin_grace_period",
        "end_grace_period",
        "store_generation",
    ]
