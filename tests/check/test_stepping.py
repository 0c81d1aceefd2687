from __future__ import annotations

import dataclasses
import enum
import functools
import json
import statistics

import pytest
from check.models import blamed, explored, model_of, refused
from check.writing import Script, load

from memslotlib.check import Actor, Array, Int, Symmetric, sometimes
from memslotlib.check.shared import view
from memslotlib.check.stepping import Stepper, frozen

CPU = Symmetric("cpu", 2)


class Level(enum.Enum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Frozen:
    number: int
    more: object = None


class Open:
    pass


def helper(m):
    m.x = 2


def keeps(value):
    """Return an actor that keeps something over a ``yield``."""

    def actor(m):
        m.x = 1
        yield "first"
        kept = value()
        m.x = 2
        yield "kept"  # blamed
        m.y = 1 if kept is None else 2
        yield "used"

    return actor


@pytest.mark.parametrize(
    "value",
    [
        lambda: 1,
        lambda: True,
        lambda: 0.5,
        lambda: float("nan"),
        lambda: "text",
        lambda: b"bytes",
        lambda: None,
        lambda: (1, ("a", None)),
        lambda: frozenset({1, 2}),
        lambda: range(3),
        lambda: Level.LOW,
        lambda: Frozen(1, (2,)),
        lambda: Level,
        lambda: json,
        lambda: len,
        lambda: helper,
        lambda: CPU,
        lambda: 1 << 80,
    ],
)
def test_what_compares_by_its_value_or_is_there_once_is_kept_over_a_yield(value):
    assert explored(keeps(value)).states == 4


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (list, "a list over a yield, and it can change: use a tuple"),
        (dict, "a dict over a yield, and it can change: use a tuple"),
        (lambda: set(), "a set over a yield, and it can change: use a tuple"),
        (lambda: bytearray(), "a bytearray over a yield, and it can change: use a tuple"),
        (lambda: (1, [2]), "a list over a yield, and it can change: use a tuple"),
        (lambda: frozenset({Open()}), None),
        (lambda: Open(), None),
        (lambda: iter((1,)), None),
        (lambda: (i for i in (1,)), None),
        (lambda: functools.partial(helper, 1), None),
        (lambda: CPU[1], "cpu1 over a yield, which would tell members of cpu apart: keep it in a "
         "shared variable of kind Ref"),
        (lambda: (CPU[0],), "cpu0 over a yield, which would tell members of cpu apart: keep it in "
         "a shared variable of kind Ref"),
        (lambda: Frozen(1, [2]), "a Frozen over a yield, and unhashable type: 'list'"),
    ],
)  # fmt: skip
def test_what_could_change_or_equals_only_itself_is_not_kept_over_a_yield(value, why):
    actor = keeps(value)

    error = refused(actor)

    kept = value()
    kind = type(next(iter(kept)) if isinstance(kept, frozenset) else kept).__name__
    why = why or (
        f"a {kind} over a yield, which does not compare by its value: use a tuple, an enumeration "
        "or a frozen dataclass"
    )
    assert str(error) == (
        f"{blamed(actor)}: actor: local variable kept of actor keeps {why}; in state x=1 y=0"
    )


def keeps_lambda(m):
    kept = lambda: 1  # noqa: E731
    m.x = 1
    yield "kept"  # blamed
    m.x = kept()


def keeps_function(m):
    m.x = 1
    if m.x:

        def kept():
            return 1

    yield "kept"  # blamed
    m.x = kept()


def keeps_nested(m):
    def nested():
        return 1

    kept = nested
    m.x = 1
    yield "kept"  # blamed
    m.x = kept()


def keeps_lambda_in_tuple(m):
    kept = (lambda: 1, 2)
    m.x = 1
    yield "kept"  # blamed
    m.x = kept[1]


@pytest.mark.parametrize(
    "actor", [keeps_lambda, keeps_function, keeps_nested, keeps_lambda_in_tuple]
)
def test_a_function_that_an_actor_makes_is_not_kept_over_a_yield(actor):
    assert str(refused(actor)) == (
        f"{blamed(actor)}: {actor.__name__}: local variable kept of {actor.__name__} keeps a "
        "function over a yield that is made anew each time: use def, at the top of the actor, and "
        "call it by its name; in state x=0 y=0"
    )


def until(m, condition):
    while not condition():
        yield "waits"  # blamed
    m.x = 3
    yield "done"


