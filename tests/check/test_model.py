from __future__ import annotations

import dataclasses
import functools

import pytest
from check.models import explored, model_of

from memslotlib.check import (
    Actor,
    Array,
    Flag,
    Int,
    Model,
    ModelError,
    OneOf,
    Ref,
    Symmetric,
    always,
    can_always_reach,
    explore,
    interval,
    never,
    no_deadlock,
    sometimes,
    step,
)
from memslotlib.check.model import Sort

CPU = Symmetric("cpu", 2)


def tick(m):
    m.x = 1
    yield


def tock(m, me=None):
    m.x = 2
    yield


@dataclasses.dataclass(frozen=True)
class Machine:
    value: int = 3

    def run(self, m):
        m.x = self.value
        yield
        m.y = self.value
        yield


def refusal(make):
    with pytest.raises(ModelError) as error:
        make()
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["24", "a b", "_x", "choose", "wait", "fail", "reach", "replacement"]
)
def test_a_name_that_a_model_cannot_use_is_refused(name):
    text = refusal(lambda: Model("m", {name: Int(2)}, [Actor(tick)]))

    assert text == f"m: {name!r} is no name for a variable"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Model("m", {}, []), "m: no actor, so nothing happens"),
        (lambda: Model("m", {"x": 4}, [Actor(tick)]), "m: x is declared as 4: say Int, Flag, ..."),
        (lambda: model_of(tick, tick), "small: two actors are called 'tick'"),
        (
            lambda: model_of(Actor(tock, per=CPU), Actor(tick, name="tock1")),
            "small: two actors are called 'tock1'",
        ),
        (
            lambda: model_of(tick, properties=[never("a"), sometimes("a")]),
            "small: two properties are called 'a'",
        ),
        (
            lambda: model_of(tick, properties=[never(str(n)) for n in range(21)]),
            "small: over 20 properties: never",
        ),
        (lambda: model_of(tick).variable("xx"), "no variable 'xx': did you mean 'x'?"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(make, text):
    assert refusal(make) == text


@pytest.mark.parametrize(
    "function", [lambda m: None, len, 5, Machine, functools.partial(tick), step(tick)]
)
def test_only_a_generator_function_is_an_actor(function):
    assert refusal(lambda: Actor(function)) == (
        f"{function!r} is no generator function: it has no yield"
    )


def test_a_method_of_something_that_compares_by_value_can_be_an_actor():
    result = explored(Machine().run, properties=[sometimes("three", lambda m: m.y == 3)])

    assert str(result.trace("three")) == (
        "1 run  m.x = self.value  x 0 -> 3\n2 run  m.y = self.value  y 0 -> 3"
    )


def test_actors_are_named_after_their_functions_and_members():
    model = model_of(tick, Actor(tock, per=CPU), Actor(tick, name="other"))

    assert model.actor_names == ("tick", "tock0", "tock1", "other")
    assert [one.member for one in model.instances] == [None, CPU[0], CPU[1], None]


def test_variables_lie_one_after_the_other_and_a_reference_takes_a_cell_for_each_member():
    variables = {"a": Int(2), "b": Array(Ref(CPU), 2), "c": Array(Int(3), CPU, 2), "d": Flag()}
    model = Model("m", variables, [Actor(tick)])

    assert [(one.name, one.first, one.cells_each) for one in model.layout] == [
        ("a", 0, 1),
        ("b", 1, 2),
        ("c", 5, 1),
        ("d", 9, 1),
    ]
    assert len(model.cells) == 10
    assert [cell.member for cell in model.cells] == [
        None,
        CPU[0],
        CPU[1],
        CPU[0],
        CPU[1],
        CPU[0],
        CPU[0],
        CPU[1],
        CPU[1],
        None,
    ]
    assert [cell.width_bits for cell in model.cells] == [1, 1, 1, 1, 1, 2, 2, 2, 2, 1]


def test_a_reference_that_starts_with_a_member_has_that_members_cell_set():
    model = Model("m", {"owners": Array(Ref(CPU), 2, init=[None, CPU[1]])}, [Actor(tick)])

    assert [cell.init for cell in model.cells] == [0, 0, 0, 1]


def test_the_symmetric_sets_of_variables_references_and_actors_are_each_found_once():
    one, two, three = (Symmetric(name, 2) for name in "abc")
    model = Model(
        "m", {"x": Array(Int(2), one), "y": Ref(two), "z": Ref(one)}, [Actor(tock, per=three)]
    )

    assert set(model.symmetric_sets) == {one, two, three}
    assert len(model.symmetric_sets) == 3


def test_properties_are_told_apart_by_whether_a_state_or_a_step_has_them():
    def predicate(m):
        return True

    properties = [
        always("a", predicate),
        never("b"),
        sometimes("c"),
        sometimes("d", predicate),
        no_deadlock(),
        can_always_reach("e", predicate),
    ]
    model = model_of(tick, properties=properties)

    assert [one.name for one in model.predicates] == ["a", "d", "e"]
    assert [one.name for one in model.step_properties] == ["b", "c"]
    assert [one.name for one in model.of_sort(Sort.NO_DEADLOCK)] == ["no deadlock"]


def parametrized(limit=3, *, init=0, name="m", function=tick, steps=None, extra=()):
    def count(m):
        while m.x < limit:
            m.x += 1
            yield "up"

    return Model(
        name,
        {"x": Int(5, init=init), "y": OneOf("a", "b")},
        [Actor(count), Actor(function, name="other")],
        [always("small", lambda m: m.x <= limit), *extra],
        steps=steps or {},
    )


def test_the_digest_is_the_same_for_the_same_model():
    assert parametrized().digest == parametrized().digest
    assert len(parametrized().digest) == 6
    assert set(parametrized().digest) <= set("0123456789abcdef")


@step
def faulty(m):
    m.x = 0


@pytest.mark.parametrize(
    "other",
    [
        lambda: parametrized(limit=2),
        lambda: parametrized(init=1),
        lambda: parametrized(name="n"),
        lambda: parametrized(function=tock),
        lambda: parametrized(extra=[never("more")]),
        lambda: parametrized(steps={faulty: lambda m: None}),
    ],
)
def test_the_digest_changes_with_text_parameters_properties_and_faults(other):
    assert other().digest != parametrized().digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Actor(tock, 1), Actor(tock, 2)),
        (Actor(tock, per=Symmetric("cpu", 2)), Actor(tock, per=Symmetric("cpu", 3))),
        (Actor(tick, name="a"), Actor(tick, name="b")),
    ],
)
def test_the_digest_changes_with_an_actors_arguments_members_and_name(one, other):
    assert model_of(one).digest != model_of(other).digest


