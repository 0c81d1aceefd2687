from __future__ import annotations

import contextlib
import itertools
import random
import time

import pytest
from check.models import blamed, explored, lines_of, model_of, refused
from check.random_models import random_model
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import (
    Actor,
    Array,
    Flag,
    Int,
    Model,
    OneOf,
    Ref,
    Symmetric,
    always,
    never,
    sometimes,
)
from memslotlib.check.examples import increment, two_phase_commit
from memslotlib.check.program import NESTED_MAX, OverflowedError, Program
from memslotlib.check.shared import Blocked, view
from memslotlib.check.stepping import Stepper

COUNTED = itertools.count()
RANDOM = random.Random(1)


class Thing:
    """Has no order but that of its address."""

    def __init__(self, number):
        self.number = number


def counts_itself(m):
    m.x = next(COUNTED) % 4  # blamed
    yield


def throws_dice(m):
    m.x = int(RANDOM.random() * 4)  # blamed
    yield


def asks_the_time(m):
    m.wide = time.monotonic_ns() >> 6 & 0xFFFF  # blamed
    yield


def has_no_order(m):
    things = {Thing(n) for n in range(64)}
    m.wide = next(iter(things)).number * 64 + RANDOM.randrange(1, 2)  # blamed
    m.wide = sum(n * one.number for n, one in enumerate(things)) % 0x10000
    yield


def asks_an_address(m):
    if m.choose(2):
        m.wide = id(Thing(next(COUNTED))) // 16 * next(COUNTED) & 0xFFFF  # blamed
    yield


@pytest.mark.parametrize(
    "actor", [counts_itself, throws_dice, asks_the_time, has_no_order, asks_an_address]
)
def test_an_actor_that_does_not_repeat_itself_is_found_out(actor):
    error = refused(actor, variables={"x": Int(4), "wide": Int(0x10000)})

    assert error.what.startswith("the actor does not repeat itself: run twice in the same state")
    assert error.where.startswith(f"{__file__}:")
    assert (error.actor, error.state) == (actor.__name__, "x=0 wide=0")
    if actor in (counts_itself, throws_dice, asks_the_time):
        assert error.where == blamed(actor)


def keeps_count(m):
    kept = next(COUNTED)
    m.x = 1
    yield kept % 1
    m.y = kept % 2


def labels_count(m):
    m.x = 1
    yield next(COUNTED)


def branches_on_count(m):
    if next(COUNTED) % 2:
        m.x = m.y
    yield


def waits_on_count(m):
    m.wait(next(COUNTED) % 2)
    yield


@pytest.mark.parametrize("actor", [keeps_count, labels_count, branches_on_count, waits_on_count])
def test_whatever_differs_between_two_runs_is_found_out(actor):
    assert refused(actor).what.startswith("the actor does not repeat itself")


def test_an_actor_that_reads_something_else_in_a_state_that_reads_the_same_is_found_out():
    """Two runs alike, then two runs alike but different: the tree has the first two."""
    calls = itertools.count()

    def actor(m):
        m.seen = m.x if next(calls) < 2 else m.y
        yield

    def other(m):
        for n in range(4):
            m.x = n
            yield

    error = refused(actor, other, variables={"x": Int(4), "y": Int(4), "seen": Int(4)})

    assert error.what.startswith("the actor does not repeat itself")


def test_a_predicate_that_does_not_repeat_itself_is_found_out():
    def actor(m):
        yield

    error = refused(actor, properties=[always("odd", lambda m: next(COUNTED) % 2)])

    assert (error.what, error.actor) == ("the predicate does not repeat itself", "odd")


