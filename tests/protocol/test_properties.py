"""The properties' words: what a model holds an update to is stated, and the other way round."""

from __future__ import annotations

import pytest
from protocol.stage import FLIP, world

from memslotlib.protocol import failures, model
from memslotlib.protocol.apis import today
from memslotlib.protocol.properties import PROPERTIES, UnknownPropertyError, stated
from memslotlib.protocol.slots import Change, Slot
from memslotlib.protocol.world import X86, Access


def test_every_property_of_a_model_is_stated_and_every_stated_one_is_in_some_model():
    log = Change((Slot("log", 0, 1, log=True),), ())
    made = [*model.properties(world(FLIP, mix=True)), *model.properties(world(log))]
    two = Change((Slot("ram", 0, 1), Slot("smm", 0, 1, as_id=1)), (Slot("smm", 0, 1, as_id=1),))
    made += model.properties(world(two, today.update(two, X86), caches=True))
    made += failures.model(world(FLIP)).properties
    over = Access("load", 0, "emulator", npages=2)
    made += model.properties(world(FLIP, exits=True, accesses=(over,)))
    made += model.properties(world(log, ring=True))
    made += model.properties(world(FLIP, pointers=True))
    names = {one.name for one in made if one.name[0] == "I"}

    assert names == {one.name for one in PROPERTIES.values()}


def test_a_property_is_found_by_its_id_and_says_what_it_says():
    one = stated("I4a'")

    assert one.name == f"I4a' {one.short}"
    assert one.statement.endswith(".")
    assert one.history


def test_an_unknown_id_is_refused_with_those_that_there_are():
    with pytest.raises(UnknownPropertyError, match="no property 'I99'; there are I1, I2") as error:
        stated("I99")
    assert isinstance(error.value, KeyError)
