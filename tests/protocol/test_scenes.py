"""The scenes: each is a change worth asking about, and its world has what that needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memslotlib.litmus_model import ALL_SCENES
from memslotlib.protocol.apis import APIS
from memslotlib.protocol.scenes import HUGE, SCENES, SHIFT, SPLIT, everywhere, logged
from memslotlib.protocol.world import Access, World

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


def test_where_nobody_leaves_there_is_no_exit_to_drain():
    drained = SCENES["hva-flip+drained-exit"]
    asked = {key for key, api in APIS.items() if not drained.refusal(api)}

    assert asked == {
        *("today", "rfc-posted", "rfc-intended", "wholesale-block"),
        *("fetch-remove-add", "attributes"),
    }
    assert drained.refusal(APIS["pause"]) == "nobody leaves: there is no exit to complete"
    assert SCENES["hva-flip+exit"].refusal(APIS["pause"]) == ""


def left_out(scene):
    """Return the accesses of a scene's kinds and ways, to any frame, that it does not have."""
    made = {*scene.accesses, *scene.outside}
    ways = {(one.kind, one.via, one.as_id, one.npages) for one in made}
    return {
        Access(kind, gfn, via, as_id, pages)
        for kind, via, as_id, pages in ways
        for gfn in range(World.gfns + 1 - pages)
    } - made


@pytest.mark.parametrize("scene", ALL_SCENES.values(), ids=list(ALL_SCENES))
def test_a_bound_below_three_accesses_in_every_way_to_every_frame_says_why(scene):
    is_small = scene.vcpus < 2 or scene.accesses_max < 3 or bool(left_out(scene))

    assert bool(scene.smaller) == is_small


def test_all_scenes_with_vhost_a_device_or_another_thread_have_three_accesses():
    small = [one for one in SCENES.values() if one.outside or one.contender]

    assert len(small) >= 6
    assert {one.accesses_max for one in small} == {3}
    for one in small:
        if one.outside:
            assert {access.gfn for access in one.outside} == set(range(World.gfns))


def test_everywhere_is_every_way_to_every_frame():
    scene = SCENES["hva-flip+store"]
    over = SCENES["split+straddle"]

    assert left_out(replace(scene, accesses=everywhere(scene))) == set()
    assert len(everywhere(scene)) == len(scene.accesses) + 2
    assert {one.gfn for one in everywhere(over) if one.npages == 2} == {0, 1, 2}


def test_what_is_left_out_is_seen():
    whole = SCENES["split+load"]

    assert left_out(whole) == set()
    assert left_out(replace(whole, accesses=whole.accesses[1:])) == {whole.accesses[0]}


def test_more_vcpus_make_the_narrow_accesses_and_as_many_make_all():
    for scene in SCENES.values():
        assert set(scene.narrow) < set(scene.accesses)
        assert scene.world(TODAY, vcpus=3).accesses == (scene.narrow or scene.accesses)
        assert scene.world(TODAY, vcpus=2).accesses == scene.accesses
        assert scene.world(TODAY, more=1).accesses == scene.accesses
    assert SCENES["split+emulator"].narrow


def test_a_scene_has_a_second_address_space_if_and_only_if_somebody_looks_at_it():
    for scene in SCENES.values():
        looked_at = {one.as_id for one in (*scene.accesses, *scene.outside)}
        assert looked_at == set(range(scene.change.spaces)), scene.name
