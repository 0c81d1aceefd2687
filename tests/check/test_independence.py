"""What partial order rests on: what each actor may still do, and whom that concerns."""

from __future__ import annotations

from memslotlib.check import Actor, Bounds, Int, Model, always, never
from memslotlib.check.engine_python import PythonEngine
from memslotlib.check.independence import ample, futures, path_count
from memslotlib.check.program import Program


def first_a_then_b(m):
    m.a = 1
    yield
    m.b = m.c
    yield


def only_c(m):
    m.c = 1
    yield


def only_d(m):
    m.d = 1
    yield


def explored(*actors, properties=()):
    variables = {name: Int(2) for name in "abcd"}
    model = Model("futures", variables, [Actor(one) for one in actors], properties)
    program = Program(model, least_words=2)
    PythonEngine(program, False).run(Bounds())
    return program


def named(program, mask):
    """Return the names of the variables whose bits are in a mask."""
    packing = program.packing
    names = program.model.element_names
    return {names[n] for n in range(len(names)) if mask >> packing.offsets[n] & 1}


def test_a_local_state_s_future_is_all_that_comes_after_it():
    program = explored(first_a_then_b, only_c)

    known = futures(program)

    assert [named(program, mask) for mask in known.writes[0]] == [{"a", "b"}, {"b"}, set()]
    assert [named(program, mask) for mask in known.reads[0]] == [{"c"}, {"c"}, set()]
    assert known.paths == path_count(program)


def test_predicates_see_what_they_read():
    program = explored(only_c, properties=[always("d", lambda m: not m.d)])

    assert named(program, futures(program).visible) == {"d"}


def chosen(program, is_ahead=lambda state: True):
    """Return the actors whose steps alone would be explored in the initial state."""
    found = ample(program, futures(program), program.initial, is_ahead)
    return {program.model.actor_names[actor] for actor, *_ in found}


def test_an_actor_that_nobody_else_ever_touches_goes_alone():
    assert chosen(explored(only_c, only_d)) == {"only_c"}


def test_an_actor_whose_write_somebody_will_read_does_not_go_alone():
    """C is read by the other only in its second step; that it may be is enough."""
    assert chosen(explored(only_c, first_a_then_b)) == {"first_a_then_b"}


def test_an_actor_whose_step_a_predicate_sees_does_not_go_alone():
    seen = [always("c", lambda m: m.c < 2)]

    assert chosen(explored(only_c, only_d, properties=seen)) == {"only_d"}


def test_nobody_goes_alone_into_states_that_are_done_with():
    assert chosen(explored(only_c, only_d), is_ahead=lambda state: False) == set()


def test_an_actor_that_ends_its_path_does_not_go_alone():
    def crash(m):
        m.fail("no crash", stop=True)
        yield

    assert chosen(explored(crash, only_d, properties=[never("no crash")])) == {"only_d"}