def test_a_lambda_is_passed_on_to_where_it_is_used_within_the_step():
    def actor(m):
        limit = 0
        yield from until(m, lambda: m.x == limit)

    assert explored(actor).states == 2


def test_a_lambda_that_a_called_function_keeps_is_refused_there():
    def actor(m):
        yield from until(m, lambda: m.x == 1)

    assert str(refused(actor)).startswith(
        f"{blamed(until)}: actor: local variable condition of until keeps a function over a yield"
    )


def test_what_an_actor_is_given_has_to_be_kept_too():
    def actor(m, rows):
        yield from until(m, rows)

    error = refused(Actor(actor, [1]))

    assert str(error) == (
        f"{__file__}:{actor.__code__.co_firstlineno}: actor: local variable rows of actor keeps a "
        "list over a yield, and it can change: use a tuple"
    )


def test_a_member_of_its_own_is_kept_alone_and_in_tuples():
    def actor(m, me):
        pair = (me, 1)
        m.seen[me] = 1
        yield
        m.seen[pair[0]] = 2
        yield

    result = explored(Actor(actor, per=CPU), variables={"seen": Array(Int(3), CPU)})

    assert result.states == 6


def test_somebody_elses_member_is_not_kept():
    def actor(m, me):
        other = m.choose(CPU)
        m.seen[other] = 1
        yield  # blamed
        m.seen[other] = 2

    error = refused(Actor(actor, per=CPU), variables={"seen": Array(Int(3), CPU)})

    assert error.where == blamed(actor)
    assert error.what.startswith("local variable other of actor keeps cpu")


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda me: me == 0, "cpu0 is compared with 0: members of cpu are interchangeable"),
        (lambda me: me + 1, "TypeError: unsupported operand"),
        (lambda me: [1, 2][me], "TypeError: list indices must be integers"),
    ],
)
def test_a_member_is_no_number(use, what):
    def actor(m, me):
        m.x = 1 if use(me) else 2
        yield

    error = refused(Actor(actor, per=CPU))

    assert error.what.startswith(what)
    assert error.actor == "actor0"
    assert error.state == "x=0 y=0"
    assert error.where == f"{__file__}:{use.__code__.co_firstlineno}"


def local_states(actor, **more):
    (role,) = explored(actor, **more).program.roles
    return len(role.locals)


def test_a_local_state_is_told_from_another_by_what_python_can_tell_apart():
    """The second step of each actor sees which value it was, although all of them are equal."""
    pairs = [(True, 1), (False, 0), (1, 1.0), ((True,), (1,)), (0.0, -0.0), (Level.LOW, None)]
    for one, other in pairs:

        def actor(m, one=one, other=other):
            kept = one if m.choose(2) else other
            m.x = 1
            yield "chosen"
            m.y = 1 if str(kept) == str(one) else 2
            yield "seen"

        result = explored(
            actor,
            properties=[sometimes("one", lambda m: m.y == 1), sometimes("2", lambda m: m.y == 2)],
        )
        assert result.ok, (one, other)


def test_a_member_none_the_shared_state_and_arrays_are_told_apart():
    def actor(m, me):
        kept = (me, None, m, m.one, m.two)[m.choose(5)]
        m.x = 1
        yield "chosen"
        if kept is None:
            m.x = 2
        elif kept is m:
            m.x = 3
        elif kept is m.one:
            m.x = 4
        elif kept is m.two:
            m.x = 5
        else:
            m.x = 6
        yield "seen"

    cpu = Symmetric("cpu", 1)
    variables = {"x": Int(7), "one": Array(Int(2), 2), "two": Array(Int(2), 2)}

    result = explored(Actor(actor, per=cpu), variables=variables)

    assert result.levels == (1, 5, 5)


def test_equal_values_are_one_local_state():
    def actor(m):
        members = ({3, 11}, {11, 3})[m.choose(2)]
        kept = (1, "a" * len(members), frozenset(members))
        m.x = 1
        yield "chosen"
        m.y = kept[0]
        yield "used"

    assert local_states(actor) == 3


def divide(m):
    m.x = 1
    yield "first"
    m.y = 1 // (m.x - 1)  # blamed
    yield "never"


def divide_in_library(m):
    m.x = 1
    yield "first"
    m.y = statistics.mean([])  # blamed
    yield "never"


