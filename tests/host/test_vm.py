import errno
import os
import subprocess
import sys

import pytest

from memslotlib.errors import KvmError, NotRunError
from memslotlib.host import KvmVm
from memslotlib.interface import Vm
from memslotlib.uapi import Cap, ManualProtect, MemFlag

from .conftest import GPA, HVA

LOG = int(MemFlag.LOG_DIRTY_PAGES)


def conforms(vm: KvmVm) -> Vm:
    """Type-checked: KvmVm answers the interface."""
    return vm


def test_it_has_every_call_of_the_interface():
    calls = {name for name in vars(Vm) if not name.startswith("_")}

    assert calls <= set(dir(KvmVm))


def test_a_vm_without_a_device_leaves_nothing_open(leaks):
    leaks()

    for _ in range(20):
        with pytest.raises(NotRunError):
            KvmVm(device="/nonexistent")

    assert leaks() == {}


@pytest.mark.needs_kvm
class TestSlots:
    def test_a_refusal_names_ioctl_errno_and_every_field(self, vm):
        with pytest.raises(KvmError) as refused:
            vm.set_user_memory_region(2, 0, GPA + 0x1000, 0x1000, HVA)

        assert refused.value.errno == errno.EEXIST
        assert str(refused.value) == (
            "[Errno 17] KVM_SET_USER_MEMORY_REGION: EEXIST (File exists) slot=0x2 flags=0x0"
            f" guest_phys_addr=0x10001000 memory_size=0x1000 userspace_addr={HVA:#x}"
        )

    def test_delete_opens_a_hole_and_create_closes_it(self, vm):
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        hole = vm.read(GPA, 4)
        vm.set_user_memory_region(1, 0, GPA, 0x4000, HVA)

        assert hole.reason == "mmio"
        assert vm.read(GPA, 4).reason == "done"

    def test_a_move_takes_the_memory_along(self, vm):
        vm.memory(HVA, 4)[:] = b"abcd"
        vm.set_user_memory_region(1, 0, GPA + 0x1000, 0x4000, HVA)

        assert vm.read(GPA + 0x1000, 4).data == b"abcd"
        assert vm.read(GPA, 4).reason == "mmio"

    @pytest.mark.needs_kvm("USER_MEMORY2")
    def test_region2_is_the_same_slot(self, vm):
        vm.set_user_memory_region2(1, 0, 0, 0, 0)

        assert vm.read(GPA, 4).reason == "mmio"

    def test_three_thousand_slots_are_made_and_unmade(self, backend):
        with KvmVm(backend=backend) as vm:
            vm.memory(HVA, 0x1000)
            for slot in range(3000):
                vm.set_user_memory_region(slot, 0, GPA + slot * 0x1000, 0x1000, HVA)
            assert vm.read(GPA + 2999 * 0x1000, 1).reason == "done"


@pytest.mark.needs_kvm
class TestDirtyLog:
    def test_stores_and_nothing_else_are_logged(self, vm):
        vm.set_user_memory_region(1, LOG, GPA, 0x4000, HVA)
        vm.read(GPA, 8)
        vm.fetch(GPA + 0x1000)
        vm.write(GPA + 0x2000, b"x")

        assert vm.get_dirty_log(1) == bytes([0b0100] + [0] * 7)
        assert vm.get_dirty_log(1) == bytes(8)

    def test_a_load_beside_a_stored_page_is_not_logged(self, vm):
        # Both lie in one large guest page, whose entry the store marks dirty.
        vm.set_user_memory_region(1, LOG, GPA, 0x4000, HVA)
        vm.write(GPA, b"x")
        vm.read(GPA + 0x1000, 1)

        assert vm.get_dirty_log(1)[0] == 0b0001

    def test_a_store_across_two_pages_marks_both(self, vm):
        vm.set_user_memory_region(1, LOG, GPA, 0x4000, HVA)
        vm.write(GPA + 0x1FFC, bytes(8))

        assert vm.get_dirty_log(1)[0] == 0b0110

    def test_a_bitmap_is_as_long_as_its_slot(self, vm):
        vm.memory(HVA + 0x100000, 65 * 0x1000)
        vm.set_user_memory_region(2, LOG, 0x2000_0000, 65 * 0x1000, HVA + 0x100000)
        vm.write(0x2000_0000 + 64 * 0x1000, b"x")

        assert vm.get_dirty_log(2) == bytes(8) + bytes([1]) + bytes(7)

    @pytest.mark.needs_kvm("MANUAL_DIRTY_LOG_PROTECT2")
    def test_manual_clear_clears_what_it_names(self, vm):
        vm.enable_cap(Cap.MANUAL_DIRTY_LOG_PROTECT2, ManualProtect.ENABLE)
        vm.set_user_memory_region(1, LOG, GPA, 0x4000, HVA)
        vm.write(GPA, b"x")
        vm.write(GPA + 0x3000, b"x")
        assert vm.get_dirty_log(1)[0] == vm.get_dirty_log(1)[0] == 0b1001

        vm.clear_dirty_log(1, 0, 4, bytes([0b0001]))

        assert vm.get_dirty_log(1)[0] == 0b1000
        vm.write(GPA, b"y")
        assert vm.get_dirty_log(1)[0] == 0b1001

    @pytest.mark.parametrize("slot", [1, 9])
    def test_a_slot_without_a_log_is_enoent(self, vm, slot):
        with pytest.raises(KvmError) as refused:
            vm.get_dirty_log(slot)

        assert refused.value.errno == errno.ENOENT
        assert refused.value.fields == {"slot": slot}

    def test_a_deleted_slot_s_log_is_gone(self, vm):
        vm.set_user_memory_region(1, LOG, GPA, 0x4000, HVA)
        vm.set_user_memory_region(1, 0, 0, 0, 0)

        with pytest.raises(KvmError) as refused:
            vm.get_dirty_log(1)
        assert refused.value.errno == errno.ENOENT