@pytest.mark.parametrize(
    ("predicate", "what"),
    [
        (lambda m: setattr(m, "x", 1), "a predicate writes: it may only read"),
        (lambda m: m.choose(2), "a predicate chooses: it may only read"),
        (lambda m: m.fail("never"), "a predicate fails or reaches: it may only read"),
        (lambda m: m.reach("reached"), "a predicate fails or reaches: it may only read"),
        (lambda m: m.xx, "no shared variable 'xx': did you mean 'x'?"),
        (lambda m: 1 // m.x, "ZeroDivisionError: integer division or modulo by zero"),
    ],
)
def test_a_predicate_that_does_more_than_to_read_is_refused_at_its_line(predicate, what):
    def actor(m):
        yield

    properties = [always("judged", predicate), never("never"), sometimes("reached")]
    error = refused(actor, properties=properties)

    line = predicate.__code__.co_firstlineno
    assert str(error) == f"{__file__}:{line}: judged: {what}; in state x=0 y=0"


def test_a_predicate_sees_the_shared_variables():
    def actor(m):
        m.x = 1
        yield

    result = explored(actor, properties=[always("small", lambda m: m.x < 1)])

    assert result.verdicts["small"].hits == 1


@settings(max_examples=15)
@given(st.integers(0, 100_000))
def test_codes_and_states_are_each_others_inverse(seed):
    program = Program(random_model(seed))
    for state in reached(program, 50):
        assert program.state_of(program.codes(state)) == state


def reached(program, most):
    """Return up to so many states; packing again is left to the caller."""
    found, waiting = {program.initial}, [program.initial]
    while waiting and len(found) < most:
        for one in program.successors(waiting.pop()):
            if one.state not in found:
                found.add(one.state)
                waiting.append(one.state)
    return found


def test_the_initial_state_has_the_initial_values():
    cpu = Symmetric("cpu", 2)

    def actor(m):
        yield

    variables = {
        "number": Int(-1, 3, init=2),
        "word": OneOf("a", "b", init="b"),
        "row": Array(Int(3), 2, init=[0, 2]),
        "owner": Ref(cpu),
        "owners": Array(Ref(cpu), 2, init=[None, cpu[1]]),
        "flag": Flag(init=True),
    }
    program = Program(Model("m", variables, [Actor(actor)]))

    assert program.values(program.initial) == {
        "number": 2, "word": "b", "row": (0, 2), "owner": None, "owners": (None, cpu[1]),
        "flag": True,
    }  # fmt: skip
    assert program.said(program.initial) == (
        "number=2 word=b row=[0 2] owner=None owners=[None cpu1] flag=True"
    )


class Now:
    """A port to one state: what a step does to it, with these choices."""

    own = None

    def __init__(self, codes, chosen):
        self.codes, self.chosen, self.counts, self.marks = list(codes), list(chosen), [], []

    def read(self, cell):
        return self.codes[cell]

    def write(self, cell, code):
        self.codes[cell] = code

    def choose(self, count, of):
        self.counts.append(count)
        number = len(self.counts) - 1
        return self.chosen[number] if number < len(self.chosen) else 0

    def mark(self, name, message, stop):
        self.marks.append((name, stop))


def outcomes_by_hand(program, actor, state):
    """Run an actor's step on the state itself, once for each choice, without any tree."""
    role = program.role_of[actor]
    local = role.locals[program.local_of(state, actor)]
    cells = len(program.model.cells)
    chosen = []
    while chosen is not None and local:
        port = Now(program.codes(state)[:cells], chosen)
        stepper = Stepper(program.model, view(program.model, port))
        moved = None
        with contextlib.suppress(Blocked):
            moved = stepper.step(rebound(local, program.shared, stepper.shared))
        if moved is not None:
            yield tuple(port.codes), moved.label, tuple(port.marks)
        chosen = (chosen + [0] * len(port.counts))[: len(port.counts)]
        while chosen and chosen[-1] + 1 >= port.counts[len(chosen) - 1]:
            chosen.pop()
        chosen = [*chosen[:-1], chosen[-1] + 1] if chosen else None


def rebound(local, old, new):
    """Return a local state whose functions have another shared state."""
    return tuple(
        frame._replace(saved=tuple(new if one is old else one for one in frame.saved))
        for frame in local
    )


@settings(max_examples=20)
@given(st.integers(0, 100_000))
def test_what_the_trees_say_is_what_the_actors_do(seed):
    """Actors of no set: members share the first one's trees."""
    model = random_model(seed)
    program = Program(model)
    alone = [n for n, one in enumerate(model.instances) if one.member is None]
    cells = len(model.cells)
    for state in sorted(reached(program, 60)):
        for actor in alone:
            said = [
                (
                    program.codes(one.state)[:cells],
                    one.path.label,
                    tuple((mark.name, mark.stop) for mark in one.path.marks),
                )
                for one in program.successors(state)
                if one.actor == actor
            ]
            assert said == list(outcomes_by_hand(program, actor, state))


def test_members_do_what_the_first_one_does_with_their_own_elements():
    cpu = Symmetric("cpu", 3)

    def actor(m, me):
        m.mine[me] = m.mine[me] + 1
        m.owner = me
        yield "counted"

    variables = {"mine": Array(Int(3), cpu), "owner": Ref(cpu)}
    program = Program(Model("m", variables, [Actor(actor, per=cpu)]))

    after = [program.values(one.state) for one in program.successors(program.initial)]
    assert after == [
        {"mine": tuple(int(n == i) for n in range(3)), "owner": cpu[i]} for i in range(3)
    ]
    assert program.expansions == 1
    assert len(program.roles[0].paths) == 1


def test_a_member_that_chooses_a_member_chooses_any():
    cpu = Symmetric("cpu", 3)

    def actor(m, me):
        m.x[m.choose(cpu)] = True
        yield

    program = Program(Model("m", {"x": Array(Flag(), cpu)}, [Actor(actor, per=cpu)]))

    after = [program.values(one.state)["x"] for one in program.successors(program.initial)]
    assert sorted(after) == sorted(3 * [tuple(n == i for n in range(3)) for i in range(3)])


def test_local_states_beyond_the_bits_are_found_out_and_widening_makes_room():
    def actor(m):
        for n in range(300):
            m.x = n % 4
            yield

    program = Program(model_of(actor))
    with pytest.raises(OverflowedError):
        reached(program, 400)
    assert program.local_bits == [8]
    program.widen()
    found = reached(program, 400)

    assert program.local_bits == [10]
    assert len(found) == len(program.roles[0].locals) == 301


def test_fitting_packs_the_local_states_tighter_and_changes_no_transition():
    variables = {f"v{n}": Int(1 << 14) for n in range(4)}

    def actor(m):
        m.v0 = 1
        yield "a"
        m.v1 = m.v0
        yield "b"

    program = Program(Model("m", variables, [Actor(actor)]))
    before = list(lines_of(program))

    assert program.packing.words == 2
    assert program.fit()
    assert program.packing.words == 1
    assert list(lines_of(program)) == before
    assert not program.fit()


def test_what_is_left_of_the_word_is_room_for_the_roles_with_the_least():
    variables = {f"v{n}": Int(1 << 14) for n in range(4)}

    def long(m):
        for _ in range(4):
            m.v0 = 0
            yield
        m.wait(False, end=True)

    def short(m):
        for _ in range(2):
            m.v1 = 0
            yield
        m.wait(False, end=True)

    program = Program(Model("m", variables, [Actor(long), Actor(short)]))
    reached(program, 40)
    found = [len(role.locals) for role in program.roles]

    # 63 bits, of which 56 are taken: 3 and 2 bits are needed, and the other 2 go one to each.
    assert found == [5, 3]
    assert program.fit()
    assert (program.packing.words, program.local_bits) == (1, [4, 3])


def test_a_step_with_more_choices_than_can_be_told_apart_is_refused():
    def actor(m):
        m.x = sum(m.choose(2) for _ in range(NESTED_MAX + 1)) % 4
        yield

    error = refused(actor)

    assert error.what == f"a step with over {NESTED_MAX} choices or 65,536 outcomes"
    assert (error.actor, error.state) == ("actor", "x=0 y=0")


def test_a_step_with_more_outcomes_than_can_be_told_apart_is_refused(monkeypatch):
    def actor(m):
        m.x = (m.choose(4) + m.choose(4)) % 4
        yield

    monkeypatch.setattr("memslotlib.check.program.OUTCOMES_MAX", 16)
    assert explored(actor).generated == 1 + 16
    monkeypatch.setattr("memslotlib.check.program.OUTCOMES_MAX", 15)
    assert refused(actor).what.endswith("choices or 15 outcomes")


def test_successors_come_by_actor_and_then_by_choice():
    def one(m):
        m.x = m.choose(3)
        yield

    def two(m):
        m.wait(m.choose(2))
        m.y = 1
        yield

    program = Program(model_of(one, two))

    assert [(s.actor, s.choice) for s in program.successors(program.initial)] == [
        (0, 0), (0, 1), (0, 2), (1, 0)
    ]  # fmt: skip


@pytest.mark.parametrize(("model", "states"), [(increment(), 13), (two_phase_commit(3), 288)])
def test_walking_the_program_by_hand_reaches_every_state_that_an_exploration_counts(model, states):
    assert len(reached(Program(model), 10_000)) == states
