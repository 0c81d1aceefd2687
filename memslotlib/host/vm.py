"""``KvmVm``: the real device behind the interface that the simulator answers too."""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ..errors import NotRunError
from ..interface import Context, Exit
from ..uapi import PAGE_SHIFT, PAGE_SIZE, Cap
from . import backend as backends
from . import capabilities, guest, kick
from .access import TIME_LIMIT_S, GuestCpu
from .backend import Backend, Region
from .fds import VmFd
from .ioctls import Ioctl
from .memory import HostMemory
from .ring import DirtyRing
from .runner import Runner, runner


class KvmVm:
    """One VM of ``/dev/kvm``; the calls are those of ``interface.Vm``.

    ``vm_type`` is KVM_CREATE_VM's argument, ``backend`` what makes the ioctls, ``time_limit_s`` how
    long one guest access may take. Use it as a context manager, or close it: closing deletes every
    slot before it unmaps what the slots map. A VM that is dropped, or still open when the process
    ends, is closed the same way.

    Raises NotRunError when this host has no usable KVM, with the reason; KvmError when an ioctl
    fails; ValueError for a guest access beyond ``interface.REACH_BYTES``; and
    ``access.GuestTimeoutError`` when a guest access does not come back.

    Source: api.rst, "KVM_CREATE_VM", "KVM_SET_USER_MEMORY_REGION", "KVM_RUN".

    >>> KvmVm(device="/nonexistent")
    Traceback (most recent call last):
    memslotlib.errors.NotRunError: /nonexistent: absent; load the module kvm_intel or kvm_amd
    """

    def __init__(
        self,
        *,
        vm_type: int = 0,
        backend: Backend | None = None,
        time_limit_s: float = TIME_LIMIT_S,
        device: str = capabilities.DEVICE,
    ) -> None:
        self.backend = backend or backends.default()
        self._time_limit_s = time_limit_s
        self._slots: dict[int, int] = {}
        self._ring_size_bytes = 0
        self._guest: GuestCpu | None = None
        self._guest_hva = 0
        self._cpus = 0
        self._ring: DirtyRing | None = None
        self._resources = ExitStack()
        # Bound to the stack alone, not to self: so it also runs for a VM that is merely dropped.
        self._closer = weakref.finalize(self, self._resources.close)
        with ExitStack() as undo:
            undo.callback(self._closer)
            self._open(vm_type, device)
            undo.pop_all()

    def _open(self, vm_type: int, device: str) -> None:
        """Open what is closed in the opposite order: slots, then VM, then memory."""
        later = self._resources.callback
        self._memory = HostMemory()
        later(self._memory.close)
        self._kvm = capabilities.open_kvm(device, self.backend)
        later(self._kvm.close)
        self._vm = self._kvm.create_vm(vm_type)
        later(self._vm.close)
        later(_delete_slots, self._vm, self._slots)

    def set_user_memory_region(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION."""
        self._vm.set_user_memory_region(slot, flags, guest_phys_addr, memory_size, userspace_addr)
        self._slots[slot] = memory_size

    def set_user_memory_region2(
        self,
        slot: int,
        flags: int,
        guest_phys_addr: int,
        memory_size: int,
        userspace_addr: int,
        guest_memfd_offset: int = 0,
        guest_memfd: int = 0,
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION2."""
        region = (slot, flags, guest_phys_addr, memory_size, userspace_addr)
        self._vm.set_user_memory_region2(*region, guest_memfd_offset, guest_memfd)
        self._slots[slot] = memory_size

    def create_guest_memfd(self, size: int, flags: int = 0) -> int:
        """KVM_CREATE_GUEST_MEMFD: a descriptor that this VM closes when it is closed."""
        fd = self._vm.create_guest_memfd(size, flags)
        self._resources.callback(os.close, fd)
        return fd

    def get_dirty_log(self, slot: int) -> bytes:
        """KVM_GET_DIRTY_LOG."""
        bitmap = bytearray(self._bitmap_size_bytes(slot))
        self._vm.get_dirty_log(slot, bitmap)
        return bytes(bitmap)

    def fetch_dirty_log(self, slot: int, room: bytearray) -> None:
        """KVM_GET_DIRTY_LOG into ``room``, which has to be large enough: the kernel is not told."""
        self._vm.get_dirty_log(slot, room)

    def clear_dirty_log(self, slot: int, first_page: int, num_pages: int, bitmap: bytes) -> None:
        """KVM_CLEAR_DIRTY_LOG; past its own bytes ``bitmap`` counts as zero."""
        # The kernel reads no further than the slot reaches.
        bits = bitmap.ljust(self._bitmap_size_bytes(slot), b"\0")
        self._vm.clear_dirty_log(slot, first_page, num_pages, bits)

    def enable_cap(self, cap: int, *args: int) -> None:
        """KVM_ENABLE_CAP on the VM."""
        self._vm.enable_cap(cap, *args)
        if cap in (Cap.DIRTY_LOG_RING, Cap.DIRTY_LOG_RING_ACQ_REL):
            self._ring_size_bytes = args[0] & 0xFFFF_FFFF  # all that the kernel looks at

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION on the VM; 0 means absent."""
        return self._vm.check_extension(cap)

    def reap_dirty_ring(self) -> list[tuple[int, int]]:
        """Harvest the vCPU's dirty ring; empty while there is no vCPU or no ring."""
        return self._ring.reap() if self._ring else []

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS."""
        return self._vm.reset_dirty_rings()

    def read(
        self, gpa: int, size: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest load of 1, 2, 4 or 8 bytes."""
        return self.guest(as_id).load(gpa, size, context)

    def write(
        self, gpa: int, data: bytes, *, context: Context = Context.LONG64_CPL3, as_id: int = 0
    ) -> Exit:
        """One guest store of 1, 2, 4 or 8 bytes."""
        return self.guest(as_id).store(gpa, data, context)

    def fetch(self, gpa: int, *, context: Context = Context.LONG64_CPL3, as_id: int = 0) -> Exit:
        """One guest instruction fetch; the memory there must hold ``FETCH_STUB``."""
        return self.guest(as_id).fetch(gpa, context)

    def memory(self, hva: int, size: int) -> memoryview:
        """The host's view of ``size`` bytes at ``hva``, mapped (zeroed) on first use."""
        return self._memory.view(hva, size)

    def remap(self, hva: int, size: int, source: int, *, by_move: bool = False) -> None:
        """Let ``hva`` show the bytes at ``source``, in one call: ``memory.HostMemory.remap``."""
        self._memory.remap(hva, size, source, by_move=by_move)

    def guest(self, as_id: int = 0) -> GuestCpu:
        """Return the vCPU, created by the first call together with the guest's own slot.

        Raises NotRunError for address space 1, which only a vCPU in SMM accesses; ValueError for
        an address space that no x86 host has.
        """
        if as_id:
            self._refuse_smm(as_id)
        if self._guest is None:
            self._guest = self._create_guest()
        return self._guest

    def update_bracketed(self, words: memoryview, index: int, updates: list[Region]) -> None:
        """Set regions one after the other; ``words[index]`` grows by one before and after.

        ``words`` is guest memory as 64-bit words: a guest that finds an odd value there runs while
        the ioctls do.
        """
        result = self.backend.bracketed(self._vm.fd, words, index, updates)
        self._vm.checked(Ioctl.SET_USER_MEMORY_REGION, result)
        self._slots.update((slot, size) for slot, _, _, size, _ in updates)

    def another_cpu(self) -> GuestCpu:
        """Return one more vCPU; it shares the guest's own memory with the first."""
        self.guest()
        self._cpus += 1
        return self._create_cpu(self._cpus)

    def run_in_thread(self, regs: bytearray, context: Context) -> Runner:
        """Let the guest run from ``regs`` in a thread of its own, until it or the VM is stopped."""
        cpu = self.guest()
        cpu.enter(context)
        cpu.vcpu.set_regs(regs)
        running = runner(cpu, regs, cpu.sregs(context))
        # Last in, first out: the thread ends before anything it uses is unmapped.
        self._resources.callback(running.stop)
        running.start()
        return running

    def close(self) -> None:
        """Delete every slot, then release what they mapped."""
        self._closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _create_guest(self) -> GuestCpu:
        kick.install()
        self._guest_hva = self._memory.anywhere(guest.SIZE_BYTES)
        region = (guest.SLOT, 0, guest.BASE, guest.SIZE_BYTES, self._guest_hva)
        self.set_user_memory_region(*region)
        memory = self.memory(self._guest_hva, guest.SIZE_BYTES)
        for at, content in guest.image():
            memory[at - guest.BASE : at - guest.BASE + len(content)] = content
        return self._create_cpu(0)

    def _create_cpu(self, vcpu_id: int) -> GuestCpu:
        vcpu = self._vm.create_vcpu(vcpu_id, self._kvm.get_vcpu_mmap_size())
        self._resources.callback(vcpu.close)
        vcpu.set_cpuid(self._kvm.get_supported_cpuid())
        if self._ring_size_bytes and self._ring is None:
            self._ring = DirtyRing(vcpu.fd, self._ring_size_bytes)
            self._resources.callback(self._ring.close)
        memory = self.memory(self._guest_hva, guest.SIZE_BYTES)
        cpu = GuestCpu(vcpu, memory, self._time_limit_s)
        self._resources.callback(cpu.close)
        return cpu

    def _refuse_smm(self, as_id: int) -> None:
        if as_id != 1:
            raise ValueError(f"as_id={as_id}: an x86 VM has the address spaces 0 and, with SMM, 1")
        if not self.check_extension(Cap.X86_SMM):
            raise NotRunError("KVM_CAP_X86_SMM: this host has no SMM, so no vCPU reaches as_id 1")
        raise NotRunError("KVM_CAP_X86_SMM: present, but this harness does not enter SMM yet")

    def _bitmap_size_bytes(self, slot: int) -> int:
        # A slot that is not there has no size; the kernel still gets a buffer, and refuses.
        pages = (self._slots.get(slot) or PAGE_SIZE) >> PAGE_SHIFT
        return (pages + 63) // 64 * 8


def _delete_slots(vm: VmFd, slots: dict[int, int]) -> None:
    """Delete what is still there; closing the VM finishes what a refusal leaves behind."""
    for slot, size in slots.items():
        if size:
            vm.backend.set_region(vm.fd, slot, 0, 0, 0, 0)
    slots.clear()
