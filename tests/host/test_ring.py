import os
import struct

import pytest

from memslotlib.host import KvmVm
from memslotlib.host.ring import DirtyRing
from memslotlib.uapi import PAGE_SIZE, Cap, MemFlag

from .conftest import GPA, HVA

LOG = int(MemFlag.LOG_DIRTY_PAGES)


def pushed(fd, index, slot, offset, flags=1):
    """Do what the kernel does."""
    os.pwrite(fd, struct.pack("<IIQ", flags, slot, offset), 64 * PAGE_SIZE + 16 * index)


@pytest.fixture
def fake():
    """A file in a vCPU's place: its page 64 is a ring of 256 entries."""
    fd = os.memfd_create("vcpu")
    os.ftruncate(fd, 65 * PAGE_SIZE)
    yield fd
    os.close(fd)


def test_entries_are_harvested_in_order_and_once(fake):
    ring = DirtyRing(fake, PAGE_SIZE)
    pushed(fake, 0, 1, 7)
    pushed(fake, 1, 1 << 16 | 2, 9)

    assert ring.reap() == [(1, 7), (0x10002, 9)]
    assert ring.reap() == []
    ring.close()


def test_a_harvested_entry_is_marked_for_reset(fake):
    ring = DirtyRing(fake, PAGE_SIZE)
    pushed(fake, 0, 1, 7)
    ring.reap()

    assert struct.unpack("<I", os.pread(fake, 4, 64 * PAGE_SIZE))[0] & 2
    ring.close()


def test_the_ring_goes_round(fake):
    ring = DirtyRing(fake, PAGE_SIZE)
    for index in range(256):
        pushed(fake, index, 1, index)
    assert len(ring.reap()) == 256
    assert ring.reap() == [], "harvested entries are not harvested again"

    pushed(fake, 0, 1, 256)

    assert ring.reap() == [(1, 256)]
    ring.close()


@pytest.fixture
def ringed(backend):
    with KvmVm(backend=backend) as vm:
        vm.enable_cap(Cap.DIRTY_LOG_RING, 4096)
        vm.memory(HVA, 0x200000)
        vm.set_user_memory_region(1, LOG, GPA, 0x200000, HVA)
        yield vm


@pytest.mark.needs_kvm("DIRTY_LOG_RING")
class TestTheKernelsRing:
    def test_before_the_first_access_there_is_nothing_to_reap(self, ringed):
        assert ringed.reap_dirty_ring() == []

    def test_stores_are_pushed_in_order(self, ringed):
        for page in (3, 1, 2):
            ringed.write(GPA + page * PAGE_SIZE, b"x")

        assert ringed.reap_dirty_ring() == [(1, 3), (1, 1), (1, 2)]
        assert ringed.reset_dirty_rings() == 3

    def test_a_page_is_pushed_again_only_after_its_reset(self, ringed):
        ringed.write(GPA, b"x")
        ringed.reap_dirty_ring()
        ringed.write(GPA, b"y")
        unreset = ringed.reap_dirty_ring()
        ringed.reset_dirty_rings()
        ringed.write(GPA, b"z")

        assert unreset == []
        assert ringed.reap_dirty_ring() == [(1, 0)]

    def test_entries_outlive_their_slot(self, ringed):
        ringed.write(GPA + PAGE_SIZE, b"x")
        ringed.set_user_memory_region(1, 0, 0, 0, 0)

        assert ringed.reap_dirty_ring() == [(1, 1)]

    def test_a_full_ring_stops_the_guest_before_the_access(self, ringed):
        exits = [ringed.write(GPA + page * PAGE_SIZE, b"x") for page in range(250)]

        full = next(i for i, one in enumerate(exits) if one.reason == "dirty_ring_full")
        assert {one.reason for one in exits[:full]} == {"done"}
        ringed.reap_dirty_ring()
        ringed.reset_dirty_rings()
        assert ringed.write(GPA, b"y").reason == "done"
