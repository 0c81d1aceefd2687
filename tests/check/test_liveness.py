from __future__ import annotations

import ast

import pytest
from check.writing import load, model_of, written
from hypothesis import given, settings
from hypothesis import strategies as st

from memslotlib.check import flow, lower
from memslotlib.check.liveness import assigned, forgotten, live_before, loaded, stored
from memslotlib.check.program import Program

ALL = frozenset("abcdefgxyz")


def body(*lines):
    return ast.parse("\n".join(lines)).body


def names(found):
    return "".join(sorted(found))


@pytest.mark.parametrize(
    ("text", "reads", "binds"),
    [
        ("a = b", "b", "a"),
        ("a[b] = c.d", "abc", ""),
        ("a += b", "ab", "a"),
        ("del a", "a", "a"),
        ("(a := b)", "b", "a"),
        ("[a for b in c if d]", "acd", ""),
        ("[b for b in b]", "b", ""),
        ("[(a := b) for b in c]", "c", "a"),
        ("{a: b for a, b in c}", "c", ""),
        ("x = lambda a, b=c: a + d", "cd", "x"),
        ("def f(a=b): return a + c", "bc", "f"),
        ("@a\ndef f(b: c) -> d: pass", "acd", "f"),
        ("def f():\n nonlocal a\n a = b", "ab", "f"),
        ("def f():\n a = b\n return a", "b", "f"),
        ("def f():\n def g():\n  nonlocal a\n  a = 1", "a", "f"),
        ("class c(a):\n x = b", "ab", "c"),
        ("for a, b in c: d", "cd", "ab"),
        ("for a[b] in c: pass", "abc", ""),
        ("with a as b: c", "ac", "b"),
        ("try: a\nexcept b as c: d", "abd", "c"),
        ("import a, b.c as d, e.f", "", "ade"),
        ("match a:\n case [b, *c] if d: e", "ade", "bc"),
        ("match a:\n case {1: b, **c}: pass", "a", "bc"),
        ("match a:\n case b.c: pass", "ab", ""),
    ],
)
def test_a_statement_reads_and_binds(text, reads, binds):
    (node,) = body(text)

    assert names(loaded(node)) == reads
    assert names(stored(node)) == binds


@pytest.mark.parametrize(
    ("lines", "live"),
    [
        (["a = b"], "bx"),
        (["x = a"], "a"),
        (["x = x"], "x"),
        (["x += a"], "ax"),
        (["x: 1"], "x"),
        (["x: a = b"], "ab"),
        (["a, (x, b) = c"], "c"),
        (["[a, *x] = b"], "bx"),
        (["a.x = b"], "abx"),
        (["if a: x = 1", "else: x = 2"], "a"),
        (["if a: x = 1"], "ax"),
        (["while a:", " x = 1"], "ax"),
        (["while a:", " b = b + 1"], "abx"),
        (["while True:", " c = b", " b = 1", " a = c"], "bx"),
        (["for x in a: pass"], "ax"),
        (["for a in b:", " c = a"], "bx"),
        (["for a in b:", " d = c", " c = a"], "bcx"),
        (["for a in b: pass", "else: x = 1"], "b"),
        (["for a in b:", " if c: break", "else: x = 1"], "bcx"),
        (["for a in b:", " x = 1", " continue"], "bx"),
        (["while a:", " if b:", "  continue", " x = 1"], "abx"),
        (["return a"], "a"),
        (["raise a"], "a"),
        (["return", "a"], ""),
        (["x = 1", "return a", "b"], "a"),
        (["try: x = 1", "except a: b"], "abx"),
        (["with a as x: b"], "abx"),
        (["def x(): return a"], "a"),
        (["class x: b"], "b"),
        (["match a:", " case b: x = 1"], "ax"),
        (["del x"], "x"),
        (["assert a, b"], "abx"),
        (["(x := a)"], "ax"),
    ],
)
def test_what_is_live_before_statements_after_which_x_is(lines, live):
    assert names(live_before(body(*lines), frozenset("x"))) == live


