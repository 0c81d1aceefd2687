"""Stepping by hand: what could run, what cannot and why, and the way back."""

from __future__ import annotations

import pytest

from memslotlib.check import Actor, CheckError, Int, Model, Walk, explore, replay
from memslotlib.check.examples import increment, peterson


def test_options_are_the_steps_that_are_possible():
    walk = Walk(peterson())

    assert [(one.actor, one.label, one.choice) for one in walk.options] == [
        ("thread0", "want", 0),
        ("thread1", "want", 0),
    ]
    assert walk.blocked == []


def test_a_blocked_actor_names_the_condition_and_what_it_read():
    walk = Walk(peterson())
    for actor in (0, 0, 0, 1, 1):
        walk.take(actor)

    (blocked,) = walk.blocked

    assert blocked.actor == "thread1"
    assert blocked.condition == "m.wait(not m.wants[other] or m.turn == me)"
    assert blocked.where.rpartition("/")[2].startswith("examples.py:")
    assert blocked.reads == {"wants[0]": True, "turn": 0}


def test_an_actor_that_has_returned_says_so():
    walk = Walk(increment())
    walk.take(0)
    walk.take(0)

    assert [(one.actor, one.condition) for one in walk.blocked] == [("add_one0", "returned")]


def test_a_step_that_is_not_possible_changes_nothing():
    walk = Walk(increment())
    walk.take(1)

    with pytest.raises(CheckError, match="step 2: add_one0 has no outcome 3 in state"):
        walk.take(0, 3)

    assert walk.moves == [(1, 0)]


def test_back_takes_the_last_step_back_and_stops_at_the_beginning():
    walk = Walk(increment())
    before = walk.values
    walk.take(0)
    walk.take(0)
    assert walk.values["counter"] == 1

    walk.back()
    walk.back()
    walk.back()

    assert walk.values == before
    assert walk.moves == []


def test_the_trace_of_a_walk_replays():
    walk = Walk(increment())
    for actor in (0, 1, 1, 0):
        walk.take(actor)

    assert walk.trace().steps == explore(increment()).trace("no lost update").steps
    assert replay(increment(), walk.trace().replay).steps == walk.trace().steps


def test_a_long_walk_goes_on_when_its_states_need_more_bits():
    def count(m):
        n = 0
        while True:
            n += 1
            m.x = n % 5
            yield

    walk = Walk(Model("long", {"x": Int(5)}, [Actor(count)]))
    for _ in range(300):
        walk.take(0)

    assert walk.values == {"x": 0}
    assert len(walk.trace()) == 300
    assert replay(walk.program.model, walk.trace().replay).steps == walk.trace().steps
