"""KVM_GET_DIRTY_LOG writes as many bytes as the slot needs that has the number now."""

import errno

import pytest

from memslotlib.host.overrun import Overrun, overrun


@pytest.mark.parametrize(("room", "written", "beyond"), [(8, 32, 24), (8, 8, 0), (32, 8, 0)])
def test_what_is_beyond_is_what_there_is_no_room_for(room, written, beyond):
    assert Overrun(room, written, 0).beyond_bytes == beyond


@pytest.mark.needs_kvm
@pytest.mark.parametrize(
    ("before", "after", "beyond"), [(64, 256, 24), (64, 65, 8), (256, 64, 0), (65, 128, 0)]
)
def test_a_larger_slot_under_the_same_number_overruns(before, after, beyond, backend):
    found = overrun(before, after, backend=backend)

    assert found.beyond_bytes == beyond
    assert found.written_bytes == -(-after // 64) * 8
    assert found.refused == errno.EINVAL


@pytest.mark.needs_kvm
def test_the_same_size_is_no_change_and_fits(backend):
    assert overrun(64, 64, backend=backend) == Overrun(8, 8, 0)


@pytest.mark.needs_kvm
def test_nothing_stays_behind(backend, leaks):
    overrun(64, 128, backend=backend)
    leaks()
    overrun(64, 128, backend=backend)

    assert not leaks()
