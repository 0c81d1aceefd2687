"""Two limits that no capability tells: how far addresses go, the processor's and userspace's."""

from __future__ import annotations

import ctypes
import errno
import struct

from ..uapi import PAGE_SIZE
from .capabilities import DEVICE, open_kvm
from .ioctls import CPUID_ENTRY_SIZE_BYTES

#: Where userspace may end: with 4-level and 5-level page tables, and where only the sign of an
#: address was checked (Linux 6.4 to 6.11).
USER_LIMITS = tuple((1 << bits) - PAGE_SIZE for bits in (47, 56, 63))

_CPUID_ADDRESS_SIZES = 0x8000_0008
#: The first fields of ``struct kvm_cpuid_entry2``: function, index, flags, eax.
_CPUID_ENTRY = struct.Struct("<4I")


def physical_address_bits(device: str = DEVICE) -> int:
    """Return the bits of a physical address, as KVM sees the processor.

    /proc/cpuinfo is no help: it leaves out the bits that memory encryption takes.

    Raises NotRunError when there is no usable KVM; LookupError when KVM knows no such leaf.

    Source: api.rst, "KVM_GET_SUPPORTED_CPUID"; leaf 0x80000008, EAX bits 7:0.

    >>> physical_address_bits("/nonexistent")
    Traceback (most recent call last):
    memslotlib.errors.NotRunError: /nonexistent: absent; load the module kvm_intel or kvm_amd
    """
    kvm = open_kvm(device)
    try:
        return address_bits_of(kvm.get_supported_cpuid())
    finally:
        kvm.close()


def address_bits_of(table: bytes) -> int:
    """Return the physical address bits that a ``struct kvm_cpuid2`` names; LookupError if none."""
    (count,) = struct.unpack_from("<I", table)
    for n in range(count):
        function, _, _, eax = _CPUID_ENTRY.unpack_from(table, 8 + n * CPUID_ENTRY_SIZE_BYTES)
        if function == _CPUID_ADDRESS_SIZES:
            return int(eax & 0xFF)
    raise LookupError(f"CPUID leaf {_CPUID_ADDRESS_SIZES:#x} is not among the {count} of KVM")


def user_address_limit() -> int:
    """Return the largest end of a userspace range that the kernel's access_ok() accepts.

    mincore() asks access_ok() of its range first (ENOMEM), and only then of the vector that it
    fills (EFAULT for the bad one given here), so that nothing needs to be mapped.

    Source: mm/mincore.c mincore(); arch/x86/include/asm/uaccess_64.h __access_ok().
    """
    return max((limit for limit in USER_LIMITS if _accepted(limit)), default=USER_LIMITS[0])


def _accepted(end: int) -> bool:
    """Whether access_ok() accepts the last page before ``end``."""
    libc = ctypes.CDLL(None, use_errno=True)
    page, no_vector = ctypes.c_void_p(end - PAGE_SIZE), ctypes.c_void_p(-PAGE_SIZE)
    libc.mincore(page, ctypes.c_size_t(PAGE_SIZE), no_vector)
    return ctypes.get_errno() == errno.EFAULT
