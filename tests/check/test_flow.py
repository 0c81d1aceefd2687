from __future__ import annotations

import ast
import textwrap

import pytest

from memslotlib.check import ModelError
from memslotlib.check.flow import Branch, Builder, Call, Goto, Return, Select, Suspend


def function(*lines):
    text = "def actor(m, me):\n" + textwrap.indent("\n".join(lines), "    ")
    return ast.parse(text).body[0]


def flow(*lines):
    return Builder(function(*lines), "m.py").flow


def suspensions(*lines):
    """Return, for each yield, the locals that are live after it."""
    found = flow(*lines)
    blocks = [block.end.to for block in found.blocks if isinstance(block.end, Suspend | Call)]
    return ["".join(sorted(block.resolved.live & found.locals - {"m", "me"})) for block in blocks]


def test_statements_without_a_yield_stay_as_they_are():
    (first, *rest) = flow("for i in m.rows:", "    if i: break", "x = 1", "yield x").blocks

    assert [type(node) for node in first.body] == [ast.For, ast.Assign]
    assert isinstance(first.end, Suspend)
    assert [block.body for block in rest] == [[]]


@pytest.mark.parametrize(
    ("lines", "ends"),
    [
        (["yield"], [Suspend, Return]),
        (["yield from f(m)"], [Call, Return]),
        (["if m.a:", "    yield"], [Branch, Suspend, Goto, Return, Goto]),
        (["while True:", "    yield"], [Goto, Goto, Suspend, Goto, Return, Goto]),
        (["while m.a:", "    yield"], [Goto, Branch, Suspend, Goto, Return, Goto]),
        (["for i in m.a:", "    yield"], [Goto, Branch, Suspend, Goto, Return, Goto]),
        (["match m.a:", "    case 1:", "        yield"], [Select, Suspend, Goto, Return, Goto]),
        (["return (yield from f(m))"], [Call, Return, Return]),
    ],
)
def test_what_contains_a_yield_becomes_blocks_and_jumps(lines, ends):
    assert sorted(type(b.end).__name__ for b in flow(*lines).blocks) == sorted(
        one.__name__ for one in ends
    )


@pytest.mark.parametrize(
    ("lines", "live"),
    [
        (["x = m.a", "yield", "m.b = x", "yield"], ["x", ""]),
        (["x = m.a", "m.b = x", "yield"], [""]),
        (["x = y = 1", "yield", "x = 2", "m.b = x + y", "yield"], ["y", ""]),
        (["while m.a:", "    x = 1", "    yield", "    m.b = x"], ["x"]),
        (["x = 0", "while m.a:", "    yield", "    x += 1"], ["x"]),
        (["x = 0", "while m.a:", "    yield", "    x = 1", "m.b = x"], [""]),
        (["while True:", "    yield", "    if m.a: break", "    x = 1"], [""]),
        (["for x in (1, 2):", "    yield"], ["__position0__rows0"]),
        (["for x in (1, 2):", "    yield", "    break"], [""]),
        (["x = yield from f(m)", "yield x"], ["", ""]),
        (["x = y = 1", "x = yield from f(m, y)", "m.b = x", "yield"], ["", ""]),
        (["i = 1", "m.a[i] = yield from f(m)"], ["i"]),
        (["x = 1", "def f(): return x", "yield", "m.a = f()"], ["x"]),
        (["x = 1", "def f():", "    nonlocal x", "    x = 2", "yield"], ["x"]),
        (
            ["y = 1", "yield", "match m.a:", "    case 0 if y: yield", "    case y: m.b = y"],
            ["y", ""],
        ),
        (["y = 1", "yield", "match m.a:", "    case y: yield y"], ["", ""]),
        (["y = m", "yield", "match 1:", "    case y.a: yield"], ["y", ""]),
        (["yield (x := 1)", "yield x"], ["x", ""]),
        (["yield from f(m, (x := 1))", "yield x"], ["x", ""]),
    ],
)
def test_what_is_kept_over_each_yield(lines, live):
    assert suspensions(*lines) == live


