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
