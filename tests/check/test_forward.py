"""From marked representatives to the states that a model goes through."""

from __future__ import annotations

from memslotlib.check import Actor, Array, Int, Model, Symmetric
from memslotlib.check.forward import concrete, moves, waits
from memslotlib.check.program import Program
from memslotlib.check.space import Target


def program():
    cpu = Symmetric("cpu", 2)

    def work(m, me):
        m.x[me] = 1 + m.choose(2)
        yield
        m.wait(m.x[me] == 0)
        yield

    return Program(Model("work", {"x": Array(Int(3), cpu)}, [Actor(work, per=cpu)]))


def test_moves_are_those_of_every_actor_in_the_order_of_choices():
    made = program()

    found = [(actor, choice, made.values(after)["x"]) for actor, choice, after, _ in moves(made, 0)]

    assert found == [(0, 0, (1, 0)), (0, 1, (2, 0)), (1, 0, (0, 1)), (1, 1, (0, 2))]


def test_only_a_wait_that_is_no_end_makes_a_state_a_deadlock():
    made = program()
    (*_, (_, _, after, _)) = moves(made, made.initial)

    assert not waits(made, made.initial)
    assert waits(made, after)


def test_all_states_that_differ_from_a_marked_one_by_a_permutation_are_found():
    made = program()
    canonical = made.packing.canonical
    ones = [after for _, choice, after, _ in moves(made, made.initial) if choice == 0]
    marked = {canonical(ones[0])}
    target = Target("states", 1, states=frozenset(marked))

    first, last = concrete(made, [{made.initial}, marked], target, symmetry=True)

    assert set(last) == set(ones)
    assert len(ones) == 2
    assert [(actor, choice) for actor, choice, _ in first[made.initial]] == [(0, 0), (1, 0)]
    without = concrete(made, [{made.initial}, set(ones[:1])], target, symmetry=False)
    assert set(without[1]) == set(ones[:1])
