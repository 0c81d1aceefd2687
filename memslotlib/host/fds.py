"""One class per descriptor of KVM; each method is one ioctl.

A refusal raises ``KvmError`` with the ioctl's name and every field that was passed. Closing is
explicit; a closed descriptor answers EBADF like any other bad one.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Mapping

from ..errors import KvmError
from .backend import Backend, Buffer
from .ioctls import (
    CLEAR_DIRTY_LOG,
    CPUID_ENTRY_SIZE_BYTES,
    CPUID_MAX_ENTRIES,
    CREATE_GUEST_MEMFD,
    DIRTY_LOG,
    ENABLE_CAP,
    REGS,
    SREGS_SIZE_BYTES,
    VCPU_EVENTS_SIZE_BYTES,
    Ioctl,
    packed,
)

REGION_FIELDS = ("slot", "flags", "guest_phys_addr", "memory_size", "userspace_addr")
REGION2_FIELDS = (*REGION_FIELDS, "guest_memfd_offset", "guest_memfd")


def address_of(buffer: Buffer | mmap.mmap) -> int:
    """Return where a writable buffer lies; it stays there as long as it is not resized."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Fd:
    """A descriptor, and the backend through which its ioctls are made."""

    def __init__(self, fd: int, backend: Backend) -> None:
        self.fd = fd
        self.backend = backend

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def call(self, ioctl: Ioctl, value: int = 0, fields: Mapping[str, int] | None = None) -> int:
        """Make an ioctl whose argument is a number."""
        return self.checked(ioctl, self.backend.ioctl(self.fd, ioctl, value), fields)

    def exchange(
        self, ioctl: Ioctl, buffer: Buffer, fields: Mapping[str, int] | None = None
    ) -> int:
        """Make an ioctl whose argument is memory."""
        return self.checked(ioctl, self.backend.ioctl_buffer(self.fd, ioctl, buffer), fields)

    def checked(self, ioctl: Ioctl, result: int, fields: Mapping[str, int] | None = None) -> int:
        """Return a result that is no refusal."""
        if result < 0:
            raise KvmError(f"KVM_{ioctl.name}", -result, fields)
        return result


class Kvm(Fd):
    """``/dev/kvm`` itself."""

    def get_api_version(self) -> int:
        """KVM_GET_API_VERSION."""
        return self.call(Ioctl.GET_API_VERSION)

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION on the system; 0 means absent."""
        return self.call(Ioctl.CHECK_EXTENSION, cap, {"cap": cap})

    def get_vcpu_mmap_size(self) -> int:
        """KVM_GET_VCPU_MMAP_SIZE, in bytes."""
        return self.call(Ioctl.GET_VCPU_MMAP_SIZE)

    def get_supported_cpuid(self) -> bytes:
        """KVM_GET_SUPPORTED_CPUID: a ``struct kvm_cpuid2`` with its entries."""
        table = bytearray(8 + CPUID_MAX_ENTRIES * CPUID_ENTRY_SIZE_BYTES)
        table[0:4] = CPUID_MAX_ENTRIES.to_bytes(4, "little")
        self.exchange(Ioctl.GET_SUPPORTED_CPUID, table, {"nent": CPUID_MAX_ENTRIES})
        return bytes(table)

    def create_vm(self, vm_type: int = 0) -> VmFd:
        """KVM_CREATE_VM."""
        return VmFd(self.call(Ioctl.CREATE_VM, vm_type, {"type": vm_type}), self.backend)


class VmFd(Fd):
    """One virtual machine."""

    def set_user_memory_region(self, *region: int) -> None:
        """KVM_SET_USER_MEMORY_REGION with the fields of ``REGION_FIELDS``."""
        result = self.backend.set_region(self.fd, *region)
        if result:
            fields = dict(zip(REGION_FIELDS, region, strict=True))
            self.checked(Ioctl.SET_USER_MEMORY_REGION, result, fields)

    def set_user_memory_region2(self, *region: int) -> None:
        """KVM_SET_USER_MEMORY_REGION2 with the fields of ``REGION2_FIELDS``."""
        result = self.backend.set_region2(self.fd, *region)
        if result:
            fields = dict(zip(REGION2_FIELDS, region, strict=True))
            self.checked(Ioctl.SET_USER_MEMORY_REGION2, result, fields)

    def create_guest_memfd(self, size: int, flags: int) -> int:
        """KVM_CREATE_GUEST_MEMFD: a new descriptor, the caller's to close."""
        argument = packed(CREATE_GUEST_MEMFD, size, flags)
        return self.exchange(Ioctl.CREATE_GUEST_MEMFD, argument, {"size": size, "flags": flags})

    def get_dirty_log(self, slot: int, bitmap: bytearray) -> None:
        """KVM_GET_DIRTY_LOG into ``bitmap``, which must hold a bit for every page of the slot."""
        argument = packed(DIRTY_LOG, slot, 0, address_of(bitmap))
        self.exchange(Ioctl.GET_DIRTY_LOG, argument, {"slot": slot})

    def clear_dirty_log(self, slot: int, first_page: int, num_pages: int, bitmap: bytes) -> None:
        """KVM_CLEAR_DIRTY_LOG of the bits set in ``bitmap``, whose bit 0 is ``first_page``.

        The kernel reads whole 64-bit words of it, up to ``num_pages``.
        """
        bits = bytearray(bitmap)
        argument = packed(CLEAR_DIRTY_LOG, slot, num_pages, first_page, address_of(bits))
        fields = {"slot": slot, "first_page": first_page, "num_pages": num_pages}
        self.exchange(Ioctl.CLEAR_DIRTY_LOG, argument, fields)

    def enable_cap(self, cap: int, *args: int) -> None:
        """KVM_ENABLE_CAP with up to four arguments."""
        argument = packed(ENABLE_CAP, cap, 0, *args, *[0] * (4 - len(args)))
        fields = {"cap": cap} | {f"args[{i}]": value for i, value in enumerate(args)}
        self.exchange(Ioctl.ENABLE_CAP, argument, fields)

    def check_extension(self, cap: int) -> int:
        """KVM_CHECK_EXTENSION on the VM; 0 means absent."""
        return self.call(Ioctl.CHECK_EXTENSION, cap, {"cap": cap})

    def reset_dirty_rings(self) -> int:
        """KVM_RESET_DIRTY_RINGS: how many entries were reset."""
        return self.call(Ioctl.RESET_DIRTY_RINGS)

    def create_vcpu(self, vcpu_id: int, run_size_bytes: int) -> VcpuFd:
        """KVM_CREATE_VCPU, with its ``struct kvm_run`` mapped."""
        fd = self.call(Ioctl.CREATE_VCPU, vcpu_id, {"vcpu_id": vcpu_id})
        return VcpuFd(fd, self.backend, run_size_bytes)


