"""The table of a model that was explored to the end, which every export of a model is made of."""

from __future__ import annotations

import re
from typing import Any

import pytest
from check.awkward_models import AWKWARD
from check.random_models import random_model

from memslotlib.check import Actor, Bounds, CheckError, Flag, Int, Model, examples, explore
from memslotlib.check.explore import ENGINES
from memslotlib.check.exports.murphi import to_murphi
from memslotlib.check.exports.promela import to_promela
from memslotlib.check.exports.table import (
    indices_of,
    meaning_of,
    one_line,
    shape_of,
    table_of,
    unique_names,
)


def test_a_table_has_the_counts_of_the_exploration_without_reductions() -> None:
    table = table_of(examples.increment(3))

    assert (table.states, table.generated) == (84, 112)
    assert explore(examples.increment(3)).states < 84
    assert list(table.actors) == ["add_one0", "add_one1", "add_one2"]


def test_a_step_with_two_choices_has_each_of_its_outcomes_once() -> None:
    """Its paths are recorded again when another outcome turns out to read something new."""

    def run(m: Any) -> Any:
        while True:
            if m.choose(2):
                m.x = not m.y
            yield

    def other(m: Any) -> Any:
        m.y = True
        yield

    (place,) = table_of(
        Model("again", {"x": Flag(), "y": Flag()}, [Actor(run), Actor(other)])
    ).actors["run"]

    assert [(move.reads, move.writes) for move in place.moves] == [
        ((), ()),
        (((1, 0),), ((0, 1),)),
        (((1, 1),), ((0, 0),)),
    ]


def test_places_are_numbered_as_they_are_met_and_only_those_that_are_entered() -> None:
    start, crashed = table_of(AWKWARD["only_stops"]()).actors["run"]

    assert [move.to for move in start.moves] == [1]
    (move,) = crashed.moves
    assert (move.to, move.writes, move.stops) == (1, (), True)


def test_waits_that_are_deadlocks_are_kept_apart_from_those_that_are_not() -> None:
    (place,) = table_of(AWKWARD["mixed_wait"]()).actors["worker"]

    assert (place.waits, place.ends) == ((((0, 2),),), (((0, 0),),))


def test_members_have_the_same_moves_on_their_own_cells() -> None:
    actors = table_of(examples.increment(2)).actors

    writes = [[move.writes for move in actors[f"add_one{n}"][0].moves] for n in range(2)]
    assert writes == [[((2, 0),), ((2, 1),)], [((3, 0),), ((3, 1),)]]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_text_does_not_depend_on_the_engine(engine: str) -> None:
    for model in (examples.peterson(), AWKWARD["members"](), random_model(3)):
        assert to_promela(model, engine=engine) == to_promela(model, engine="python")
        assert to_murphi(model, engine=engine) == to_murphi(model, engine="python")


def test_an_unknown_engine_is_refused_with_those_that_are_here() -> None:
    with pytest.raises(CheckError, match="no engine 'pythn': did you mean 'python'"):
        table_of(examples.peterson(), engine="pythn")


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [(Bounds(states=3), "states"), (Bounds(depth=2), "depth")],
)
def test_what_was_not_explored_to_the_end_is_refused(bounds: Bounds, reason: str) -> None:
    with pytest.raises(CheckError, match=rf"not explored to the end \({reason}: \d+ of \d+ states"):
        table_of(examples.peterson(), bounds)


def test_a_bound_that_is_not_reached_refuses_nothing() -> None:
    assert table_of(examples.peterson(), Bounds(states=1000, depth=1000)).states == 20


def test_what_an_actor_remembers_leaves_out_the_state_who_it_is_and_functions() -> None:
    places = table_of(AWKWARD["calls"]()).actors["caller"]

    assert places[0].locals == ""
    assert places[1].locals == "position=1 word='one' position=1 total=1"
    assert places[-1].locals == "returned"
    assert places[-1].source == ""


def test_the_line_where_the_next_step_begins_is_said() -> None:
    server, client = table_of(AWKWARD["end_waits"]()).actors.values()

    assert re.fullmatch(r"awkward_models\.py:\d+: m\.wait\(m\.answered\)", client[1].source)
    assert server[0].source.endswith("m.wait(m.asked, end=True)")


def test_indices_of_a_reference_end_with_the_member() -> None:
    owner = AWKWARD["two_locks"]().variable("owner")
    now = AWKWARD["names"]().variable("now")

    assert shape_of(owner) == (2, 2)
    assert [indices_of(owner, cell) for cell in range(4)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert indices_of(now, now.first + 5) == (1, 2)
    assert indices_of(AWKWARD["names"]().variable("do"), 0) == ()


def test_the_meaning_of_codes_is_said_where_they_are_not_the_values() -> None:
    variables = {name: AWKWARD["names"]().variable(name) for name in ("do", "byte", "now", "rule")}

    assert meaning_of(variables["do"]) == ""
    assert meaning_of(variables["byte"]) == ""
    assert meaning_of(variables["now"]) == "0: false, 1: true"
    assert meaning_of(variables["rule"]) == "0: Colour.RED, 1: Colour.GREEN"
    assert meaning_of(AWKWARD["below_zero"]().variable("level")) == "-3 to 2, as 0 to 5"
    assert meaning_of(Model("m", {"x": Int(0, 3)}, [Actor(_idle)]).variable("x")) == ""


def _idle(m: Any) -> Any:
    yield


def test_names_are_plain_different_and_not_reserved() -> None:
    wanted = ["do", "do_", "größe", "gr__e", "NULL", "_x", "1st", "a-b"]

    found = unique_names(wanted, frozenset({"do"}))

    assert found == ["do_", "do__", "gr__e", "gr__e_", "v_NULL", "v__x", "v_1st", "a_b"]


def test_a_comment_is_one_line_that_ends_nothing_and_is_not_too_long() -> None:
    assert one_line('a\n  "b" */ \\ /* c') == "a 'b' * / / / * c"
    assert one_line("x" * 80) == "x" * 67 + "..."
    assert one_line("x" * 70) == "x" * 70