@pytest.mark.needs_kvm("GUEST_MEMFD")
class TestGuestMemfd:
    def test_it_is_made_or_refused_with_its_fields(self, vm):
        fd = vm.create_guest_memfd(0x4000)

        assert os.fstat(fd).st_size == 0x4000
        with pytest.raises(KvmError) as refused:
            vm.create_guest_memfd(0x4001)
        assert refused.value.errno == errno.EINVAL
        assert refused.value.fields == {"size": 0x4001, "flags": 0}

    def test_it_is_closed_with_its_vm(self, backend):
        with KvmVm(backend=backend) as vm:
            fd = vm.create_guest_memfd(0x1000)

        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    def test_a_descriptor_of_another_kind_is_refused(self, vm):
        with open("/dev/null") as null, pytest.raises(KvmError) as refused:  # noqa: PTH123
            vm.set_user_memory_region2(
                3, int(MemFlag.GUEST_MEMFD), 0x4000_0000, 0x1000, HVA, 0, null.fileno()
            )
        assert refused.value.errno == errno.EINVAL
        assert refused.value.fields["guest_memfd"] > 0


@pytest.mark.needs_kvm
class TestAddressSpaces:
    def test_smm_is_named_when_it_cannot_be_entered(self, vm):
        with pytest.raises(NotRunError, match="KVM_CAP_X86_SMM"):
            vm.read(GPA, 1, as_id=1)

    def test_there_is_no_third_one(self, vm):
        with pytest.raises(ValueError, match="as_id=2"):
            vm.read(GPA, 1, as_id=2)


@pytest.mark.needs_kvm
class TestClosing:
    def test_a_hundred_vms_leave_nothing(self, backend, leaks):
        with KvmVm(backend=backend) as first:
            first.memory(HVA, 0x1000)
            first.read(GPA, 1)
        leaks()

        for _ in range(100):
            with KvmVm(backend=backend) as vm:
                vm.memory(HVA, 0x1000)
                vm.set_user_memory_region(1, 0, GPA, 0x1000, HVA)
                assert vm.read(GPA, 1).reason == "done"

        assert leaks() == {}

    def test_a_vm_that_is_dropped_is_closed(self, backend, leaks):
        leaks()
        vm = KvmVm(backend=backend)
        vm.memory(HVA, 0x1000)
        vm.read(GPA, 1)

        del vm

        assert leaks() == {}

    def test_closing_twice_is_closing_once(self, vm):
        vm.close()
        vm.close()

        with pytest.raises(KvmError) as refused:
            vm.set_user_memory_region(1, 0, 0, 0, 0)
        assert refused.value.errno == errno.EBADF

    def test_two_vms_live_side_by_side(self, vm, backend):
        with KvmVm(backend=backend) as other:
            other.memory(HVA + 0x100000, 0x1000)[:4] = b"abcd"
            other.set_user_memory_region(1, 0, GPA, 0x1000, HVA + 0x100000)

            assert other.read(GPA, 4).data == b"abcd"
            assert vm.fetch(GPA).reason == "done"

    def test_one_address_serves_one_vm_after_the_other(self, backend):
        for content in (b"a", b"b"):
            with KvmVm(backend=backend) as vm:
                memory = vm.memory(HVA, 0x1000)
                assert memory[0] == 0
                memory[:1] = content

    def test_a_process_that_ends_without_closing_ends(self):
        program = (
            "from memslotlib.host import KvmVm, guest, loops\n"
            "from memslotlib.interface import Access, Context\n"
            "vm = KvmVm()\n"
            "code = loops.loop(Access.LOAD, Context.LONG64_CPL3)\n"
            "at = guest.LOOP - guest.BASE\n"
            "vm.guest().memory[at:at + len(code)] = code\n"
            "vm.run_in_thread(guest.regs(guest.LOOP), Context.LONG64_CPL3)\n"
            "print('running')\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
        )

        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "running\n", "")
