"""Random runs: certain in what they show, and never a proof."""

from __future__ import annotations

import pytest

from benchmarks import memslot_like
from memslotlib.check import CheckError, replay, sample
from memslotlib.check.examples import increment, peterson
from memslotlib.check.explore import ENGINES
from memslotlib.check.sampling import random_number
from memslotlib.verdict import Word

SAMPLERS = ["python", *(["native"] if "native" in ENGINES else [])]


def test_the_generator_is_splitmix64():
    """The first numbers from seed 1234567, as published with the algorithm."""
    seed, numbers = 1234567, []
    for _ in range(3):
        seed, number = random_number(seed)
        numbers.append(number)

    assert numbers == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("engine", SAMPLERS)
def test_what_a_run_shows_is_certain_and_comes_with_its_trace(engine):
    result = sample(increment(), runs=100, steps_max=10, seed=1, engine=engine)

    lost = result.verdicts["no lost update"]
    assert lost.verdict.word is Word.VIOLATED
    assert 0 < lost.hits < 100
    trace = result.trace("no lost update")
    assert not trace.is_shortest
    assert replay(increment(), trace.replay).steps == trace.steps
    assert result.verdicts["both added"].verdict.word is Word.HOLDS


@pytest.mark.parametrize("engine", SAMPLERS)
def test_what_no_run_shows_is_undetermined_and_never_holds(engine):
    result = sample(peterson(), runs=50, steps_max=50, engine=engine)

    words = {name: one.verdict.word for name, one in result.verdicts.items()}
    assert words["mutual exclusion"] is Word.UNDETERMINED
    assert words["no deadlock"] is Word.UNDETERMINED
    assert words["thread 0 inside"] is Word.UNDETERMINED
    assert not result.is_complete
    assert not result.ok
    assert result.samples == 50
    assert "50 random runs of at most 50 steps; no proof" in result.text


@pytest.mark.parametrize("engine", SAMPLERS)
def test_a_run_ends_where_it_is_stuck_where_it_stops_and_at_its_limit(engine):
    assert sample(increment(), runs=7, engine=engine).levels == (7,) * 5
    assert sample(peterson(), runs=7, steps_max=3, engine=engine).levels == (7,) * 4


def test_another_seed_makes_other_runs_and_the_same_one_the_same():
    runs = [
        str(sample(memslot_like.model(accesses=1), runs=20, steps_max=40, seed=seed).traces)
        for seed in (0, 0, 1)
    ]

    assert runs[0] == runs[1] != runs[2]


def test_an_engine_that_samples_nothing_is_refused():
    with pytest.raises(CheckError, match="no engine 'numpy' for samples"):
        sample(increment(), engine="numpy")
