import ctypes
from pathlib import Path

import pytest

from memslotlib.errors import KvmError, MemslotError, NotRunError
from memslotlib.host import KvmVm, standins
from memslotlib.host.memory import HostMemory
from memslotlib.host.standins import AWAY_BYTES, How, Place, standin
from memslotlib.host.uffd import Userfault
from memslotlib.uapi import Cap, Quirk

from .conftest import GPA, HVA, SLOT

OTHER = 0x2100_0000_0000
PLACE = Place(SLOT, OTHER)
SIZE_BYTES = PLACE.size_bytes


class FakeVm:
    """A VM that notes what is asked of it; its memory is real."""

    def __init__(self, quirks=Quirk.SLOT_ZAP_ALL):
        self.asked, self.quirks = [], quirks
        self.memory = HostMemory()
        for hva, content in ((HVA, b"own"), (OTHER, b"oth")):
            view = self.memory.view(hva, SIZE_BYTES)
            for at in range(0, SIZE_BYTES, 0x1000):
                view[at : at + 3] = content

    def set_user_memory_region(self, *region):
        self.asked.append(region)

    def check_extension(self, cap):
        return self.quirks if cap == Cap.DISABLE_QUIRKS2 else 0

    def enable_cap(self, *asked):
        self.asked.append(asked)

    def remap(self, *asked, **named):
        self.memory.remap(*asked, **named)


@pytest.fixture
def vm():
    vm = FakeVm()
    yield vm
    vm.memory.close()


def shown():
    return ctypes.string_at(HVA, 3)


def maps():
    """The permissions of the slot's host mapping, as the kernel tells them."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, access, *_ = line.split()
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= HVA < end:
            return access
    return ""


def test_every_stand_in_has_its_switch():
    assert set(standins._KINDS) == set(How)


@pytest.mark.parametrize(
    ("how", "off"),
    [
        (How.TODAY, (1, 0, 0, 0, 0)),
        (How.MOVE, (1, 0, GPA + AWAY_BYTES, SIZE_BYTES, HVA)),
    ],
)
def test_a_switch_of_ioctls_makes_one_and_brings_the_slot_back(vm, how, off):
    one = standin(how, vm, PLACE)
    one.off()
    assert vm.asked == [off]
    one.on()
    one.close()
    assert vm.asked[1:] == [SLOT, SLOT]


def test_the_quirk_is_switched_off_before_the_slot_is_deleted(vm):
    one = standin(How.QUIRK_OFF, vm, PLACE)
    one.off()

    assert vm.asked == [(Cap.DISABLE_QUIRKS2, Quirk.SLOT_ZAP_ALL), (1, 0, 0, 0, 0)]


def test_a_kernel_without_the_quirk_is_not_run():
    vm = FakeVm(quirks=0x7F)

    with pytest.raises(NotRunError, match="KVM_X86_QUIRK_SLOT_ZAP_ALL"):
        standin(How.QUIRK_OFF, vm, PLACE)
    assert vm.asked == []
    vm.memory.close()


@pytest.mark.parametrize(
    ("how", "access"), [(How.PROTECT_NONE, "---s"), (How.PROTECT_READ, "r--s")]
)
def test_a_protection_is_taken_away_again(vm, how, access):
    one = standin(how, vm, PLACE)
    one.off()
    assert maps() == access
    one.on()
    assert maps() == "rw-s"
    one.off()
    one.close()
    assert maps() == "rw-s"


@pytest.mark.parametrize("how", [How.MMAP, How.MREMAP])
def test_an_exchange_shows_the_other_memory_and_then_its_own(vm, how):
    one = standin(how, vm, PLACE)

    assert one.exchanges
    one.off()
    assert shown() == b"oth"
    one.on()
    assert shown() == b"own"


@pytest.mark.parametrize("how", [How.UFFD_MINOR, How.UFFD_WP])
def test_a_trap_is_there_to_be_asked_and_gone_when_it_is_closed(vm, how):
    try:
        one = standin(how, vm, PLACE)
    except NotRunError as error:
        pytest.skip(str(error))
    assert isinstance(one.trap, Userfault)
    one.off()
    one.on()
    assert shown() == b"own"
    one.off()
    one.close()
    assert shown() == b"own"


def test_the_control_does_nothing(vm):
    one = standin(How.NOTHING, vm, PLACE)
    one.off()
    assert (shown(), maps(), vm.asked) == (b"own", "rw-s", [])
    one.on()
    one.close()


def test_memory_that_is_not_there_cannot_be_protected(vm):
    one = standin(How.PROTECT_NONE, vm, Place((1, 0, GPA, SIZE_BYTES, 0x2500_0000_0000), OTHER))

    with pytest.raises(MemslotError, match="mprotect: Cannot allocate memory"):
        one.off()


@pytest.mark.needs_kvm
@pytest.mark.parametrize("how", list(How), ids=lambda how: how.value)
def test_a_slot_is_served_again_whatever_was_switched_off(how):
    with KvmVm() as vm:
        for hva in (HVA, OTHER):
            vm.memory(hva, SIZE_BYTES)[:] = b"\xe6" * SIZE_BYTES
        vm.set_user_memory_region(*SLOT)
        assert vm.read(GPA, 4).reason == "done"
        try:
            one = standin(how, vm, PLACE)
        except NotRunError as error:
            pytest.skip(str(error))
        one.off()
        one.on()
        assert vm.write(GPA, b"back").reason == "done"
        assert bytes(vm.memory(HVA, 4)) == b"back"
        one.close()


@pytest.mark.needs_kvm
def test_a_slot_that_was_moved_away_is_somewhere_else():
    with KvmVm() as vm:
        vm.memory(HVA, SIZE_BYTES)
        vm.set_user_memory_region(*SLOT)
        one = standin(How.MOVE, vm, PLACE)
        one.off()
        assert vm.read(GPA, 4).reason == "mmio"
        assert vm.read(GPA + AWAY_BYTES, 4).reason == "done"
        with pytest.raises(KvmError):
            vm.set_user_memory_region(1, 0, GPA, 2 * SIZE_BYTES, HVA)
