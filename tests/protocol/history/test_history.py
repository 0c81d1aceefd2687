from __future__ import annotations

import re

import pytest
from protocol.history.judging import explored, violated

from memslotlib.check import explore, replay
from memslotlib.protocol.history import BUGS, Bug

each_bug = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.commit or bug.title)


@each_bug
def test_before_the_fix_exactly_the_named_properties_break(bug: Bug) -> None:
    result = explored(bug.before)

    assert result.is_complete
    assert violated(result) == set(bug.breaks)
    assert {name for name, one in result.verdicts.items() if not one.is_good} == set(bug.breaks)


@each_bug
def test_after_the_fix_everything_holds(bug: Bug) -> None:
    result = explored(bug.after)

    assert result.is_complete
    assert result.ok, result.text


@each_bug
def test_the_window_is_met_before_and_after(bug: Bug) -> None:
    for make in (bug.before, bug.after):
        result = explored(make)

        assert not result.vacuous
        assert result.verdicts[bug.window].hits > 0


@each_bug
def test_both_models_are_held_to_the_same_properties(bug: Bug) -> None:
    assert list(explored(bug.before).verdicts) == list(explored(bug.after).verdicts)
    assert explored(bug.before).digest != explored(bug.after).digest


@each_bug
def test_the_verdicts_are_the_same_without_symmetry(bug: Bug) -> None:
    for make, broken in ((bug.before, set(bug.breaks)), (bug.after, set())):
        assert violated(explore(make(), symmetry=False, traces=False)) == broken


@each_bug
def test_the_trace_runs_again_on_the_generators(bug: Bug) -> None:
    for name in bug.breaks:
        trace = explored(bug.before).trace(name)

        assert trace.is_shortest
        assert replay(bug.before(), trace.replay).steps == trace.steps


@each_bug
def test_a_bug_says_where_it_was_fixed(bug: Bug) -> None:
    assert re.fullmatch("[0-9a-f]{12}", bug.commit) or bug.version == "never merged"
    assert re.fullmatch(r"https://\S+|[\w.+-]+@[\w.]+", bug.source)
    assert bug.title
    assert bug.mechanism


def test_no_bug_is_listed_twice() -> None:
    titles = [bug.title for bug in BUGS]

    assert len(set(titles)) == len(titles)
