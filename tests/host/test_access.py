import threading
import time

import pytest
from interrupted import ctrl_c

from memslotlib.host import GuestTimeoutError, KvmVm
from memslotlib.interface import FETCH_STUB, REACH_BYTES, Context, Exit, Fragment
from memslotlib.uapi import MemFlag

from .conftest import GPA, HVA

pytestmark = pytest.mark.needs_kvm

HOLE = 0x3000_0000
READONLY = 0x2000_0000
#: jmp to itself; in real mode with the prefix that keeps the instruction pointer's upper half.
SPIN = {context: bytes([0xEB, 0xFE]) for context in Context} | {
    Context.REAL16: bytes([0x66, 0xEB, 0xFD])
}
contexts = pytest.mark.parametrize("context", Context, ids=lambda context: context.value)
sizes = pytest.mark.parametrize("size", [1, 2, 4, 8])
DATA = bytes(range(0x41, 0x49))


@contexts
@sizes
class TestEachContextAndSize:
    def test_a_load_from_ram_gets_its_bytes(self, vm, context, size):
        vm.memory(HVA + 8, 8)[:] = DATA

        assert vm.read(GPA + 8, size, context=context) == Exit("done", DATA[:size])

    def test_a_store_to_ram_lands_there_and_nowhere_else(self, vm, context, size):
        vm.memory(HVA, 24)[:] = bytes(24)

        assert vm.write(GPA + 8, DATA[:size], context=context) == Exit("done")
        assert bytes(vm.memory(HVA, 24)) == bytes(8) + DATA[:size] + bytes(16 - size)

    def test_a_load_from_a_hole_is_an_mmio_exit_answered_with_ones(self, vm, context, size):
        assert vm.read(HOLE, size, context=context) == Exit(
            "mmio", b"\xff" * size, (Fragment(HOLE, size, False),)
        )

    def test_a_store_to_a_hole_is_an_mmio_exit_with_its_bytes(self, vm, context, size):
        assert vm.write(HOLE, DATA[:size], context=context) == Exit(
            "mmio", b"", (Fragment(HOLE, size, True, DATA[:size]),)
        )

    def test_a_store_to_readonly_memory_is_an_mmio_exit_and_leaves_it(self, vm, context, size):
        vm.memory(HVA + 0x10000, 8)[:] = DATA
        vm.set_user_memory_region(2, MemFlag.READONLY, READONLY, 0x1000, HVA + 0x10000)

        written = vm.write(READONLY, bytes(size), context=context)

        assert written == Exit("mmio", b"", (Fragment(READONLY, size, True, bytes(size)),))
        assert vm.read(READONLY, size, context=context) == Exit("done", DATA[:size])


@contexts
class TestEachContext:
    def test_a_fetch_from_ram_executes(self, vm, context):
        assert vm.fetch(GPA + 0x1000, context=context) == Exit("done")

    def test_a_fetch_from_a_hole_fails_and_the_vcpu_serves_on(self, vm, context):
        hole = vm.fetch(HOLE, context=context)

        # A stock kernel gives CPL 3 a fault instead of telling userspace.
        told = {Exit("internal_error", suberror=1)}
        if context is Context.LONG64_CPL3:
            told.add(Exit("shutdown"))
        assert hole in told
        assert vm.fetch(GPA, context=context) == Exit("done")

    def test_a_load_across_a_slot_s_end_takes_both_parts_in_order(self, vm, context):
        vm.memory(HVA + 0x3FFD, 3)[:] = b"abc"

        assert vm.read(GPA + 0x3FFD, 8, context=context) == Exit(
            "mmio", b"abc" + b"\xff" * 5, (Fragment(GPA + 0x4000, 5, False),)
        )

    def test_a_store_across_a_slot_s_end_lands_in_both_parts(self, vm, context):
        stored = vm.write(GPA + 0x3FFD, DATA, context=context)

        assert stored == Exit("mmio", b"", (Fragment(GPA + 0x4000, 5, True, DATA[3:]),))
        assert bytes(vm.memory(HVA + 0x3FFD, 3)) == DATA[:3]

    def test_a_load_across_two_holes_pages_is_two_fragments(self, vm, context):
        fragments = (Fragment(HOLE + 0xFFE, 2, False), Fragment(HOLE + 0x1000, 2, False))

        assert vm.read(HOLE + 0xFFE, 4, context=context) == Exit("mmio", b"\xff" * 4, fragments)

    def test_a_fetch_across_a_slot_s_end_is_no_fetch_from_ram(self, vm, context):
        assert vm.fetch(GPA + 0x3FFF, context=context).reason in ("internal_error", "shutdown")

    def test_memory_without_backing_is_no_exit(self, vm, context):
        vm.set_user_memory_region(2, 0, READONLY, 0x1000, HVA + 0x100000)

        # A native access fails KVM_RUN; the emulator takes what it cannot reach for MMIO.
        assert vm.read(READONLY, 4, context=context).reason in ("efault", "memory_fault", "mmio")

    def test_a_guest_that_spins_is_stopped_and_the_vcpu_serves_on(self, backend, context):
        with KvmVm(backend=backend, time_limit_s=0.1) as vm:
            memory = vm.memory(HVA, 0x1000)
            spin = SPIN[context]
            memory[: len(spin)], memory[0x800:0x802] = spin, FETCH_STUB
            vm.set_user_memory_region(1, 0, GPA, 0x1000, HVA)
            begin = time.monotonic()

            with pytest.raises(GuestTimeoutError, match=r"did not come back within 0\.1 s"):
                vm.fetch(GPA, context=context)

            assert time.monotonic() - begin < 2
            assert vm.fetch(GPA + 0x800, context=context) == Exit("done")


