from __future__ import annotations

import pytest
from check.random_models import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import Bounds
from memslotlib.check import trees as t
from memslotlib.check.engine_python import STATE_BYTES, PythonEngine
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.check.program import Program
from memslotlib.check.space import Target

MODELS = {"increment": increment, "peterson": peterson, "two_phase_commit": two_phase_commit}


def ran(model, *, symmetry=False, bounds=None, is_enough=None):
    engine = PythonEngine(Program(model), symmetry)
    engine.run(bounds or Bounds(), is_enough)
    return engine


def searched(model, canonical=lambda program, state: state):
    """Return the levels of a search as short as can be, and how many steps it made."""
    program = Program(model)
    levels, known, generated = [[canonical(program, program.initial)]], set(), 1
    known.update(levels[0])
    while levels[-1]:
        levels.append([])
        for state in levels[-2]:
            for one in program.successors(state):
                generated += 1
                after = canonical(program, one.state)
                if not one.path.stops and after not in known:
                    known.add(after)
                    levels[-1].append(after)
    return [{program.codes(s) for s in level} for level in levels[:-1]], generated


def canonical(program, state):
    return program.packing.canonical(state)


def levels_of(engine):
    codes = engine.program.codes
    return [set(map(codes, engine.level(n))) for n in range(len(engine.counts.levels))]


@settings(max_examples=20)
@given(st.integers(0, 100_000))
def test_levels_and_counts_are_those_of_a_plain_search(seed):
    model = random_model(seed)
    engine = ran(model)

    assert (levels_of(engine), engine.counts.generated) == searched(model)
    assert engine.counts.levels == [len(level) for level in levels_of(engine)]
    assert engine.counts.expanded == engine.counts.distinct


@settings(max_examples=10)
@given(st.integers(0, 100_000))
def test_under_symmetry_as_many_states_are_found_as_differ(seed):
    model = random_model(seed)
    engine = ran(model, symmetry=True)
    levels, _ = searched(model, canonical)

    assert engine.counts.levels == [len(level) for level in levels]


@settings(max_examples=20)
@given(st.integers(0, 100_000))
def test_hits_are_the_events_of_all_states_and_steps(seed):
    model = random_model(seed)
    engine = ran(model)
    program, counts = engine.program, engine.counts
    states = [(n, s) for n in range(len(counts.levels)) for s in engine.level(n)]

    for number, wanted in enumerate(program.events):
        found = [n for n, state in states if program.holds(number, state) == wanted]
        assert counts.predicates[number].count == len(found)
        assert counts.predicates[number].first_level == (min(found) if found else -1)
    for number, one in enumerate(model.step_properties):
        found = [
            n
            for n, state in states
            for step in program.successors(state)
            if one.name in {mark.name for mark in step.path.marks}
        ]
        assert counts.steps[number].count == len(found)
        assert counts.steps[number].first_level == (min(found) if found else -1)
    stopped = [s for _, state in states for s in program.successors(state) if s.path.stops]
    assert counts.stopped_paths == len(stopped)
    stuck = [n for n, state in states if is_stuck(program, state)]
    assert counts.deadlocks.count == len(stuck)


def is_stuck(program, state):
    paths = [p for actor in range(len(program.instances)) for p in program.outcomes(actor, state)]
    kinds = {path.kind for path in paths}
    return t.LEAF not in kinds and t.BLOCKED in kinds


@pytest.mark.parametrize("name", MODELS)
def test_a_target_is_reached_by_every_way_that_is_returned_and_by_no_other(name):
    model = MODELS[name]()
    engine = ran(model)
    program = engine.program
    last = len(engine.counts.levels) - 1
    wanted = next(iter(engine.level(last)))
    ways = engine.towards(Target("states", last, states=frozenset({wanted})))

    assert list(ways[0]) == [program.initial]
    for number, edges in enumerate(ways[:-1]):
        for state, kept in edges.items():
            assert kept, "a state from which the target is not reached"
            after = {(s.actor, s.choice): s.state for s in program.successors(state)}
            for actor, choice, to in kept:
                assert after[actor, choice] == to
                assert to in ways[number + 1]
    assert list(ways[-1]) == [wanted]


def test_states_from_which_a_predicate_cannot_come_true_are_all_found():
    model = two_phase_commit(2)
    engine = ran(model)
    program = engine.program
    (number,) = [n for n, one in enumerate(model.predicates) if one.name == "all commit"]

    def can_reach(state):
        seen, waiting = {state}, [state]
        while waiting:
            state = waiting.pop()
            if program.holds(number, state):
                return True
            for one in program.successors(state):
                if one.state not in seen:
                    seen.add(one.state)
                    waiting.append(one.state)
        return False

    expected = {
        (n, state)
        for n in range(len(engine.counts.levels))
        for state in engine.level(n)
        if not can_reach(state)
    }
    assert expected
    assert set(engine.unreachable(number)) == expected


def test_a_search_that_is_told_to_stop_ends_with_that_level():
    engine = ran(two_phase_commit(2), is_enough=lambda counts: counts.expanded >= 4)

    assert engine.counts.ended == "stopped at a violation"
    assert engine.counts.expanded == 1 + engine.counts.levels[1]
    assert len(engine.counts.levels) == 3


@pytest.mark.parametrize("states", [1, 5, 20])
def test_a_bound_on_states_is_kept_within_the_successors_of_one_state(states):
    counts = ran(two_phase_commit(3), bounds=Bounds(states=states)).counts

    assert counts.ended == "states"
    assert states <= counts.distinct <= states + 10


def test_a_bound_on_memory_is_one_on_states():
    counts = ran(two_phase_commit(3), bounds=Bounds(memory_bytes=20 * STATE_BYTES)).counts

    assert counts.ended == "memory"
    assert 20 <= counts.distinct <= 30
    assert counts.memory_bytes == counts.distinct * STATE_BYTES


def test_symmetry_is_off_where_nothing_is_symmetric():
    assert not PythonEngine(Program(peterson()), True).symmetry
    assert PythonEngine(Program(increment()), True).symmetry
    assert not PythonEngine(Program(increment()), False).symmetry


def test_closing_gives_the_states_back():
    engine = ran(increment())
    engine.close()

    assert engine.levels == []
    assert not engine.known
