from __future__ import annotations

import itertools

import pytest
from check.models import lines_of

from benchmarks import memslot_like
from memslotlib.check import explore
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.check.explore import ENGINES
from memslotlib.check.program import Program

engines = pytest.mark.parametrize("engine", ENGINES)


@engines
def test_increment_has_the_counts_that_stateright_publishes(engine):
    result = explore(increment(), engine=engine, symmetry=False)

    assert result.states == 13
    assert explore(increment(), engine=engine).states == 8
    assert [step.label for step in result.trace("no lost update").steps] == [
        "load", "load", "store", "store"
    ]  # fmt: skip


@engines
@pytest.mark.parametrize(
    ("managers", "states", "generated", "depth"),
    [(3, 288, 1_146, 11), (4, 1_568, 8_258, 14), (5, 8_832, 58_146, 17)],
)
def test_two_phase_commit_has_the_counts_that_tlc_publishes(
    engine, managers, states, generated, depth
):
    result = explore(two_phase_commit(managers), engine=engine, symmetry=False)

    assert (result.states, result.generated, result.depth) == (states, generated, depth)
    assert result.ok


def orbits(model):
    """Return how many states differ by more than a permutation of members, found one by one."""
    program = Program(model)
    (of,) = model.symmetric_sets
    found = {program.initial}
    waiting = [program.initial]
    while waiting:
        for one in program.successors(waiting.pop()):
            if one.state not in found:
                found.add(one.state)
                waiting.append(one.state)
    swaps = [(n, n + 1) for n in range(of.size - 1)]
    count = 0
    while found:
        count += 1
        waiting = [found.pop()]
        while waiting:
            state = waiting.pop()
            for one, other in swaps:
                swapped = program.packing.swapped(state, of, one, other)
                if swapped in found:
                    found.discard(swapped)
                    waiting.append(swapped)
    return count


@pytest.mark.parametrize("managers", [1, 2, 3, 4])
def test_under_symmetry_two_phase_commit_has_one_state_for_each_orbit(managers):
    """Stateright's 665 for five sorts by one array only, and so keeps several of some orbits."""
    model = two_phase_commit(managers)

    result = explore(model, engine="python")

    assert result.states == orbits(model)
    assert result.ok


def test_five_managers_have_314_orbits_of_states():
    assert explore(two_phase_commit(5)).states == orbits(two_phase_commit(5)) == 314


@engines
def test_petersons_algorithm_excludes_and_lets_everybody_in(engine):
    result = explore(peterson(), engine=engine)

    assert result.ok
    assert result.states == 20
    assert list(result.uncovered) == []


@engines
def test_without_the_turn_both_threads_come_in(engine):
    result = explore(peterson(forgets_turn=True), engine=engine)

    assert not result.ok
    assert len(result.trace()) == 6
    assert result.trace().values(6)["inside[0]"] is True
    assert result.trace().values(6)["inside[1]"] is True


def peterson_by_hand():
    """Return the reachable states of Peterson's algorithm, written down as a table of moves."""
    start = ("want", "want"), (False, False), (False, False), 0
    found, waiting = {start}, [start]
    while waiting:
        where, wants, inside, turn = waiting.pop()
        for me in range(2):
            other = 1 - me
            here, new_wants, new_inside, new_turn = where[me], list(wants), list(inside), turn
            if here == "want":
                new_wants[me], there = True, "give way"
            elif here == "give way":
                new_turn, there = other, "enter"
            elif here == "enter":
                if wants[other] and turn != me:
                    continue
                new_inside[me], there = True, "leave"
            else:
                new_inside[me] = new_wants[me] = False
                there = "want"
            places = tuple(there if n == me else where[n] for n in range(2))
            after = places, tuple(new_wants), tuple(new_inside), new_turn
            if after not in found:
                found.add(after)
                waiting.append(after)
    return found


def test_petersons_states_are_those_of_a_table_of_moves():
    assert len(peterson_by_hand()) == explore(peterson(), engine="python").states


@engines
@pytest.mark.parametrize(("symmetry", "states"), [(False, 23_277), (True, 11_918)])
def test_the_measured_model_has_its_counts_and_its_shortest_traces(engine, symmetry, states):
    result = explore(memslot_like.model(accesses=1), engine=engine, symmetry=symmetry)

    assert result.states == states
    assert {name: one.after_steps for name, one in result.verdicts.items()} == {
        "no hole": 15, "no stale write": -1, "no lost dirty bit": 19
    }  # fmt: skip


def test_every_transition_of_increment_is_one_that_a_person_would_write_down():
    program = Program(increment())
    moves = {
        (before["counter"], before["seen"], label, after["counter"])
        for before, _, _, label, after in lines_of(program)
    }

    for counter, seen, label, after in moves:
        if label == "load":
            assert after == counter
        else:
            assert after in {one + 1 for one in seen}
    assert {label for _, _, label, _ in moves} == {"load", "store"}
    assert len(list(itertools.islice(lines_of(program), 99))) == 14
