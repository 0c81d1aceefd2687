"""The VMM that copies: what each order of calls does, on the simulator and on this host."""

import pytest

from memslotlib.abi import SimVm
from memslotlib.copying import Copier, Event, How, Moment, Part, Place
from memslotlib.host import KvmVm
from memslotlib.uapi import PAGE_SIZE, MemFlag

PLACE = Place(0x1000_0000, 0x2000_0000_0000, 8)
RINGS = (How.RING_BETWEEN, How.RING_LATE)


class Told(SimVm):
    """A simulator that notes the calls which change slots and read logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def set_user_memory_region(self, *region):
        super().set_user_memory_region(*region)
        self.calls.append(("set" if region[3] else "delete", region[0]))

    def get_dirty_log(self, slot):
        self.calls.append(("get", slot))
        return super().get_dirty_log(slot)

    def clear_dirty_log(self, slot, *rest):
        self.calls.append(("clear", slot))
        super().clear_dirty_log(slot, *rest)

    def reap_dirty_ring(self):
        self.calls.append(("reap", 0))
        return super().reap_dirty_ring()


def started(vm, how):
    copier = Copier(vm, how, PLACE)
    copier.start()
    return copier


def store(copier, page):
    return copier.vm.write(copier.guest_gpa + page * PAGE_SIZE, b"!").reason


def names(calls):
    return " ".join(f"{what}{slot or ''}" for what, slot in calls)


@pytest.mark.parametrize(
    ("how", "calls"),
    [
        (How.NONE, "get1"),
        (How.GET_COPY, "get1 delete1 set1"),
        (How.GET_DELETE, "get1 delete1 set1"),
        (How.TWO_SLOTS, "get1 get2 delete1 delete2 set1 set2"),
        (How.PAUSE, "get1 delete1 set1"),
        (How.BLOCK, "get1 delete1 set1"),
        (How.INITIALLY_SET, "delete1 set1 get1 clear1"),
        (How.RING_BETWEEN, "delete1 delete2 reap set2 set1 reap"),
        (How.RING_LATE, "delete1 delete2 set2 set1 reap"),
        (How.MOVE, "get1 set1"),
    ],
)
def test_a_round_makes_these_calls(how, calls):
    with Told() as vm:
        copier = started(vm, how)
        vm.calls.clear()
        list(copier.update())
        assert names(vm.calls) == calls


@pytest.mark.parametrize(("how", "brackets"), [(How.PAUSE, "PAUSE"), (How.BLOCK, "BLOCK")])
def test_what_stops_the_guest_is_around_every_call(how, brackets):
    with SimVm() as vm:
        events = [moment.event.name for moment in started(vm, how).update()]

    assert events[0] == brackets
    assert events[-1] in ("RESUME", "UNBLOCK")
    assert events[1:-1] == ["FETCH", "FETCHED", "DELETED", "CREATED"]


def test_a_window_is_told_by_its_part():
    with SimVm() as vm:
        moments = list(started(vm, How.TWO_SLOTS).update())

    low, high = Part(1, 0, 4), Part(2, 4, 4)
    assert [m.part for m in moments if m.event is Event.FETCH] == [low, high]
    assert [m.part for m in moments if m.event is Event.DELETED] == [low, high]
    assert moments[0] == Moment(Event.FETCH, low)
    assert 3 in low
    assert 3 not in high


@pytest.mark.parametrize("vm_class", [SimVm, pytest.param(KvmVm, marks=pytest.mark.needs_kvm)])
@pytest.mark.parametrize("how", How)
def test_with_a_guest_that_rests_during_each_round_every_page_is_in_the_copy(how, vm_class):
    late = how is How.RING_LATE
    with vm_class() as vm:
        copier = started(vm, how)
        for page in (0, 5, 7):
            assert store(copier, page) == "done"
            list(copier.update())
        copier.finish()

        # Entries that are read by slots that have exchanged their numbers name the other half.
        assert bool(copier.differing) is late
        assert copier.sent >= 3


@pytest.mark.parametrize("how", [How.GET_COPY, How.GET_DELETE, How.TWO_SLOTS])
def test_a_store_between_the_log_and_the_deletion_is_lost(how):
    with SimVm() as vm:
        copier = started(vm, how)
        for moment in copier.update():
            if moment.event is Event.FETCHED:
                assert store(copier, 1) == "done"
        copier.finish()

        assert copier.differing == [1]
        assert copier.sent == 0


def test_initially_set_sends_every_page_each_round():
    with SimVm() as vm:
        copier = started(vm, How.INITIALLY_SET)
        list(copier.update())
        list(copier.update())

        assert copier.sent == 2 * PLACE.pages


def test_a_moved_slot_has_the_guest_s_pages_wherever_it_is():
    with SimVm() as vm:
        copier = started(vm, How.MOVE)
        assert copier.size_bytes == 9 * PAGE_SIZE
        for _ in range(3):
            assert {store(copier, page) for page in range(PLACE.pages)} == {"done"}
            list(copier.update())
        copier.finish()

        assert copier.differing == []
        assert all(slot.flags == MemFlag.LOG_DIRTY_PAGES for slot in vm.slots())


def test_rings_exchange_their_numbers_each_round():
    with SimVm() as vm:
        copier = started(vm, How.RING_BETWEEN)
        orders = []
        for _ in range(3):
            orders.append([slot.number for slot in vm.slots()])
            list(copier.update())

    assert orders == [[1, 2], [2, 1], [1, 2]]
