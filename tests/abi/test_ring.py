from memslotlib.abi.ring import DirtyRing


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


def test_a_full_ring_drops_entries():
    ring = a_ring(used=10)

    assert len(ring) == 8
    assert ring.harvest()[-1] == (1, 7)


def test_its_limits_can_be_read():
    ring = a_ring()

    assert (ring.size, ring.soft_limit) == (8, 6)
