from __future__ import annotations

import pytest
from check.models import explored, model_of
from check.random_models import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import (
    Actor,
    Array,
    CheckError,
    Int,
    Ref,
    Symmetric,
    can_always_reach,
    explore,
    never,
    no_deadlock,
    sometimes,
)
from memslotlib.check import trees as t
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.check.model import Model, Sort
from memslotlib.check.program import Program
from memslotlib.check.trace import best_moves, choices, elements, pick


def is_deadlock(program, state):
    kinds = {p.kind for a in range(len(program.instances)) for p in program.outcomes(a, state)}
    return t.LEAF not in kinds and t.BLOCKED in kinds


def shows(program, one):
    """Return what tells whether a state, and whether a step, is the event of a property."""
    if one.sort is Sort.NO_DEADLOCK:
        return lambda state: is_deadlock(program, state), lambda step: False
    if one.predicate is None:
        return lambda state: False, lambda step: one.name in {m.name for m in step.path.marks}
    number = program.model.predicates.index(one)
    wanted = one.sort is not Sort.ALWAYS
    return lambda state: program.holds(number, state) == wanted, lambda step: False


def best_by_hand(program, one, most=40):
    """Return the best run to an event: the fewest steps, then switches, then the first actors.

    Forwards, level by level, with the best way to each state for each actor that came last.
    """
    is_state, is_step = shows(program, one)
    seen = set()
    ways = {(program.initial, -1): (0, ())}
    for _ in range(most):
        found = [way for (state, _), way in ways.items() if is_state(state)]
        following = {}
        for (state, last), (switches, moves) in ways.items():
            for step in program.successors(state):
                cost = switches + (last not in (-1, step.actor))
                way = cost, (*moves, (step.actor, step.choice))
                if is_step(step):
                    found.append(way)
                elif not step.path.stops:
                    key = step.state, step.actor
                    following[key] = min(way, following.get(key, way))
        if any(is_state(state) for state, _ in ways):
            return min(way for (state, _), way in ways.items() if is_state(state))
        if found:
            return min(found)
        seen |= {state for state, _ in ways}
        ways = {key: way for key, way in following.items() if key[0] not in seen}
    return None


def assert_best(model, **options):
    result = explore(model, engine="python", **options)
    for one in model.properties:
        if one.name in result.traces and one.sort is not Sort.CAN_ALWAYS_REACH:
            trace = result.traces[one.name]
            switches, moves = best_by_hand(Program(model), one)
            assert trace.moves == moves, one.name
            assert trace.switches == switches
            assert len(trace) == result.verdicts[one.name].after_steps
            assert trace.is_shortest
    return result


@settings(max_examples=25)
@given(st.integers(0, 100_000), st.booleans())
def test_a_trace_is_a_shortest_one_with_the_fewest_switches_and_the_first_of_those(seed, symmetry):
    assert_best(random_model(seed), symmetry=symmetry)


@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize(
    "model", [increment(), increment(3), two_phase_commit(3), peterson(forgets_turn=True)]
)
def test_traces_of_the_examples_are_the_best(model, symmetry):
    assert assert_best(model, symmetry=symmetry).traces


def test_the_path_with_the_fewest_switches_wins_over_the_first_one():
    """Two ways of three steps: a b a, and b b a."""
    levels = [
        {0: [(0, 0, 1), (1, 0, 2)]},
        {1: [(1, 0, 3)], 2: [(1, 0, 3)]},
        {3: [(0, 0, 4)]},
    ]

    assert best_moves(levels, 0) == [(1, 0), (1, 0), (0, 0)]


def test_among_equals_the_first_actor_and_then_the_first_choice_wins():
    levels = [{0: [(1, 0, 1), (0, 2, 2), (0, 1, 1)]}, {1: [(0, 0, 3)], 2: [(0, 0, 3)]}]

    assert best_moves(levels, 0) == [(0, 1), (0, 0)]


def test_a_way_that_leads_nowhere_is_not_taken():
    levels = [{0: [(0, 0, 1), (1, 0, 2)]}, {1: [], 2: [(1, 0, 3)]}, {3: [(1, 0, None)]}]

    assert best_moves(levels, 0) == [(1, 0), (1, 0), (1, 0)]


CPU = Symmetric("cpu", 2)


def talkative(m):
    m.x = 1
    yield
    m.x, m.y = m.y, m.x  # swap
    yield "swap"
    m.wait(m.x == 0)
    m.y = 3
    m.fail("a", "y is 3")
    m.fail("b", stop=True)
    yield "break"


def test_a_step_tells_all_that_it_did():
    result = explored(talkative, properties=[never("a"), never("b")])
    one, two, three = result.trace("b").steps

    assert (one.actor, one.label, one.text) == ("talkative", "m.x = 1", "m.x = 1")
    assert (two.label, two.text) == ("swap", "m.x, m.y = m.y, m.x")
    assert two.where == f"{__file__}:{talkative.__code__.co_firstlineno + 3}"
    assert (one.reads, two.reads, three.reads) == ({}, {"y": 0, "x": 1}, {"x": 0})
    assert (one.changes, two.changes) == ({"x": (0, 1)}, {"x": (1, 0), "y": (0, 1)})
    assert three.failed == (("a", "y is 3"), ("b", ""))
    assert (two.stops, three.stops) == (False, True)
    assert result.trace("b").lines == (
        "1 talkative  m.x = 1  x 0 -> 1",
        "2 talkative  swap  x 1 -> 0; y 0 -> 1",
        "3 talkative  break  y 1 -> 3  BREAKS a: y is 3; BREAKS b",
    )
    assert str(result.trace("b")) == "\n".join(result.trace("b").lines)


