from __future__ import annotations

from protocol.history.judging import explored

from memslotlib.protocol.history import fault_in_old_root
from memslotlib.protocol.history.roots import zap_all_by_walk, zap_dead
from memslotlib.protocol.mmu import zap_all


def test_the_walk_takes_the_place_of_the_zap_in_one_step() -> None:
    model = fault_in_old_root.after()

    assert model.steps[zap_all] is zap_all_by_walk
    assert zap_dead not in model.steps


def test_a_vcpu_gets_to_memory_with_the_next_root() -> None:
    result = explored(fault_in_old_root.after)
    trace = result.trace("an access gets to memory")

    assert result.ok
    assert trace.values(len(trace))["spte[0]"].page == "A"