@pytest.mark.parametrize(
    ("lines", "line", "kind"),
    [
        (["try:", "    yield", "finally: pass"], 2, "try"),
        (["try:", "    m.a = 1", "except* ValueError:", "    yield"], 2, "try"),
        (["with m.a:", "    yield"], 2, "with"),
        (["m.a = 1", "x = yield"], 3, "an assignment"),
        (["x = y = yield from f(m)"], 2, "an assignment"),
        (["x += yield from f(m)"], 2, "an assignment"),
        (["x: int = yield"], 2, "an assignment"),
        (["return (yield)"], 2, "return"),
        (["yield from rows"], 2, "an expression"),
        (["m.f((yield))"], 2, "an expression"),
        (["yield (yield)"], 2, "an expression"),
        (["yield from f((yield))"], 2, "an expression"),
        (["m.a = 1", "if (yield): pass"], 3, "an expression"),
        (["while (yield): pass"], 2, "an expression"),
        (["for i in (yield): pass"], 2, "an expression"),
        (["match (yield):", "    case 1: pass"], 2, "an expression"),
        (["match m.a:", "    case 1 if (yield): pass"], 3, "an expression"),
        (["if (x := (yield from f(m))): pass"], 2, "an expression"),
        (["assert (yield)"], 2, "an expression"),
    ],
)
def test_an_actor_cannot_be_suspended_elsewhere(lines, line, kind):
    with pytest.raises(ModelError) as error:
        flow(*lines)

    assert str(error.value) == (
        f"m.py:{line}: an actor cannot be suspended inside {kind}: `yield`, `yield label`, `yield "
        "from f(...)` and `x = yield from f(...)` stand alone or inside if, while, for and match"
    )


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["try: m.f()", "except E: break"], "try"),
        (["with m.a:", "    if m.b: continue"], "with"),
    ],
)
def test_a_loop_with_a_yield_is_not_left_from_inside_of_try_or_with(lines, kind):
    with pytest.raises(ModelError) as error:
        flow("while True:", *(f"    {line}" for line in lines), "    yield")

    assert str(error.value).startswith(
        f"m.py:3: a `break` or `continue` inside {kind} would leave a loop that contains a `yield`"
    )


def test_a_loop_inside_of_try_is_left_as_ever():
    found = flow("while True:", "    try:", "        for i in m.a:", "            break",
                 "    finally: pass", "    yield")  # fmt: skip

    assert any(isinstance(node, ast.Try) for block in found.blocks for node in block.body)


def test_a_generator_function_that_is_nested_in_an_actor_cannot_be_run_by_it():
    with pytest.raises(ModelError) as error:
        flow("def part():", "    yield", "yield from part()")

    assert str(error.value) == (
        "m.py:4: `yield from part(...)`, and part is defined inside of the actor, whose variables "
        "it could change: define it outside"
    )


def test_what_is_wrong_with_a_nested_function_is_placed():
    with pytest.raises(ModelError, match="^m.py:3: f is a nested function, and something else too"):
        flow("yield", "def f(): pass", "f = 1")


def test_variables_of_the_function_are_told_from_those_around_it():
    found = flow(
        "global a", "a = b = 1", "def f(): d = 1", "[c for c in m.x]", "yield (e := 2)",
        "yield from g((h := 3))", "match (i := 4):", "    case [j, *k]: yield",
        "if (n := 5): yield", "return (o := 6)",
    )  # fmt: skip

    assert found.locals == {"m", "me", *"behijkno"}
    assert [one.name for one in found.hoisted] == ["f"]


def test_a_variable_is_bound_only_where_every_way_binds_it():
    blocks = flow("if m.a:", "    x = 1", "    yield", "else:", "    y = 2", "    yield", "z = x")
    last = [block for block in blocks.blocks if block.body and block.body[0].lineno == 8]

    assert last[0].bound == {"m", "me"}


def test_a_variable_that_a_nested_function_may_delete_is_never_certain():
    (_, after) = flow("x = 1", "def f():", "    nonlocal x", "    del x", "yield").blocks

    assert "x" not in after.bound


def test_jumps_that_need_no_block_are_passed_on_the_way():
    blocks = flow("while True:", "    yield", "    break", "yield 'end'", "return").blocks
    (first, last) = [block.end for block in blocks if isinstance(block.end, Suspend)]

    assert [one.lineno for one in first.to.passed] == [4]
    assert first.to.resolved.end is last
    assert last.to.is_done
    assert [one.lineno for one in last.to.passed] == [6]