def test_contexts_alternate_on_one_vcpu(vm):
    vm.memory(HVA, 8)[:] = DATA

    for context in [*Context, *reversed(Context)]:
        assert vm.read(GPA, 8, context=context) == Exit("done", DATA)
        assert vm.read(HOLE, 8, context=context).data == b"\xff" * 8


def test_an_address_above_four_gib_is_reached_in_long_mode(vm):
    vm.set_user_memory_region(2, 0, 1 << 35, 0x1000, HVA)

    assert vm.fetch(1 << 35) == Exit("done")
    assert vm.read((1 << 35) + 0x1000, 1).reason == "mmio"


@contexts
def test_an_access_ends_where_the_guest_s_addresses_do(vm, context):
    end = REACH_BYTES[context]

    assert vm.read(end - 4, 4, context=context).reason == "mmio"
    for gpa in (end - 3, end, end + 0x1000, -1):
        with pytest.raises(ValueError, match=f"a {context.value} guest addresses"):
            vm.read(gpa, 4, context=context)
        with pytest.raises(ValueError, match=f"a {context.value} guest addresses"):
            vm.write(gpa, bytes(4), context=context)
    with pytest.raises(ValueError, match=f"a {context.value} guest addresses"):
        vm.fetch(end - 1, context=context)
    assert vm.read(GPA, 2, context=context) == Exit("done", FETCH_STUB)


@pytest.mark.parametrize("size", [0, 3, 16])
def test_a_size_that_no_instruction_has_is_refused(vm, size):
    with pytest.raises(ValueError, match=f"takes 1, 2, 4 or 8 bytes, not {size}"):
        vm.read(GPA, size)
    with pytest.raises(ValueError, match=f"takes 1, 2, 4 or 8 bytes, not {size}"):
        vm.write(GPA, bytes(size))


def test_an_access_from_another_thread_is_timed_too(backend):
    with KvmVm(backend=backend, time_limit_s=0.1) as vm:
        vm.memory(HVA, 0x1000)[:2] = SPIN[Context.LONG64_CPL3]
        vm.set_user_memory_region(1, 0, GPA, 0x1000, HVA)
        vm.read(GPA, 1)
        raised = []

        def access():
            try:
                vm.fetch(GPA)
            except GuestTimeoutError as error:
                raised.append(error)

        thread = threading.Thread(target=access)
        thread.start()
        thread.join(5)

        assert len(raised) == 1


def test_ctrl_c_reaches_a_guest_that_spins(backend):
    with KvmVm(backend=backend) as vm:
        vm.memory(HVA, 0x1000)[:2] = SPIN[Context.LONG64_CPL3]
        vm.memory(HVA + 0x800, 2)[:] = FETCH_STUB
        vm.set_user_memory_region(1, 0, GPA, 0x1000, HVA)
        vm.read(GPA, 1)

        with pytest.raises(KeyboardInterrupt), ctrl_c(0.2):
            vm.fetch(GPA)

        assert vm.fetch(GPA + 0x800) == Exit("done")
