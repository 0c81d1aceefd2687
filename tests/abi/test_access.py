"""Guest accesses beyond the table of cases: what they map, leave and refuse."""

import pytest

from memslotlib.abi import HostPolicy, SimVm
from memslotlib.interface import FETCH_STUB, Context, Exit, Fragment
from memslotlib.uapi import Cap, MemFlag

GPA, HVA, PAGE = 0x10_0000, 0x2000_0000_0000, 0x1000
END = GPA + PAGE
READONLY, GMEM = int(MemFlag.READONLY), int(MemFlag.GUEST_MEMFD)
NATIVE, EMULATED = Context.LONG64_CPL3, Context.REAL16


def a_vm(flags=0, pages=1, backed=True, spaces=1, **policy):
    vm = SimVm(spaces, HostPolicy(**policy))
    if backed:
        vm.memory(HVA, pages * PAGE)[:4] = b"abcd"
    vm.set_user_memory_region(1, flags, GPA, pages * PAGE, HVA)
    return vm


def pvm(**fields):
    vm = SimVm(1, HostPolicy.kvm_pvm())
    vm.memory(HVA, PAGE)[:4] = b"abcd"
    vm.set_user_memory_region(1, fields.get("flags", 0), GPA, PAGE, HVA)
    return vm


def missed(gpa, size):
    return Exit("mmio", b"\xff" * size, (Fragment(gpa, size, is_write=False),))


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("context", Context)
def test_an_access_at_the_last_bytes_stays_inside(size, context):
    vm = a_vm()
    data = bytes(range(1, size + 1))

    assert vm.write(END - size, data, context=context) == Exit("done")
    assert vm.read(END - size, size, context=context) == Exit("done", data)
    assert vm.read(END, size, context=context) == missed(END, size)


@pytest.mark.parametrize("inside", [1, 3, 7])
@pytest.mark.parametrize("context", Context)
def test_an_access_across_the_end_is_split_there(inside, context):
    vm = a_vm()
    rest = Fragment(END, 8 - inside, True, b"12345678"[inside:])

    assert vm.write(END - inside, b"12345678", context=context) == Exit("mmio", b"", (rest,))
    assert bytes(vm.memory(END - inside - GPA + HVA, inside)) == b"12345678"[:inside]
    loaded = vm.read(END - inside, 8, context=context)
    assert loaded.data == b"12345678"[:inside] + b"\xff" * (8 - inside)
    assert loaded.fragments == (Fragment(END, 8 - inside, False),)


def test_a_page_boundary_splits_even_in_a_hole():
    vm = a_vm()

    assert vm.read(0x5FFE, 4) == Exit(
        "mmio", b"\xff" * 4, (Fragment(0x5FFE, 2, False), Fragment(0x6000, 2, False))
    )
    assert vm.read(0x5FFC, 4) == missed(0x5FFC, 4)


def test_two_slots_that_touch_answer_together():
    vm = a_vm()
    vm.memory(HVA + 0x10_0000, PAGE)[:2] = b"yz"
    vm.memory(HVA + PAGE - 2, 2)[:] = b"wx"
    vm.set_user_memory_region(2, 0, END, PAGE, HVA + 0x10_0000)

    assert vm.read(END - 2, 4) == Exit("done", b"wxyz")


def test_a_store_half_readonly_writes_the_other_half():
    vm = a_vm(pages=1)
    vm.memory(HVA + PAGE, PAGE)
    vm.set_user_memory_region(2, READONLY, END, PAGE, HVA + PAGE)

    assert vm.write(END - 2, b"1234") == Exit("mmio", b"", (Fragment(END, 2, True, b"34"),))
    assert bytes(vm.memory(HVA + PAGE - 2, 4)) == b"12\0\0"
    assert vm.read(END - 2, 4) == Exit("done", b"12\0\0")


def test_address_spaces_see_their_own_slots():
    vm = a_vm(spaces=2)

    assert vm.read(GPA, 1, as_id=1) == missed(GPA, 1)
    vm.memory(HVA + PAGE, PAGE)[:2] = FETCH_STUB
    vm.set_user_memory_region(1 << 16, 0, GPA, PAGE, HVA + PAGE)
    assert vm.fetch(GPA, as_id=1) == Exit("done")
    assert vm.write(GPA, b"!", as_id=1) == Exit("done")
    assert (vm.read(GPA, 1).data, vm.read(GPA, 1, as_id=1).data) == (b"a", b"!")


class TestFetch:
    @pytest.mark.parametrize("context", Context)
    def test_it_may_lie_across_two_pages(self, context):
        vm = a_vm(pages=2)
        vm.memory(HVA + PAGE - 1, 2)[:] = FETCH_STUB

        assert vm.fetch(END - 1, context=context) == Exit("done")

    @pytest.mark.parametrize("gpa", [END, END - 1, GPA - 1])
    def test_upstream_ends_in_userspace_only_at_cpl0(self, gpa):
        vm = a_vm()
        exits = {context: vm.fetch(gpa, context=context) for context in Context}

        failure = Exit("internal_error", suberror=1)
        assert exits == dict.fromkeys(Context, failure) | {NATIVE: Exit("shutdown")}

    def test_kvm_pvm_ends_in_userspace_always(self):
        vm = pvm()

        for context in Context:
            assert vm.fetch(END, context=context) == Exit("internal_error", suberror=1)

    def test_userspace_may_ask_for_every_failure(self):
        vm = a_vm()
        vm.enable_cap(Cap.EXIT_ON_EMULATION_FAILURE, 1)

        assert vm.fetch(END) == Exit("internal_error", suberror=1)

    def test_other_code_is_refused_by_name(self):
        with pytest.raises(ValueError) as error:
            a_vm().fetch(GPA)

        assert str(error.value) == "no FETCH_STUB at gpa 0x100000: 6162"

    def test_unbacked_code_is_efault_natively_and_a_failure_otherwise(self):
        vm = a_vm(backed=False, native_contexts=frozenset({NATIVE}))

        assert vm.fetch(GPA) == Exit("efault")
        assert vm.fetch(GPA, context=EMULATED) == Exit("internal_error", suberror=1)


