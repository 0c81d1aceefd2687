"""Which lines ran, and what steps touch."""

from __future__ import annotations

import inspect

from memslotlib.check import Actor, Array, Flag, Int, Model, Symmetric, explore


def worker(m, me):
    while True:
        if m.choose(2):
            m.a[me] = m.b
            yield "copy"
        elif m.b == 9:
            m.b = 0  # never
            yield "wrap"  # never
        else:
            m.b = (m.b + 1) % 3
            yield "count"


def result():
    cpu = Symmetric("cpu", 2)
    variables = {"a": Array(Int(3), cpu), "b": Int(10), "unused": Flag()}
    return explore(Model("covered", variables, [Actor(worker, per=cpu)]))


def test_exactly_the_lines_that_no_path_ran_are_uncovered():
    lines, first = inspect.getsourcelines(worker)
    dead = [first + n for n, line in enumerate(lines) if "never" in line]

    assert [line.number for _, line in result().uncovered] == dead


def test_coverage_lists_every_line_of_code_of_an_actor_with_its_text():
    ((file, lines),) = result().coverage.items()

    assert file == worker.__code__.co_filename
    assert [line.text.strip() for line in lines][:2] == ["if m.choose(2):", "m.a[me] = m.b"]
    assert not any("def " in line.text for line in lines)


def test_a_footprint_is_all_that_a_step_may_read_and_write_on_any_path():
    (one,) = result().footprints

    assert (one.actor, one.text, one.labels) == ("worker", "if m.choose(2):", ("copy", "count"))
    assert one.reads == ("b",)
    assert one.writes == ("a[0]", "b")


def test_an_actor_that_has_returned_has_no_footprint():
    def once(m):
        m.x = 1
        yield

    footprints = explore(Model("once", {"x": Int(2)}, [Actor(once)])).footprints

    assert [(one.reads, one.writes) for one in footprints] == [((), ("x",))]
