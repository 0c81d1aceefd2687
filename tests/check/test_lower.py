from __future__ import annotations

import pytest
from check.models import blamed, explored, model_of, refused
from check.writing import STEPS_MAX, Script, Visit, load, outcome, plain_run, written
from check.writing import model_of as written_model
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import Actor, Int, ModelError, Symmetric, never, sometimes
from memslotlib.check.lower import DONE, UNBOUND, NotGeneratorError, lower, sequence
from memslotlib.check.shared import view
from memslotlib.check.stepping import Stepper


def ran(function, lines=None):
    return lower(function, lines.append if lines is not None else lambda _: None)


class Run:
    """An actor that is stepped from its stored local states, one visit after the other."""

    def __init__(self, actor, codes, choices):
        model = written_model(actor)
        port = Script(codes, choices)
        self.stepper = Stepper(model, view(model, port))
        started = []
        self.failed = outcome(port, lambda: started.append(self.stepper.start(model.instances[0])))
        self.visits = []
        self.local, self.is_primed = started[0] if started else ((), False)
        while self.local and len(self.visits) < STEPS_MAX:
            self.visits.append(Visit(self.stepper, port, self.local))
            self.local = self.visits[-1].after
        self.is_started = bool(started)


def hold_against_python(actor, codes, choices):
    """Step an actor, and run it as Python does: the same must happen."""
    run = Run(actor, codes, choices)
    assert len(run.failed) == 1, "starting touches something shared"
    plain = plain_run(actor, codes, choices, skips=run.is_primed)
    if not run.is_started:
        assert plain[0] in (run.failed, ("returned",))
        return run
    assert len(plain) >= len(run.visits)
    ends = ([], [("returned",)])
    for number, (visit, expected) in enumerate(zip(run.visits, plain, strict=False), 1):
        *operations, said, _ = visit.first
        assert operations == list(expected[:-1])
        if expected[-1] == "returned":
            assert (said, visit.after) == (None, ())
        elif (type(said), said) != (type(expected[-1]), expected[-1]):
            # Code that touches nothing shared runs ahead, here into an error of the next step.
            assert visit.after == ()
            ends = ([(said,)],)
            assert plain[number : number + 1] in ends
    if len(run.visits) < STEPS_MAX and not run.local:
        assert plain[len(run.visits) :] in ends
    return run


CODES = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=60)
@given(written(), CODES, st.integers(0, 1 << 40))
def test_a_lowered_actor_does_what_its_generator_does(text, codes, choices):
    hold_against_python(load(text).actor0, codes, choices)


@settings(max_examples=40)
@given(written(), CODES, st.integers(0, 1 << 40), st.randoms(use_true_random=False))
def test_a_step_depends_on_the_stored_state_alone_and_not_on_what_ran_before(
    text, codes, choices, rng
):
    run = Run(load(text).actor0, codes, choices)

    for visit in rng.sample(run.visits, len(run.visits)) * 2:
        after = visit.after
        assert visit.again() == visit.first
        assert visit.after == after


