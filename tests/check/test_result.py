from __future__ import annotations

import pytest
from check.models import blamed, explored

from memslotlib.check import CheckError, always, explore, first_difference, never, sometimes, why
from memslotlib.check.examples import increment, peterson, two_phase_commit
from memslotlib.verdict import Word


def racy(m):
    m.x = m.y + 1
    yield "read y"
    m.y = m.x
    yield "write y"
    if m.y == 1:
        m.fail("long way")
    elif m.y > 1:
        m.fail("fine")
    yield "look"


def steady(m):
    m.x = 1
    if m.y:
        m.fail("fine")
    yield


def test_a_result_is_told_in_a_few_lines():
    assert str(explore(increment(), engine="python")) == (
        "increment: 8 states explored, 10 generated, depth 5\n"
        "  every interleaving, up to permutations of thread\n"
        "  VIOLATED      never: no lost update after 4 steps\n"
        "  HOLDS         sometimes: both added after 4 steps\n"
        "  HOLDS         no deadlock: no deadlock"
    )


def test_no_line_of_a_result_is_wider_than_72_columns():
    results = [explore(one, engine="python") for one in (increment(), two_phase_commit(3))]

    assert max(len(line) for one in results for line in one.text.splitlines()) <= 72


def test_depth_is_the_number_of_levels_and_states_are_in_them():
    result = explore(increment(), engine="python", symmetry=False)

    assert result.depth == len(result.levels) == 5
    assert sum(result.levels) == result.states == 13


def test_the_shortest_trace_of_all_violations_comes_without_a_name():
    result = explored(
        racy,
        properties=[never("long way"), always("x is small", lambda m: m.x < 1), sometimes("start")],
    )

    assert {name: len(one) for name, one in result.traces.items()} == {
        "long way": 3, "x is small": 1
    }  # fmt: skip
    assert result.trace() is result.traces["x is small"]
    assert result.trace("long way") is result.traces["long way"]


def test_a_sighting_is_no_violation():
    result = explored(steady, properties=[sometimes("x", lambda m: m.x), never("other")])

    assert len(result.trace("x")) == 1
    with pytest.raises(CheckError, match="^small: no property is violated, so there is no trace$"):
        result.trace()


def test_a_trace_that_is_not_there_is_refused_with_the_reason():
    result = explored(racy, properties=[never("fine"), never("long way")])

    with pytest.raises(CheckError, match="^fine: HOLDS, so it has no trace$"):
        result.trace("fine")
    with pytest.raises(CheckError, match="^no property 'long': did you mean 'long way'\\?$"):
        result.trace("long")


def test_a_property_that_is_undetermined_is_not_good():
    result = explored(steady, properties=[never("fine"), sometimes("never comes")])

    assert result.verdicts["fine"].verdict.word is Word.UNDETERMINED
    assert not result.verdicts["fine"].is_good
    assert not result.ok


def test_all_good_is_ok():
    assert explored(steady, properties=[never("fine"), sometimes("x", lambda m: m.x)]).ok
    assert explored(steady).ok


def rarely(m):
    while m.x < 2:
        m.x += 1
        if m.x == 3:
            m.y = 1  # blamed
            m.y = 2
        yield "up"


def test_the_lines_that_no_path_ran_are_named_with_their_files():
    found = list(explored(rarely).uncovered)
    file, _, line = blamed(rarely).rpartition(":")

    assert [(name, one.number) for name, one in found] == [
        (file, int(line)), (file, int(line) + 1)
    ]  # fmt: skip
    assert found[1][1].text == "            m.y = 2"


def test_a_footprint_names_actor_line_labels_reads_and_writes():
    first, second, third = explored(racy, properties=[never("long way")]).footprints
    line = racy.__code__.co_firstlineno

    assert (first.actor, first.where, first.text) == (
        "racy", f"{__file__}:{line + 1}", "m.x = m.y + 1"
    )  # fmt: skip
    assert (first.labels, first.reads, first.writes) == (("read y",), ("y",), ("x",))
    assert (second.labels, second.reads, second.writes) == (("write y",), ("x",), ("y",))
    assert (third.labels, third.reads, third.writes) == (("look",), ("y",), ())


def lost_update():
    return explore(increment(), engine="python").trace("no lost update")


def test_why_names_the_last_writer_of_everything_that_a_step_read():
    trace = lost_update()

    assert why(trace) == {
        "seen[0]": (0, "(initial value)"),
        "done": (3, trace.steps[2].line),
    }
    assert trace.steps[2].line == "add_one1  store  counter 0 -> 1; done 0 -> 1"


def test_why_of_an_earlier_step_looks_only_at_steps_before_it():
    trace = lost_update()

    assert why(trace, 1) == {"counter": (0, "(initial value)")}
    assert why(trace, 3)["seen[1]"] == (0, "(initial value)")
    assert why(trace, 4) == why(trace)


@pytest.mark.parametrize("step", [-1, 5, 100])
def test_why_of_a_step_that_is_not_there_is_refused(step):
    with pytest.raises(CheckError, match=f"^the trace has steps 1 to 4, and no step {step}$"):
        why(lost_update(), step)


def test_the_first_difference_of_two_runs_is_a_step_and_both_lines():
    faulty = explore(peterson(forgets_turn=True), engine="python")
    one = faulty.trace("mutual exclusion")
    other = faulty.trace("thread 1 enters")

    assert first_difference(one, one) is None
    number, left, right = first_difference(one, other)
    assert (left, right) == (one.steps[number - 1].line, "(ended)")
    assert number == len(other) + 1
    assert first_difference(other, one) == (number, right, left)


def test_runs_that_part_at_once_differ_in_the_first_step():
    faulty = explore(peterson(forgets_turn=True), engine="python")

    assert first_difference(faulty.trace("thread 0 enters"), faulty.trace("thread 1 enters")) == (
        1,
        "thread0  want  wants[0] False -> True",
        "thread1  want  wants[1] False -> True",
    )
