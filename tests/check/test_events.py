from dataclasses import replace

import pytest

from memslotlib.check import (
    Actor,
    Flag,
    Int,
    Model,
    always,
    can_always_reach,
    explore,
    never,
    no_deadlock,
    replay,
    sometimes,
)
from memslotlib.check.events import Event, events
from memslotlib.check.examples import increment, peterson


def counting(*properties, stop=False):
    def count(m):
        while True:
            m.n += 1
            if m.n == 2:
                m.fail("below 2", "two", stop=stop)
            yield "count"
            m.wait(m.n < 3)

    return Model("count", {"n": Int(4)}, [Actor(count)], [never("below 2"), *properties])


def test_a_never_is_broken_by_the_step_that_says_so():
    trace = explore(increment()).trace()

    message = "2 threads are done, the counter is 1"
    assert events(trace) == (Event(4, "no lost update", message),)


def test_an_always_is_broken_by_the_step_that_makes_it_false_each_time_anew():
    def toggle(m):
        for _ in range(3):
            m.up = not m.up
            yield

    model = Model("toggle", {"up": Flag()}, [Actor(toggle)], [always("down", lambda m: not m.up)])
    trace = replay(model, f"{model.digest}:0*3")

    assert [event.step for event in events(trace)] == [1, 3]
    assert trace.about == "", "the replay does not know what it shows, the events do"


def test_an_always_that_stays_false_is_broken_once():
    model = counting(always("one at most", lambda m: m.n < 2))
    trace = replay(model, f"{model.digest}:0*3")

    assert [(event.step, event.name) for event in events(trace)] == [
        (2, "below 2"),
        (2, "one at most"),
    ]


def test_an_always_that_is_false_from_the_beginning_is_broken_by_no_step():
    trace = explore(counting(always("positive", lambda m: m.n > 0))).trace("positive")

    assert events(trace) == (Event(0, "positive"),)


def test_what_a_step_that_stops_would_have_come_to_is_no_state():
    model = counting(always("one at most", lambda m: m.n < 2), stop=True)
    trace = explore(model).trace("below 2")

    assert events(trace) == (Event(2, "below 2", "two"),)


def test_a_deadlock_comes_with_the_last_step_and_not_before():
    trace = explore(counting(no_deadlock())).trace("no deadlock")

    assert [(event.step, event.name) for event in events(trace)] == [
        (2, "below 2"),
        (3, "no deadlock"),
    ]
    assert len(events(replay(counting(no_deadlock()), trace.replay[:-1] + "2"))) == 1


def test_an_actor_that_waits_is_no_deadlock_as_long_as_another_can_step():
    model = peterson()
    trace = replay(model, f"{model.digest}:0*3,1*2")

    assert events(trace) == ()


def test_actors_that_have_all_returned_are_no_deadlock():
    trace = explore(increment()).trace("both added")

    assert [event.name for event in events(trace)] == ["both added"]


def test_what_cannot_be_reached_any_more_is_told_where_the_trace_is_about_it():
    model = counting(can_always_reach("zero", lambda m: m.n == 0))
    trace = explore(model).trace("zero")

    assert events(trace) == (Event(1, "zero", "it is out of reach from here"),)
    assert events(replay(model, trace.replay)) == ()


def test_a_sometimes_is_shown_not_broken():
    trace = explore(peterson()).trace("thread 0 enters")

    assert events(trace) == (Event(3, "thread 0 enters", is_bad=False),)


def test_a_sometimes_of_a_step_is_shown_too():
    def once(m):
        m.reach("it")
        yield

    trace = explore(Model("once", {"n": Int(2)}, [Actor(once)], [sometimes("it")])).trace("it")

    assert [event.text for event in events(trace)] == ["SHOWS it"]


def test_without_its_program_a_trace_still_tells_what_its_steps_say():
    trace = explore(counting(always("one at most", lambda m: m.n < 2))).trace("below 2")

    assert len(events(trace)) == 2
    assert events(replace(trace, program=None)) == (Event(2, "below 2", "two"),)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(1, "a"), "BREAKS a"),
        (Event(1, "a", "b"), "BREAKS a: b"),
        (Event(1, "a", is_bad=False), "SHOWS a"),
    ],
)
def test_an_event_says_whether_it_breaks_or_shows(event, text):
    assert event.text == text