@pytest.mark.parametrize(
    ("lines", "before", "bound"),
    [
        (["a = 1"], "", "a"),
        (["a, b = 1, 2"], "", "ab"),
        (["a: int"], "", ""),
        (["a: int = 1"], "", "a"),
        (["a += 1"], "", "a"),
        (["def a(): b = 1"], "", "a"),
        (["import a"], "", "a"),
        (["del a"], "ab", "b"),
        (["if c: a = 1", "else: a = b = 2"], "", "a"),
        (["if c: a = 1"], "", ""),
        (["if c: del a"], "a", ""),
        (["while c: a = 1"], "", ""),
        (["while c: del a"], "ab", "b"),
        (["for a in c: pass"], "", ""),
        (["with c as a: pass"], "", ""),
        (["try: b = 1", "except c as a: pass"], "a", ""),
        (["a = c or (b := 1)"], "", "a"),
        (["a = [b := 1 for _ in c]"], "", "a"),
        (["a = c if (b := 1) else 2"], "", "a"),
        (["(a := 1)"], "", ""),
    ],
)
def test_only_what_is_bound_on_every_way_is_certain(lines, before, bound):
    assert names(assigned(body(*lines), frozenset(before))) == bound


@pytest.mark.parametrize(
    ("text", "found"),
    [("del a, b", "ab"), ("try: c\nexcept d as a: e", "a"), ("def f():\n nonlocal a\n del a", "a")],
)
def test_names_that_may_lose_their_value(text, found):
    assert names(forgotten(body(text)[0])) == found


class KeepsAll(flow.Builder):
    """Takes every local variable for live everywhere."""

    def _find_live(self, parameters):
        super()._find_live(parameters)
        for block in self.blocks:
            block.live = self.locals - {"inner"}  # A function is not kept.


def same_behaviour(one, other, *, states_max=150):
    """Walk two programs of one model side by side; return in how many pairs of states they were.

    In each pair the same steps are possible, with the same labels and the same shared state after.
    """

    def steps(program, state):
        found = {}
        for each in program.successors(state):
            after = program.values(each.state)
            found[each.actor, each.choice] = (
                each.path.label,
                each.path.stops,
                str(after),
                each.state,
            )
        return found

    first = one.initial, other.initial
    waiting, seen = [first], {first}
    while waiting and len(seen) < states_max:
        a, b = waiting.pop()
        left, right = steps(one, a), steps(other, b)
        assert {k: v[:3] for k, v in left.items()} == {k: v[:3] for k, v in right.items()}
        for key, (*_, after) in left.items():
            pair = after, right[key][-1]
            if pair not in seen:
                seen.add(pair)
                waiting.append(pair)
    return len(seen)


def programs(module, keep):
    """Return the program of a written module as it is, and one that keeps every local variable."""
    model = model_of(module.actor0, module.actor1)
    found = []
    for builder in (flow.Builder, KeepsAll):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lower, "_templates", {})
            patch.setattr(lower, "Builder", builder)
            program = Program(model)
            program.pack_again(dict.fromkeys(range(len(program.roles)), 16))
            keep(program)
        found.append(program)
    return found


@settings(max_examples=25)
@given(written(tame=True, actors=2))
def test_forgetting_dead_variables_changes_nothing_that_can_be_seen(text):
    module = load(text)

    def lower_all(program):
        for name, function in vars(module).items():
            if name.startswith("helper"):
                program.stepper._lowered(function)

    assert same_behaviour(*programs(module, lower_all)) >= 1


def test_a_dead_variable_is_forgotten_and_a_live_one_is_not():
    module = load(
        "def actor0(m):\n"
        "    a = m.choose(3)\n"
        "    m.y = a % 2\n"
        "    yield 'chosen'\n"
        "    m.y = 0\n"
        "    yield 'reset'\n"
        "def actor1(m):\n"
        "    a = m.choose(3)\n"
        "    yield 'chosen'\n"
        "    m.x = a\n"
        "    yield 'used'\n"
    )
    one, other = programs(module, lambda _: None)
    same_behaviour(one, other)

    assert [len(role.locals) for role in one.roles] == [3, 5]
    assert [len(role.locals) for role in other.roles] == [5, 5]


def test_more_states_come_of_keeping_all_variables_so_the_comparison_means_something():
    module = load(
        "def actor0(m):\n    while True:\n        a = m.choose(2)\n        m.x = a\n        yield\n"
        "def actor1(m):\n    m.y = m.x % 2\n    yield\n"
    )
    one, other = programs(module, lambda _: None)
    same_behaviour(one, other)

    assert len(one.roles[0].locals) < len(other.roles[0].locals)


@given(st.sets(st.sampled_from(sorted(ALL))))
def test_nothing_is_live_before_a_return_but_what_it_returns(after):
    assert names(live_before(body("return a"), frozenset(after))) == "a"
