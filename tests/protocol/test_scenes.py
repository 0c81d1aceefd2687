"""The scenes: each is a change worth asking about, and its world has what that needs."""

from __future__ import annotations

import pytest

from memslotlib.protocol.apis import APIS
from memslotlib.protocol.scenes import HUGE, SCENES, SHIFT, SPLIT, logged

TODAY, MOVE = APIS["today"], APIS["move"]


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
def test_a_scene_changes_what_its_accesses_look_at(scene):
    change = scene.change
    frames = {(one.as_id, gfn) for one in (*change.gone, *change.come) for gfn in one.gfns}

    looked_at = {(access.as_id, access.gfn) for access in scene.accesses}
    looked_at |= {(1, scene.smram)} if scene.smram is not None else set()
    assert frames & looked_at
    assert len(set(scene.accesses)) == len(scene.accesses)


@pytest.mark.parametrize("scene", SCENES.values(), ids=list(SCENES))
def test_a_scene_has_no_overlap_before_or_after(scene):
    for slots in (scene.change.before, scene.change.after):
        frames = [(slot.as_id, gfn) for slot in slots for gfn in slot.gfns]
        assert len(frames) == len(set(frames))


def test_a_world_takes_the_last_round_where_a_slot_logs_and_only_there():
    for name, last in (("split-logged+store", "settle"), ("split+load", "ioctl_returns")):
        (program,) = SCENES[name].world(TODAY).programs
        assert program[-1].step.__name__ == last


def test_a_world_may_be_bigger_than_its_scene():
    scene = SCENES["split+load"]
    w = scene.world(TODAY, more=1, vcpus=3)

    assert (w.accesses_max, w.vcpus) == (scene.accesses_max + 1, 3)
    assert (scene.world(TODAY).accesses_max, scene.world(TODAY).vcpus) == (scene.accesses_max, 2)
    assert w.huge == HUGE


def test_logging_is_of_the_slots_that_change():
    found = logged(SHIFT)

    assert [slot.log for slot in found.before] == [True, True, False]
    assert [slot.log for slot in found.after] == [True, True, False]
    assert [slot.name for slot in logged(SPLIT).gone] == ["old"]


def test_an_api_says_why_it_cannot_make_a_scenes_change():
    assert SCENES["split+load"].refusal(MOVE)
    assert SCENES["move+load"].refusal(MOVE) == ""
    assert all(scene.refusal(TODAY) == "" for scene in SCENES.values())


def test_a_bound_below_two_vcpus_with_three_accesses_says_why():
    for scene in SCENES.values():
        is_small = scene.vcpus < 2 or scene.accesses_max < 3
        assert bool(scene.smaller) == is_small, scene.name
