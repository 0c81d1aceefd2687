"""Members that are declared interchangeable and are not."""

from __future__ import annotations

import pytest

from memslotlib.check import (
    Actor,
    Array,
    Flag,
    Int,
    Model,
    ModelError,
    Symmetric,
    always,
    explore,
)
from memslotlib.check.explore import ENGINES

CPU = Symmetric("cpu", 3)


def work(m, me):
    while True:
        m.flag[me] = not m.flag[me]
        yield


def model(actor=None, *properties):
    actors = [Actor(work, per=CPU)] + ([Actor(actor)] if actor else [])
    return Model("told apart", {"flag": Array(Flag(), CPU), "x": Int(4)}, actors, properties)


def favours_the_first(m):
    """A loop over all members that stops at the first one: its order is not theirs."""
    while True:
        for one in CPU:
            m.x = 2 + m.flag[one]
            break
        yield


def treats_all_alike(m):
    while True:
        m.x = sum(m.flag)
        for one in CPU:
            m.flag[one] = False
        yield


@pytest.mark.parametrize("engine", ENGINES)
def test_an_actor_that_favours_a_member_is_found_out(engine):
    with pytest.raises(ModelError, match=r"members cpu\d and cpu\d of cpu are told apart") as error:
        explore(model(favours_the_first), engine=engine)

    assert "flag=[" in error.value.state


@pytest.mark.parametrize("engine", ENGINES)
def test_a_predicate_that_favours_a_member_is_found_out(engine):
    first = always("first is quiet", lambda m: not m.flag[CPU[0]] or m.flag[CPU[1]])

    with pytest.raises(ModelError, match="of cpu are told apart"):
        explore(model(None, first), engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_treats_all_members_alike_passes_and_is_counted_once(engine):
    whole = explore(model(treats_all_alike), engine=engine, symmetry=False)
    reduced = explore(model(treats_all_alike), engine=engine)

    assert (whole.states, reduced.states) == (32, 16)
    assert reduced.symmetry
    assert not whole.symmetry


@pytest.mark.parametrize("engine", ENGINES)
def test_without_symmetry_nobody_minds(engine):
    assert explore(model(favours_the_first), engine=engine, symmetry=False).is_complete


def names_itself(m, me):
    m.x = int(str(me)[-1])
    yield


def knows_its_number(m, me):
    if me.index == 2:
        m.x = 1
    yield


def takes_the_first_other(m, me):
    for other in CPU:
        if other != me and not m.flag[other]:
            m.flag[other] = True
            break
    yield


def treats_others_alike(m, me):
    other = m.choose([one for one in CPU if one != me])
    m.flag[other] = True
    m.flag[me] = any(m.flag[one] for one in CPU)
    yield


@pytest.mark.parametrize("symmetry", [True, False])
@pytest.mark.parametrize("actor", [names_itself, knows_its_number, takes_the_first_other])
def test_a_member_that_does_something_else_in_anothers_place_is_found_out(actor, symmetry):
    """The first member's paths stand for all of theirs, with and without the reduction."""
    variables = {"flag": Array(Flag(), CPU), "x": Int(4)}

    with pytest.raises(
        ModelError, match="in each other's place, they do different things"
    ) as error:
        explore(Model("apart", variables, [Actor(actor, per=CPU)]), symmetry=symmetry)

    assert error.value.actor == f"{actor.__name__}0"
    assert "test_symmetry.py:" in error.value.where


def test_members_that_choose_among_the_others_are_counted_as_python_runs_them():
    variables = {"flag": Array(Flag(), CPU), "x": Int(4)}
    alike = Model("alike", variables, [Actor(treats_others_alike, per=CPU)])

    assert explore(alike, symmetry=False).states == 14
    assert explore(alike).states == 5
