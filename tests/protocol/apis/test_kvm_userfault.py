"""KVM Userfault: page faults leave to userspace, nobody else does."""

from __future__ import annotations

from dataclasses import replace

from protocol.stage import EMULATED, FLIP, LOAD, broken, moments, stage, until, world

from memslotlib.protocol.apis import kvm_userfault
from memslotlib.protocol.sequential import Outcome
from memslotlib.protocol.world import X86, Access, every

PROGRAM = kvm_userfault.update(FLIP, X86)


def test_the_flag_comes_with_one_swap_and_zaps_the_slot():
    on = stage(FLIP, *PROGRAM)

    assert moments(on) == ["old", "old?"]
    assert on.access(LOAD) == Outcome("memory", "B")


def test_a_page_fault_leaves_until_the_bits_are_clear_and_an_access_of_kvms_own_does_not():
    on = stage(FLIP, *PROGRAM)
    update, fault = on.update(), on.accessing(LOAD)
    until(update, "copy the old pages")
    until(fault, "load gfn 0 via guest: exit, userfault")

    assert not fault.step()
    assert on.access(EMULATED, cpu=1) == Outcome("memory", "A")
    on.run(update)
    on.run(fault)
    assert on.failed == []


def test_a_store_is_lost_where_it_is_no_page_fault():
    stores = every(("load", "store"), (0,), ("guest",))
    w = world(FLIP, PROGRAM, accesses=stores)

    assert broken(w) == set()
    assert broken(replace(w, accesses=every(("store",), (0,), ("emulator",)))) == {"I4b"}
    assert broken(replace(w, outside=(Access("store", 0, "vhost"),), accesses_max=1)) == {"I4b"}