class VcpuFd(Fd):
    """One vCPU and the memory that it shares with the kernel."""

    def __init__(self, fd: int, backend: Backend, run_size_bytes: int = 0) -> None:
        super().__init__(fd, backend)
        self.shared = mmap.mmap(fd, run_size_bytes) if run_size_bytes else None

    @property
    def kvm_run(self) -> mmap.mmap:
        """The mapped ``struct kvm_run``."""
        if self.shared is None:
            raise KvmError("mmap", errno.EBADF, {"fd": self.fd})
        return self.shared

    def close(self) -> None:
        """Unmap and close: the mapping holds the vCPU, and so the VM, as the descriptor does."""
        if self.shared is not None:
            self.shared.close()
            self.shared = None
        super().close()

    def run(self) -> int:
        """KVM_RUN: 0, or -EINTR, -EAGAIN and -EFAULT, which are answers here and not errors."""
        result = self.backend.ioctl(self.fd, Ioctl.RUN, 0)
        if result in (0, -errno.EINTR, -errno.EAGAIN, -errno.EFAULT):
            return result
        return self.checked(Ioctl.RUN, result)

    def get_regs(self) -> tuple[int, ...]:
        """KVM_GET_REGS, in the order of ``ioctls.REGS``."""
        regs = bytearray(REGS.size)
        self.exchange(Ioctl.GET_REGS, regs)
        return REGS.unpack(regs)

    def set_regs(self, regs: bytearray) -> None:
        """KVM_SET_REGS."""
        self.exchange(Ioctl.SET_REGS, regs)

    def get_sregs(self) -> bytearray:
        """KVM_GET_SREGS."""
        sregs = bytearray(SREGS_SIZE_BYTES)
        self.exchange(Ioctl.GET_SREGS, sregs)
        return sregs

    def set_sregs(self, sregs: bytearray) -> None:
        """KVM_SET_SREGS."""
        self.exchange(Ioctl.SET_SREGS, sregs)

    def set_cpuid(self, table: bytes) -> None:
        """KVM_SET_CPUID2 with what KVM_GET_SUPPORTED_CPUID returned."""
        self.exchange(Ioctl.SET_CPUID2, bytearray(table))

    def drop_exception(self) -> None:
        """Forget an exception that KVM queued and has not delivered (GET and SET_VCPU_EVENTS)."""
        events = bytearray(VCPU_EVENTS_SIZE_BYTES)
        self.exchange(Ioctl.GET_VCPU_EVENTS, events)
        # exception.injected and exception.pending; the rest goes back as it came.
        events[0] = events[3] = 0
        self.exchange(Ioctl.SET_VCPU_EVENTS, events)