@step
def plain_step(m):
    m.x = 1


@step
def long_step(m):
    m.x = 1
    yield "first"
    m.x = 2
    yield "second"
    return 3


def with_both(m):
    plain_step(m)
    yield "plain"
    m.y = yield from long_step(m)
    yield "long"


def other_plain(m):
    m.x = 3


def other_long(m):
    m.x = 0
    yield "only"
    return 2


def labels(model):
    trace = explore(model, engine="python").trace("done")
    return [step.label for step in trace.steps], [step.changes for step in trace.steps]


def with_properties(**more):
    return model_of(with_both, properties=[sometimes("done", lambda m: m.y > 1)], **more)


def test_a_step_that_is_not_replaced_runs_as_it_is_written():
    assert labels(with_properties()) == (
        ["plain", "first", "second", "long"],
        [{"x": (0, 1)}, {}, {"x": (1, 2)}, {"y": (0, 3)}],
    )


def test_a_plain_step_is_replaced():
    model = with_properties()
    fault = model.with_step(plain_step, other_plain)

    assert labels(fault)[1] == [{"x": (0, 3)}, {"x": (3, 1)}, {"x": (1, 2)}, {"y": (0, 3)}]
    assert fault.digest != model.digest
    assert labels(model)[1][0] == {"x": (0, 1)}


def test_a_generator_step_is_replaced_with_its_micro_steps_and_its_result():
    model = with_properties()
    fault = model.with_step(plain_step, other_plain).with_step(long_step, other_long)

    assert labels(fault) == (
        ["plain", "only", "long"],
        [{"x": (0, 3)}, {"x": (3, 0)}, {"y": (0, 2)}],
    )
    assert len({fault.digest, model.digest, model.with_step(long_step, other_long).digest}) == 3


def test_a_step_can_take_the_place_of_another_one():
    fault = with_properties().with_step(plain_step, step(other_plain))

    assert labels(fault)[1][0] == {"x": (0, 3)}
    longer = with_properties().with_step(long_step, step(other_long))
    assert labels(longer)[0] == ["plain", "only", "long"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (tick, tock, f"{tick!r} is not decorated with @step, so nothing can replace it"),
        (
            plain_step,
            other_long,
            "step plain_step and what replaces it: one has a yield, the other has none",
        ),
        (
            long_step,
            other_plain,
            "step long_step and what replaces it: one has a yield, the other has none",
        ),
    ],
    ids=["no step", "plain by long", "long by plain"],
)
def test_a_replacement_that_would_do_nothing_is_refused(old, new, text):
    assert refusal(lambda: with_properties().with_step(old, new)) == text


def test_a_step_keeps_the_name_and_the_docstring_of_its_function():
    assert (plain_step.__name__, plain_step.__wrapped__.__name__) == ("plain_step", "plain_step")
    assert repr(plain_step) == "step plain_step"


def test_an_interval_is_a_name_and_a_predicate():
    def is_on(m):
        return m.x

    one = interval("on", is_on)

    assert (one.name, one.predicate) == ("on", is_on)