@pytest.mark.parametrize(
    "lines",
    [
        ["yield (a := m.x)", "m.y = a % 2", "yield"],
        ["yield from part(m, (a := 2))", "m.x = a", "yield"],
        ["a = 1", "def f():", "    nonlocal a", "    a = 2", "    return a", "yield f()",
         "m.x = a"],
        ["a = 1", "def f():", "    nonlocal a", "    a = 2", "    return a",
         "yield from part(m, f())", "m.x = a"],
        ["a = 1 or (b := 2)", "yield", "m.x = b"],
        ["a = 1", "try:", "    1 // 0", "except ZeroDivisionError as a:", "    pass", "yield",
         "m.x = a"],
        ["a = 1", "yield", "match m.x:", "    case 0 if a:", "        yield 'a'", "    case a:",
         "        m.y = a % 2", "        yield 'b'"],
        ["b = m", "yield", "match 1:", "    case b.x:", "        yield 'x'", "yield 'y'"],
        ["yield m.x", "m.x = 1", "yield"],
        ["yield m.choose(2)"],
        ["while True:", "    return", "    yield"],
        ["yield from empty(m)", "m.x = 1", "yield"],
        ["a = yield from empty(m)", "m.x = 2 if a is None else 1", "yield"],
        ["a = yield from early(m, 1)", "m.x = a", "yield"],
        ["global NUMBER", "NUMBER = 2", "yield", "m.x = NUMBER", "yield"],
        ["a = 1", "yield", "if m.x:", "    def f(): return a", "    m.y = f()", "yield"],
        ["def f(k=-1): return k", "yield", "m.y = f() + 1", "yield"],
        ["class C:", "    a = 1", "    def f(self): return self.a", "m.y = C().f()", "yield"],
        ["yield", "return", "m.x = 1"],
        ["for a in []:", "    yield", "else:", "    m.x = 1", "    yield"],
        ["for m.x in range(2):", "    yield m.x"],
        ["for a in 'ab':", "    yield a"],
        ["for a in b'ab':", "    yield a"],
        ["for a, *b in ((1, 2), (0, 1)):", "    m.x = a", "    yield", "    m.y = len(b) - 1"],
        ["part = 1", "yield", "m.x = part", "yield"],
        ["d = m.z", "yield", "a, b = d", "while a:", "    yield", "    a = 0"],
        ["d = m.z", "yield", "a, (b, c) = 1, d", "if b: yield 'b'"],
        ["d = m.z", "yield", "a = 0", "for b in d: a = a + b", "if a: yield a"],
        ["d = m.z", "yield", "a = [b for b in d]", "if 2 in d: yield 'two'"],
        ["d = m.z", "yield", "a = [*d]", "if a: yield 'two'"],
        ["for a, b in (m.z, m.z):", "    m.x = a", "    yield"],
        ["return (yield from early(m, 0))"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("codes", [(0, 0, 0, 0), (1, 1, 2, 1), (2, 0, 1, 1)])
def test_constructs_that_are_easily_got_wrong_do_what_their_generators_do(lines, codes):
    helpers = [
        "def part(m, p):", "    m.x = p", "    yield 'part'", "    return p",
        "def empty(m):", "    return", "    yield",
        "def early(m, p):", "    a = p", "    if a: return a", "    while True:",
        "        m.y = 1", "        yield 'early'", "        return 2",
        "def actor(m):", *(f"    {line}" for line in lines),
    ]  # fmt: skip

    run = hold_against_python(load("\n".join(helpers)).actor, codes, 5)

    for visit in reversed(run.visits):
        assert visit.again() == visit.first


def test_a_function_is_entered_at_any_block_with_its_locals():
    def actor(m):
        first = m.x
        yield "one"
        second = m.y
        yield "two"
        m.x = first + second

    model = model_of(actor)
    port = Script([1, 2], 0)
    shared = view(model, port)
    code = ran(actor)

    label, block, saved = code.run(0, (shared,), None)
    assert (label, sorted(map(str, saved))) == ("one", sorted(["1", str(shared)]))
    label, block, saved = code.run(block, saved, None)
    assert code.names[block] == ("first", "m", "second")
    port.codes[:] = [0, 0]
    assert code.run(block, (1, shared, 2), None) == (None,)
    assert port.codes == [3, 0]
    assert code.run(block, (0, shared, 2), None) == (None,)
    assert port.codes == [2, 0]


def test_a_step_with_nothing_after_it_stores_nothing():
    def actor(m):
        m.x = 1
        yield "last"

    model = model_of(actor)
    found = ran(actor).run(0, (view(model, Script([0, 0], 0)),), None)

    assert found == ("last", DONE, ())


def private_code(m, number):
    left = number + 1
    while left:
        m.x = left
        left -= 1
        yield


def private_yield(m):
    left = 1
    yield
    m.x = left


def shared_first(m):
    left = m.x
    while left:
        yield


def shared_label(m):
    yield m.x


def calls_first(m):
    left = len("ab")
    while left:
        yield


def calls_label(m):
    yield m.choose(2)


def around_first(m):
    left = LIMIT.real
    while left:
        m.x = left
        yield


LIMIT = 3


@pytest.mark.parametrize(
    ("function", "runs_ahead", "leads"),
    [
        (private_code, True, False),
        (private_yield, False, True),
        (around_first, True, False),
        (shared_first, False, False),
        (shared_label, False, False),
        (calls_first, False, False),
        (calls_label, False, False),
    ],
)
def test_what_comes_before_the_first_micro_step_touches_nothing_shared(function, runs_ahead, leads):
    lowered = ran(function)

    assert lowered.runs_ahead is runs_ahead
    assert (0 in lowered.leading) is leads


def test_code_that_touches_nothing_shared_runs_at_once_after_a_yield():
    """So the last turn of a loop is no micro-step of its own, and a loop is left with its yield."""

    def count(m):
        for n in range(3):
            m.x = n
            yield
        left = 2
        while left:
            left -= 1
            m.y = left
            yield "down"

    result = explored(count)

    assert (result.states, result.depth) == (6, 6)
    assert len(result.program.roles[0].locals) == 6


def test_the_lines_that_run_are_noted_in_order():
    def actor(m, me):
        def double(value):
            return value * 2

        if me:
            m.x = double(me)
        else:
            m.x = 0
        while True:
            yield "label"
            break
        m.y = 1
        return

    first = actor.__code__.co_firstlineno
    lines = []
    code = ran(actor, lines)
    shared = view(written_model(actor), Script([0, 0, 0, 0], 0))

    _, block, saved = code.run(0, (shared, 1), None)
    assert [line - first for _, line in lines] == [4, 5, 2, 10, 9] or [
        line - first for _, line in lines
    ] == [4, 5, 2, 9, 10]
    lines.clear()
    code.run(block, saved, None)
    assert [line - first for _, line in lines] == [11, 12]
    assert {line - first for line in code.all_lines} == {2, 4, 5, 7, 9, 10, 11, 12}
    assert {file for file, _ in lines} == {__file__}


@pytest.mark.parametrize(
    ("rows", "stored"),
    [([1, 2], (1, 2)), ((1, 2), (1, 2)), (range(3), range(3)), ("ab", "ab"), (b"ab", b"ab")],
)
def test_rows_that_can_be_stored_are_kept_as_they_are_or_as_a_tuple(rows, stored):
    assert sequence(rows) == stored
    assert type(sequence(rows)) is type(stored)


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (zip((1,), (2,), strict=True), "zip"),
        (enumerate((1,)), "enumerate"),
        ((i for i in (1,)), "generator"),
        ({1: 2}, "dict"),
        ({1}, "set"),
        (iter((1,)), "tuple_iterator"),
    ],
)
def test_rows_without_a_position_are_refused_where_the_loop_is(rows, kind):
    def actor(m):
        m.x = 1
        yield "before"
        for _ in rows:  # blamed
            yield "inside"

    assert str(refused(actor)) == (
        f"{blamed(actor)}: actor: a for over {kind} contains a yield, and its position cannot be "
        "stored: loop over a range, a tuple or a list; in state x=1 y=0"
    )


def test_a_for_over_members_cannot_contain_a_yield():
    cpu = Symmetric("cpu", 2)

    def actor(m):
        for _ in cpu:
            yield

    error = refused(actor)

    assert "a for over cpu contains a yield, and its order would tell members apart" in str(error)


@pytest.mark.parametrize("callee", [len, Symmetric, lambda m: None, None, explored])
def test_only_generator_functions_are_lowered(callee):
    with pytest.raises(NotGeneratorError):
        lower(callee, lambda _: None)


def test_functions_of_one_text_keep_their_own_surroundings():
    def make(number):
        def actor(m):
            m.x = number
            yield

        return actor

    one, other = make(1), make(2)
    result = explored(
        Actor(one, name="one"), Actor(other, name="other"),
        properties=[sometimes("1", lambda m: m.x == 1), sometimes("2", lambda m: m.x == 2)],
    )  # fmt: skip

    assert result.ok
    assert ran(one).run.__code__ is ran(other).run.__code__


def test_an_actor_of_hundreds_of_yields_is_lowered(tmp_path):
    lines = [line for n in range(300) for line in (f"    m.x = {n % 4}", "    yield", "")]
    module = load("\n".join(["def actor0(m):", *lines]))

    assert explored(Actor(module.actor0)).states == 301


def test_loops_in_loops_beyond_what_python_nests_are_lowered():
    depth = 19
    lines = [f"{'    ' * (n + 1)}while True:" for n in range(depth)]
    module = load("\n".join(["def actor0(m):", *lines, "    " * (depth + 1) + "yield"]))

    assert explored(Actor(module.actor0)).states == 1


def test_a_local_variable_without_a_value_is_stored_as_such():
    def actor(m):
        if m.x:
            found = 1
        yield
        m.y = found

    error = refused(actor)

    assert error.what.startswith("UnboundLocalError: ")
    assert repr(UNBOUND) == "unbound"


def test_an_error_inside_a_nested_function_is_placed_in_the_actors_file():
    def actor(m):
        def half(value):
            return value // m.x

        m.y = 1
        yield
        m.y = half(2)
        yield

    error = refused(actor)

    assert error.where == f"{__file__}:{actor.__code__.co_firstlineno + 2}"
    assert error.what.startswith("ZeroDivisionError: ")


def test_wrong_arguments_of_a_call_are_refused_where_the_call_is():
    def part(m, number):
        yield number

    def actor(m):
        m.x = 1
        yield "before"
        yield from part(m)  # blamed

    error = refused(actor)

    assert error.where == blamed(actor)
    assert error.what == "TypeError: missing a required argument: 'number'"


@pytest.mark.parametrize("arguments", [(), (1, 2)])
def test_wrong_arguments_of_an_actor_are_refused(arguments):
    def actor(m, number):
        yield number

    with pytest.raises(ModelError, match="^actor: TypeError: "):
        explored(Actor(actor, *arguments))


NAMED = {"b": 0, "c": 1}


def test_arguments_come_by_position_by_name_by_default_and_unpacked():
    def part(m, a, *rest, b=2, **named):
        m.x = a + b + sum(rest) + sum(named.values())
        yield

    def actor(m):
        yield from part(m, 0)
        m.wait(m.x == 2)
        yield from part(m, 0, 1, b=0)
        m.wait(m.x == 1)
        yield from part(m, *(1, 1), **NAMED)
        m.wait(m.x == 3)
        m.reach("end")
        yield

    assert explored(actor, variables={"x": Int(9)}, properties=[sometimes("end")]).ok


def test_the_labels_of_steps_are_those_of_their_yields():
    def actor(m):
        m.x = 1
        yield
        m.x = 2
        yield 3, "x"
        m.fail("end")
        yield f"{m.x}"

    trace = explored(actor, properties=[never("end")]).trace()

    assert [step.label for step in trace.steps] == ["m.x = 1", "(3, 'x')", "2"]
