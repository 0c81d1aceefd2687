"""The drafted exit of a fetch: what it mends, what it does not, and that it is no end in itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from protocol.stage import GONE, OLD, world

from memslotlib.check import explore
from memslotlib.protocol.apis import APIS, today
from memslotlib.protocol.fetching import fetching_again
from memslotlib.protocol.model import model
from memslotlib.protocol.program import Program
from memslotlib.protocol.properties import violated
from memslotlib.protocol.scenes import SCENES
from memslotlib.protocol.slots import Change
from memslotlib.protocol.world import ARM64, X86, Access

FETCH, OWN = Access("fetch", 0), Access("fetch", 0, "emulator")
AGAIN = Change((OLD,), (replace(OLD, name="again"),))


def broken(made):
    return set(violated(explore(made, traces=False)))


def small(name, key="today"):
    return replace(SCENES[name].world(APIS[key]), accesses_max=2)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("split+fetch", set()),
        ("shift+fetch", set()),
        ("split+load", {"I3a"}),
        ("split+emulator", {"I3a"}),
        ("split+walk", {"I3a"}),
    ],
)
def test_fetches_are_mended_and_nothing_else_is(name, found):
    assert broken(fetching_again(small(name))) == found


@pytest.mark.parametrize("key", ["today", "rfc-intended"])
def test_without_the_exit_fetches_meet_a_hole(key):
    assert broken(model(small("split+fetch", key))) == {"I3a"}
    assert broken(fetching_again(small("split+fetch", key))) == set()


@pytest.mark.parametrize("policy", [X86, ARM64])
@pytest.mark.parametrize("access", [FETCH, OWN])
def test_who_has_left_comes_back_when_the_slot_does(access, policy):
    w = world(AGAIN, today.update(AGAIN, policy), accesses=(access,), policy=policy)

    assert broken(model(w)) == {"I3a"}
    assert broken(fetching_again(w)) == set()


@pytest.mark.parametrize("access", [FETCH, OWN])
def test_who_has_left_waits_for_ever_where_no_slot_comes(access):
    made = fetching_again(world(GONE, Program(today.delete(OLD, X86)), accesses=(access,)))

    assert "I10" in broken(made)
