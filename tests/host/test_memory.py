import ctypes
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memslotlib.errors import MemslotError
from memslotlib.host.memory import WINDOW_SIZE_BYTES, HostMemory
from memslotlib.uapi import PAGE_SIZE

BASE = 0x2200_0000_0000


@pytest.fixture
def memory():
    memory = HostMemory()
    yield memory
    memory.close()


def mapped():
    """The ranges of this process that lie in our files, merged."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(part, 16) for part in line.split()[0].split("-"))
        if BASE <= low < BASE + (1 << 32):
            if ranges and ranges[-1][1] == low:
                low, _ = ranges.pop()
            ranges.append((low, high))
    return ranges


def test_a_view_is_the_memory_at_its_address(memory):
    memory.view(BASE + 5, 3)[:] = b"abc"

    assert ctypes.string_at(BASE + 5, 3) == b"abc"
    ctypes.memset(BASE + 6, ord("x"), 1)
    assert bytes(memory.view(BASE + 4, 5)) == b"\0axc\0"


def test_only_the_touched_pages_are_mapped(memory):
    memory.view(BASE + PAGE_SIZE - 1, 2)
    memory.view(BASE + 8 * PAGE_SIZE, 1)

    assert mapped() == [
        (BASE, BASE + 2 * PAGE_SIZE),
        (BASE + 8 * PAGE_SIZE, BASE + 9 * PAGE_SIZE),
    ]


def test_a_view_over_pieces_mapped_apart_is_one(memory):
    memory.view(BASE + PAGE_SIZE, 1)[0] = 1
    memory.view(BASE + 3 * PAGE_SIZE, 1)[0] = 3

    whole = memory.view(BASE, 5 * PAGE_SIZE)

    assert [whole[i * PAGE_SIZE] for i in range(5)] == [0, 1, 0, 3, 0]


def test_a_view_may_cross_windows(memory):
    memory.view(BASE + WINDOW_SIZE_BYTES - 1, 2)[:] = b"ab"

    assert ctypes.string_at(BASE + WINDOW_SIZE_BYTES - 1, 2) == b"ab"
    assert memory.view(BASE + WINDOW_SIZE_BYTES, 1)[0] == ord("b")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=8))
def test_exactly_the_union_of_all_views_is_mapped(pieces):
    memory = HostMemory()
    try:
        for first, count in pieces:
            memory.view(BASE + first * PAGE_SIZE, count * PAGE_SIZE)
        pages = {first + i for first, count in pieces for i in range(count)}
        found = {
            page
            for low, high in mapped()
            for page in range((low - BASE) // PAGE_SIZE, (high - BASE) // PAGE_SIZE)
        }
        assert found == pages
    finally:
        memory.close()
    assert mapped() == []


def test_two_owners_cannot_have_one_address(memory):
    memory.view(BASE, 1)
    other = HostMemory()

    with pytest.raises(MemslotError, match=r"memory at \[0x220000000000, 0x220000001000\): File"):
        other.view(BASE, 1)

    other.close()


def test_an_address_beyond_userspace_is_refused(memory):
    with pytest.raises(MemslotError, match="Cannot allocate memory"):
        memory.view(0x7FFF_FFFF_F000, PAGE_SIZE)


def test_memory_anywhere_is_in_nobody_s_way(memory):
    other = HostMemory()
    places = [memory.anywhere(0x3000), other.anywhere(0x3000), memory.anywhere(0x3000)]
    memory.view(places[0] + 0x1000, 2)[:] = b"hi"

    assert len(set(places)) == 3
    assert ctypes.string_at(places[0] + 0x1000, 2) == b"hi"
    assert bytes(memory.view(places[2], 0x3000)) == bytes(0x3000)
    other.close()


def test_more_memory_than_there_is_address_space_is_refused(memory):
    with pytest.raises(MemslotError, match="memory of 0x1000000000000 bytes: Cannot allocate"):
        memory.anywhere(1 << 48)


@pytest.mark.parametrize(("hva", "size"), [(BASE, 0), (BASE, -1), (-PAGE_SIZE, PAGE_SIZE)])
def test_an_empty_or_negative_range_is_refused(memory, hva, size):
    with pytest.raises(ValueError, match="no memory in"):
        memory.view(hva, size)


def test_a_view_that_outlives_its_owner_reads_old_memory():
    memory = HostMemory()
    view = memory.view(BASE, 3)
    view[:] = b"old"
    memory.close()
    fresh = HostMemory()

    assert bytes(view) == b"old"
    assert bytes(fresh.view(BASE, 3)) == bytes(3)
    fresh.close()


def test_many_pieces_stay_cheap(memory):
    for page in range(20_000):
        memory.view(BASE + page * PAGE_SIZE, 1)

    assert mapped() == [(BASE, BASE + 20_000 * PAGE_SIZE)]


OTHER = 0x2300_0000_0000
moves = pytest.mark.parametrize("by_move", [False, True], ids=["mmap", "mremap"])


@moves
def test_a_remapped_address_shows_the_other_bytes_and_views_stay_what_they_were(memory, by_move):
    own, other = memory.view(BASE, 3 * PAGE_SIZE), memory.view(OTHER, PAGE_SIZE)
    own[PAGE_SIZE : PAGE_SIZE + 3], other[:3] = b"own", b"new"

    memory.remap(BASE + PAGE_SIZE, PAGE_SIZE, OTHER, by_move=by_move)

    assert ctypes.string_at(BASE + PAGE_SIZE, 3) == b"new"
    ctypes.memset(BASE + PAGE_SIZE, ord("N"), 1)
    assert bytes(other[:3]) == b"New"
    assert bytes(own[PAGE_SIZE : PAGE_SIZE + 3]) == b"own"
    assert mapped() == [(BASE, BASE + 3 * PAGE_SIZE)]
    memory.remap(BASE + PAGE_SIZE, PAGE_SIZE, BASE + PAGE_SIZE, by_move=by_move)
    assert ctypes.string_at(BASE + PAGE_SIZE, 3) == b"own"
    memory.close()
    assert mapped() == []


@moves
def test_only_memory_that_is_mapped_is_remapped(memory, by_move):
    memory.view(BASE, PAGE_SIZE)

    with pytest.raises(ValueError, match="no memory in .*0x220000002000\\) to be replaced"):
        memory.remap(BASE, 2 * PAGE_SIZE, OTHER, by_move=by_move)


@moves
def test_a_remap_that_the_kernel_refuses_leaves_everything_as_it_was(memory, by_move, leaks):
    memory.view(BASE, PAGE_SIZE)[:3] = b"own"
    leaks()

    with pytest.raises(MemslotError, match="memory at .*: Invalid argument"):
        memory.remap(BASE, PAGE_SIZE, OTHER + 1, by_move=by_move)
    with pytest.raises(MemslotError, match="memory at .*: Invalid argument"):
        memory.remap(BASE, 0, OTHER, by_move=by_move)

    assert ctypes.string_at(BASE, 3) == b"own"
    assert leaks() == {}
