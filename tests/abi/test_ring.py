import pytest

from memslotlib.abi.ring import DirtyRing, batches


def a_ring(entries=8, reserved=2, used=0):
    ring = DirtyRing(entries, reserved)
    for n in range(used):
        ring.push(1, n)
    return ring


def test_entries_come_out_once_in_order():
    ring = a_ring(used=3)

    assert ring.harvest() == [(1, 0), (1, 1), (1, 2)]
    assert ring.harvest() == []
    ring.push(2, 9)
    assert ring.harvest() == [(2, 9)]


def test_only_harvested_entries_are_reset():
    ring = a_ring(used=2)
    assert ring.reset() == []
    assert len(ring) == 2

    ring.harvest()
    ring.push(1, 7)
    assert ring.reset() == [(1, 0), (1, 1)]
    assert len(ring) == 1
    assert ring.reset() == []
    assert ring.harvest() == [(1, 7)]


def test_it_is_soft_full_before_the_reserve_is_touched():
    assert not a_ring(used=5).soft_full
    assert a_ring(used=6).soft_full
    assert a_ring(used=7).soft_full


def test_harvesting_alone_makes_no_room():
    ring = a_ring(used=6)
    ring.harvest()
    assert ring.soft_full

    ring.reset()
    assert not ring.soft_full


def test_a_full_ring_is_never_pushed_to():
    ring = a_ring(used=8)

    with pytest.raises(AssertionError) as error:
        ring.push(1, 8)
    assert str(error.value).startswith("all 8 entries of the ring are used")
    assert ring.harvest()[-1] == (1, 7)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], []),
        ([(1, 5)], [(1, 5, 1)]),
        ([(0, 0)], [(0, 0, 1)]),
        ([(1, 5), (1, 5)], [(1, 5, 1)]),
        ([(1, 5), (1, 68)], [(1, 5, 1 | 1 << 63)]),
        ([(1, 5), (1, 69)], [(1, 5, 1), (1, 69, 1)]),
        ([(1, 68), (1, 5)], [(1, 5, 1 | 1 << 63)]),
        ([(1, 69), (1, 5)], [(1, 69, 1), (1, 5, 1)]),
        ([(1, 40), (1, 60), (1, 20)], [(1, 20, 1 | 1 << 20 | 1 << 40)]),
        ([(1, 40), (1, 60), (1, 0)], [(1, 0, 1 | 1 << 40 | 1 << 60)]),
        ([(1, 40), (1, 100), (1, 36)], [(1, 40, 1 | 1 << 60), (1, 36, 1)]),
        ([(1, 40), (1, 100), (1, 37)], [(1, 37, 1 << 0 | 1 << 3 | 1 << 63)]),
        ([(1, 9), (2, 10), (1, 9)], [(1, 9, 1), (2, 10, 1), (1, 9, 1)]),
        ([(1, 9), (0x10001, 9)], [(1, 9, 1), (0x10001, 9, 1)]),
        ([(2, 9), (2, 8), (3, 8), (3, 9)], [(2, 8, 3), (3, 8, 3)]),
    ],
)
def test_neighbours_of_one_slot_are_reset_at_once(entries, expected):
    assert list(batches(entries)) == expected


def test_a_batch_has_the_pages_of_its_entries():
    entries = [(1, offset) for offset in (70, 7, 100, 101, 3, 66, 67)]
    made = list(batches(entries))

    pages = [first + n for _, first, mask in made for n in range(64) if mask >> n & 1]
    assert sorted(pages) == sorted(offset for _, offset in entries)
    assert all(mask & 1 and mask >> 64 == 0 for _, _, mask in made)


def test_its_limits_can_be_read():
    ring = a_ring()

    assert (ring.size, ring.soft_limit) == (8, 6)
