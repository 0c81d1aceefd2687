"""userfaultfd: everybody waits while userspace copies, vhost too."""

from __future__ import annotations

from dataclasses import replace

from protocol.stage import FLIP, broken, moments, stage, survivors, world

from memslotlib.protocol.apis import remap, userfaultfd
from memslotlib.protocol.program import Program
from memslotlib.protocol.world import X86, Access, every

ACCESSES = every(("load", "store"), (0,), ("guest", "emulator"))
BY_VHOST = (Access("store", 0, "vhost"),)


def test_the_copy_comes_when_the_pages_are_out_of_reach():
    names = [op.step.__name__ for op in userfaultfd.update(FLIP, X86)]

    assert names.index("unmap") < names.index("end_invalidation") < names.index("begin_copy")
    assert names.index("begin_copy") < names.index("map_other")
    assert moments(stage(FLIP, *userfaultfd.update(FLIP, X86))) == ["old"]


def test_nothing_is_lost_whoever_writes():
    w = world(FLIP, userfaultfd.update(FLIP, X86), accesses=ACCESSES)
    with_vhost = replace(w, outside=BY_VHOST, accesses_max=1)

    assert broken(w) == set()
    assert broken(with_vhost) == set()


def test_a_copy_before_the_pages_go_loses_stores_as_a_plain_mmap_does():
    program = userfaultfd.update(FLIP, X86)
    early = sorted(program, key=lambda op: op.step.__name__ != "begin_copy")

    assert Program(tuple(early)).ops == remap.update(FLIP, X86).ops


def test_every_step_is_needed_but_for_the_copy_and_what_ends_a_loop():
    w = world(FLIP, userfaultfd.update(FLIP, X86), accesses=ACCESSES)

    assert {name.partition(" ")[2] for name in survivors(w)} == {
        "begin copy",
        "end invalidation",
    }