def divide_in_library_of_c(m):
    m.x = 1
    yield "first"
    m.y = json.loads("{")  # blamed
    yield "never"


def divide_in_part(m):
    m.x = 1
    yield "first"
    yield from divided(m)


def divided(m):
    m.y = 1 // (m.x - 1)  # blamed
    yield "never"


@pytest.mark.parametrize(
    ("actor", "where", "what"),
    [
        (divide, divide, "ZeroDivisionError: integer division or modulo by zero"),
        (divide_in_part, divided, "ZeroDivisionError: integer division or modulo by zero"),
        (divide_in_library, divide_in_library, "StatisticsError: mean requires at least one data"),
        (divide_in_library_of_c, divide_in_library_of_c, "JSONDecodeError: "),
    ],
)
def test_an_exception_is_placed_at_the_innermost_line_that_is_the_models_own(actor, where, what):
    error = refused(actor)

    assert str(error).startswith(f"{blamed(where)}: {actor.__name__}: {what}")
    assert str(error).endswith("; in state x=1 y=0")
    assert error.__cause__ is not None


def test_a_helper_in_another_file_is_the_models_own():
    module = load("def half(number):\n    return 2 // number\n")

    def actor(m):
        m.y = module.half(m.x)
        yield

    error = refused(actor)

    assert error.where == f"{module.half.__code__.co_filename}:2"
    assert error.actor == "actor"


@pytest.mark.parametrize("callee", [helper, len, None, Open])
def test_what_is_no_generator_function_has_no_micro_steps(callee):
    def actor(m):
        m.x = 1
        yield "first"
        yield from callee(m)  # blamed

    error = refused(actor) if callee in (helper, None) else refused(Actor(actor))

    assert str(error) == (
        f"{blamed(actor)}: actor: yield from {callee!r}: it is no generator function; "
        "in state x=1 y=0"
    )


class Parts:
    def part(self, m):
        m.x = 1
        yield "part"


def test_a_method_has_micro_steps():
    parts = Parts()

    def actor(m):
        yield from parts.part(m)
        m.x = 2
        yield "after"

    assert "keeps a Parts over a yield" not in str(explored(actor))
    assert explored(actor).states == 3


def test_results_come_back_through_callers_with_nothing_left_to_do():
    def innermost(m):
        m.x = 1
        yield "in"
        return 3

    def middle(m):
        return (yield from innermost(m))

    def forgetful(m):
        yield from innermost(m)

    def actor(m):
        m.y = yield from middle(m)
        yield "got"
        found = yield from forgetful(m)
        m.x = 2 if found is None else 0
        yield "nothing"
        yield from innermost(m)

    result = explored(
        actor,
        properties=[
            sometimes("end", lambda m: (m.x, m.y) == (2, 3)),
            sometimes("3", lambda m: m.y == 3),
        ],
    )

    assert result.ok
    assert [step.label for step in result.trace("end").steps] == ["in", "got", "in", "nothing"]


def test_an_actor_that_ends_before_its_first_step_takes_none():
    def actor(m):
        number = 1
        if number:
            return
        yield

    assert explored(actor).states == 1
    assert explored(actor).generated == 1


def test_the_lines_of_the_last_step_are_noted():
    def actor(m):
        m.x = 1
        yield "first"
        m.x = 2
        yield "second"

    model = model_of(actor)
    stepper = Stepper(model, view(model, Script([0, 0], 0)))
    moved = stepper.step(stepper.start(model.instances[0])[0])

    first = actor.__code__.co_firstlineno
    assert [line - first for _, line in stepper.lines] == [1, 2]
    assert moved.label == "first"
    moved = stepper.step(moved.local)
    assert [line - first for _, line in stepper.lines] == [3, 4]
    assert moved == ((), "second")


def test_the_key_of_a_local_state_is_hashable_and_names_function_and_block():
    def actor(m):
        kept = m.x
        yield
        m.x = kept

    model = model_of(actor)
    shared = view(model, Script([2, 0], 0))
    stepper = Stepper(model, shared)
    moved = stepper.step(stepper.start(model.instances[0])[0])

    ((function, block, values),) = frozen(moved.local, None, shared)
    assert function is actor
    assert block == moved.local[0].block
    assert 2 in values
    assert hash(frozen(moved.local, None, shared)) == hash(frozen(moved.local, None, shared))
