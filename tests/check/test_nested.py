from __future__ import annotations

import ast

import pytest

from memslotlib.check.nested import problems


def whys(*lines):
    text = "\n".join(["def actor(m, me):", *(f"    {line}" for line in lines)])
    return [(node.lineno, why) for node, why in problems(ast.parse(text).body[0])]


@pytest.mark.parametrize(
    "lines",
    [
        ["def f(): return m.x", "yield f()"],
        ["def f(a, b=1, c=-1, *, d=(1, 'x')): return a"],
        ["def f(who=me): return who", "yield"],
        ["x = 1", "def f():", "    nonlocal x", "    x = 2", "f()", "m.y = f()"],
        ["def f(): return m.x", "yield from until(m, f)"],
        ["def f():", "    f = 1", "    return f"],
        ["def f():", "    def g(): pass", "    return g()", "def h():", "    g = 1"],
    ],
)
def test_a_nested_function_that_is_the_same_in_every_step_is_welcome(lines):
    assert whys(*lines) == []


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        (["def f(): pass", "f = 1"], 2, "f is a nested function, and something else too"),
        (["def f(): pass", "def f(): pass"], 2, "f is a nested function, and something else too"),
        (["def me(): pass"], 2, "me is a nested function, and something else too"),
        (
            ["for f in (1, 2):", "    yield", "def f(): pass"],
            4,
            "f is a nested function, and something else too",
        ),
        (
            ["yield", "@cache", "def f(): pass"],
            4,
            "the nested function f is decorated: define it outside",
        ),
        (
            ["x = 1", "def f(a=x): pass"],
            3,
            "a default of f is not the same in every step",
        ),
        (["def f(*, a=m.x): pass"], 2, "a default of f is not the same in every step"),
        (["def f(a=[]): pass"], 2, "a default of f is not the same in every step"),
        (["def f(a=g()): pass"], 2, "a default of f is not the same in every step"),
        (
            ["me = 1", "def f(who=me): pass"],
            3,
            "a default of f is not the same in every step",
        ),
    ],
)
def test_what_would_not_be_the_same_when_it_is_made_anew_is_refused(lines, line, why):
    assert (line, why) in whys(*lines)


@pytest.mark.parametrize(
    ("use", "line"),
    [
        ("g = f", 6),
        ("yield from until(m, f)", 6),
        ("yield from until(m, lambda: f())", 6),
        ("def h(): f()", None),
        ("hs = [f for _ in range(2)]", 6),
        ("f.calls = 1", 6),
    ],
)
def test_a_function_that_changes_the_actors_variables_can_only_be_called(use, line):
    found = whys("x = 1", "def f():", "    nonlocal x", "    x = 2", use)

    expected = [(line, "f changes variables of the actor: it can only be called")]
    assert found == (expected if line else [])


def test_one_that_calls_such_a_function_changes_variables_too():
    lines = ["x = 1", "def f():", "    nonlocal x", "    x = 2", "def g():", "    f()", "h = g"]

    assert whys(*lines) == [(8, "g changes variables of the actor: it can only be called")]
