from __future__ import annotations

from protocol.history.judging import explored

from memslotlib.protocol.history import generation_at_publish, generation_before_zap
from memslotlib.protocol.history.generations import AGREES, CROSSES, NONE, RETURNED


def test_an_mmio_spte_is_there_before_any_memory() -> None:
    model = generation_at_publish.after()

    assert model.variable("mmio").inits == (NONE,)
    assert model.variable("generation").inits == (0,)


def test_every_world_lets_a_fault_read_the_generation_late() -> None:
    for make in (generation_at_publish.after, generation_before_zap.after):
        assert explored(make).verdicts[CROSSES].hits > 0


def test_memory_is_reached_by_the_rules_that_hold() -> None:
    for make in (generation_at_publish.after, generation_before_zap.after):
        result = explored(make)

        assert result.verdicts["an access gets to memory"].hits > 0
        assert result.verdicts[AGREES].is_good
        assert result.verdicts[RETURNED].is_good