def test_numbers_of_steps_are_aligned():
    def actor(m):
        for n in range(9):
            m.x = n % 2
            yield "step"
        m.fail("end")
        yield "end"

    lines = explored(actor, properties=[never("end")]).trace().lines

    assert lines[0].startswith(" 1 actor")
    assert lines[-1].startswith("10 actor")


def test_values_after_so_many_steps_and_before_the_first():
    trace = explored(talkative, properties=[never("a"), never("b")]).trace()

    assert [trace.values(n) for n in range(4)] == [
        {"x": 0, "y": 0}, {"x": 1, "y": 0}, {"x": 0, "y": 1}, {"x": 0, "y": 3}
    ]  # fmt: skip
    assert trace.initial == {"x": 0, "y": 0}


def test_switches_count_how_often_another_actor_goes_on():
    trace = explore(increment(), engine="python").trace("no lost update")

    assert [step.actor for step in trace.steps] == ["add_one0", "add_one1", "add_one1", "add_one0"]
    assert trace.switches == 2


def test_intervals_are_told_initially_and_after_each_step():
    trace = explore(peterson(forgets_turn=True), engine="python").trace()

    # Without the turn the first thread never gives way, so both come in.
    assert len(trace.intervals["thread 0 inside"]) == len(trace) + 1
    assert trace.intervals["thread 0 inside"][0] is False
    for name, number in (("thread 0 inside", 0), ("thread 1 inside", 1)):
        assert trace.intervals[name] == tuple(
            trace.values(n)[f"inside[{number}]"] for n in range(len(trace) + 1)
        )


def test_an_event_of_the_initial_state_has_a_trace_without_steps():
    def actor(m):
        m.x = 1
        yield

    trace = explored(actor, properties=[sometimes("start", lambda m: m.x == 0)]).trace("start")

    assert len(trace) == 0
    assert trace
    assert str(trace) == ""


def test_a_deadlock_and_a_lost_goal_have_traces():
    def one(m):
        m.x = 1
        yield "one"
        m.wait(m.y == 0)
        m.x = 2
        yield "done"

    def two(m):
        m.wait(m.x < 2, end=True)
        m.y = 1
        yield "two"

    result = explored(
        one, two, properties=[no_deadlock(), can_always_reach("two", lambda m: m.x == 2)]
    )

    assert [step.label for step in result.trace("no deadlock").steps] == ["one", "two"]
    assert [step.label for step in result.trace("two").steps] == ["two"]


def test_elements_have_names_with_their_indices():
    variables = {"a": Int(2), "b": Array(Int(2), CPU, 2), "c": Ref(CPU), "d": Array(Ref(CPU), 1)}
    model = Model("m", variables, model_of(talkative).actors)

    assert list(model.element_names) == [
        "a", "b[0,0]", "b[0,1]", "b[1,0]", "b[1,1]", "c", "c", "d[0]", "d[0]"
    ]  # fmt: skip


def test_elements_of_a_state_have_their_values():
    variables = {"b": Array(Int(3), 2, init=[1, 2]), "c": Ref(CPU), "x": Int(4), "y": Int(4)}
    program = Program(Model("m", variables, model_of(talkative).actors))

    assert elements(program, program.initial) == {"b[0]": 1, "b[1]": 2, "c": None, "x": 0, "y": 0}


@pytest.mark.parametrize(
    ("actor", "choice", "wanted"),
    [(0, 3, "chooser"), (1, 0, "waiter"), (7, 0, "actor 7")],
)
def test_a_step_that_is_not_possible_is_refused_with_those_that_are(actor, choice, wanted):
    def chooser(m):
        m.x = m.choose(3)
        yield

    def waiter(m):
        m.wait(m.x == 3)
        yield

    program = Program(model_of(chooser, waiter))

    with pytest.raises(CheckError) as error:
        pick(program, program.initial, actor, choice, 5)
    assert str(error.value) == (
        f"step 5: {wanted} has no outcome {choice} in state x=0 y=0; "
        "possible are 0.0 (chooser), 0.1 (chooser), 0.2 (chooser)"
    )


def test_where_nothing_is_possible_that_is_said():
    def waiter(m):
        m.wait(m.x == 3)
        yield

    program = Program(model_of(waiter))

    with pytest.raises(CheckError, match="possible are no steps at all"):
        pick(program, program.initial, 0, 0, 1)


def test_choices_of_a_step_are_those_of_its_own_actor():
    def actor(m, me):
        m.x = m.choose(3)
        other = m.choose(CPU)
        m.seen[other] = 1
        yield

    variables = {"x": Int(3), "seen": Array(Int(2), CPU)}
    program = Program(Model("m", variables, [Actor(actor, per=CPU)]))
    found = {}
    for one in program.successors(program.initial):
        values = program.values(one.state)
        found[one.actor, values["x"], values["seen"]] = choices(program, one)

    assert found[0, 1, (1, 0)] == [1, 0]
    assert found[0, 1, (0, 1)] == [1, 1]
    assert found[1, 1, (1, 0)] == [1, 0]
    assert found[1, 2, (0, 1)] == [2, 1]