class TestUnbacked:
    def test_native_accesses_fail_and_emulated_ones_are_mmio(self):
        vm = a_vm(backed=False, native_contexts=frozenset({NATIVE}))

        assert vm.read(GPA, 2) == Exit("efault")
        assert vm.write(GPA, b"!?") == Exit("efault")
        assert vm.read(GPA, 2, context=EMULATED) == missed(GPA, 2)
        assert vm.write(GPA, b"!", context=EMULATED).fragments == (Fragment(GPA, 1, True, b"!"),)
        assert vm._state.mmu.mapped == {}

    def test_memory_that_comes_later_is_found(self):
        vm = a_vm(backed=False)
        assert vm.read(GPA, 1) == Exit("efault")
        vm.memory(HVA, PAGE)[0] = 7

        assert vm.read(GPA, 1) == Exit("done", b"\7")

    def test_the_second_page_alone_may_be_missing(self):
        vm = a_vm(pages=2, backed=False)
        vm.memory(HVA, PAGE)

        assert vm.read(END - 1, 2) == Exit("efault")
        assert vm.write(END - 1, b"!?") == Exit("efault")
        assert bytes(vm.memory(HVA + PAGE - 1, 1)) == b"\0"

    def test_a_hole_before_it_sends_both_to_the_emulator(self):
        vm = a_vm(backed=False)

        assert vm.read(GPA - 1, 2).fragments == (
            Fragment(GPA - 1, 1, False),
            Fragment(GPA, 1, False),
        )


class TestMapping:
    def test_a_load_maps_writable_where_the_host_does(self):
        eager, lazy = a_vm(), a_vm(reads_mark_dirty=False)
        for vm in (eager, lazy):
            vm.read(GPA, 1)

        assert eager._state.mmu.mapped == {(0, 0x100): True}
        assert (lazy._state.mmu.mapped, lazy._state.mmu.loaded) == ({}, {(0, 0x100)})
        lazy.write(GPA, b"!")
        assert lazy._state.mmu.mapped == {(0, 0x100): True}

    def test_readonly_memory_is_never_mapped_writable(self):
        vm = a_vm(flags=READONLY)
        vm.read(GPA, 1)
        vm.write(GPA, b"!")

        assert vm._state.mmu.mapped == {(0, 0x100): False}
        vm.check()

    def test_the_emulator_maps_nothing(self):
        vm = pvm()
        vm.read(GPA, 1, context=EMULATED)
        vm.write(GPA, b"!", context=EMULATED)

        assert vm._state.mmu.mapped == {}

    def test_a_hole_is_not_mapped(self):
        vm = a_vm()
        vm.read(END, 1)
        vm.write(END - 1, b"!?")

        assert vm._state.mmu.mapped == {(0, 0x100): True}


class TestGuestMemfd:
    def bound(self, flags, page=0):
        vm = SimVm(1, HostPolicy.kvm_pvm())
        vm.memory(HVA, PAGE)[:4] = b"host"
        fd = vm.create_guest_memfd(4 * PAGE, flags)
        vm.set_user_memory_region2(1, GMEM, GPA, PAGE, HVA, page * PAGE, fd)
        return vm, fd

    @pytest.mark.parametrize("flags", [0, 2])
    def test_one_that_cannot_be_mapped_leaves_the_host_memory_in_charge(self, flags):
        vm, _ = self.bound(flags)

        assert vm.read(GPA, 4).data == vm.read(GPA, 4, context=EMULATED).data == b"host"

    @pytest.mark.parametrize("flags", [1, 3])
    def test_one_that_can_be_mapped_serves_the_guest_but_not_the_emulator(self, flags):
        vm, _ = self.bound(flags)
        vm.write(GPA + 2, b"X")

        assert vm.read(GPA, 4).data == b"\0\0X\0"
        assert vm.read(GPA, 4, context=EMULATED).data == b"host"
        assert bytes(vm.memory(HVA, 4)) == b"host"

    def test_code_in_it_is_fetched_natively_and_not_by_the_emulator(self):
        vm, _ = self.bound(1)
        vm.write(GPA, FETCH_STUB)

        assert vm.fetch(GPA) == Exit("done")
        with pytest.raises(ValueError, match="686f"):
            vm.fetch(GPA, context=EMULATED)  # "ho" of the host's memory

    def test_its_pages_come_into_being_one_by_one(self):
        vm, fd = self.bound(1)
        vm.write(GPA + PAGE - 1, b"X")

        assert vm._state.gmem_fds[fd].memory.holds(0, PAGE)
        assert not vm._state.gmem_fds[fd].memory.holds(PAGE, 1)

    def test_its_bytes_outlive_the_slot_and_are_found_by_offset(self):
        vm, fd = self.bound(1, page=2)
        vm.write(GPA, b"X")
        vm.set_user_memory_region(1, 0, 0, 0, 0)
        vm.set_user_memory_region2(1, GMEM, GPA, 4 * PAGE, HVA, 0, fd)

        assert vm.read(GPA + 2 * PAGE, 1).data == b"X"
        assert vm.read(GPA, 1).data == b"\0"

    def test_it_needs_no_host_memory(self):
        vm = SimVm()
        fd = vm.create_guest_memfd(PAGE, 1)
        vm.set_user_memory_region2(1, GMEM, GPA, PAGE, HVA, 0, fd)

        assert vm.read(GPA, 2).data == b"\0\0"
