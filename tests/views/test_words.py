import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.check import Actor, Int, Model, always, explore, replay
from memslotlib.check.examples import increment, peterson
from memslotlib.views.words import (
    acting,
    changes,
    counted,
    fitted,
    headline,
    place,
    wrapped,
    wrapped_change,
)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1234, "1,234 steps")]
)
def test_one_is_singular_and_thousands_are_grouped(count, text):
    assert counted(count, "step") == text


def test_a_headline_tells_broken_from_shown_and_the_initial_state_from_a_step():
    def count(m):
        m.n += 1
        yield

    model = Model("count", {"n": Int(2)}, [Actor(count)], [always("one", lambda m: m.n == 1)])

    assert headline(explore(increment()).trace()) == (
        "increment: no lost update is broken after 4 steps"
    )
    assert headline(explore(peterson()).trace("thread 1 enters")) == (
        "peterson: thread 1 enters after 3 steps"
    )
    assert headline(explore(model).trace()) == "count: one is broken in the initial state"


def test_the_headline_of_a_replay_names_what_it_comes_to_if_anything():
    model = peterson(forgets_turn=True)

    assert headline(replay(model, f"{model.digest}:1*3,0*3")) == (
        "peterson: mutual exclusion is broken after 6 steps"
    )
    assert headline(replay(model, f"{model.digest}:1")) == "peterson: a run of 1 step"


def test_actors_that_step_come_in_the_order_of_the_model():
    trace = explore(peterson(forgets_turn=True)).trace()

    assert trace.steps[0].actor == "thread1"
    assert acting(trace) == ("thread0", "thread1")
    assert acting(explore(peterson()).trace("thread 1 enters")) == ("thread1",)


def test_changes_are_told_with_or_without_a_colon():
    step = explore(increment()).trace().steps[2]

    assert changes(step) == ("counter: 0 -> 1", "done: 0 -> 1")
    assert changes(step, "") == ("counter 0 -> 1", "done 0 -> 1")


def test_a_place_names_no_folder():
    assert place("/a/b/model.py:12") == "model.py:12"
    assert place("") == ""


def test_no_line_is_broken_at_a_hyphen():
    assert wrapped("a re-created slot", 11) == ["a", "re-created", "slot"]


def test_a_change_that_just_fits_stays_on_its_line():
    assert wrapped_change("n: 0 -> 1", 9) == ["n: 0 -> 1"]
    assert wrapped_change("n: 0 -> 1", 8) == ["n:", "  0 -> 1"]


texts = st.lists(st.text("abc->", min_size=1, max_size=9), min_size=1, max_size=6).map(" ".join)


@given(texts, st.integers(4, 30))
def test_a_wrapped_change_loses_nothing_and_keeps_its_width(values, width):
    change = f"name[0,1]: {values}"
    lines = wrapped_change(change, width)

    assert max(map(len, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(change.split())
    assert (len(lines) == 1) == (len(change) <= width)


@given(st.lists(st.integers(1, 90), min_size=1, max_size=6), st.integers(10, 100))
def test_fitting_only_narrows_the_widest_and_only_as_far_as_needed(widths, room):
    found = fitted(widths, room, 8)

    assert all(new <= old for new, old in zip(found, widths, strict=True))
    assert sum(found) <= room or max(found) <= 8
    cut = [new for new, old in zip(found, widths, strict=True) if new < old]
    if cut:
        assert sum(found) >= min(room, sum(found))
        assert min(cut) >= max(found) - 1
        assert sum(found) == room or max(found) <= 8
    assert min(cut, default=8) >= 8
