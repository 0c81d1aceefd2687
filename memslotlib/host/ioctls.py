"""KVM's ioctl numbers and the layout of what they carry, for x86-64.

``kvm/uapi.h`` says the same in C; ``tests/host/test_ioctls.py`` holds one against the other.
Source: ``include/uapi/linux/kvm.h``, ``arch/x86/include/uapi/asm/kvm.h``.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct, error

_KVMIO = 0xAE
_NONE, _WRITE, _READ = 0, 1, 2

REGION = Struct("<IIQQQ")
#: slot, flags, gpa, size, hva, guest_memfd_offset, guest_memfd, then padding.
REGION2 = Struct("<IIQQQQI116x")
#: size, flags, then reserved words.
CREATE_GUEST_MEMFD = Struct("<QQ48x")
#: slot, padding, address of the bitmap.
DIRTY_LOG = Struct("<IIQ")
#: slot, num_pages, first_page, address of the bitmap.
CLEAR_DIRTY_LOG = Struct("<IIQQ")
#: cap, flags, four arguments, then padding.
ENABLE_CAP = Struct("<II4Q64x")
#: One entry of a dirty ring: flags, slot with its address space, page offset.
DIRTY_GFN = Struct("<IIQ")
#: rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags.
REGS = Struct("<18Q")
REGS_RIP = 16
#: base, limit, selector, type, present, dpl, db, s, l, g, avl, unusable, padding.
SEGMENT = Struct("<QIH10B")
#: base, limit, padding.
TABLE = Struct("<QH6x")
#: cr0 cr2 cr3 cr4 cr8 efer apic_base, then the interrupt bitmap.
CONTROL = Struct("<7Q32x")
SREGS_SIZE_BYTES = 8 * SEGMENT.size + 2 * TABLE.size + CONTROL.size
VCPU_EVENTS_SIZE_BYTES = 64
CPUID_ENTRY_SIZE_BYTES = 40
CPUID_MAX_ENTRIES = 256
#: Which page of a vCPU's mapping the dirty ring starts at.
DIRTY_LOG_PAGE_OFFSET = 64

#: Offsets in ``struct kvm_run``.
RUN_IMMEDIATE_EXIT = 1
RUN_EXIT_REASON = 8
RUN_DETAIL = 32
#: phys_addr, data, len, is_write.
MMIO = Struct("<Q8sIB")
#: direction, size, port.
IO = Struct("<BBH")
#: suberror.
INTERNAL = Struct("<I")

#: Bits of ``kvm_dirty_gfn.flags``.
DIRTY_GFN_DIRTY = 1
DIRTY_GFN_RESET = 2


def packed(layout: Struct, *values: int) -> bytearray:
    """Return what an ioctl is handed.

    Raises OverflowError when a value does not fit its field, as the compiled module does.
    """
    try:
        return bytearray(layout.pack(*values))
    except error as problem:
        raise OverflowError(str(problem)) from None


def _number(nr: int, size_bytes: int = 0, direction: int = _NONE) -> int:
    return direction << 30 | size_bytes << 16 | _KVMIO << 8 | nr


class Ioctl(IntEnum):
    """The ioctls that the harness makes; ``name`` is what an error prints after ``KVM_``."""

    GET_API_VERSION = _number(0x00)
    CREATE_VM = _number(0x01)
    CHECK_EXTENSION = _number(0x03)
    GET_VCPU_MMAP_SIZE = _number(0x04)
    GET_SUPPORTED_CPUID = _number(0x05, 8, _READ | _WRITE)
    CREATE_VCPU = _number(0x41)
    GET_DIRTY_LOG = _number(0x42, DIRTY_LOG.size, _WRITE)
    SET_USER_MEMORY_REGION = _number(0x46, REGION.size, _WRITE)
    SET_USER_MEMORY_REGION2 = _number(0x49, REGION2.size, _WRITE)
    RUN = _number(0x80)
    GET_REGS = _number(0x81, REGS.size, _READ)
    SET_REGS = _number(0x82, REGS.size, _WRITE)
    GET_SREGS = _number(0x83, SREGS_SIZE_BYTES, _READ)
    SET_SREGS = _number(0x84, SREGS_SIZE_BYTES, _WRITE)
    SET_CPUID2 = _number(0x90, 8, _WRITE)
    GET_VCPU_EVENTS = _number(0x9F, VCPU_EVENTS_SIZE_BYTES, _READ)
    SET_VCPU_EVENTS = _number(0xA0, VCPU_EVENTS_SIZE_BYTES, _WRITE)
    ENABLE_CAP = _number(0xA3, ENABLE_CAP.size, _WRITE)
    CLEAR_DIRTY_LOG = _number(0xC0, CLEAR_DIRTY_LOG.size, _READ | _WRITE)
    RESET_DIRTY_RINGS = _number(0xC7)
    GET_STATS_FD = _number(0xCE)
    CREATE_GUEST_MEMFD = _number(0xD4, CREATE_GUEST_MEMFD.size, _READ | _WRITE)
