"""KVM_GET_DIRTY_LOG writes as many bytes as the slot needs that has the number now."""

import errno

import pytest

from memslotlib.errors import KvmError
from memslotlib.host import KvmVm
from memslotlib.host.overrun import Overrun, overrun
from memslotlib.litmus_logs import SEQUENCES

from .conftest import GPA, HVA

DELETE = (1, 0, 0, 0, 0)


def slot(pages, number=1):
    return number, 1, GPA, pages << 12, HVA


def moved(pages):
    return 1, 1, GPA + 0x1000, pages << 12, HVA


@pytest.mark.parametrize(("before", "wrote", "beyond"), [(64, 32, 24), (64, 8, 0), (256, 8, 0)])
def test_what_is_beyond_is_what_there_is_no_room_for(before, wrote, beyond):
    assert Overrun(before, 1, wrote, 0).beyond_bytes == beyond


@pytest.mark.needs_kvm
@pytest.mark.parametrize(
    ("before", "after", "beyond"), [(64, 256, 24), (64, 65, 8), (256, 64, 0), (65, 128, 0)]
)
def test_a_larger_slot_under_the_same_number_overruns(before, after, beyond, backend):
    (found,) = overrun([slot(before)], [DELETE, slot(after)], backend=backend)

    assert found == Overrun(before, after, -(-after // 64) * 8, errno.EINVAL)
    assert found.beyond_bytes == beyond


@pytest.mark.needs_kvm
@pytest.mark.parametrize("name", sorted(SEQUENCES.keys() - {"grow-in-place"}))
def test_the_calls_made_are_the_sequence_s_own(name, backend, monkeypatch):
    one, made = SEQUENCES[name], []
    call = KvmVm.set_user_memory_region

    def noted(vm, *region):
        call(vm, *region)
        made.append(region)

    monkeypatch.setattr(KvmVm, "set_user_memory_region", noted)
    found = overrun(one.creates, one.calls, backend=backend)

    assert made[: len(one.creates)] == list(one.creates)
    assert made[len(made) - len(one.calls) :] == list(one.calls)
    after = {region.slot: region.npages for region in one.after}
    old = {region.slot: region.npages for region in one.before if region.slot in after}
    wanted = [(pages, after[number]) for number, pages in sorted(old.items())]
    assert [(fetch.before_pages, fetch.after_pages) for fetch in found] == wanted
    assert all(fetch.written_bytes == -(-fetch.after_pages // 64) * 8 for fetch in found)


@pytest.mark.needs_kvm
def test_the_same_slot_moved_and_a_call_that_changes_nothing_fit(backend):
    for calls in ([slot(64)], [moved(64)]):
        assert overrun([slot(64)], calls, backend=backend) == [Overrun(64, 64, 8, 0)]


@pytest.mark.needs_kvm
def test_calls_that_kvm_refuses_are_told(backend):
    with pytest.raises(KvmError, match="EINVAL"):
        overrun([slot(64)], [slot(128)], backend=backend)


@pytest.mark.needs_kvm
def test_nothing_stays_behind(backend, leaks):
    overrun([slot(64)], [DELETE, slot(128)], backend=backend)
    leaks()
    overrun([slot(64)], [DELETE, slot(128)], backend=backend)

    assert not leaks()
