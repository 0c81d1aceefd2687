import pytest

from memslotlib.abi import SimVm
from memslotlib.costs.operations import OPERATIONS, Place, a_vm, cycle, zaps_here
from memslotlib.errors import KvmError, NotRunError
from memslotlib.uapi import Cap

PLACE = Place(1, 0x10000, 0x4000, 0x2000_0000_0000, 0x20000)


def test_every_operation_leaves_the_slot_at_rest():
    vm = SimVm()
    vm.set_user_memory_region(*PLACE.rest)
    for operation in OPERATIONS:
        steps = dict(PLACE.steps(operation))
        assert operation in steps
        for region in steps.values():
            vm.set_user_memory_region(*region)
        # What is there already can be set again, and nothing else could be created there.
        vm.set_user_memory_region(*PLACE.rest)
        with pytest.raises(KvmError):
            vm.set_user_memory_region(2, *PLACE.rest[1:])


def test_a_cycle_has_every_operation_and_ends_at_rest():
    names = [name for name, _ in PLACE.cycle]
    assert len(names) == len(set(names)) == 9
    assert set(OPERATIONS) < set(names)

    vm = SimVm()
    vm.set_user_memory_region(*PLACE.rest)
    taken = cycle(vm, PLACE)
    assert list(taken) == names
    assert all(ns >= 0 for ns in taken.values())
    vm.set_user_memory_region(*PLACE.rest)


@pytest.mark.needs_kvm
def test_a_vm_zaps_as_it_is_asked_to():
    for zap in zaps_here():
        with a_vm(zap) as vm:
            vm.set_user_memory_region(*PLACE.rest)


@pytest.mark.needs_kvm
def test_a_kernel_without_the_quirk_runs_only_what_zaps_all(monkeypatch):
    from memslotlib.host import KvmVm

    asked = KvmVm.check_extension

    def older(self, cap):
        return 0 if cap == Cap.DISABLE_QUIRKS2 else asked(self, cap)

    monkeypatch.setattr(KvmVm, "check_extension", older)
    assert zaps_here() == ("all",)
    with pytest.raises(NotRunError, match="KVM_X86_QUIRK_SLOT_ZAP_ALL"), a_vm("own"):
        pass
